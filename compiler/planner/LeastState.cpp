//===- LeastState.cpp - parameters and what belongs to them ---------------===//

#include "compiler/planner/Search.h"

#include <algorithm>

namespace whale::planner {

LeastState::LeastState(const Problem &problem) : problem(problem) {
  const Offload offload = offloadOf(problem);
  offloads = offload.optimizer != 0 || offload.parameters != 0;
  const workload::Workload &workload = problem.workload;
  const cost::Stack &stack = problem.hardware.execution.stack;
  for (const workload::Run &run : workload.runs)
    for (const workload::Variable &variable :
         workload.classes[run.moduleClass].variables) {
      if (!variable.trained() || !variable.tied.empty())
        continue;
      const workload::ParameterGroup &group = workload.groups[variable.group];
      double elements = static_cast<double>(variable.elements()) *
                        static_cast<double>(run.count);
      auto add = [&](double &part, int64_t bytes) {
        part += elements * static_cast<double>(bytes);
      };
      // Copies take the place of masters that are cut.
      if (!stack.shardsMasters)
        add(parameters,
            group.masterBytes ? group.masterBytes : variable.elementBytes);
      add(gradients,
          stack.gradientBytes ? stack.gradientBytes : group.gradientBytes);
      for (int64_t slot : group.slotBytes)
        add(optimizer, slot);
    }
}

Bytes LeastState::onOneRank(const Choice &choice, Shard most,
                            int64_t replicas) const {
  auto split = static_cast<double>(choice.tensor * choice.context) *
               static_cast<double>(choice.pipeline);
  double cut = split * static_cast<double>(replicas);
  double whole =
      split * static_cast<double>(choice.colocates() ? choice.group : 1);
  auto share = [&](double bytes, Shard least) {
    return bytes / (most >= least ? cut : whole);
  };
  double bytes =
      share(parameters, Shard::Parameters) + share(optimizer, Shard::Optimizer);
  // With one micro-batch gradients take the place of activations.
  if (choice.microBatches > 1)
    bytes += share(gradients, Shard::Gradients);
  return Bytes::fromDouble(bytes * (1 - 1e-6));
}

bool LeastState::hasRoom(Bytes least) const {
  const cost::Hardware &hardware = problem.hardware;
  const std::vector<cost::Pool> &pools = hardware.pools();
  return std::any_of(pools.begin(), pools.end(), [&](const cost::Pool &pool) {
    Bytes host = offloads ? hardware.host(pool.type).memory : Bytes();
    return least <= hardware.usable(pool.type) + host;
  });
}

bool LeastState::mayFit(const Choice &shape) const {
  const std::optional<int64_t> &zero = problem.options.pins.zero;
  Shard most = problem.options.space == Space::Full ? Shard::Parameters
                                                    : Shard::Optimizer;
  if (zero)
    most = static_cast<Shard>(*zero);
  return hasRoom(onOneRank(shape, most, shape.data));
}

bool LeastState::mayFitPlaced(const Choice &placed) const {
  return hasRoom(onOneRank(placed, placed.shard,
                           placed.hybrid ? placed.group : placed.data));
}

} // namespace whale::planner
