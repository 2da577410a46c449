//===- Partition.cpp - from the flat step to one program per role ---------===//

#include "passes/partition/Partition.h"

#include "passes/partition/RoleBuilder.h"

using namespace mlir;
using namespace whale;
using namespace whale::partition;
using planner::NormalForm;

namespace {
/// One flat module and its assignment.
struct Entry {
  std::string name;
  ModuleDefOp module;
  Assignment assignment;
};

class Partitioner {
public:
  Partitioner(ModelOp model, const NormalForm &form)
      : model(model), form(form) {}

  FailureOr<Partitioned> run();

private:
  LogicalResult findEntries();
  void findRoles();
  LogicalResult buildRole(OpBuilder &builder, Role &role);
  void describe(rank::ProgramOp program, const Role &role);
  void fillTable(RankTable &table);

  ModelOp model;
  const NormalForm &form;
  std::vector<Mesh> meshes;
  std::vector<Entry> entries;
  std::vector<Role> roles;
};
} // namespace

/// The batch of the model's inputs; 0 where there is none.
static int64_t batchOf(ModuleDefOp module) {
  auto inputs = module.getBody().front().getOps<InputOp>();
  if (inputs.empty())
    return 0;
  return tensorType((*inputs.begin()).getResult()).getDimSize(0);
}

LogicalResult Partitioner::findEntries() {
  auto step = model.lookupSymbol<ModuleDefOp>("step");
  if (!step)
    return model.emitOpError("has no flat module '@step'; apply a plan first");
  int64_t batch = batchOf(step);
  if (batch < 1)
    return step.emitOpError("reads no input");
  for (unsigned stage = 0; stage < form.stages.size(); ++stage)
    meshes.emplace_back(form, stage, batch);
  for (StringRef name : {"step", "eval"}) {
    auto module = model.lookupSymbol<ModuleDefOp>(name);
    if (!module)
      continue;
    FailureOr<Assignment> assignment = Assignment::create(module, meshes);
    if (failed(assignment))
      return failure();
    entries.push_back({name.str(), module, std::move(*assignment)});
  }
  return success();
}

void Partitioner::findRoles() {
  for (unsigned graph = 0; graph < meshes.size(); ++graph) {
    std::map<std::string, unsigned> known;
    for (size_t position = 0; position < meshes[graph].ranks().size();
         ++position) {
      std::string signature;
      for (const Entry &entry : entries)
        signature += roleSignature(entry.assignment, graph, position) + "|";
      auto [found, inserted] = known.try_emplace(signature, roles.size());
      if (inserted) {
        roles.emplace_back();
        roles.back().index = roles.size() - 1;
        roles.back().graph = graph;
      }
      roles[found->second].positions.push_back(position);
    }
  }
}

/// Attributes that every program carries; after all entries are built, since
/// the role's tables are shared.
void Partitioner::describe(rank::ProgramOp program, const Role &role) {
  Builder builder(program.getContext());
  SmallVector<Attribute> groups, scalars;
  for (const auto &[mask, name] : role.groups)
    groups.push_back(builder.getStringAttr(name));
  for (const auto &[name, values] : role.scalars)
    scalars.push_back(builder.getStringAttr(name));
  program->setAttr("groups", builder.getArrayAttr(groups));
  program->setAttr("rank_scalars", builder.getArrayAttr(scalars));
  program->setAttr("peers", builder.getI64IntegerAttr(role.peers.size()));
  program->setAttr("stage", builder.getI64IntegerAttr(role.graph));
  program->setAttr("stages", builder.getI64IntegerAttr(meshes.size()));
  program->setAttr("micro_batches",
                   builder.getI64IntegerAttr(form.microBatches));
  std::string_view schedule = planner::nameOf(form.schedule);
  program->setAttr("schedule", builder.getStringAttr(
                                   StringRef(schedule.data(), schedule.size())));
}

LogicalResult Partitioner::buildRole(OpBuilder &builder, Role &role) {
  SmallVector<rank::ProgramOp> programs;
  for (Entry &entry : entries) {
    FailureOr<rank::ProgramOp> program = buildProgram(
        builder, entry.module, entry.name, entry.assignment, role);
    if (failed(program))
      return failure();
    programs.push_back(*program);
  }
  for (rank::ProgramOp program : programs)
    describe(program, role);
  return success();
}

void Partitioner::fillTable(RankTable &table) {
  table.roles = roles.size();
  table.ranks.resize(rankCount(form));
  for (const Role &role : roles) {
    const Mesh &mesh = meshes[role.graph];
    for (auto [index, position] : llvm::enumerate(role.positions)) {
      RankRow &row = table.ranks[mesh.ranks()[position]];
      row.role = role.index;
      row.stage = role.graph;
      for (size_t axis = 0; axis < mesh.axisCount(); ++axis)
        row.coordinates.emplace_back(mesh.axis(axis).name,
                                     mesh.coordinates(position)[axis]);
      row.firstSample = mesh.samples(position).share.begin;
      row.samples = mesh.samples(position).share.count;
      for (const auto &[mask, name] : role.groups) {
        row.groups.emplace_back();
        for (size_t member : mesh.members(position, mask))
          row.groups.back().push_back(mesh.ranks()[member]);
      }
      for (const auto &ranks : role.peers)
        row.peers.push_back(ranks[index]);
      for (const auto &[name, values] : role.scalars)
        row.scalars.push_back(values[index]);
    }
  }
}

FailureOr<Partitioned> Partitioner::run() {
  if (failed(findEntries()))
    return failure();
  findRoles();
  Partitioned result;
  result.programs = mlir::ModuleOp::create(model.getLoc());
  OpBuilder builder(model.getContext());
  builder.setInsertionPointToEnd(result.programs->getBody());
  for (Role &role : roles)
    if (failed(buildRole(builder, role)))
      return failure();
  fillTable(result.table);
  return result;
}

FailureOr<Partitioned>
partition::partitionModel(ModelOp model, const NormalForm &form) {
  return Partitioner(model, form).run();
}
