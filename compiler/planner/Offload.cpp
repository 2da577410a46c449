//===- Offload.cpp - state and activations in the host's memory -----------===//
//
// Optimizer state (ZeRO-Offload, Ren et al., ATC 2021, arXiv 2101.06840): the
// host holds masters and moments, the device copies in the type of the
// arithmetic and gradients. Once a step either gradients go to the host, whose
// processor updates, and copies come back; or masters and moments pass through
// the device. The processor's update is bound by its memory: it reads
// gradients, and reads and writes masters and moments.
// Parameters (ZeRO-Infinity, Rajbhandari et al., SC 2021, arXiv 2104.07857):
// the copies as well, which are fetched for each forward and each backward
// part, and the gradients, which each backward part sends and the processor
// adds up.
// Activations: written after each forward part, fetched for its backward part.
//
// Time: transfers run beside compute, both directions at once, the next task's
// while one runs; a task takes the longest of its compute, what its link
// carries each way, and all that the host's memory does for it. An update takes
// no less than that of all state on the device.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

using cost::StateBytes;

namespace {

/// The stage's rest where variables of the host's instances are tied to it.
StateBytes without(StateBytes state, const StateBytes &away) {
  state -= away;
  return state.notNegative();
}

} // namespace

Picoseconds FormCosts::hostTime(unsigned stage,
                                const HostTraffic &traffic) const {
  return slowest(stage, [&](unsigned type) {
    cost::HostShare host = table.hardware.host(type);
    return std::max(
        {traffic.in / host.link, traffic.out / host.link,
         (traffic.in + traffic.out + traffic.touched) / host.bandwidth});
  });
}

/// Of all instances, on one rank.
Bytes FormCosts::weightsOf(unsigned stage, int64_t first, int64_t last) const {
  if (cutsParameters(form.stages[stage]))
    return updatedWeights(stage, first, last);
  Bytes bytes;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    bytes += run(stage, r).state.read() * n;
  });
  return bytes;
}

/// Of them, what one rank updates.
Bytes FormCosts::updatedWeights(unsigned stage, int64_t first,
                                int64_t last) const {
  Bytes bytes;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    bytes += run(stage, r).state.owned.read() * n;
  });
  return ceilDivide(bytes, shardDegree(form.stages[stage]));
}

/// Gradients that one rank adds up in the host's memory.
Bytes FormCosts::hostedGradients(unsigned stage, int64_t first,
                                 const Offload &offload) const {
  return keptGradients(stage,
                       stateOf(stage, first, first + offload.parameters));
}

/// Masters and moments that one rank updates.
Bytes FormCosts::updatedState(unsigned stage, int64_t first,
                              int64_t last) const {
  StateBytes state = stateOf(stage, first, last);
  Bytes masters = state.ownedMasters > Bytes()
                      ? state.ownedMasters
                      : state.owned.parameters - state.owned.frozen;
  int64_t shards = shardDegree(form.stages[stage]);
  return ceilDivide(state.optimizer, shards) + ceilDivide(masters, shards) +
         state.factored;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Instances whose optimizer state alone is in the host's memory.
void FormCosts::addMiddle(unsigned stage, int64_t first, int64_t last,
                          MemoryParts &parts) const {
  const StageForm &shape = form.stages[stage];
  if (cutsParameters(shape) || keepsCopies(stage, false))
    parts.parameters += weightsOf(stage, first, last);
  else
    forEachRun(first, last, [&](size_t r, int64_t n) {
      // Copies are counted where they are made.
      const StateBytes &one = run(stage, r).state;
      parts.parameters += (one.read() - one.copies) * n;
    });
  parts.gradients += keptGradients(stage, stateOf(stage, first, last));
}

MemoryParts FormCosts::offloadedState(unsigned stage, int64_t first,
                                      const StateBytes &state,
                                      const Offload &offload) const {
  int64_t middle = first + offload.parameters;
  int64_t last = first + offload.optimizer;
  MemoryParts parts =
      stateMemory(stage, without(state, stateOf(stage, first, last)), false);
  parts.other = state.other;
  addMiddle(stage, middle, last, parts);
  parts.hostOptimizer = updatedState(stage, first, last);
  parts.hostGradients = hostedGradients(stage, first, offload);
  parts.hostParameters = weightsOf(stage, first, middle);
  // Without copies the masters are what is fetched.
  StateBytes hosted = stateOf(stage, first, middle);
  if (hosted.copies == Bytes() && !cutsState(form.stages[stage]))
    parts.hostParameters = hosted.frozen;
  return parts;
}

/// Parameters of the instance that runs and of the next one, and gradients of
/// one, on their way.
Bytes FormCosts::stagedMemory(unsigned stage, int64_t first,
                              const Offload &offload) const {
  const StageForm &shape = form.stages[stage];
  bool cut = cutsParameters(shape);
  Bytes most, gradients;
  forEachRun(first, first + offload.parameters, [&](size_t r, int64_t) {
    const StateBytes &one = run(stage, r).state;
    most = std::max(most, cut ? one.owned.read() : one.read());
    gradients = std::max(gradients, wireGradients(one));
  });
  if (cut)
    most = ceilDivide(most, shardDegree(shape));
  // Those are there already where they are cut.
  return most * 2 + (cutsGradients(shape) ? Bytes() : gradients);
}

//===----------------------------------------------------------------------===//
// Time
//===----------------------------------------------------------------------===//

FormCosts::HostTraffic FormCosts::forwardTraffic(unsigned stage, int64_t first,
                                                 const Offload &offload,
                                                 Bytes saved) const {
  return {weightsOf(stage, first, first + offload.parameters), saved, {}};
}

FormCosts::HostTraffic FormCosts::backwardTraffic(unsigned stage, int64_t first,
                                                  const Offload &offload,
                                                  Bytes saved) const {
  Bytes gradients = hostedGradients(stage, first, offload);
  HostTraffic traffic;
  traffic.in = weightsOf(stage, first, first + offload.parameters) + saved;
  traffic.out = gradients;
  // Read, and the sum read and written.
  if (form.microBatches > 1)
    traffic.touched = gradients * 3;
  return traffic;
}

void FormCosts::setHostTimes(unsigned stage, const Relief &relief,
                             StagePrediction &result) const {
  const Offload &offload = relief.offload;
  Bytes saved = ceilDivide(result.memory.hostActivations, slots(stage));
  auto wait = [&](Picoseconds &time, const HostTraffic &traffic) {
    Picoseconds longest = std::max(time, hostTime(stage, traffic));
    result.hostWait += longest - time;
    result.hostTraffic += (traffic.in + traffic.out) * form.microBatches;
    time = longest;
  };
  StagePrediction before = result;
  wait(result.forward, forwardTraffic(stage, result.first, offload, saved));
  wait(result.backward, backwardTraffic(stage, result.first, offload, saved));
  for (const auto &view : views) {
    StagePrediction other = before;
    other.memory = view->memoryWith(stage, result.first, result.last, relief);
    view->setHostTimes(stage, relief, other);
    result.forward = std::max(result.forward, other.forward);
    result.backward = std::max(result.backward, other.backward);
    result.hostWait = std::max(result.hostWait, other.hostWait);
  }
}

FormCosts::HostTraffic FormCosts::hostUpdate(unsigned stage, int64_t first,
                                             const Offload &offload) const {
  const StageForm &shape = form.stages[stage];
  int64_t last = first + offload.optimizer;
  Bytes gradients = ceilDivide(wireGradients(stateOf(stage, first, last).owned),
                               shardDegree(shape));
  Bytes hosted = hostedGradients(stage, first, offload);
  Bytes copies = updatedWeights(stage, first, last);
  HostTraffic traffic;
  traffic.in = copies;
  traffic.out =
      std::max(gradients - (replicas(stage) > 1 ? Bytes() : hosted), Bytes());
  traffic.touched = gradients + updatedState(stage, first, last) * 2 + copies;
  // What the replicas have in their hosts passes through the devices: there it
  // is summed, and gathered.
  if (replicas(stage) > 1 && !cutsGradients(shape))
    traffic.in += hosted;
  if (cutsState(shape) && !cutsParameters(shape))
    traffic.out += weightsOf(stage, first, first + offload.parameters);
  return traffic;
}

FormCosts::HostTraffic FormCosts::deviceUpdate(unsigned stage, int64_t first,
                                               const Offload &offload) const {
  Bytes state = updatedState(stage, first, first + offload.optimizer);
  HostTraffic traffic;
  traffic.in = state + hostedGradients(stage, first, offload);
  traffic.out = state + weightsOf(stage, first, first + offload.parameters);
  return traffic;
}

void FormCosts::setUpdate(unsigned stage, const Relief &relief,
                          const StateBytes &state,
                          StagePrediction &result) const {
  const StageForm &shape = form.stages[stage];
  const Offload &offload = relief.offload;
  // All gradients are read, also where they are not all there at once.
  MemoryParts parts = heldState(stage, result.first, state, 0);
  Bytes frozen = cutsParameters(shape)
                     ? ceilDivide(state.owned.frozen, shardDegree(shape))
                     : state.frozen;
  cost::OpWork update;
  update.kind = workload::OpKind::Elementwise;
  update.bytes =
      (parts.parameters - frozen) * 2 + parts.gradients + parts.optimizer * 2;
  result.update = slowest(stage, [&](unsigned type) {
    return table.hardware.opTime(type, update);
  });
  if (offload.optimizer == 0)
    return;
  HostTraffic there = hostUpdate(stage, result.first, offload);
  HostTraffic here = deviceUpdate(stage, result.first, offload);
  bool onHost = hostTime(stage, there) <= hostTime(stage, here);
  const HostTraffic &traffic = onHost ? there : here;
  result.update = std::max(result.update, hostTime(stage, traffic));
  result.hostTraffic += traffic.in + traffic.out;
}

} // namespace whale::planner
