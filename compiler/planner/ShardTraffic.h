//===- ShardTraffic.h - what cut parameters and gradients add ---*- C++ -*-===//
//
// Problem: many placements of a shape differ in what ZeRO-2 and -3 cut over
// which replicas. What gathering parameters and scattering gradients adds to an
// instance depends neither on micro-batches (but for what stays gathered) nor on
// the schedule: it is looked up once, and with it most of them are slower than
// the best plan before they have costs of their own.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SHARDTRAFFIC_H
#define WHALE_PLANNER_SHARDTRAFFIC_H

#include "compiler/planner/Bound.h"
#include "compiler/planner/Search.h"

#include <map>
#include <mutex>

namespace whale::planner {

/// Safe for several threads.
class ShardTraffic {
public:
  /// Gives the form of a choice its shares and devices; false where none fit.
  using Place = std::function<bool(NormalForm &, DeviceMap &)>;

  explicit ShardTraffic(CostTable &table) : table(table) {}

  /// Whether there may be any.
  static bool has(const Choice &choice) {
    return choice.shard > Shard::Optimizer;
  }

  /// By run, what a choice adds to a micro-batch of an instance on any stage at
  /// least; empty where that is not known or nothing. Requires stages that each
  /// lie in one pool; `map` tells devices apart.
  std::vector<Picoseconds> of(const Choice &choice, size_t map,
                              const Place &place);

private:
  std::vector<Picoseconds> added(const NormalForm &form,
                                 const DeviceMap &devices) const;

  CostTable &table;
  std::mutex mutex;
  std::map<std::pair<Choice, size_t>, std::vector<Picoseconds>> known;
};

/// Costs of the same without that, with it.
SpreadCosts withTraffic(SpreadCosts costs,
                        const std::vector<Picoseconds> &traffic);

} // namespace whale::planner

#endif // WHALE_PLANNER_SHARDTRAFFIC_H
