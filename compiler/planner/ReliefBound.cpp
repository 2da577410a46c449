//===- ReliefBound.cpp - what no relief makes fit -------------------------===//
//
// Problem: most stages that a search asks for are too large to fit within the
// time that they have, whatever recomputes or lies in the host's memory. To
// find their relief (Relief.cpp) takes a hundred evaluations of memory each.
//
// Method: a relaxation. Instances need no less than their state and what they
// save without relief, each instance as little as beside any others; what is
// beyond the device must be freed, and each way of relief frees no more than
//   recompute             its best bytes for each second, in the seconds that
//                         backward parts may take more;
//   activations           what the link to the host carries in a forward, and
//                         in a backward part, of the length that these may
//                         have: transfers run beside compute;
//   parameters            the same by the bytes of those that are fetched;
//   optimizer state       its best bytes for each second of the host's update,
//                         in what the update takes on the device and may take
//                         more;
// nor more than all instances have. Each way has all of the time and the link
// for itself, and parts of instances count: no relief frees more.
// Guarantee: never false where some relief makes the stage fit in the time.
// Complexity: O(runs).
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

/// Bytes for each picosecond, or for each byte sent.
static double ratio(double bytes, double price) {
  return bytes <= 0 ? 0 : price > 0 ? bytes / price : 1e300;
}

/// What an instance saves of a micro-batch beside others at least, where those
/// of its run before it save what it begins with only if they do as it does.
static Bytes leastSaved(const cost::ClassMemory &memory) {
  Bytes saved = memory.saved;
  size_t chained = memory.savedResults.size();
  for (size_t k = 0; k < memory.savedArguments.size(); ++k)
    if (k >= chained || memory.savedResults[k] > Bytes())
      saved -= memory.savedArguments[k];
  return saved;
}

/// What instances of a run may save less in all, of what others save.
static Bytes sharedOf(const cost::ClassMemory &memory) {
  Bytes shared;
  for (size_t k = 0;
       k < std::min(memory.savedResults.size(), memory.savedArguments.size());
       ++k)
    shared += memory.savedArguments[k];
  // The first of the run, and those behind the two borders at which the way to
  // recompute changes.
  return shared * 3;
}

/// Of an instance without relief, and what the ways to recompute save.
void FormCosts::addSaved(unsigned stage, size_t which,
                         ReliefRates &rates) const {
  const RunCost &plain = costs[like[stage]][which];
  rates.saved = leastSaved(*plain.cost->memory).asDouble();
  rates.shared = sharedOf(*plain.cost->memory).asDouble();
  rates.once = leastMemory(stage, which).once.asDouble();
  Picoseconds least = backward(stage, which);
  for (const auto *mode : {&fullCosts, &selectiveCosts}) {
    if ((*mode)[like[stage]].empty())
      continue;
    const RunCost &other = (*mode)[like[stage]][which];
    double freed = rates.saved - leastSaved(*other.cost->memory).asDouble();
    Picoseconds time = std::min(other.each.backward, other.gathered.backward);
    rates.shared =
        std::max(rates.shared, sharedOf(*other.cost->memory).asDouble());
    rates.recomputed = std::max(rates.recomputed, freed);
    rates.perTime =
        std::max(rates.perTime, ratio(freed, (time - least).asDouble()));
  }
}

/// Of an instance's state.
void FormCosts::addState(unsigned stage, size_t which,
                         ReliefRates &rates) const {
  int64_t at = 0;
  for (size_t before = 0; before < which; ++before)
    at += table.workload.runs[before].count;
  auto updateOn = [&](const FormCosts &ranks) {
    StagePrediction once;
    once.first = at, once.last = at + 1;
    ranks.setUpdate(stage, {}, ranks.stateOf(stage, at, at + 1), once);
    return once.update.asDouble();
  };
  rates.deviceUpdate = updateOn(*this);
  // Held::tail has that of the slowest ranks.
  for (const auto &other : views)
    rates.deviceUpdate = std::max(rates.deviceUpdate, updateOn(*other));
  rates.state = leastMemory(stage, which).state.asDouble();
  if (rates.state == 0)
    return;
  // A byte of each part may be rounding.
  constexpr double rounding = 8;
  auto least = [](Bytes bytes) {
    return std::max(0.0, bytes.asDouble() - rounding);
  };
  MemoryParts middle;
  addMiddle(stage, at, at + 1, middle);
  if (form.microBatches == 1)
    middle.gradients = Bytes();
  rates.parameters = least(middle.parameters + middle.gradients);
  rates.optimizer = std::max(0.0, rates.state - rates.parameters);
  rates.weights = least(weightsOf(stage, at, at + 1));
  const cost::HostShare host = table.hardware.host(deviceType(stage));
  HostTraffic there = hostUpdate(stage, at, {.optimizer = 1});
  HostTraffic here = deviceUpdate(stage, at, {.optimizer = 1});
  rates.update =
      std::min(least(there.in + there.touched) / host.bandwidth.value,
               least(here.in) / host.link.value) *
      1e12;
}

const FormCosts::ReliefRates &FormCosts::reliefRates(unsigned stage,
                                                     size_t run) const {
  auto [it, isNew] = rates.try_emplace({like[stage], run});
  if (isNew) {
    addSaved(stage, run, it->second);
    addState(stage, run, it->second);
  }
  return it->second;
}

bool FormCosts::mayRelieve(unsigned stage, int64_t first, int64_t last,
                           const Spare &spare) const {
  Relief ways = reliefOf(form.stages[stage]);
  if (!ways.isOpen())
    return true;
  ReliefRates all;
  double perTime = 0, perWeight = 0, perUpdate = 0, forward = 0, backward = 0;
  forEachRun(first, last, [&](size_t r, int64_t count) {
    const ReliefRates &one = reliefRates(stage, r);
    auto n = static_cast<double>(count);
    all.state += n * one.state;
    all.saved += n * one.saved;
    all.shared += one.shared;
    all.once = std::max(all.once, one.once);
    all.recomputed += n * one.recomputed;
    all.optimizer += n * one.optimizer;
    all.parameters += n * one.parameters;
    all.deviceUpdate += n * one.deviceUpdate;
    perTime = std::max(perTime, one.perTime);
    perWeight = std::max(perWeight, ratio(one.parameters, one.weights));
    perUpdate = std::max(perUpdate, ratio(one.optimizer, one.update));
    forward += n * this->forward(stage, r).asDouble();
    backward += n * this->backward(stage, r).asDouble();
  });
  // What is saved in all slots counts with buffer assignment's allowance, but
  // where the peak may be another one.
  auto slots = static_cast<double>(this->slots(stage));
  double times = hasSinglePeak() ? 1 : 1 + layoutPercent / 100.0;
  double variable = slots * (all.saved - all.shared);
  if (slots > 1)
    variable += all.once;
  double room = table.hardware.usable(deviceType(stage)).asDouble();
  double needed = all.state + times * std::max(0.0, variable) - room;
  needed -=
      times * slots * std::min(all.recomputed, (spare.backward + 1) * perTime);
  if (needed <= 1 || !offloads)
    return needed <= 1;
  double link = table.hardware.host(deviceType(stage)).link.value / 1e12;
  double carried =
      std::min(forward + spare.forward, backward + spare.backward) * link + 1;
  if (ways.offload.activations != 0)
    needed -= times * std::min({slots * all.saved, slots * carried,
                                hostMemory(stage).asDouble()});
  if (ways.offload.parameters != 0)
    needed -= std::min(all.parameters, carried * perWeight);
  if (ways.offload.optimizer != 0)
    needed -= std::min(all.optimizer,
                       (all.deviceUpdate + spare.update + 1) * perUpdate);
  return needed <= 1;
}

} // namespace whale::planner
