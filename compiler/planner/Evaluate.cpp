//===- Evaluate.cpp - what a candidate costs ------------------------------===//

#include "compiler/planner/Evaluate.h"

#include "compiler/planner/Search.h"

#include <algorithm>

namespace whale::planner {

using cost::ClassCost;
using cost::Group;
using cost::StateBytes;
using workload::Run;
using workload::Workload;

namespace {

/// The greater of two times that overlap, and what they hold each other up.
Picoseconds overlapped(Picoseconds a, Picoseconds b, double overlap) {
  return std::max(a, b) + std::min(a, b).scaled(1 - overlap);
}

/// What a user of a variable that another instance owns needs less: all where
/// the owner is in its stage, else what only the owner updates; a copy in the
/// type of the arithmetic comes from there once per step.
StateBytes borrowed(StateBytes state, bool isHere) {
  if (isHere)
    return state;
  for (cost::WeightBytes *weights :
       std::initializer_list<cost::WeightBytes *>{&state, &state.owned}) {
    if (weights->copies == Bytes())
      weights->copies = Bytes() - weights->parameters;
    else
      weights->copies = Bytes();
    weights->gradients = Bytes();
    weights->trained = 0;
  }
  return state;
}

} // namespace

FormCosts::FormCosts(CostTable &table, const NormalForm &form,
                     const DeviceMap &devices,
                     const std::vector<int64_t> &replica, int64_t samples)
    : table(table), form(form), devices(devices), replica(replica) {
  aliveChunks = {1};
  if (form.stages.size() > 1)
    aliveChunks =
        table.alive(form.schedule, static_cast<int64_t>(form.stages.size()),
                    form.virtualStages, form.microBatches);
  layered = std::any_of(
      form.stages.begin(), form.stages.end(),
      [](const StageForm &stage) { return stage.recomputeLayers != 0; });
  offloads = std::any_of(
      form.stages.begin(), form.stages.end(),
      [](const StageForm &stage) { return stage.offload != Offload(); });
  place = placeOf(form, devices, replica, table.hardware);
  bool alike = cutsBatchAlike(form);
  costs.resize(form.stages.size());
  again.resize(form.stages.size());
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    like.push_back(likeEarlier(s));
    if (like[s] == s)
      addStage(s, alike ? samples : samplesOn(s));
    else
      types.push_back(types[like[s]]);
  }
}

/// The first stage whose classes cost what those of `stage` do: alike stages on
/// devices of one pool that lie alike in their domains; else itself.
unsigned FormCosts::likeEarlier(unsigned stage) const {
  const StageForm &here = form.stages[stage];
  const cost::Pool &pool = table.hardware.poolOf(place.stages[stage]);
  int64_t inner = here.innerDevices(form.outerAxes);
  if (!place.inPools ||
      (inner % pool.perDomain != 0 && pool.perDomain % inner != 0))
    return stage;
  for (unsigned s = 0; s < stage; ++s)
    if (like[s] == s && table.hardware.poolOf(place.stages[s]) == pool &&
        form.stages[s].recompute == here.recompute &&
        // Paths of a split name instances, and so does what it holds of a run.
        form.stages[s].axes == here.axes)
      return s;
  return stage;
}

int64_t FormCosts::samplesOn(unsigned stage) const {
  return batchOf(form, coordinatesIn(form, stage, replica),
                 table.workload.globalBatch)
      .count;
}

/// Scatters the gradients of an instance after its backward part, where they
/// are cut over the replicas, and gathers its parameters before either part
/// where those are.
void FormCosts::addShardTraffic(unsigned stage, Recompute recompute,
                                std::vector<RunCost> &runs) const {
  const cost::Execution &execution = table.hardware.execution;
  bool gathers = cutsParameters(form.stages[stage]);
  for (RunCost &one : runs) {
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
    Picoseconds gather;
    if (gathers)
      gather = parted(CollectiveKind::AllGather,
                      [](const StateBytes &some) { return some.read(); });
    Picoseconds scatter =
        parted(CollectiveKind::ReduceScatter,
               [&](const StateBytes &some) { return wireGradients(some); });
    double overlap = execution.stack.overlapsGradients
                         ? execution.parameters.shardOverlap
                         : 0;
    one.forward = overlapped(one.forward, gather, overlap);
    bool twice =
        execution.stack.gathersTwiceBackward && recompute == Recompute::Full;
    one.backward =
        overlapped(one.backward, gather * (twice ? 2 : 1) + scatter, overlap);
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

StateBytes FormCosts::stateOf(unsigned stage,
                              std::span<const Range> held) const {
  StateBytes state;
  for (const Range &range : held)
    forEachRun(range.first, range.last,
               [&](size_t r, int64_t n) { state += run(stage, r).state * n; });
  auto isHeld = [&](int64_t position) {
    return std::any_of(held.begin(), held.end(), [&](const Range &range) {
      return range.holds(position);
    });
  };
  bool storesTied = table.hardware.execution.stack.storesTied;
  for (const Tie &tie : table.ties)
    if (isHeld(tie.user) && (isHeld(tie.owner) || !storesTied))
      state -= borrowed(
          run(stage, workload::instanceAt(table.workload, tie.user).run)
              .tiedState,
          isHeld(tie.owner));
  return state;
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

template <class F>
void FormCosts::forEachReceived(unsigned stage, int64_t position,
                                F visit) const {
  // Bounds know stages with nothing behind them.
  if (position >= workload::instanceCount(table.workload))
    return;
  workload::InstanceRef ref = workload::instanceAt(table.workload, position);
  const Run &which = table.workload.runs[ref.run];
  size_t chained =
      ref.index > 0 ? table.workload.classes[which.moduleClass].results.size()
                    : 0;
  for (size_t a = 0; a < which.arguments.size(); ++a)
    if (a < chained || which.arguments[a].run >= 0)
      visit(run(stage, ref.run), a);
}

Bytes FormCosts::boundary(unsigned stage, int64_t position,
                          bool gradient) const {
  Bytes bytes;
  forEachReceived(stage, position, [&](const ClassCost &cost, size_t a) {
    bytes += gradient ? cost.argumentGradientBytes[a] : cost.argumentBytes[a];
  });
  return bytes;
}

cost::Message FormCosts::message(unsigned stage, int64_t position) const {
  cost::Message sum;
  forEachReceived(stage, position, [&](const ClassCost &cost, size_t a) {
    sum += cost.messages[a];
  });
  return sum;
}

FormCosts::Peak FormCosts::peakOf(unsigned stage, int64_t first, int64_t last,
                                  const std::vector<Piece> &pieces) const {
  Peak result;
  bool isLastPart =
      form.virtualStages > 1 && last == workload::instanceCount(table.workload);
  std::vector<Saved> savedByPiece = savedOf(stage, first, last, pieces);
  std::vector<Bytes> waitingByRun = waitingGradients(stage, first, last);
  for (size_t p = 0; p < pieces.size(); ++p) {
    const cost::ClassMemory &m = costOf(stage, pieces[p]).cost->memory;
    Bytes here =
        savedByPiece[p].first + savedByPiece[p].each * (pieces[p].count - 1);
    Bytes waiting = waitingByRun[pieces[p].run];
    if (pieces[p].savedAway) {
      result.away += here;
      Bytes most = std::max(savedByPiece[p].first, savedByPiece[p].each);
      result.staged = std::max(result.staged, most);
      here = Bytes();
    }
    result.saved += here;
    // The head, in the last part of a pipeline, goes back at once.
    bool isHead = isLastPart && table.workload.runs[pieces[p].run].count == 1;
    result.once = isHead ? result.once + here : Bytes();
    Bytes before = pieces[p].savedAway ? result.saved : result.saved - m.saved;
    result.total = std::max({result.total, before + m.forwardTotal,
                             before + m.backwardTotal + waiting});
    result.transient = std::max(
        {result.transient, m.forwardTransient, m.backwardTransient + waiting});
  }
  return result;
}

/// Activations of all slots; gradients are there from the start.
void FormCosts::setPeak(MemoryParts &parts, const Peak &peak,
                        int64_t slots) const {
  parts.hostActivations += peak.away * slots;
  parts.activations = (peak.saved - peak.once) * slots + peak.once;
  parts.transients =
      slots > 1 ? peak.transient : std::max(peak.total - peak.saved, Bytes());
  // One instance's is written or fetched while another one's is used.
  parts.transients += peak.staged * (slots > 1 ? 2 : 1);
}

/// With one micro-batch gradients take the place of activations: the peak is
/// at the first or last instance of a run, whose own gradients are counted, as
/// are those of all instances after it.
void FormCosts::setSinglePeak(MemoryParts &parts, unsigned stage, int64_t first,
                              int64_t last,
                              const std::vector<Piece> &pieces) const {
  // A tied variable's gradients are summed at its owner, which comes last.
  const StageForm &shape = form.stages[stage];
  auto gradientsOf = [&](const Piece &piece) {
    if (piece.parametersAway)
      return Bytes();
    const StateBytes &state = run(stage, piece.run).state;
    return cutsGradients(shape)
               ? ceilDivide(state.owned.gradients, shardDegree(shape))
               : state.gradients;
  };
  Bytes saved, after, peak, staged;
  for (const Piece &piece : pieces)
    after += gradientsOf(piece) * piece.count;
  auto consider = [&](Bytes activations, Bytes gradients, Bytes transients) {
    if (activations + gradients + transients <= peak)
      return;
    peak = activations + gradients + transients;
    parts.activations = activations;
    parts.gradients = gradients;
    parts.transients = transients;
  };
  std::vector<Saved> savedByPiece = savedOf(stage, first, last, pieces);
  std::vector<Bytes> waitingByRun = waitingGradients(stage, first, last);
  for (size_t p = 0; p < pieces.size(); ++p) {
    const ClassCost &cost = *costOf(stage, pieces[p]).cost;
    const cost::ClassMemory &m = cost.memory;
    const Saved &next = savedByPiece[p];
    int64_t n = pieces[p].count;
    Bytes own = gradientsOf(pieces[p]);
    Bytes backward = std::max(m.backwardOnce - m.saved, Bytes()) +
                     waitingByRun[pieces[p].run];
    consider(saved + next.first, after, backward);
    Bytes all = next.first + next.each * (n - 1), here = all;
    if (pieces[p].savedAway) {
      parts.hostActivations += all;
      here = Bytes();
      staged = std::max({staged, next.first, next.each});
    }
    saved += here;
    after = std::max(after - own * (n - 1), Bytes());
    Bytes last = pieces[p].savedAway ? saved + next.each : saved;
    consider(last, after, backward);
    consider(last, after - std::min(after, own),
             std::max(m.forwardTotal - m.saved, Bytes()));
    after = std::max(after - own, Bytes());
  }
  parts.transients += staged;
}

/// Parameters, gradients and optimizer state of a stage on one rank.
MemoryParts FormCosts::stateMemory(unsigned stage,
                                   const StateBytes &state) const {
  const StageForm &shape = form.stages[stage];
  int64_t shards = shardDegree(shape);
  bool masters = keepsCopies(stage);
  MemoryParts parts;
  parts.parameters = cutsParameters(shape)
                         ? ceilDivide(state.owned.parameters, shards)
                     : masters ? state.copies + state.frozen
                               : state.parameters;
  parts.gradients = keptGradients(stage, state);
  parts.optimizer = ceilDivide(state.optimizer, shards) + state.factored;
  // Each as large as the masters of the elements that this rank updates.
  int64_t copies = table.hardware.execution.stack.copiesGradients + masters;
  parts.optimizer += ceilDivide(state.ownedMasters, shards) * copies;
  parts.other = state.other;
  return parts;
}

/// Copies of parameters that are made when they are needed: of the whole stage,
/// or of the instance that runs and the next one, with those gradients of one
/// that are scattered.
Bytes FormCosts::gatheredMemory(unsigned stage, int64_t first, int64_t last,
                                const StateBytes &state,
                                const Offload &offload) const {
  const StageForm &shape = form.stages[stage];
  Bytes whole = keepsCopies(stage) ? Bytes() : state.copies;
  if (offload.parameters > 0 && whole > Bytes())
    whole -= stateOf(stage, first, first + offload.parameters).copies;
  if (!cutsGradients(shape))
    return whole;
  Bytes weights, gradients;
  forEachRun(first, last, [&](size_t r, int64_t) {
    const ClassCost &one = run(stage, r);
    StateBytes gathered = scattered(stage, {one.state, one.cut});
    // Of masters that are not gathered there are copies as well.
    Bytes copies = one.state.copies - gathered.copies;
    weights = std::max(weights, gathered.read() + copies);
    gradients = std::max(gradients, wireGradients(gathered));
  });
  return gradients + (cutsParameters(shape) ? weights * 2 : whole);
}

/// Whether masters are cut over the ranks that have the same ones, and copies
/// are what remains.
bool FormCosts::keepsCopies(unsigned stage) const {
  const StageForm &shape = form.stages[stage];
  return table.hardware.execution.stack.shardsMasters && cutsState(shape) &&
         !cutsParameters(shape);
}

MemoryParts FormCosts::heldState(unsigned stage,
                                 const StateBytes &state) const {
  MemoryParts parts = stateMemory(stage, state);
  // Micro-batches enter at both ends: a stage has the opposite one's part too,
  // which is taken to be as large.
  if (form.schedule == Schedule::DualPipe)
    for (Bytes *part :
         {&parts.parameters, &parts.gradients, &parts.optimizer, &parts.other})
      *part = *part * 2;
  return parts;
}

MemoryParts FormCosts::memoryWith(unsigned stage, int64_t first, int64_t last,
                                  const Relief &relief) const {
  StateBytes state = stateOf(stage, first, last);
  MemoryParts parts = relief.offload.optimizer == 0
                          ? heldState(stage, state)
                          : offloadedState(stage, first, state, relief.offload);
  int64_t slots = this->slots(stage);
  std::vector<Piece> held = pieces(first, last, relief);
  if (form.microBatches == 1 && !table.hardware.execution.stack.holdsGradients)
    setSinglePeak(parts, stage, first, last, held);
  else
    setPeak(parts, peakOf(stage, first, last, held), slots);
  parts.transients += gatheredMemory(stage, first, last, state, relief.offload);
  parts.transients += stagedMemory(stage, first, relief.offload);
  if (form.microBatches > 1 && stage > 0)
    parts.communication += boundary(stage, first, false);
  if (form.microBatches > 1 && stage + 1 < form.stages.size())
    parts.communication += boundary(stage, last, true);
  parts.communication += Bytes(table.hardware.execution.stack.bucketBytes);
  addAllowance(stage, parts);
  return parts;
}

void FormCosts::addAllowance(unsigned stage, MemoryParts &parts) const {
  Bytes variable = parts.activations + parts.transients + parts.communication;
  parts.layout = Bytes(
      ceilDivide(saturatingMultiply(variable.value(), layoutPercent), 100));
  parts.reserve = table.hardware.reserve(deviceType(stage));
}

void FormCosts::addLeast(const cost::ClassMemory &memory, LeastMemory &least) {
  Bytes saved = memory.saved;
  size_t chained = memory.savedResults.size();
  for (size_t k = 0; k < memory.savedArguments.size(); ++k)
    // Of instances that recompute, or of those before them that do not.
    if (k >= chained || memory.savedResults[k] > Bytes())
      saved -= memory.savedArguments[k];
  least.saved = std::min(least.saved, saved);
  least.once = std::min(
      least.once, std::max(memory.forwardTransient, memory.backwardTransient));
}

FormCosts::LeastMemory FormCosts::leastMemory(unsigned stage,
                                              size_t which) const {
  const Run &run = table.workload.runs[which];
  const ClassCost &cost = this->run(stage, which);
  // Together, so that little is lost to rounding.
  MemoryParts all = stateMemory(stage, cost.state * run.count);
  Bytes state = all.parameters + all.optimizer + all.other;
  LeastMemory least;
  // With one micro-batch gradients take the place of activations.
  if (form.microBatches > 1) {
    state += all.gradients;
    least.once = least.saved = Bytes::max();
    addLeast(cost.memory, least);
    if (layered)
      addLeast(again[like[stage]][which].cost->memory, least);
  }
  // Variables of other instances may stand for a part of it.
  for (const Tie &tie : table.ties)
    if (workload::instanceAt(table.workload, tie.user).run == which)
      state = Bytes();
  // A byte of each part may be rounding.
  least.state = Bytes(std::max<int64_t>(0, state.value() - 4) / run.count);
  return least;
}

/// Of how many micro-batches a stage keeps all at least: those of unequal
/// chunks may be the ones that go first.
int64_t FormCosts::leastSlots(int64_t alive, int64_t chunks) const {
  if (chunks == 1)
    return slotsOf(alive, 1);
  return isSmall(table.workload, table.hardware)
             ? 1
             : std::max<int64_t>(1, slotsOf(alive, 2 * chunks) - 1);
}

Bytes FormCosts::roomOf(unsigned stage) const {
  Bytes room = table.hardware.usable(deviceType(stage));
  return offloads ? room + hostMemory(stage) : room;
}

/// Most instances of a run that a stage may hold, with so many micro-batches.
int64_t FormCosts::mostHeld(unsigned stage, const LeastMemory &least,
                            int64_t slots) const {
  Bytes each = least.state + least.saved * slots;
  // What the first one saves may be another's.
  Bytes left =
      roomOf(stage) - (slots > 1 ? least.once : Bytes()) + least.saved * slots;
  return each > Bytes() ? std::max<int64_t>(0, left.value() / each.value())
                        : INT64_MAX;
}

/// Most instances of a run of which a stage does a micro-batch within a time.
int64_t FormCosts::mostWithin(unsigned stage, size_t run,
                              Picoseconds limit) const {
  Picoseconds each = forward(stage, run) + backward(stage, run);
  return each > Picoseconds() ? limit.value() / each.value() : INT64_MAX;
}

FormCosts::Fit FormCosts::mayFit(const std::vector<int64_t> &alive,
                                 int64_t chunks, Picoseconds limit) const {
  Fit fit = Fit::May;
  double state = 0, room = 0;
  for (unsigned s = 0; s < alive.size(); ++s)
    room += roomOf(s).asDouble();
  struct Most {
    LeastMemory memory;
    int64_t instances = 0;
  };
  std::vector<Most> most(alive.size());
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t count = table.workload.runs[r].count, holds = 0, within = 0;
    Bytes leastState = Bytes::max();
    for (unsigned s = 0; s < alive.size(); ++s) {
      most[s] = like[s] == s ? Most{leastMemory(s, r), mostWithin(s, r, limit)}
                             : most[like[s]];
      leastState = std::min(leastState, most[s].memory.state);
      if (within >= count)
        continue;
      int64_t here = mostHeld(s, most[s].memory, leastSlots(alive[s], chunks));
      holds = saturatingAdd(holds, here);
      within = saturatingAdd(within, std::min(here, most[s].instances));
    }
    if (holds < count)
      return Fit::Never;
    if (within < count)
      fit = Fit::NotWithin;
    state += leastState.asDouble() * static_cast<double>(count);
  }
  // Less what its division by the stages may have been rounded.
  return state <= room * (1 + 1e-9) ? fit : Fit::Never;
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

/// Times of one micro-batch, as far as the device goes.
void FormCosts::setCompute(unsigned stage, const Relief &relief,
                           StagePrediction &result) const {
  for (const Piece &piece : pieces(result.first, result.last, relief)) {
    const RunCost &one = costOf(stage, piece);
    const ClassCost &cost = *one.cost;
    int64_t n = piece.count;
    result.forward += one.forward * n;
    result.backward += one.backward * n;
    result.weight += cost.weight * n;
    result.communication +=
        (cost.forwardCommunication + cost.backwardCommunication) * n;
    result.recompute += cost.recompute * n;
    result.gradientSync += summedAlone(stage, cost) * n;
    result.splitTraffic += cost.traffic * n * form.microBatches;
  }
}

/// Times and traffic of the messages to the neighbours.
void FormCosts::setMessages(unsigned stage, int64_t first, int64_t last,
                            StagePrediction &result) const {
  auto send = [&](unsigned to, Bytes bytes, Picoseconds gather) {
    result.boundaryTraffic += bytes * form.microBatches * form.virtualStages;
    return gather + sendTime(stage, to, bytes);
  };
  if (stage + 1 < form.stages.size()) {
    cost::Message out = message(stage + 1, last);
    result.sendForward = send(stage + 1, out.forward, out.gatherForward);
  }
  if (stage > 0) {
    cost::Message in = message(stage - 1, first);
    result.sendBackward = send(stage - 1, in.backward, in.gatherBackward);
  }
  if (table.hardware.execution.stack.overlapsPipeline)
    return;
  result.forward += result.sendForward * form.virtualStages;
  result.backward += result.sendBackward * form.virtualStages;
}

/// Devices of a pool at the same place in their domains are alike.
FormCosts::Link FormCosts::linkFrom(unsigned stage) const {
  int64_t device = place.stages[stage], next = place.stages[stage + 1];
  const cost::Pool &pool = table.hardware.poolOf(device);
  int64_t within = device - pool.first, distance = next - device;
  if (&pool == &table.hardware.poolOf(next))
    device = pool.first + within % pool.perDomain;
  return {like[stage], like[stage + 1], device, distance};
}

Picoseconds FormCosts::messageThere(unsigned stage, int64_t position) const {
  cost::Message sent = message(stage + 1, position);
  return sendTime(stage, stage + 1, sent.forward) + sent.gatherForward;
}

Picoseconds FormCosts::messageBack(unsigned stage, int64_t position) const {
  cost::Message sent = message(stage, position);
  return sendTime(stage + 1, stage, sent.backward) + sent.gatherBackward;
}

Picoseconds FormCosts::gradientTime(unsigned stage, int64_t first, int64_t last,
                                    const StateBytes &state) const {
  StagePrediction once;
  once.first = first;
  once.last = last;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    once.gradientSync += summedAlone(stage, run(stage, r)) * n;
  });
  setSynchronisation(stage, state, once);
  return once.gradientSync;
}

Picoseconds FormCosts::tail(unsigned stage, int64_t first, int64_t last) const {
  // What overlaps takes as long as the tasks leave it.
  if (table.hardware.execution.stack.overlapsGradients) {
    StagePrediction once = this->stage(stage, first, last);
    return once.gradientSync + once.update;
  }
  // Else it is no matter what is saved or recomputed, and memory of the host
  // makes it no shorter.
  StagePrediction once;
  StateBytes state = stateOf(stage, first, last);
  setUpdate(stage, {}, state, once);
  return gradientTime(stage, first, last, state) + once.update;
}

StagePrediction FormCosts::stage(unsigned stage, int64_t first,
                                 int64_t last) const {
  StagePrediction result;
  result.first = first;
  result.last = last;
  result.deviceType = deviceType(stage);
  result.capacity = table.hardware.capacity(result.deviceType);
  result.hostCapacity = hostMemory(stage);
  Relief relief = this->relief(stage, first, last);
  result.memory = memoryWith(stage, first, last, relief);
  setCompute(stage, relief, result);
  if (relief.offload != Offload())
    setHostTimes(stage, relief, result);
  setMessages(stage, first, last, result);
  StateBytes state = stateOf(stage, first, last);
  setSynchronisation(stage, state, result);
  setUpdate(stage, relief, state, result);
  return result;
}

} // namespace whale::planner
