//===- Explain.cpp - plans in words, and why there is none ----------------===//

#include "compiler/planner/Explain.h"

#include "compiler/planner/Search.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace whale::planner {

namespace {

/// The stage that is fullest relative to its device, and its largest part.
struct Fullest {
  size_t stage = 0;
  std::string_view part;
  Bytes partBytes;
};

Fullest fullest(const Prediction &prediction) {
  Fullest result;
  for (size_t s = 1; s < prediction.stages.size(); ++s)
    if (prediction.stages[s].deficit() >
        prediction.stages[result.stage].deficit())
      result.stage = s;
  const StagePrediction &stage = prediction.stages[result.stage];
  for (auto [name, bytes] : stage.isHostShort() ? namedHostParts(stage.memory)
                                                : namedParts(stage.memory))
    if (bytes > result.partBytes) {
      result.part = name;
      result.partBytes = bytes;
    }
  return result;
}

std::string slowerReason(const Prediction &plan, const Prediction &other) {
  auto mine = namedTimes(plan.breakdown), theirs = namedTimes(other.breakdown);
  size_t most = 0;
  for (size_t i = 1; i < mine.size(); ++i)
    if (theirs[i].second - mine[i].second >
        theirs[most].second - mine[most].second)
      most = i;
  Picoseconds more = theirs[most].second - mine[most].second;
  double factor = other.step.asDouble() / plan.step.asDouble();
  if (other.step <= plan.step)
    return "as fast, but less simple";
  if (more <= Picoseconds())
    return fmt::format("{:.3f}x the step time", factor);
  return fmt::format("{:.3f}x the step time: {} +{}", factor,
                     theirs[most].first, formatTime(more));
}

/// Where the variables of instances in a stage lie.
void placeTensors(const Problem &problem, const StageForm &stage, unsigned s,
                  const Range &held, Plan &plan) {
  const workload::Workload &workload = problem.workload;
  std::vector<std::string> names;
  for (const Axis &axis : stage.axes)
    if (isMeshAxis(axis))
      names.push_back(axis.name);
  int64_t start = 0;
  for (const workload::Run &run : workload.runs) {
    int64_t from = std::max(held.first, start) - start;
    int64_t to = std::min(held.last, start + run.count) - start;
    int64_t begin = start;
    start += run.count;
    if (from >= to)
      continue;
    const workload::ModuleClass &module = workload.classes[run.moduleClass];
    cost::ShardedClass sharded =
        cost::shard(workload, module, meshOf(workload, stage, run, 1));
    std::string prefix =
        run.fragment.empty()
            ? pathsOf(workload, begin + from, begin + to).front()
            : run.path(from);
    for (uint32_t v = 0; v < module.values.size(); ++v) {
      if (module.values[v].kind != workload::ValueKind::Variable)
        continue;
      const workload::Variable &variable =
          module.variables[module.values[v].index];
      TensorPlacement tensor;
      tensor.path = prefix + "/" + variable.name;
      tensor.stage = s;
      tensor.extents = variable.extents;
      tensor.dimNames = variable.dimNames;
      for (size_t a = 0; a < names.size(); ++a)
        if (sharded.placements[v][a].kind == cost::Placement::Kind::Cut)
          tensor.splits.emplace_back(names[a], sharded.placements[v][a].dim);
      plan.tensors.push_back(std::move(tensor));
    }
  }
}

/// The pins that are set, and how to leave one out.
using Forget = std::function<void(Pins &)>;
std::vector<std::pair<std::string, Forget>> givenPins(const Pins &pins) {
  std::vector<std::pair<std::string, Forget>> given;
  forEachPin([&](std::string_view name, auto pin) {
    if (pins.*pin)
      given.emplace_back(name, [pin](Pins &p) { (p.*pin).reset(); });
  });
  return given;
}

bool possible(const Problem &problem, const Pins &pins) {
  Problem other = problem;
  other.options.pins = pins;
  std::vector<Choice> shapes = enumerate(other);
  return std::any_of(shapes.begin(), shapes.end(), [&](const Choice &shape) {
    return !variants(other, shape).empty();
  });
}

/// Where samples would be fewer if there could be more micro-batches.
void noteMicroBatches(const workload::Workload &workload,
                      const NormalForm &form, Diag &error) {
  int64_t groups = workload.globalBatch / workload.sampleGroup;
  int64_t replicas = form.stages.front().degree(AxisKind::Replica);
  if (groups / replicas > mostMicroBatches)
    error.hint(fmt::format(
        "a step has at most {} micro-batches, which are of {} samples or more "
        "on a replica then: a smaller global batch, or more replicas, would "
        "need less",
        formatCount(mostMicroBatches),
        formatCount(
            ceilDivide(workload.globalBatch, replicas * mostMicroBatches))));
}

/// Tells what leaving out one pin would give.
void noteFreedPins(const Problem &problem, Diag &error) {
  if (!problem.options.freesPins)
    return;
  for (const auto &[name, forget] : givenPins(problem.options.pins)) {
    Problem other = problem;
    forget(other.options.pins);
    other.options.alternatives = 0;
    other.options.freesPins = false;
    Diagnostics ignored;
    Answer answer = solve(other, ignored);
    if (answer.plan)
      error.hint(fmt::format("without the pin '{}' this fits at {} a step: {}",
                             name, formatTime(answer.plan->prediction.step),
                             printCompact(answer.plan->strategy)));
  }
}

} // namespace

std::vector<std::pair<std::string_view, Picoseconds>>
namedTimes(const Breakdown &b) {
  return {{"compute", b.compute},
          {"recompute", b.recompute},
          {"split communication", b.splitCommunication},
          {"pipeline idle", b.pipelineIdle},
          {"gradient synchronisation", b.gradientSync},
          {"update", b.update},
          {"host transfers", b.hostTransfers},
          {"overhead", b.overhead}};
}

Node strategyOf(const Candidate &candidate,
                const workload::Workload &workload) {
  NormalForm form = candidate.form;
  if (form.stages.size() > 1)
    for (size_t s = 0; s < form.stages.size(); ++s)
      form.stages[s].paths =
          pathsOf(workload, candidate, static_cast<int64_t>(s));
  return toTree(form);
}

Plan makePlan(const Problem &problem, CostTable &table,
              const Candidate &candidate, const Prediction &prediction) {
  Plan plan;
  plan.inputs = problem.options.inputs;
  plan.modelName = problem.workload.modelName;
  plan.parameters = workload::parameterCount(problem.workload);
  plan.globalBatch = problem.workload.globalBatch;
  plan.chosen = candidate;
  plan.strategy = strategyOf(candidate, problem.workload);
  if (candidate.form.stages.size() > 1)
    for (size_t s = 0; s < candidate.form.stages.size(); ++s)
      plan.chosen.form.stages[s].paths =
          pathsOf(problem.workload, candidate, static_cast<int64_t>(s));
  plan.prediction = prediction;
  for (const cost::Pool &pool : problem.hardware.pools()) {
    if (plan.deviceTypes.size() <= pool.type)
      plan.deviceTypes.resize(pool.type + 1);
    plan.deviceTypes[pool.type] = problem.hardware.typeName(pool.type);
  }
  plan.idleDevices = problem.hardware.deviceCount() - rankCount(candidate.form);
  for (unsigned s = 0; s < candidate.form.stages.size(); ++s)
    for (const Range &held : rangesOf(candidate.form, candidate.cuts, s))
      placeTensors(problem, candidate.form.stages[s], s, held, plan);
  return plan;
}

Alternative describe(const Plan &plan, const Candidate &candidate,
                     const Prediction &prediction, const Problem &problem) {
  Alternative result;
  result.strategy = strategyOf(candidate, problem.workload);
  Fullest worst = fullest(prediction);
  const StagePrediction &stage = prediction.stages[worst.stage];
  result.memory = stage.memory.total();
  result.step = prediction.step;
  if (prediction.deficit() > Bytes()) {
    result.step = Picoseconds::max();
    bool host = stage.isHostShort();
    result.reason = fmt::format(
        "does not fit: stage {} needs {} of {} ({} {})", worst.stage,
        formatBytes(host ? stage.memory.host() : result.memory),
        formatBytes(host ? stage.hostCapacity : stage.capacity), worst.part,
        formatBytes(worst.partBytes));
    return result;
  }
  result.reason = slowerReason(plan.prediction, prediction);
  return result;
}

void explainInfeasible(
    CostTable &table, const Problem &problem,
    const std::vector<std::pair<NormalForm, DeviceMap>> &tried,
    Diagnostics &diagnostics) {
  std::optional<CutResult> least;
  for (auto [form, devices] : tried) {
    bool asGiven = !form.stages.front().axes.empty() &&
                   !form.stages.front().axes.front().shares.empty();
    if (!asGiven && workload::instanceCount(problem.workload) <
                        static_cast<int64_t>(form.stages.size()))
      continue;
    std::optional<CutResult> result = balancedCuts(table, form, devices);
    if (result &&
        (!least || result->prediction.deficit() < least->prediction.deficit()))
      least = std::move(result);
  }
  if (!least) {
    diagnostics.error({}, "no plan fits: the cluster has too few devices",
                      ExitCode::Infeasible);
    return;
  }
  Fullest worst = fullest(least->prediction);
  const StagePrediction &stage = least->prediction.stages[worst.stage];
  // All that can go lies in the host's memory then, and some of it could come
  // back.
  bool host = stage.isHostShort();
  Bytes needed = stage.memory.arena();
  Bytes room = stage.capacity - stage.memory.reserve;
  if (host) {
    needed += stage.memory.host();
    room += stage.hostCapacity;
  }
  Diag &error = diagnostics.error(
      {},
      fmt::format("no plan fits: the smallest needs {} per rank, '{}' has {} "
                  "after reserve{}",
                  formatBytes(needed),
                  problem.hardware.typeName(stage.deviceType),
                  formatBytes(room),
                  host ? " with its share of the host's memory" : ""),
      ExitCode::Infeasible);
  error.hint(fmt::format(
      "it is short by {} on stage {}; the largest part is {} ({})",
      formatBytes(needed > room ? needed - room : least->prediction.deficit()),
      worst.stage, worst.part, formatBytes(worst.partBytes)));
  if (problem.hardware.host(stage.deviceType).isAssumed &&
      problem.options.space == Space::Full)
    error.hint("the cluster file says nothing of the nodes' 'host': its memory "
               "is the catalogue's assumption");
  error.hint(fmt::format(
      "that plan is {}",
      printStrategy(strategyOf(*least->candidate, problem.workload))));
  noteMicroBatches(problem.workload, least->candidate->form, error);
  if (problem.options.pins == Pins{}) {
    int64_t factor =
        ceilDivide(needed.value(), std::max<int64_t>(1, room.value()));
    error.hint(fmt::format("about {} times the devices, or devices with more "
                           "memory, would hold it",
                           std::max<int64_t>(2, factor)));
    return;
  }
  noteFreedPins(problem, error);
}

void explainLimit(int64_t simulated, Diagnostics &diagnostics) {
  diagnostics
      .error({},
             fmt::format("the limit was reached before any plan was found, "
                         "after {} candidates",
                         formatCount(simulated)),
             ExitCode::Limit)
      .hint("give it more, or pin what is known");
}

void explainConflict(const Problem &problem, Diagnostics &diagnostics) {
  const auto fields = givenPins(problem.options.pins);
  unsigned all = 1u << fields.size();
  std::vector<unsigned> sets;
  for (unsigned set = 1; set < all; ++set)
    sets.push_back(set);
  std::stable_sort(sets.begin(), sets.end(), [](unsigned a, unsigned b) {
    return __builtin_popcount(a) < __builtin_popcount(b);
  });
  for (unsigned set : sets) {
    Pins pins = problem.options.pins;
    for (size_t i = 0; i < fields.size(); ++i)
      if (!(set >> i & 1))
        fields[i].second(pins);
    if (pins == Pins{} || possible(problem, pins))
      continue;
    Diag &error = diagnostics.error(
        {}, fmt::format("pins '{}' cannot hold together", printPins(pins)),
        ExitCode::Infeasible);
    error.hint(fmt::format("the cluster has {} devices, the batch {} samples "
                           "in groups of {}, the model {} instances",
                           problem.hardware.deviceCount(),
                           problem.workload.globalBatch,
                           problem.workload.sampleGroup,
                           workload::instanceCount(problem.workload)));
    if (pins.schedule == Schedule::Interleaved)
      error.hint("interleaved-1f1b is planned where the micro-batches are a "
                 "multiple of the stages");
    return;
  }
  diagnostics.error({}, "no way to use this cluster for this model",
                    ExitCode::Infeasible);
}

void reportShortDim(const ShortDim &found, const Node &strategy,
                    Diagnostics &diagnostics) {
  diagnostics
      .error(strategy.place,
             fmt::format("dimension '{}' of size {} of '{}' cannot be split {} "
                         "ways",
                         found.dim, found.extent, found.op, found.pieces))
      .hint("a split with several dimensions repeats ops that are too short");
}

/// The shares of one stage.
static bool checkShares(const NormalForm &form, const StageForm &stage,
                        const workload::Workload &workload,
                        Diagnostics &diagnostics) {
  int64_t unit = form.microBatches * workload.sampleGroup;
  int64_t equal = 1;
  bool ok = true;
  for (const Axis &axis : stage.axes) {
    if (axis.kind != AxisKind::Replica)
      continue;
    int64_t sum = 0;
    for (int64_t share : axis.shares) {
      sum += share;
      if (share % unit) {
        diagnostics.error({}, fmt::format("share {} is not a multiple of {} "
                                          "micro-batches times {} samples",
                                          share, form.microBatches,
                                          workload.sampleGroup));
        ok = false;
      }
    }
    if (!axis.shares.empty() && sum * equal != workload.globalBatch) {
      diagnostics.error({}, fmt::format("shares sum to {}, the global batch is "
                                        "{}",
                                        sum * equal, workload.globalBatch));
      ok = false;
    }
    equal *= axis.shares.empty() ? axis.size : 1;
    if (!axis.shares.empty())
      unit = 1;
  }
  if (unit != 1 && workload.globalBatch % (equal * unit)) {
    diagnostics.error({}, fmt::format("{} replicas with {} micro-batches do "
                                      "not divide the global batch {}",
                                      equal, form.microBatches,
                                      workload.globalBatch));
    ok = false;
  }
  return ok;
}

bool checkShares(const NormalForm &form, const workload::Workload &workload,
                 Diagnostics &diagnostics) {
  if (cutsBatchAlike(form))
    return checkShares(form, form.stages.front(), workload, diagnostics);
  bool ok = true;
  for (const StageForm &stage : form.stages)
    ok &= checkShares(form, stage, workload, diagnostics);
  return ok;
}

} // namespace whale::planner
