//===- StageSizes.h - stages with unequal numbers of devices ----*- C++ -*-===//
//
// Which devices the stages of a pipeline may have where not all have equally
// many.
//
// Space: each stage has devices of one pool, and each pool that is used is used
// up, but in small problems. On up to 8 devices any stages; on more, four at
// most, or more that have equally many devices in each pool. On more than 16
// devices a stage has a part of a node that divides it, or whole nodes. They
// stand in any order, where there are many (deviceMaps()) those of a pool
// together.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_STAGESIZES_H
#define WHALE_PLANNER_STAGESIZES_H

#include "compiler/planner/Devices.h"

#include <set>

namespace whale::planner {

/// The devices of a stage: so many of a pool.
struct StageBlock {
  size_t pool = 0;
  int64_t size = 1;

  auto operator<=>(const StageBlock &) const = default;
};

/// Numbers of devices that a stage may have.
std::set<int64_t> stageSizes(const cost::Hardware &hardware);

/// Some or all of the devices as stages of these sizes, at most `mostStages`;
/// each set once, its blocks pool by pool, large ones first.
std::vector<std::vector<StageBlock>>
unequalStages(const cost::Hardware &hardware, const std::set<int64_t> &sizes,
              int64_t mostStages, bool mayIdle);

/// Stages one after another, on their devices.
struct StageOrder {
  std::vector<StageBlock> stages;
  DeviceMap map;
};
/// All orders of such blocks.
std::vector<StageOrder> ordersOf(const cost::Hardware &hardware,
                                 std::vector<StageBlock> blocks);

} // namespace whale::planner

#endif // WHALE_PLANNER_STAGESIZES_H
