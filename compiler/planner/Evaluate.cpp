//===- Evaluate.cpp - what a candidate costs ------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <set>

namespace whale::planner {

using cost::ClassCost;
using cost::Group;
using cost::StateBytes;
using workload::Run;
using workload::Workload;

namespace {

/// Whether the shards of a sequence, which lie next to the replicas of this
/// axis, count as such.
bool joinsNext(const cost::Stack &stack, const StageForm &form, size_t axis) {
  if (!stack.joinsSequenceReplicas || axis + 1 >= form.axes.size() ||
      form.axes[axis].kind != AxisKind::Replica)
    return false;
  const Axis &next = form.axes[axis + 1];
  return next.kind == AxisKind::Split && next.dims.size() > 1 &&
         next.dims.front() == "sequence";
}

int64_t shardDegree(const StageForm &stage) {
  int64_t degree = 1;
  for (const Axis &axis : stage.axes)
    // With colocated splits the classes' state is sharded already.
    if (axis.kind == AxisKind::Replica && axis.shard != Shard::None &&
        axis.colocated.empty())
      degree *= axis.size;
  return degree;
}

/// Over how many ranks parameters and gradients are cut that lie whole on them;
/// what ZeRO-1 cuts, the classes have cut over the shards of a sequence.
int64_t wholeShards(const cost::Stack &stack, const StageForm &stage) {
  int64_t degree = shardDegree(stage);
  for (size_t a = 0; a < stage.axes.size(); ++a)
    if (stage.axes[a].shard != Shard::None && joinsNext(stack, stage, a))
      degree *= stage.axes[a + 1].size;
  return degree;
}

/// The greater of two times that overlap, and what they hold each other up.
Picoseconds overlapped(Picoseconds a, Picoseconds b, double overlap) {
  return std::max(a, b) + std::min(a, b).scaled(1 - overlap);
}

/// Whether some replicas keep no more than a share of this or of what comes
/// after it.
bool cuts(const StageForm &stage, Shard least) {
  return std::any_of(
      stage.axes.begin(), stage.axes.end(),
      [&](const Axis &axis) { return axis.shard >= least && axis.size > 1; });
}
bool cutsParameters(const StageForm &stage) {
  return cuts(stage, Shard::Parameters);
}
bool cutsGradients(const StageForm &stage) {
  return cuts(stage, Shard::Gradients);
}

/// What a user of a variable that another instance owns needs less: all where
/// the owner is in its stage, else what only the owner updates; a copy in the
/// type of the arithmetic comes from there once per step.
StateBytes borrowed(StateBytes state, bool isHere) {
  if (isHere)
    return state;
  if (state.copies == Bytes())
    state.copies = Bytes() - state.parameters;
  else
    state.copies = Bytes();
  state.gradients = Bytes();
  state.trained = 0;
  return state;
}

} // namespace

const ClassCost &CostTable::of(uint32_t moduleClass,
                               const cost::ClassContext &context) {
  auto key = std::make_pair(moduleClass, context);
  {
    std::lock_guard lock(mutex);
    auto it = costs.find(key);
    if (it != costs.end())
      return it->second;
  }
  ClassCost made = cost::classCost(workload, workload.classes[moduleClass],
                                   context, hardware);
  std::lock_guard lock(mutex);
  return costs.emplace(std::move(key), std::move(made)).first->second;
}

int64_t CostTable::slots(const NormalForm &form, unsigned stage) {
  int64_t stages = static_cast<int64_t>(form.stages.size());
  if (stages == 1)
    return 1;
  if (form.schedule == Schedule::GPipe || form.schedule == Schedule::OneFOneB)
    return simulator::inFlight(form.schedule, stages, stage, form.microBatches);
  simulator::ScheduleSpec spec;
  spec.order = form.schedule;
  spec.stages = stages;
  spec.chunks = form.virtualStages;
  // More micro-batches than the schedules have in flight change nothing.
  spec.microBatches = std::min(form.microBatches, 4 * stages);
  auto key =
      std::make_tuple(spec.order, stages, spec.chunks, spec.microBatches);
  std::lock_guard lock(mutex);
  std::vector<int64_t> &alive = inFlight[key];
  if (alive.empty())
    for (const simulator::TaskList &tasks : simulator::makeSchedule(spec))
      alive.push_back(ceilDivide(simulator::mostAlive(tasks), spec.chunks));
  return std::min(alive[stage], form.microBatches);
}

FormCosts::FormCosts(CostTable &table, const NormalForm &form,
                     const DeviceMap &devices,
                     const std::vector<int64_t> &replica, int64_t samples)
    : table(table), form(form), devices(devices), replica(replica) {
  replicas = form.stages.front().degree(AxisKind::Replica);
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    if (s == 0 || !isLikeFirst(s)) {
      addStage(s, samples);
      uniform &= s == 0;
      continue;
    }
    types.push_back(types[0]);
    costs.push_back(costs[0]);
    forwards.push_back(forwards[0]);
    backwards.push_back(backwards[0]);
  }
}

/// Whether a stage's classes cost what the first one's do: alike stages on
/// equal devices that lie alike in their domains.
bool FormCosts::isLikeFirst(unsigned stage) const {
  const std::vector<cost::Pool> &pools = table.hardware.pools();
  if (pools.size() != 1 || devices.kind != DeviceMap::Kind::Identity)
    return false;
  const StageForm &first = form.stages[0], &here = form.stages[stage];
  int64_t inner = first.innerDevices(form.outerAxes);
  int64_t domain = pools[0].perDomain;
  // Paths of a split name instances, and so does what it holds of a run.
  return (inner % domain == 0 || domain % inner == 0) &&
         here.recompute == first.recompute && here.axes == first.axes;
}

void FormCosts::addStage(unsigned s, int64_t samples) {
  const Workload &workload = table.workload;
  const StageForm &stage = form.stages[s];
  Coordinates here = coordinates(s);
  types.push_back(table.hardware.poolOf(devices.deviceOf(form, here)).type);
  cost::ClassContext context;
  bool onlyLayers = table.hardware.execution.stack.repeatsLayersOnly;
  context.deviceType = types.back();
  for (unsigned a = 0; a < stage.axes.size(); ++a)
    if (isMeshAxis(stage.axes[a]))
      context.groups.push_back(
          axisGroup(form, devices, here, a, table.hardware));
  costs.emplace_back();
  for (const Run &run : workload.runs) {
    context.recompute =
        onlyLayers && run.count == 1 ? Recompute::None : stage.recompute;
    context.mesh = meshOf(workload, stage, run, samples / form.microBatches);
    costs.back().push_back(&table.of(run.moduleClass, context));
  }
  addShardTraffic(s);
}

/// Scatters the gradients of an instance after its backward part, where they
/// are cut over the replicas, and gathers its parameters before either part
/// where those are.
void FormCosts::addShardTraffic(unsigned stage) {
  const cost::Execution &execution = table.hardware.execution;
  bool scatters = cutsGradients(form.stages[stage]);
  bool gathers = cutsParameters(form.stages[stage]);
  forwards.emplace_back();
  backwards.emplace_back();
  for (const ClassCost *cost : costs[stage]) {
    Picoseconds forward = cost->forward, backward = cost->backward;
    if (scatters) {
      auto over = [&](CollectiveKind kind, Bytes bytes) {
        return overReplicas(stage, kind, true,
                            [bytes](unsigned) { return bytes; });
      };
      int64_t parts = 1;
      if (execution.stack.gathersTensors)
        parts = std::max(parts, cost->tensors);
      auto parted = [&](CollectiveKind kind, Bytes bytes) {
        Bytes each = ceilDivide(bytes, parts);
        Picoseconds listed = copies(stage, parts > 1 ? replicas : 0, each);
        return (over(kind, each) + listed) * parts;
      };
      Picoseconds gather =
          gathers ? parted(CollectiveKind::AllGather, cost->state.copies)
                  : Picoseconds();
      Picoseconds scatter =
          parted(CollectiveKind::ReduceScatter, wireGradients(cost->state));
      double overlap = execution.stack.overlapsGradients
                           ? execution.parameters.gradientOverlap
                           : 0;
      forward = overlapped(forward, gather, overlap);
      bool again = execution.stack.gathersTwiceBackward &&
                   form.stages[stage].recompute == Recompute::Full;
      backward =
          overlapped(backward, gather * (again ? 2 : 1) + scatter, overlap);
    }
    forwards.back().push_back(forward);
    backwards.back().push_back(backward);
  }
}

/// Copying `bytes` in `count` parts.
Picoseconds FormCosts::copies(unsigned stage, int64_t count,
                              Bytes bytes) const {
  if (count == 0)
    return {};
  cost::OpWork copy;
  copy.kind = workload::OpKind::Elementwise;
  Picoseconds launches =
      table.hardware.opTime(types[stage], copy) * (count - 1);
  copy.bytes = bytes * 2;
  return launches + table.hardware.opTime(types[stage], copy);
}

Picoseconds
FormCosts::overReplicas(unsigned stage, CollectiveKind kind, bool sharded,
                        const std::function<Bytes(unsigned)> &bytes) const {
  Picoseconds time;
  const std::vector<Axis> &axes = form.stages[stage].axes;
  for (unsigned a = 0; a < axes.size(); ++a)
    if (axes[a].kind == AxisKind::Replica &&
        (axes[a].shard != Shard::None) == sharded && groupOf(stage, a).size > 1)
      time += table.hardware.collectiveTime(groupOf(stage, a), kind, bytes(a));
  return time;
}

Bytes FormCosts::wireGradients(const StateBytes &state) const {
  int64_t bytes = table.hardware.execution.stack.gradientBytes;
  return bytes ? Bytes(bytes) * state.trained : state.gradients;
}

const Group &FormCosts::groupOf(unsigned stage, unsigned axis) const {
  auto [it, isNew] = groups.try_emplace({stage, axis});
  if (!isNew)
    return it->second;
  Coordinates here = coordinates(stage);
  it->second = axisGroup(form, devices, here, axis, table.hardware);
  if (joinsNext(table.hardware.execution.stack, form.stages[stage], axis)) {
    const Group next = axisGroup(form, devices, here, axis + 1, table.hardware);
    it->second.size *= next.size;
    it->second.stride = next.stride;
    shareNode(it->second, table.hardware.poolOf(it->second.first));
  }
  return it->second;
}

int64_t FormCosts::deviceOf(unsigned stage) const {
  if (places.empty())
    places.resize(form.stages.size(), -1);
  if (places[stage] < 0)
    places[stage] = devices.deviceOf(form, coordinates(stage));
  return places[stage];
}

Coordinates FormCosts::coordinates(unsigned stage) const {
  Coordinates result;
  result.stage = stage;
  size_t next = 0;
  for (const Axis &axis : form.stages[stage].axes)
    result.axes.push_back(axis.kind == AxisKind::Replica &&
                                  next < replica.size()
                              ? replica[next++]
                              : 0);
  return result;
}

template <class F>
void FormCosts::forEachRun(int64_t first, int64_t last, F visit) const {
  int64_t start = 0;
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t end = start + table.workload.runs[r].count;
    int64_t n = std::min(last, end) - std::max(first, start);
    if (n > 0)
      visit(r, n);
    start = end;
  }
}

StateBytes FormCosts::stateOf(unsigned stage, int64_t first,
                              int64_t last) const {
  StateBytes state;
  forEachRun(first, last,
             [&](size_t r, int64_t n) { state += run(stage, r).state * n; });
  for (const Tie &tie : table.ties)
    if (tie.user >= first && tie.user < last)
      state -= borrowed(
          run(stage, workload::instanceAt(table.workload, tie.user).run)
              .tiedState,
          tie.owner >= first && tie.owner < last);
  return state;
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

std::vector<FormCosts::Saved> FormCosts::savedOf(unsigned stage, int64_t first,
                                                 int64_t last) const {
  const std::vector<Run> &runs = table.workload.runs;
  std::vector<std::pair<int64_t, uint32_t>> seen;
  // Positions of a run's first instance, and of the first behind it.
  auto startOf = [&](size_t r) {
    int64_t start = 0;
    for (size_t before = 0; before < r; ++before)
      start += runs[before].count;
    return start;
  };
  // Whether another instance of the stage saves what comes from `source`.
  auto isSavedTwice = [&](const workload::Source &source) {
    std::pair<int64_t, uint32_t> key{source.run, source.result};
    if (std::find(seen.begin(), seen.end(), key) != seen.end())
      return true;
    seen.push_back(key);
    if (source.run < 0)
      return false;
    int64_t maker = startOf(source.run) + runs[source.run].count - 1;
    return maker >= first && maker<last &&this->run(stage, source.run)
                                       .memory.savedResults[source.result]>
                             Bytes();
  };
  std::vector<Saved> result;
  forEachRun(first, last, [&](size_t r, int64_t) {
    const cost::ClassMemory &m = this->run(stage, r).memory;
    Saved saved{m.saved, m.saved};
    size_t chained = runs[r].count > 1 ? m.savedResults.size() : 0;
    bool isFirst = startOf(r) >= first;
    for (size_t k = 0; k < m.savedArguments.size(); ++k) {
      if (m.savedArguments[k] == Bytes())
        continue;
      if ((isFirst || k >= chained) && isSavedTwice(runs[r].arguments[k]))
        saved.first -= m.savedArguments[k];
      if (k >= chained || m.savedResults[k] > Bytes())
        saved.each -= m.savedArguments[k];
    }
    result.push_back(saved);
  });
  return result;
}

std::vector<Bytes> FormCosts::waitingGradients(unsigned stage, int64_t first,
                                               int64_t last) const {
  const std::vector<Run> &runs = table.workload.runs;
  // The last run of the stage that adds to each value's gradient.
  std::map<std::pair<int64_t, uint32_t>, std::pair<int64_t, Bytes>> values;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    const ClassCost &cost = run(stage, r);
    for (size_t k = 0; k < runs[r].arguments.size(); ++k) {
      const workload::Source &source = runs[r].arguments[k];
      bool isShared = n > 1 && k >= cost.memory.savedResults.size();
      if (source.run >= 0 && cost.argumentGradientBytes[k] > Bytes())
        values[{source.run, source.result}] = {
            static_cast<int64_t>(r) + isShared, cost.argumentGradientBytes[k]};
    }
  });
  std::vector<Bytes> result;
  forEachRun(first, last, [&](size_t r, int64_t) {
    Bytes waiting;
    for (const auto &[source, use] : values)
      if (source.first < int64_t(r) && use.first > int64_t(r))
        waiting += use.second;
    result.push_back(waiting);
  });
  return result;
}

/// Activations of all slots; gradients are there from the start.
void FormCosts::setPeak(MemoryParts &parts, unsigned stage, int64_t first,
                        int64_t last, int64_t slots) const {
  Bytes saved, once, forward, backward, peak;
  bool isLastPart =
      form.virtualStages > 1 && last == workload::instanceCount(table.workload);
  std::vector<Saved> savedByRun = savedOf(stage, first, last);
  auto next = savedByRun.begin();
  std::vector<Bytes> waitingByRun = waitingGradients(stage, first, last);
  auto waiting = waitingByRun.begin();
  forEachRun(first, last, [&](size_t r, int64_t n) {
    const cost::ClassMemory &m = run(stage, r).memory;
    Bytes here = next->first + next->each * (n - 1);
    saved += here;
    // The head, in the last part of a pipeline, goes back at once.
    bool isHead = isLastPart && table.workload.runs[r].count == 1;
    once = isHead ? once + here : Bytes();
    Bytes before = saved - m.saved;
    peak = std::max(
        {peak, before + m.forwardTotal, before + m.backwardTotal + *waiting});
    forward = std::max(forward, m.forwardTransient);
    backward = std::max(backward, m.backwardTransient + *waiting);
    ++next, ++waiting;
  });
  parts.activations = (saved - once) * slots + once;
  parts.transients =
      slots > 1 ? std::max(forward, backward) : std::max(peak - saved, Bytes());
}

/// With one micro-batch gradients take the place of activations: the peak is
/// at the first or last instance of a run, whose own gradients are counted, as
/// are those of all instances after it.
void FormCosts::setSinglePeak(MemoryParts &parts, unsigned stage, int64_t first,
                              int64_t last) const {
  // A tied variable's gradients are summed at its owner, which comes last.
  const StageForm &shape = form.stages[stage];
  int64_t shards = cutsGradients(shape)
                       ? wholeShards(table.hardware.execution.stack, shape)
                       : 1;
  auto gradientsOf = [&](size_t r) {
    return ceilDivide(run(stage, r).state.gradients, shards);
  };
  Bytes saved, after, peak;
  forEachRun(first, last,
             [&](size_t r, int64_t n) { after += gradientsOf(r) * n; });
  auto consider = [&](Bytes activations, Bytes gradients, Bytes transients) {
    if (activations + gradients + transients <= peak)
      return;
    peak = activations + gradients + transients;
    parts.activations = activations;
    parts.gradients = gradients;
    parts.transients = transients;
  };
  std::vector<Saved> savedByRun = savedOf(stage, first, last);
  auto next = savedByRun.begin();
  std::vector<Bytes> waitingByRun = waitingGradients(stage, first, last);
  auto waiting = waitingByRun.begin();
  forEachRun(first, last, [&](size_t r, int64_t n) {
    const cost::ClassMemory &m = run(stage, r).memory;
    Bytes own = gradientsOf(r);
    Bytes backward = std::max(m.backwardOnce - m.saved, Bytes()) + *waiting;
    consider(saved + next->first, after, backward);
    saved += next->first + next->each * (n - 1);
    ++next, ++waiting;
    after = std::max(after - own * (n - 1), Bytes());
    consider(saved, after, backward);
    consider(saved, after - std::min(after, own),
             std::max(m.forwardTotal - m.saved, Bytes()));
    after = std::max(after - own, Bytes());
  });
}

/// Parameters, gradients and optimizer state of a stage on one rank.
MemoryParts FormCosts::stateMemory(unsigned stage,
                                   const StateBytes &state) const {
  const StageForm &shape = form.stages[stage];
  int64_t shards = shardDegree(shape);
  int64_t whole = wholeShards(table.hardware.execution.stack, shape);
  bool cut = cutsParameters(shape);
  bool masters = keepsCopies(stage);
  MemoryParts parts;
  parts.parameters = cut       ? ceilDivide(state.parameters, whole)
                     : masters ? state.copies + state.frozen
                               : state.parameters;
  Bytes gradients = wireGradients(state);
  parts.gradients =
      cutsGradients(shape) ? ceilDivide(gradients, whole) : gradients;
  parts.optimizer = ceilDivide(state.optimizer, shards) + state.factored;
  // Each as large as the masters of the elements that this rank updates.
  int64_t copies = table.hardware.execution.stack.copiesGradients + masters;
  parts.optimizer += ceilDivide(state.ownedMasters, shards) * copies;
  parts.other = state.other;
  return parts;
}

int64_t FormCosts::slots(unsigned stage) const {
  return table.slots(form, stage);
}

/// Copies of parameters that are made when they are needed: of the whole stage,
/// or of the instance that runs and the next one, with the gradients of one.
Bytes FormCosts::gatheredMemory(unsigned stage, int64_t first, int64_t last,
                                const StateBytes &state) const {
  const StageForm &shape = form.stages[stage];
  Bytes whole = keepsCopies(stage) ? Bytes() : state.copies;
  if (!cutsGradients(shape))
    return whole;
  Bytes copies, gradients;
  forEachRun(first, last, [&](size_t r, int64_t) {
    const StateBytes &one = run(stage, r).state;
    copies = std::max(copies, one.copies);
    gradients = std::max(gradients, wireGradients(one));
  });
  return gradients + (cutsParameters(shape) ? copies * 2 : whole);
}

/// Whether masters are cut over the ranks that have the same ones, and copies
/// are what remains.
bool FormCosts::keepsCopies(unsigned stage) const {
  const StageForm &shape = form.stages[stage];
  bool cutsState =
      std::any_of(shape.axes.begin(), shape.axes.end(), [](const Axis &axis) {
        return axis.shard != Shard::None && axis.size > 1;
      });
  return table.hardware.execution.stack.shardsMasters && cutsState &&
         !cutsParameters(shape);
}

MemoryParts FormCosts::memory(unsigned stage, int64_t first,
                              int64_t last) const {
  StateBytes state = stateOf(stage, first, last);
  MemoryParts parts = stateMemory(stage, state);
  int64_t slots = this->slots(stage);
  // Micro-batches enter at both ends: a stage has the opposite one's part too,
  // which is taken to be as large.
  if (form.schedule == Schedule::DualPipe)
    for (Bytes *part :
         {&parts.parameters, &parts.gradients, &parts.optimizer, &parts.other})
      *part = *part * 2;
  if (form.microBatches == 1)
    setSinglePeak(parts, stage, first, last);
  else
    setPeak(parts, stage, first, last, slots);
  parts.transients += gatheredMemory(stage, first, last, state);
  if (form.microBatches > 1 && stage > 0)
    parts.communication += boundary(stage, first, false);
  if (form.microBatches > 1 && stage + 1 < form.stages.size())
    parts.communication += boundary(stage, last, true);
  parts.communication += Bytes(table.hardware.execution.stack.bucketBytes);
  Bytes variable = parts.activations + parts.transients + parts.communication;
  parts.layout = Bytes(
      ceilDivide(saturatingMultiply(variable.value(), layoutPercent), 100));
  parts.reserve = table.hardware.reserve(types[stage]);
  return parts;
}

bool FormCosts::mayFit() const {
  Bytes most, saved;
  int64_t slots = INT64_MAX, stages = static_cast<int64_t>(types.size());
  for (unsigned s = 0; s < types.size(); ++s) {
    most = std::max(most, table.hardware.usable(types[s]));
    slots = std::min(slots, this->slots(s));
  }
  int64_t all = workload::instanceCount(table.workload);
  MemoryParts state = stateMemory(0, stateOf(0, 0, all));
  forEachRun(0, all, [&](size_t r, int64_t n) {
    const cost::ClassMemory &memory = run(0, r).memory;
    Bytes own = memory.saved;
    for (Bytes argument : memory.savedArguments)
      own -= argument;
    saved += std::max(own, Bytes()) * n;
  });
  Bytes least = state.parameters + state.optimizer + state.other;
  // With one micro-batch gradients take the place of activations.
  if (form.microBatches > 1)
    least += state.gradients + saved * slots;
  return !uniform || least.value() / stages <= most.value();
}

bool FormCosts::fits(unsigned stage, int64_t first, int64_t last) const {
  return memory(stage, first, last).total() <=
         table.hardware.capacity(types[stage]);
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

StateBytes FormCosts::copiedOver(unsigned stage, unsigned axis, int64_t first,
                                 int64_t last, StateBytes state) const {
  const std::vector<Axis> &axes = form.stages[stage].axes;
  if (!isMeshAxis(axes[axis]))
    return state;
  size_t index =
      std::count_if(axes.begin(), axes.begin() + axis, [](const Axis &other) {
        return other.kind == AxisKind::Replica && isMeshAxis(other);
      });
  forEachRun(first, last, [&](size_t r, int64_t n) {
    state -= run(stage, r).cut[index] * n;
  });
  return state;
}

/// What a replica axis has copies of once the axes in it have scattered theirs.
StateBytes FormCosts::sharesOver(unsigned stage, unsigned axis, int64_t first,
                                 int64_t last, const StateBytes &state) const {
  StateBytes left = copiedOver(stage, axis, first, last, state);
  const std::vector<Axis> &axes = form.stages[stage].axes;
  for (unsigned a = axis + 1; a < axes.size(); ++a)
    if (axes[a].kind == AxisKind::Replica && axes[a].size > 1 &&
        axes[a].shard != Shard::None) {
      StateBytes copies = copiedOver(stage, a, first, last, state);
      left -= copies;
      left += copies.dividedBy(axes[a].size);
    }
  return left;
}

/// Gradients over the replicas, and parameters back where their update is
/// shared out; once a step, partly beside the last backward and the first
/// forward part.
void FormCosts::setSynchronisation(unsigned stage, const StateBytes &state,
                                   StagePrediction &result) const {
  auto copied = [&](unsigned axis) {
    return sharesOver(stage, axis, result.first, result.last, state);
  };
  auto gradients = [&](unsigned axis) { return wireGradients(copied(axis)); };
  auto parameters = [&](unsigned axis) {
    StateBytes here = copied(axis);
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
  if (replicas > 1)
    result.gradientTraffic = wireGradients(state);
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

/// Times of one micro-batch.
void FormCosts::setTimes(unsigned stage, int64_t first, int64_t last,
                         StagePrediction &result) const {
  forEachRun(first, last, [&](size_t r, int64_t n) {
    const ClassCost &cost = run(stage, r);
    result.forward += forward(stage, r) * n;
    result.backward += backward(stage, r) * n;
    result.weight += cost.weight * n;
    result.communication +=
        (cost.forwardCommunication + cost.backwardCommunication) * n;
    result.recompute += cost.recompute * n;
    result.gradientSync += summedAlone(stage, cost) * n;
    result.splitTraffic += cost.traffic * n * form.microBatches;
  });
}

Picoseconds FormCosts::sendTime(unsigned from, unsigned to, Bytes bytes) const {
  int64_t device = deviceOf(from);
  int64_t pairs = std::min(form.stages[from].innerDevices(form.outerAxes),
                           table.hardware.poolOf(device).perNode);
  return table.hardware.sendTime(device, deviceOf(to), pairs, bytes);
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
    cost::Message in = message(stage, first);
    result.sendBackward = send(stage - 1, in.backward, in.gatherBackward);
  }
  if (table.hardware.execution.stack.overlapsPipeline)
    return;
  result.forward += result.sendForward * form.virtualStages;
  result.backward += result.sendBackward * form.virtualStages;
}

Picoseconds FormCosts::messages(unsigned stage, int64_t position) const {
  cost::Message sent = message(stage + 1, position);
  return sendTime(stage, stage + 1, sent.forward) + sent.gatherForward +
         sendTime(stage + 1, stage, sent.backward) + sent.gatherBackward;
}

Picoseconds FormCosts::tail(unsigned stage, int64_t first, int64_t last) const {
  StagePrediction whole = this->stage(stage, first, last);
  return whole.gradientSync + whole.update;
}

StagePrediction FormCosts::stage(unsigned stage, int64_t first,
                                 int64_t last) const {
  StagePrediction result;
  result.first = first;
  result.last = last;
  result.deviceType = types[stage];
  result.capacity = table.hardware.capacity(types[stage]);
  result.memory = memory(stage, first, last);
  setTimes(stage, first, last, result);
  setMessages(stage, first, last, result);
  StateBytes state = stateOf(stage, first, last);
  setSynchronisation(stage, state, result);
  cost::OpWork update;
  update.kind = workload::OpKind::Elementwise;
  const StageForm &shape = form.stages[stage];
  int64_t shards = cutsParameters(shape)
                       ? wholeShards(table.hardware.execution.stack, shape)
                       : 1;
  Bytes frozen = ceilDivide(state.frozen, shards);
  update.bytes = (result.memory.parameters - frozen) * 2 +
                 result.memory.gradients + result.memory.optimizer * 2;
  result.update = table.hardware.opTime(types[stage], update);
  return result;
}

} // namespace whale::planner
