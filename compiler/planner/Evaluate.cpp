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
                     const std::vector<int64_t> &replica, int64_t samples,
                     size_t view)
    : table(table), form(form), devices(devices), replica(replica), view(view) {
  aliveChunks = {1};
  if (form.stages.size() > 1)
    aliveChunks =
        table.alive(form.schedule, static_cast<int64_t>(form.stages.size()),
                    form.virtualStages, form.microBatches);
  layered = std::any_of(
      form.stages.begin(), form.stages.end(), [](const StageForm &stage) {
        return stage.recomputeLayers != 0 || stage.selectiveLayers != 0;
      });
  offloads = std::any_of(
      form.stages.begin(), form.stages.end(),
      [](const StageForm &stage) { return stage.offload != Offload(); });
  gathers = std::any_of(
      form.stages.begin(), form.stages.end(),
      [](const StageForm &stage) { return stage.gatheredLayers != 0; });
  place = placeOf(form, devices, replica, table.hardware);
  bool alike = cutsBatchAlike(form);
  costs.resize(form.stages.size());
  fullCosts.resize(form.stages.size());
  selectiveCosts.resize(form.stages.size());
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    like.push_back(likeEarlier(s));
    if (like[s] == s)
      addStage(s, alike ? samples : samplesOn(s));
    else
      types.push_back(types[like[s]]);
  }
  if (view == 0 && kinds > 1)
    addViews(samples);
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
  for (const auto &other : views) {
    cost::Message there = other->message(stage, position);
    sum.forward = std::max(sum.forward, there.forward);
    sum.backward = std::max(sum.backward, there.backward);
    sum.gatherForward = std::max(sum.gatherForward, there.gatherForward);
    sum.gatherBackward = std::max(sum.gatherBackward, there.gatherBackward);
  }
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
    const cost::ClassMemory &m = *costOf(stage, pieces[p]).cost->memory;
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
    const cost::ClassMemory &m = *cost.memory;
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
MemoryParts FormCosts::stateMemory(unsigned stage, const StateBytes &state,
                                   bool gathered) const {
  const StageForm &shape = form.stages[stage];
  int64_t shards = shardDegree(shape);
  bool masters = keepsCopies(stage, gathered);
  MemoryParts parts;
  parts.parameters = cutsParameters(shape) && !gathered
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

MemoryParts FormCosts::heldState(unsigned stage, int64_t first,
                                 const StateBytes &state,
                                 int64_t gathered) const {
  MemoryParts parts;
  if (gathered == 0 || !cutsParameters(form.stages[stage])) {
    parts = stateMemory(stage, state, false);
  } else {
    StateBytes some = gatheredState(stage, first, gathered), rest = state;
    rest -= some;
    parts = stateMemory(stage, rest.notNegative(), false);
    const MemoryParts more = stateMemory(stage, some, true);
    parts.parameters += more.parameters;
    parts.gradients += more.gradients;
    parts.optimizer += more.optimizer;
    parts.other = state.other;
  }
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
  MemoryParts parts =
      relief.offload.optimizer == 0
          ? heldState(stage, first, state, relief.gatheredLayers)
          : offloadedState(stage, first, state, relief.offload);
  int64_t slots = this->slots(stage);
  std::vector<Piece> held = pieces(stage, first, last, relief);
  if (form.microBatches == 1 && !table.hardware.execution.stack.holdsGradients)
    setSinglePeak(parts, stage, first, last, held);
  else
    setPeak(parts, peakOf(stage, first, last, held), slots);
  parts.transients += gatheredMemory(stage, first, last, state, relief);
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

const FormCosts::LeastMemory &FormCosts::leastMemory(unsigned stage,
                                                     size_t which) const {
  auto [it, isNew] = least.try_emplace({like[stage], which});
  if (isNew)
    it->second = newLeastMemory(stage, which);
  return it->second;
}

FormCosts::LeastMemory FormCosts::newLeastMemory(unsigned stage,
                                                 size_t which) const {
  const Run &run = table.workload.runs[which];
  const ClassCost &cost = this->run(stage, which);
  // Together, so that little is lost to rounding.
  MemoryParts all = stateMemory(stage, cost.state * run.count, false);
  Bytes state = all.parameters + all.optimizer + all.other;
  LeastMemory least;
  // With one micro-batch gradients take the place of activations.
  if (form.microBatches > 1) {
    state += all.gradients;
    least.once = least.saved = Bytes::max();
    addLeast(*cost.memory, least);
    for (const auto *mode : {&fullCosts, &selectiveCosts})
      if (const std::vector<RunCost> &runs = (*mode)[like[stage]];
          !runs.empty())
        addLeast(*runs[which].cost->memory, least);
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
  // Of stages that are alike: how many, and the most slots that one needs.
  struct Alike {
    int64_t stages = 0, slots = 0;
  };
  std::vector<Alike> alike(alive.size());
  for (unsigned s = 0; s < alive.size(); ++s) {
    Alike &some = alike[like[s]];
    ++some.stages;
    some.slots = std::max(some.slots, leastSlots(alive[s], chunks));
  }
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t count = table.workload.runs[r].count, holds = 0, within = 0,
            sure = 0;
    Bytes leastState = Bytes::max();
    for (unsigned s = 0; s < alive.size(); ++s)
      if (like[s] == s) {
        most[s] = {leastMemory(s, r), mostWithin(s, r, limit)};
        leastState = std::min(leastState, most[s].memory.state);
        // With more slots no more are held. Often enough, and known at once.
        sure = saturatingAdd(
            sure, saturatingMultiply(
                      alike[s].stages,
                      std::min(mostHeld(s, most[s].memory, alike[s].slots),
                               most[s].instances)));
      }
    state += leastState.asDouble() * static_cast<double>(count);
    if (sure >= count && !offloads)
      continue;
    for (unsigned s = 0; s < alive.size() && within < count; ++s) {
      auto [memory, instances] = most[like[s]];
      int64_t here = mostHeld(s, memory, leastSlots(alive[s], chunks));
      holds = saturatingAdd(holds, here);
      within = saturatingAdd(within, std::min(here, instances));
    }
    if (holds < count)
      return Fit::Never;
    if (within < count)
      fit = Fit::NotWithin;
  }
  // Less what its division by the stages may have been rounded.
  if (state > room * (1 + 1e-9))
    return Fit::Never;
  for (const auto &other : views)
    fit = std::min(fit, other->mayFit(alive, chunks, limit));
  return fit;
}

/// Times of one micro-batch, as far as the device goes.
void FormCosts::setCompute(unsigned stage, const Relief &relief,
                           StagePrediction &result) const {
  for (const Piece &piece : pieces(stage, result.first, result.last, relief)) {
    const ClassCost &cost = *costOf(stage, piece).cost;
    int64_t n = piece.count;
    const Times &times = timesOf(stage, piece);
    result.forward += times.forward * n;
    result.backward += times.backward * n;
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
FormCosts::Link FormCosts::linkOf(unsigned from, unsigned to) const {
  int64_t device = place.stages[from], next = place.stages[to];
  const cost::Pool &pool = table.hardware.poolOf(device);
  int64_t within = device - pool.first, distance = next - device;
  if (&pool == &table.hardware.poolOf(next))
    device = pool.first + within % pool.perDomain;
  return {like[from], like[to], device, distance};
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
  Picoseconds gradients, update;
  auto add = [&](const FormCosts &kind) {
    StagePrediction once;
    StateBytes state = kind.stateOf(stage, first, last);
    kind.setUpdate(stage, {}, state, once);
    gradients =
        std::max(gradients, kind.gradientTime(stage, first, last, state));
    update = std::max(update, once.update);
  };
  add(*this);
  for (const auto &other : views)
    add(*other);
  return gradients + update;
}

StagePrediction FormCosts::stage(unsigned stage, int64_t first,
                                 int64_t last) const {
  Relief relief = this->relief(stage, first, last);
  StagePrediction result = stageWith({stage, first, last}, relief);
  for (const auto &view : views) {
    const StagePrediction other = view->stageWith({stage, first, last}, relief);
    auto isShort = [](const StagePrediction &one) {
      return std::pair(one.deficit(), one.memory.total() - one.capacity);
    };
    if (isShort(other) > isShort(result))
      result.takeMemory(other);
    result.gradientSync = std::max(result.gradientSync, other.gradientSync);
    result.update = std::max(result.update, other.update);
  }
  return result;
}

StagePrediction FormCosts::stageWith(const Held &held,
                                     const Relief &relief) const {
  auto [stage, first, last] = held;
  StagePrediction result;
  result.first = first;
  result.last = last;
  result.deviceType = deviceType(stage);
  result.capacity = table.hardware.capacity(result.deviceType);
  result.hostCapacity = hostMemory(stage);
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
