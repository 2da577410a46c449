//===- Sensitivity.h - what a plan's time hangs on --------------*- C++ -*-===//
//
// Problem: which resource binds each stage of a plan, and what would more of it
// give?
// Method: the plan is costed again on clusters with one resource twice as fast.
// What that saves, doubled, is the time that hangs on the resource. Where two
// work at the same time, only what the slower one adds to the faster hangs on
// it, so that the parts may sum to less than the whole, never to more.
// Complexity: one evaluation of the plan for each resource.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_REPORT_SENSITIVITY_H
#define WHALE_REPORT_SENSITIVITY_H

#include "compiler/cluster/Scale.h"
#include "compiler/planner/Plan.h"

#include <functional>

namespace whale::report {

/// The best plan for a changed cluster if its step is below `below`, or
/// nothing.
using Replan = std::function<std::optional<planner::Plan>(
    const Cluster &cluster, Picoseconds below)>;

/// What binds the plan on its cluster, what more would give, how far off such
/// predictions were. `replan`, if given, is asked for the best plan of each
/// changed cluster.
planner::Insight insightOf(const planner::Plan &plan,
                           const workload::Workload &workload,
                           const Cluster &cluster, const Replan &replan = {});

} // namespace whale::report

#endif // WHALE_REPORT_SENSITIVITY_H
