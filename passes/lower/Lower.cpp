//===- Lower.cpp - rank programs to program containers --------------------===//

#include "passes/lower/Lower.h"

#include "passes/lower/LowerProgram.h"

#include "compiler/support/Sha256.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "runtime/format/Random.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

//===----------------------------------------------------------------------===//
// The init entry
//===----------------------------------------------------------------------===//

namespace {
struct InitRow {
  InitKind kind;
  const char *function;
  bool hasSecond;
};
/// Functions of runtime/format/Functions.h.
constexpr InitRow kInits[] = {
    {InitKind::constant, "init_constant", false},
    {InitKind::normal, "init_normal", true},
    {InitKind::uniform, "init_uniform", true},
    {InitKind::truncated_normal, "init_truncated_normal", true}};
} // namespace

/// Variables derived from another (`path#master`) start as it does.
static std::string_view initPath(const format::VariableT &variable) {
  std::string_view path = variable.path;
  return path.substr(0, path.find('#'));
}

static format::CallT initCall(const format::VariableT &variable,
                              InitAttr init) {
  const InitRow &row = *llvm::find_if(
      kInits, [&](const InitRow &r) { return r.kind == init.getKind(); });
  format::CallT call;
  call.function = row.function;
  call.operands.push_back(
      std::make_unique<format::OperandT>(*variable.operand));
  call.floats.push_back(init.getA().convertToDouble());
  if (!row.hasSecond)
    return call;
  call.floats.push_back(init.getB().convertToDouble());
  call.ints.push_back(
      static_cast<int64_t>(format::pathHash(initPath(variable))));
  llvm::append_range(call.ints, variable.globalDims);
  format::ScalarT seed;
  seed.terms.emplace_back(format::TermKind::Seed, 0, 1);
  call.scalars.push_back(std::make_unique<format::ScalarT>(seed));
  for (size_t dim = 0; dim < variable.globalDims.size(); ++dim)
    call.scalars.push_back(std::make_unique<format::ScalarT>(
        dim < variable.offsets.size() ? *variable.offsets[dim]
                                      : format::constantScalar(0)));
  return call;
}

/// One call per variable, in their order.
static void addInit(RoleState &role,
                    const std::map<std::string, InitAttr> &inits) {
  auto section = std::make_unique<format::SectionT>();
  section->name = "init";
  for (const auto &variable : role.program.variables) {
    auto init = inits.find(variable->path);
    if (variable->kind == format::VariableKind::Gradient || init == inits.end())
      continue;
    auto instruction = std::make_unique<format::InstructionT>();
    instruction->operation.Set(initCall(*variable, init->second));
    instruction->source = variable->source;
    section->instructions.push_back(std::move(instruction));
  }
  auto entry = std::make_unique<format::EntryT>();
  entry->name = format::entryInit;
  entry->schedule.emplace_back(role.program.sections.size(), 0);
  role.program.sections.push_back(std::move(section));
  role.program.entries.push_back(std::move(entry));
}

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

static void setGroups(RoleState &role, rank::ProgramOp op, int64_t index,
                      const LowerOptions &options) {
  auto names = op->getAttrOfType<ArrayAttr>("groups");
  if (!names || !role.program.groups.empty())
    return;
  const partition::RankRow *row = nullptr;
  if (options.ranks)
    for (const partition::RankRow &rank : options.ranks->ranks)
      if (!row && rank.role == index)
        row = &rank;
  for (auto [i, name] : llvm::enumerate(names.getAsRange<StringAttr>())) {
    auto group = std::make_unique<format::GroupT>();
    group->name = name.getValue().str();
    group->size = row && i < row->groups.size() ? row->groups[i].size() : 1;
    role.program.groups.push_back(std::move(group));
  }
}

static void setHead(RoleState &role, rank::ProgramOp op, int64_t index,
                    const LowerOptions &options) {
  format::ProgramT &program = role.program;
  program.formatMajor = format::formatMajor;
  program.formatMinor = format::formatMinor;
  program.role = "role" + std::to_string(index);
  program.target = "cpu";
  program.modelHash = options.modelHash;
  program.planHash = options.planHash;
  setGroups(role, op, index, options);
  if (auto peers = op->getAttrOfType<IntegerAttr>("peers"))
    program.peers = peers.getInt();
  auto scalars = op->getAttrOfType<ArrayAttr>("rank_scalars");
  if (scalars && program.rankScalars.empty())
    for (StringAttr name : scalars.getAsRange<StringAttr>())
      program.rankScalars.push_back(name.getValue().str());
}

/// What follows from the bytes of variables and of the area.
static void finish(MemoryReport &memory, const RoleState &role) {
  memory.variables = role.memory.variables;
  memory.optimizer = role.memory.optimizer;
  memory.arenaBytes =
      std::max<uint64_t>(role.variableBytes + memory.areaBytes, 64);
  memory.transient = memory.peakBytes - memory.gradients - memory.residuals;
}

/// Moves temporaries behind the variables, now that all are known.
static void finishOffsets(RoleState &role) {
  uint64_t base = role.variableBytes;
  auto shift = [&](format::OperandT &operand) {
    if (operand.offset >= kTemporaryBase)
      operand.offset = operand.offset - kTemporaryBase + base;
  };
  for (auto &section : role.program.sections)
    for (auto &instruction : section->instructions)
      forEachOperand(instruction->operation, shift);
  for (auto &variable : role.program.variables)
    shift(*variable->operand);
  finish(role.memory, role);
  role.program.arenaBytes = role.memory.arenaBytes;
}

static LogicalResult lowerRole(ArrayRef<rank::ProgramOp> programs,
                               int64_t index, KernelModule &kernels,
                               const LowerOptions &options, LoweredRole &into) {
  RoleState role(kernels);
  if (auto numbers = options.layouts.find(index);
      numbers != options.layouts.end())
    role.inFlight = numbers->second;
  std::map<std::string, InitAttr> inits;
  for (rank::ProgramOp op : programs) {
    setHead(role, op, index, options);
    op->walk([&](rank::VariableOp variable) {
      role.variableOf(variable);
      inits.try_emplace(variable.getVariablePath().str(), variable.getInit());
    });
  }
  for (rank::ProgramOp op : programs)
    if (failed(ProgramLowering(op, role, options).run()))
      return failure();
  if (role.inFlight.empty())
    addInit(role, inits);
  finishOffsets(role);
  for (MemoryReport &memory : role.layouts)
    finish(memory, role);
  into.program = std::move(role.program);
  into.memory = role.memory;
  into.layouts = std::move(role.layouts);
  return success();
}

//===----------------------------------------------------------------------===//
// The set
//===----------------------------------------------------------------------===//

static LogicalResult compileSet(KernelModule &kernels,
                                const LowerOptions &options,
                                LoweredProgramSet &set) {
  // Symbols are hashes of the kernels' text; the library is theirs together.
  std::string names;
  for (const auto &[symbol, info] : kernels.kernels)
    names += symbol + "\n";
  set.kernels = kernels.kernels.size();
  set.libraryId = "kernels-" + sha256Hex(names).substr(0, 16);
  for (LoweredRole &role : set.roles)
    for (auto &kernel : role.program.kernels)
      kernel->library = set.libraryId;
  if (options.skipCompilation || kernels.layoutOnly || kernels.kernels.empty())
    return success();
  FailureOr<std::vector<KernelBinary>> binaries =
      compileKernels(*kernels.module, options.compile);
  if (failed(binaries))
    return failure();
  set.libraries = std::move(*binaries);
  return success();
}

FailureOr<LoweredProgramSet> lower::lowerPrograms(ModuleOp programs,
                                                  const LowerOptions &options) {
  MLIRContext *context = programs.getContext();
  context->loadDialect<arith::ArithDialect, math::MathDialect, scf::SCFDialect,
                       LLVM::LLVMDialect>();
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(programs->clone()));
  std::map<int64_t, SmallVector<rank::ProgramOp>> byRole;
  for (auto op : copy->getOps<rank::ProgramOp>()) {
    auto role = op->getAttrOfType<IntegerAttr>("role");
    byRole[role ? role.getInt() : 0].push_back(op);
  }
  if (byRole.empty())
    return programs.emitError("module has no 'rank.program'");
  if (byRole.rbegin()->first != static_cast<int64_t>(byRole.size()) - 1)
    return programs.emitError("roles are not numbered from 0");
  KernelModule kernels;
  kernels.module = ModuleOp::create(UnknownLoc::get(context));
  kernels.layoutOnly = !options.layouts.empty();
  LoweredProgramSet set;
  set.roles.resize(byRole.size());
  for (auto &[index, ops] : byRole)
    if (failed(lowerRole(ops, index, kernels, options, set.roles[index])))
      return failure();
  if (failed(compileSet(kernels, options, set)))
    return failure();
  return set;
}
