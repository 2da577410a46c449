//===- BalancePlan.h - a plan with Whale's balance --------------*- C++ -*-===//

#ifndef WHALE_PLANNER_BALANCEPLAN_H
#define WHALE_PLANNER_BALANCEPLAN_H

#include "compiler/planner/Plan.h"

namespace whale::planner {

/// `plan` with the paper's balance (BalancePaper.h) in place of ours: degrees
/// stay, unlike replicas get shares, and stages their devices (memory
/// descending) and cuts. The trace is in the result's `balance`; ours is its
/// first alternative, and the gap counts from ours. Where the outcome does not
/// fit, an error with ExitCode::Infeasible.
std::optional<Plan> withPaperBalance(const Problem &problem, const Plan &plan,
                                     Diagnostics &diagnostics);

} // namespace whale::planner

#endif // WHALE_PLANNER_BALANCEPLAN_H
