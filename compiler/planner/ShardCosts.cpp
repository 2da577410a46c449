//===- ShardCosts.cpp - what replicas have in common ----------------------===//
//
// Replicas exchange gradients once a step, and parameters where each updates a
// share; what ZeRO-2 and -3 cut is scattered and gathered for every instance
// and micro-batch. Over an axis with splits on its devices (Axis::colocated)
// that goes for what these do not cut: the rest is another one on each rank.
// Parameters that stay gathered are gathered for the first micro-batch of a
// step, whose time all of them share here.
// Of several axes the inner ones scatter first, and gather last, so that the
// outer ones move a share.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

using cost::ClassCost;
using cost::Group;
using cost::StateBytes;

/// The greater of two times that overlap, and what they hold each other up.
static Picoseconds overlapped(Picoseconds a, Picoseconds b, double overlap) {
  return std::max(a, b) + std::min(a, b).scaled(1 - overlap);
}

/// Of one instance of each run, however it recomputes.
std::vector<FormCosts::ShardTimes>
FormCosts::shardTimes(unsigned stage, const std::vector<RunCost> &runs) const {
  const cost::Execution &execution = table.hardware.execution;
  std::vector<ShardTimes> times;
  for (const RunCost &one : runs) {
    const CutState state{one.cost->state, one.cost->cut};
    int64_t parts = 1;
    if (execution.stack.gathersTensors)
      parts = std::max(parts, one.cost->tensors);
    auto parted = [&](CollectiveKind kind, auto bytesOf) {
      auto each = [&](const StateBytes &some) {
        return ceilDivide(bytesOf(some), parts);
      };
      Picoseconds over = overReplicas(stage, kind, true, [&](unsigned axis) {
        return each(sharesOver(stage, axis, state));
      });
      Picoseconds listed =
          copies(stage, parts > 1 ? replicas(stage) : 0, each(state.all));
      return (over + listed) * parts;
    };
    ShardTimes &here = times.emplace_back();
    if (cutsParameters(form.stages[stage]))
      here.gather = parted(CollectiveKind::AllGather,
                           [](const StateBytes &some) { return some.read(); });
    here.scatter =
        parted(CollectiveKind::ReduceScatter,
               [&](const StateBytes &some) { return wireGradients(some); });
  }
  return times;
}

/// Scatters the gradients of an instance after its backward part, where they
/// are cut over the replicas, and gathers its parameters before either part
/// where those are; where they stay gathered, before the first forward part.
void FormCosts::addShardTimes(const std::vector<ShardTimes> &times,
                              Recompute recompute,
                              std::vector<RunCost> &runs) const {
  const cost::Execution &execution = table.hardware.execution;
  double overlap =
      execution.stack.overlapsGradients ? execution.parameters.shardOverlap : 0;
  bool twice =
      execution.stack.gathersTwiceBackward && recompute == Recompute::Full;
  for (size_t r = 0; r < runs.size(); ++r) {
    RunCost &one = runs[r];
    auto [gather, scatter] = times[r];
    const Times alone = one.each;
    one.each = {overlapped(alone.forward, gather, overlap),
                overlapped(alone.backward, gather * (twice ? 2 : 1) + scatter,
                           overlap)};
    Picoseconds once = one.each.forward - alone.forward;
    one.gathered = {alone.forward + Picoseconds(ceilDivide(once.value(),
                                                           form.microBatches)),
                    overlapped(alone.backward, scatter, overlap)};
  }
}

/// Copying `bytes` in `count` parts.
Picoseconds FormCosts::copies(unsigned stage, int64_t count,
                              Bytes bytes) const {
  if (count == 0)
    return {};
  cost::OpWork launch, copy;
  launch.kind = copy.kind = workload::OpKind::Elementwise;
  copy.bytes = bytes * 2;
  return slowest(stage, [&](unsigned type) {
    return table.hardware.opTime(type, launch) * (count - 1) +
           table.hardware.opTime(type, copy);
  });
}

Picoseconds
FormCosts::overReplicas(unsigned stage, CollectiveKind kind, bool sharded,
                        const std::function<Bytes(unsigned)> &bytes) const {
  Picoseconds time;
  const std::vector<Axis> &axes = form.stages[stage].axes;
  for (unsigned a = 0; a < axes.size(); ++a)
    if (axes[a].kind == AxisKind::Replica &&
        (axes[a].shard != Shard::None) == sharded) {
      // All may be cut by splits on the devices of the axis.
      Bytes each = bytes(a);
      if (each == Bytes())
        continue;
      Picoseconds slowest;
      for (const Group &group : groupsOf(stage, a))
        if (group.size > 1)
          slowest = std::max(slowest,
                             table.hardware.collectiveTime(group, kind, each));
      time += slowest;
    }
  return time;
}

Bytes FormCosts::wireGradients(const cost::WeightBytes &weights) const {
  int64_t bytes = table.hardware.execution.stack.gradientBytes;
  return bytes ? Bytes(bytes) * weights.trained : weights.gradients;
}

Bytes FormCosts::keptGradients(unsigned stage, const StateBytes &state) const {
  const StageForm &shape = form.stages[stage];
  return cutsGradients(shape)
             ? ceilDivide(wireGradients(state.owned), shardDegree(shape))
             : wireGradients(state);
}

/// Not of tied variables, which their owner places.
std::vector<StateBytes> FormCosts::cutOf(unsigned stage,
                                         std::span<const Range> held) const {
  std::vector<StateBytes> sums(run(stage, 0).cut.size());
  for (const Range &range : held)
    forEachRun(range.first, range.last, [&](size_t r, int64_t n) {
      const ClassCost &one = run(stage, r);
      for (size_t a = 0; a < sums.size(); ++a) {
        sums[a] += one.cut[a] * n;
        sums[a] -= one.tiedCut[a] * n;
      }
    });
  return sums;
}

/// Copies of parameters that are made when they are needed: of all instances
/// whose parameters are there, and of that which runs and the next one of the
/// others, with those gradients of one that are scattered.
Bytes FormCosts::gatheredMemory(unsigned stage, int64_t first, int64_t last,
                                const StateBytes &state,
                                const Relief &relief) const {
  const StageForm &shape = form.stages[stage];
  bool cuts = cutsParameters(shape);
  int64_t there = cuts ? relief.gatheredLayers : last - first;
  Bytes whole;
  if (!keepsCopies(stage, true))
    whole = cuts ? gatheredState(stage, first, there).copies : state.copies;
  int64_t away = relief.offload.parameters;
  if (!cuts && away > 0 && whole > Bytes())
    whole -= stateOf(stage, first, first + away).copies;
  if (!cutsGradients(shape))
    return whole;
  Bytes weights, gradients;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    const ClassCost &one = run(stage, r);
    StateBytes gathered = scattered(stage, {one.state, one.cut});
    gradients = std::max(gradients, wireGradients(gathered));
    there -= n;
    // Of masters that are not gathered there are copies as well.
    Bytes copies = one.state.copies - gathered.copies;
    if (there < 0)
      weights = std::max(weights, gathered.read() + copies);
  });
  return gradients + weights * 2 + whole;
}

/// Whether masters are cut over the ranks that have the same ones, and copies
/// are what remains: of instances that stay gathered, if they are cut, or not.
bool FormCosts::keepsCopies(unsigned stage, bool gathered) const {
  const StageForm &shape = form.stages[stage];
  return table.hardware.execution.stack.shardsMasters && cutsState(shape) &&
         (gathered || !cutsParameters(shape));
}

StateBytes FormCosts::gatheredState(unsigned stage, int64_t first,
                                    int64_t gathered) const {
  return gathered > 0 ? stateOf(stage, first, first + gathered) : StateBytes();
}

/// During how many micro-batches' tasks gradients become ready: those of a part
/// of a stage after its last backward, and parts take turns after as many
/// micro-batches as there are stages (Narayanan et al., SC 2021, section 2.2).
double FormCosts::overlapWindow() const {
  double parts = static_cast<double>(form.virtualStages);
  int64_t turn = std::min<int64_t>(form.microBatches,
                                   static_cast<int64_t>(form.stages.size()));
  return 1 / parts + static_cast<double>(turn) * (1 - 1 / parts);
}

/// Whether state is cut over the replicas of an axis, or over the shards of a
/// sequence that count as such.
bool FormCosts::isSharded(unsigned stage, unsigned axis) const {
  const StageForm &shape = form.stages[stage];
  const Axis &here = shape.axes[axis];
  return here.kind == AxisKind::Replica && here.shard != Shard::None &&
         (here.size > 1 ||
          joinsNext(table.hardware.execution.stack, shape, axis));
}

/// Nothing for an axis without splits on its devices.
StateBytes FormCosts::cutOver(unsigned stage, unsigned axis,
                              const CutState &state) const {
  const std::vector<Axis> &axes = form.stages[stage].axes;
  if (!isMeshAxis(axes[axis]))
    return {};
  return state.cut[std::count_if(
      axes.begin(), axes.begin() + axis, [](const Axis &other) {
        return other.kind == AxisKind::Replica && isMeshAxis(other);
      })];
}

StateBytes FormCosts::sharesOver(unsigned stage, unsigned axis,
                                 const CutState &state) const {
  const std::vector<Axis> &axes = form.stages[stage].axes;
  StateBytes left = state.all;
  left -= cutOver(stage, axis, state);
  int64_t parts = 1;
  for (unsigned a = axes.size(); --a > axis;) {
    if (!isSharded(stage, a))
      continue;
    // Of splits over several axes the outermost ones cut all that any cuts.
    StateBytes cut;
    if (!isMeshAxis(axes[axis]))
      cut = cutOver(stage, a, state).dividedBy(parts);
    left -= cut;
    left = left.dividedBy(axes[a].size);
    left += cut;
    parts *= axes[a].size;
  }
  return left;
}

/// What is cut over some replicas: the innermost of several axes with the same
/// splits cuts the least.
StateBytes FormCosts::scattered(unsigned stage, const CutState &state) const {
  const StageForm &shape = form.stages[stage];
  std::optional<unsigned> innermost;
  for (unsigned a = 0; a < shape.axes.size(); ++a) {
    if (!isSharded(stage, a))
      continue;
    if (!isMeshAxis(shape.axes[a]))
      return state.all;
    innermost = a;
  }
  StateBytes left;
  if (innermost) {
    left = state.all;
    left -= cutOver(stage, *innermost, state);
  }
  return left;
}

/// Gradients over the replicas, and parameters back where their update is
/// shared out; once a step, partly beside the last backward and the first
/// forward part.
void FormCosts::setSynchronisation(unsigned stage, const StateBytes &state,
                                   StagePrediction &result) const {
  const CutState held = {state, cutOf(stage, result.held())};
  auto gradients = [&](unsigned axis) {
    return wireGradients(sharesOver(stage, axis, held));
  };
  auto parameters = [&](unsigned axis) {
    StateBytes here = sharesOver(stage, axis, held);
    return std::min(here.copies > Bytes() ? here.copies : here.parameters,
                    here.gradients);
  };
  Picoseconds reduce =
      overReplicas(stage, CollectiveKind::AllReduce, false, gradients);
  Picoseconds gather;
  if (!cutsGradients(form.stages[stage]))
    reduce +=
        overReplicas(stage, CollectiveKind::ReduceScatter, true, gradients);
  if (!cutsParameters(form.stages[stage]))
    gather = overReplicas(stage, CollectiveKind::AllGather, true, parameters);
  reduce += result.gradientSync;
  const cost::Execution &execution = table.hardware.execution;
  if (execution.stack.overlapsGradients) {
    double overlap = execution.parameters.gradientOverlap;
    Picoseconds last = result.backward.scaled(overlapWindow());
    Picoseconds first = result.forward.scaled(overlapWindow());
    reduce = overlapped(last, reduce, overlap) - last;
    gather = overlapped(first, gather, overlap) - first;
  }
  result.gradientSync = reduce + gather;
  const std::vector<Axis> &axes = form.stages[stage].axes;
  for (unsigned a = 0; a < axes.size(); ++a)
    if (axes[a].kind == AxisKind::Replica && axes[a].size > 1) {
      StateBytes copied = state;
      copied -= cutOver(stage, a, held);
      result.gradientTraffic =
          std::max(result.gradientTraffic, wireGradients(copied));
    }
}

/// Partial sums of gradients over splits, but for those over shards of a
/// sequence that are summed with the replicas.
Picoseconds FormCosts::summedAlone(unsigned stage,
                                   const ClassCost &cost) const {
  const StageForm &shape = form.stages[stage];
  Picoseconds time;
  size_t next = 0;
  for (size_t a = 0; a < shape.axes.size(); ++a) {
    if (!isMeshAxis(shape.axes[a]))
      continue;
    bool joined =
        a > 0 && joinsNext(table.hardware.execution.stack, shape, a - 1);
    if (!joined)
      time += cost.oncePerStep[next];
    ++next;
  }
  return time;
}

} // namespace whale::planner
