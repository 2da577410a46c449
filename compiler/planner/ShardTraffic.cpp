//===- ShardTraffic.cpp - what cut parameters and gradients add -----------===//

#include "compiler/planner/ShardTraffic.h"

#include <algorithm>

namespace whale::planner {

std::vector<Picoseconds> ShardTraffic::of(const Choice &choice, size_t map,
                                          const Place &place) {
  const cost::Stack &stack = table.hardware.execution.stack;
  // Beside computation it may add less.
  if (!has(choice) || stack.overlapsGradients)
    return {};
  Choice key = choice;
  key.virtualStages = 1;
  // All of them share what stays gathered.
  if (choice.gatheredLayers == 0)
    key.microBatches = 1;
  key.schedule = Schedule();
  key.recomputeLayers = key.selectiveLayers = 0;
  if (!stack.gathersTwiceBackward)
    key.recompute = Recompute::None;
  {
    std::lock_guard lock(mutex);
    auto it = known.find({key, map});
    if (it != known.end())
      return it->second;
  }
  NormalForm form;
  DeviceMap devices;
  if (!place(form, devices))
    return {};
  std::vector<Picoseconds> traffic = added(form, devices);
  std::lock_guard lock(mutex);
  return known.emplace(std::pair(key, map), std::move(traffic)).first->second;
}

std::vector<Picoseconds> ShardTraffic::added(const NormalForm &form,
                                             const DeviceMap &devices) const {
  std::vector<Picoseconds> least(table.workload.runs.size(),
                                 Picoseconds::max());
  for (const auto &one : replicaCosts(table, form, devices))
    for (unsigned s = 0; s < form.stages.size(); ++s)
      for (size_t r = 0; r < least.size() && one->likeStage(s) == s; ++r) {
        const cost::ClassCost &alone = one->run(s, r);
        least[r] = std::min(least[r], one->forward(s, r) + one->backward(s, r) -
                                          alone.forward - alone.backward);
      }
  return least;
}

SpreadCosts withTraffic(SpreadCosts costs,
                        const std::vector<Picoseconds> &traffic) {
  for (size_t r = 0; r < traffic.size(); ++r) {
    double more = traffic[r].asDouble();
    costs.runs[r].each.input += more;
    costs.all.input += more * static_cast<double>(costs.runs[r].count);
    for (SpreadCosts::Kind &kind : costs.kinds)
      kind.each[r].input += more;
  }
  return costs;
}

} // namespace whale::planner
