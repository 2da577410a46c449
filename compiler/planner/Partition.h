//===- Partition.h - contiguous stages --------------------------*- C++ -*-===//
//
// Problem: cut a sequence of instances, given as runs of equal ones, into
// contiguous non-empty stages, each within its memory.
// Objective: the smallest maximum of weight * time over the stages.
// Guarantee: optimal: for a limit, filling the stages from the front as far as
// time and memory go is feasible if anything is (both grow with the stage); the
// smallest feasible limit is found by bisection. Among the cuts of that limit
// the one nearest to equal times is taken.
// Complexity O(log(time) * stages * (runs + log(instances) * fits)).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_PARTITION_H
#define WHALE_PLANNER_PARTITION_H

#include "compiler/support/Units.h"

#include <functional>
#include <optional>
#include <vector>

namespace whale::planner {

struct PartitionProblem {
  /// Instances per run.
  std::vector<int64_t> counts;
  /// [stage][run]: time of one instance, weight included.
  std::vector<std::vector<Picoseconds>> times;
  /// Whether instances first..last-1 fit stage `stage`; once false stays false
  /// as the range grows. Empty: everything fits.
  std::function<bool(unsigned stage, int64_t first, int64_t last)> fits;
};

struct Partition {
  /// cuts[s]..cuts[s+1]-1 are the instances of stage s.
  std::vector<int64_t> cuts;
  /// The largest weighted time.
  Picoseconds bottleneck;
};

/// Nothing where no partition fits.
std::optional<Partition> partition(const PartitionProblem &problem);

/// Number of ways to cut `instances` into `stages`, saturating.
int64_t partitionCount(int64_t instances, int64_t stages);
/// Calls `visit` with the cuts of every partition, lexicographically.
void forEachPartition(
    int64_t instances, int64_t stages,
    const std::function<void(const std::vector<int64_t> &)> &visit);

} // namespace whale::planner

#endif // WHALE_PLANNER_PARTITION_H
