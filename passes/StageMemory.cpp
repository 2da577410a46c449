//===- StageMemory.cpp - what compile needs of a plan's devices -----------===//

#include "passes/StageMemory.h"

#include "compiler/planner/Plan.h"
#include "dialects/rank/Rank.h"

#include <map>
#include <set>

using namespace mlir;
using namespace whale;
using planner::MemoryParts;
using planner::NormalForm;
using planner::StageForm;

namespace {

/// Instances of one run that a stage holds.
struct Piece {
  size_t run = 0;
  int64_t count = 0;
  bool hasFirst = false, hasLast = false;

  auto operator<=>(const Piece &) const = default;
};

/// Stages of one kind, by number; the first of them is lowered.
struct Kind {
  std::vector<unsigned> stages;
  /// Numbers of micro-batches in flight to lay out for, the largest first.
  std::vector<int64_t> inFlight;
};

class DryRun {
public:
  DryRun(ModuleOp model, const workload::Workload &workload,
         const planner::Candidate &candidate,
         const StageMemoryOptions &options)
      : model(model), workload(workload), candidate(candidate),
        form(candidate.form), options(options) {
    findKinds();
  }

  FailureOr<std::vector<StageMemory>> run();
  int64_t ops() const;

private:
  void findKinds();
  bool areAlike(unsigned a, unsigned b) const;
  void shorten();
  std::vector<Piece> pieces(unsigned stage) const;
  bool mayLeaveOut() const;
  int64_t inFlightOf(unsigned stage) const;
  LogicalResult measure(ModuleOp programs);
  using ByNumber = std::map<int64_t, MemoryParts>;
  MemoryParts partsOf(const Kind &kind, const ByNumber &byNumber,
                      unsigned stage) const;

  ModuleOp model;
  const workload::Workload &workload;
  const planner::Candidate &candidate;
  NormalForm form;
  const StageMemoryOptions &options;
  std::vector<Kind> kinds;
  OwningOpRef<ModuleOp> shortened;
  NormalForm shortForm;
  partition::RankTable ranks;
  /// By kind, type of device and micro-batches in flight.
  std::map<size_t, std::map<unsigned, ByNumber>> measured;
};

} // namespace

//===----------------------------------------------------------------------===//
// Kinds of stages
//===----------------------------------------------------------------------===//

/// As passes/lower has it: a single stage has one whatever the schedule.
int64_t DryRun::inFlightOf(unsigned stage) const {
  int64_t stages = form.stages.size();
  return stages == 1 ? 1
                     : simulator::inFlight(form.schedule,
                                           stages, stage, form.microBatches);
}

std::vector<Piece> DryRun::pieces(unsigned stage) const {
  std::vector<Piece> result;
  int64_t first = candidate.cuts[stage], last = candidate.cuts[stage + 1];
  int64_t start = 0;
  for (auto [index, run] : llvm::enumerate(workload.runs)) {
    int64_t from = std::max(first, start), to = std::min(last, start + run.count);
    if (from < to)
      result.push_back({index, to - from, from == start,
                        to == start + run.count});
    start += run.count;
  }
  return result;
}

/// Patterns of split scopes, and fragments, name instances that would get other
/// numbers.
bool DryRun::mayLeaveOut() const {
  bool isCut = llvm::any_of(workload.runs, [](const workload::Run &run) {
    return !run.fragment.empty();
  });
  return !options.typeOf && !isCut && llvm::all_of(form.stages, [](const StageForm &stage) {
    return llvm::all_of(stage.axes, [](const planner::Axis &axis) {
      return axis.paths.empty() &&
             llvm::all_of(axis.colocated, [](const auto &split) {
               return split.paths.empty();
             });
    });
  });
}

/// Whether two stages make the same program but for their number.
bool DryRun::areAlike(unsigned a, unsigned b) const {
  if (a == 0 || b == 0 || pieces(a) != pieces(b) ||
      form.stages[a].recompute != form.stages[b].recompute ||
      form.stages[a].recomputeLayers != form.stages[b].recomputeLayers ||
      form.stages[a].selectiveLayers != form.stages[b].selectiveLayers)
    return false;
  auto axesOf = [&](size_t stage) {
    return stage < form.stages.size() ? form.stages[stage].axes
                                      : SharedVector<planner::Axis>();
  };
  return axesOf(a) == axesOf(b) && axesOf(a - 1) == axesOf(b - 1) &&
         axesOf(a + 1) == axesOf(b + 1);
}

void DryRun::findKinds() {
  bool leaveOut = mayLeaveOut();
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    auto kind = llvm::find_if(kinds, [&](const Kind &known) {
      return leaveOut && areAlike(s, known.stages.front());
    });
    if (kind == kinds.end())
      kind = kinds.insert(kind, Kind());
    kind->stages.push_back(s);
  }
  for (Kind &kind : kinds) {
    std::set<int64_t> values;
    for (unsigned stage : kind.stages)
      values.insert(inFlightOf(stage));
    std::set<int64_t> chosen = {*values.begin(), *values.rbegin()};
    if (auto above = values.upper_bound(1); above != values.end())
      chosen.insert(*above);
    kind.inFlight.assign(chosen.rbegin(), chosen.rend());
  }
}

/// The model and the form with the first stage of each kind only.
void DryRun::shorten() {
  shortened = cast<ModuleOp>(model->clone());
  shortForm = form;
  if (kinds.size() == form.stages.size())
    return;
  shortForm.stages.clear();
  std::vector<int64_t> counts(workload.runs.size(), 0), cuts = {0};
  for (const Kind &kind : kinds) {
    shortForm.stages.push_back(form.stages[kind.stages.front()]);
    cuts.push_back(cuts.back());
    for (const Piece &piece : pieces(kind.stages.front())) {
      counts[piece.run] += piece.count;
      cuts.back() += piece.count;
    }
  }
  workload::Workload less = workload;
  for (auto [run, count] : llvm::zip_equal(less.runs, counts))
    run.count = count;
  for (auto [index, stage] : llvm::enumerate(shortForm.stages))
    stage.paths = planner::pathsOf(less, cuts[index], cuts[index + 1]);
  ModelOp changed = *shortened->getOps<ModelOp>().begin();
  changed.getMain().walk([&](InstanceOp instance) {
    for (const workload::Run &run : less.runs)
      if (instance.getRepeat() && run.name == instance.getName())
        instance.setRepeat(run.count);
  });
}

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

/// Variables by kind.
static MemoryParts stateOf(const format::ProgramT &program) {
  MemoryParts parts;
  for (const auto &variable : program.variables) {
    Bytes bytes(
        static_cast<int64_t>(format::bytesOf(*variable->operand).value_or(0)));
    switch (variable->kind) {
    case format::VariableKind::Parameter:
      parts.parameters += bytes;
      break;
    case format::VariableKind::Optimizer:
    case format::VariableKind::Master:
      parts.optimizer += bytes;
      break;
    case format::VariableKind::Statistic:
    case format::VariableKind::Counter:
      parts.other += bytes;
      break;
    case format::VariableKind::Gradient:
      break;
    }
  }
  return parts;
}

/// State and what lives at the area's peak; the layout is the rest.
static MemoryParts partsOf(MemoryParts parts,
                           const lower::MemoryReport &memory) {
  auto bytesOf = [](uint64_t bytes) {
    return Bytes(static_cast<int64_t>(bytes));
  };
  parts.gradients = bytesOf(memory.gradients);
  parts.activations = bytesOf(memory.residuals);
  parts.transients = bytesOf(memory.transient);
  parts.layout = bytesOf(memory.arenaBytes) - parts.total();
  return parts;
}

/// Lays out every role for the numbers of its kind.
LogicalResult DryRun::measure(ModuleOp programs) {
  lower::LowerOptions lowering;
  lowering.ranks = &ranks;
  for (auto op : programs.getOps<rank::ProgramOp>()) {
    size_t kind = op->getAttrOfType<IntegerAttr>("stage").getInt();
    int64_t role = op->getAttrOfType<IntegerAttr>("role").getInt();
    lowering.layouts[role] = kinds[kind].inFlight;
  }
  FailureOr<lower::LoweredProgramSet> set =
      lower::lowerPrograms(programs, lowering);
  if (failed(set))
    return failure();
  // A role's first rank on each type of device stands for the others.
  std::set<std::pair<unsigned, unsigned>> seen;
  for (auto [number, rank] : llvm::enumerate(ranks.ranks)) {
    unsigned type = options.typeOf ? options.typeOf(number) : 0;
    if (!seen.insert({rank.role, type}).second)
      continue;
    const lower::LoweredRole &lowered = set->roles[rank.role];
    MemoryParts state = stateOf(lowered.program);
    for (auto [inFlight, memory] :
         llvm::zip_equal(kinds[rank.stage].inFlight, lowered.layouts)) {
      MemoryParts parts = ::partsOf(state, memory);
      auto [it, inserted] =
          measured[rank.stage][type].try_emplace(inFlight, parts);
      if (!inserted && it->second.total() < parts.total())
        it->second = parts;
    }
  }
  return success();
}

/// On the line between the lowered numbers of micro-batches around the stage's.
MemoryParts DryRun::partsOf(const Kind &kind, const ByNumber &byNumber,
                            unsigned stage) const {
  int64_t value = inFlightOf(stage);
  MemoryParts result;
  if (auto exact = byNumber.find(value); exact != byNumber.end()) {
    result = exact->second;
  } else {
    int64_t high = kind.inFlight[0], low = kind.inFlight[1];
    const MemoryParts &most = byNumber.at(high), &least = byNumber.at(low);
    auto between = [&](Bytes MemoryParts::*part) {
      int64_t rise = (most.*part - least.*part).value();
      result.*part = least.*part + Bytes((rise / (high - low) + (rise > 0)) *
                                         (value - low));
    };
    for (Bytes MemoryParts::*part :
         {&MemoryParts::parameters, &MemoryParts::gradients,
          &MemoryParts::optimizer, &MemoryParts::other,
          &MemoryParts::activations, &MemoryParts::transients,
          &MemoryParts::layout})
      between(part);
  }
  if (kinds.size() != form.stages.size()) {
    Bytes area = result.gradients + result.activations + result.transients;
    result.layout += Bytes(ceilDivide(area.value() * leftOutPercent, 100));
  }
  return result;
}

/// Of the stages that are lowered.
int64_t DryRun::ops() const {
  int64_t count = 0;
  for (const Kind &kind : kinds)
    for (const Piece &piece : pieces(kind.stages.front())) {
      const workload::Run &run = workload.runs[piece.run];
      count += piece.count * workload.classes[run.moduleClass].ops.size();
    }
  return count;
}

FailureOr<std::vector<StageMemory>> DryRun::run() {
  shorten();
  Compilation compilation;
  compilation.module = std::move(shortened);
  compilation.form = shortForm;
  compilation.applyOptions = options.apply;
  // `compile` verifies between phases; here that would take longer than they.
  for (StringRef phase : {"apply-plan", "partition"})
    if (failed(findPhase(phase)->run(compilation)))
      return failure();
  ranks = std::move(compilation.ranks);
  if (failed(measure(*compilation.module)))
    return failure();
  std::vector<StageMemory> result(form.stages.size());
  for (auto [index, kind] : llvm::enumerate(kinds))
    for (unsigned stage : kind.stages)
      for (const auto &[type, byNumber] : measured[index]) {
        MemoryParts parts = partsOf(kind, byNumber, stage);
        result[stage].byType[type] = parts;
        if (result[stage].parts.total() < parts.total())
          result[stage].parts = parts;
      }
  return result;
}

FailureOr<std::vector<StageMemory>>
whale::stageMemory(ModuleOp model, const workload::Workload &workload,
                   const planner::Candidate &candidate,
                   const StageMemoryOptions &options) {
  return DryRun(model, workload, candidate, options).run();
}

int64_t whale::loweredOps(const workload::Workload &workload,
                          const planner::Candidate &candidate,
                          const StageMemoryOptions &options) {
  return DryRun(ModuleOp(), workload, candidate, options).ops();
}
