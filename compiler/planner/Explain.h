//===- Explain.h - plans in words, and why there is none --------*- C++ -*-===//

#ifndef WHALE_PLANNER_EXPLAIN_H
#define WHALE_PLANNER_EXPLAIN_H

#include "compiler/planner/Plan.h"

namespace whale::planner {

/// The parts of a step by name, in a fixed order.
std::vector<std::pair<std::string_view, Picoseconds>>
namedTimes(const Breakdown &breakdown);

/// The plan of a candidate: tree with the stages' paths, placements, names.
Plan makePlan(const Problem &problem, CostTable &table,
              const Candidate &candidate, const Prediction &prediction);

/// A candidate as an alternative to `plan`: slower by how much and where, or
/// what does not fit.
Alternative describe(const Plan &plan, const Candidate &candidate,
                     const Prediction &prediction, const Problem &problem);

/// Reports that nothing fits: the candidate that is short by the least, the
/// device, the largest part, and what would help.
void explainInfeasible(
    CostTable &table, const Problem &problem,
    const std::vector<std::pair<NormalForm, DeviceMap>> &tried,
    Diagnostics &diagnostics);

/// Reports that a limit ended the search before any plan was found.
void explainLimit(int64_t simulated, Diagnostics &diagnostics);

/// Reports the smallest set of pins that cannot hold together on this cluster
/// and model.
void explainConflict(const Problem &problem, Diagnostics &diagnostics);

/// Reports a split that an op is too short for.
void reportShortDim(const ShortDim &found, const Node &strategy,
                    Diagnostics &diagnostics);

/// Shares of replica axes sum to the batch, at multiples of micro-batches times
/// the sample group; equal axes divide it.
bool checkShares(const NormalForm &form, const workload::Workload &workload,
                 Diagnostics &diagnostics);

/// Tree of a candidate, its stages' paths filled in.
Node strategyOf(const Candidate &candidate, const workload::Workload &workload);

} // namespace whale::planner

#endif // WHALE_PLANNER_EXPLAIN_H
