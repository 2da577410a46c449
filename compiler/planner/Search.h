//===- Search.h - finding a plan --------------------------------*- C++ -*-===//
//
// Problem: choose degrees of replica, split and pipeline, their order, whether
// experts are cut over the replicas' devices, the number of micro-batches,
// ZeRO-1, recompute, the schedule, the cuts between stages, and on unequal
// devices the shares and which devices form a stage.
// Objective: the smallest simulated step time that fits in memory; ties go to
// fewer changes of the model (no recompute, no sharding, fewer stages, smaller
// split), then to the plan that was enumerated first.
//
// Method: best-first branch and bound. Groups of candidates with equal
// (degrees, micro-batches, recompute, order) get a lower bound from the costs
// of their classes; groups are simulated in the order of their bounds, a fixed
// number at a time so that threads do not change the outcome, until no bound
// is below the best plan.
// Guarantee: the reported gap is the distance to the smallest bound that is
// left. A group is exact if it has one stage or its cuts are few enough to be
// tried all (exactPartitions); otherwise its cuts are the optimal ones for the
// slowest stage, and its own bound counts.
// Complexity: O(groups * (log(time) * stages * runs)) + simulations; groups
// grow with the divisors of the number of devices, not with it.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SEARCH_H
#define WHALE_PLANNER_SEARCH_H

#include "compiler/planner/Plan.h"

namespace whale::planner {

/// Up to this many partitions of a group are all simulated.
constexpr int64_t exactPartitions = 128;

struct Answer {
  Outcome outcome = Outcome::Infeasible;
  /// Set unless infeasible.
  std::optional<Plan> plan;
};

/// Answers a problem that passed check(). Where nothing fits, an error with
/// ExitCode::Infeasible says which device and part is short by how much and
/// what would help, or which pins cannot hold together.
Answer solve(const Problem &problem, Diagnostics &diagnostics);

/// The preference list for the model's `split` scopes: dimension names that
/// together cut the most work for the least communication. Greedy over the
/// names that variables have, each start without one of them tried.
std::vector<std::string> splitDims(const workload::Workload &workload);

/// Choices of one candidate before its cuts and devices are known.
struct Choice {
  int64_t data = 1, tensor = 1, pipeline = 1, microBatches = 1;
  bool zero = false;
  Recompute recompute = Recompute::None;
  Schedule schedule = Schedule::OneFOneB;
  /// Replicas inside the stages, so that they are neighbours.
  bool pipelineOutside = false;
  /// Experts cut over the replicas' devices.
  bool experts = false;

  auto operator<=>(const Choice &) const = default;
};

/// The normal form of a choice; stages without paths yet.
NormalForm formOf(const Choice &choice, const std::vector<std::string> &dims);

/// All groups of choices that the problem allows (schedule and zero are not
/// varied here), in a fixed order.
std::vector<Choice> enumerate(const Problem &problem);

/// A time that no candidate with this form on these devices beats, whatever its
/// cuts and memory. For stages with forward times F, backward times B and m
/// micro-batches, with w = min(m, stages - s) and T the sum over all stages,
/// any of our schedules takes at least T + (m - w) F_s + (m - 1) B_s.
Picoseconds lowerBound(CostTable &table, const NormalForm &form,
                       const DeviceMap &devices);

/// The best cuts for a form on devices, or nothing where none fits. `shortest`
/// gets the smallest deficit seen. `exact`: no other cuts are better.
struct CutResult {
  std::optional<Candidate> candidate;
  Prediction prediction;
  bool exact = false;
};
CutResult bestCuts(CostTable &table, const NormalForm &form,
                   const DeviceMap &devices);
/// Moves single cuts of a result by one instance as long as that helps.
void polishCuts(CostTable &table, CutResult &result);
/// The same form with balanced stages, whether it fits or not; nothing where
/// the model has fewer instances than stages.
std::optional<CutResult> balancedCuts(CostTable &table, const NormalForm &form,
                                      const DeviceMap &devices);

/// Gives unequal replicas (devices of several types, or a batch that the
/// replicas do not divide) their shares by fillShares(). False where no shares
/// fit.
bool setShares(CostTable &table, NormalForm &form, const DeviceMap &devices);

} // namespace whale::planner

#endif // WHALE_PLANNER_SEARCH_H
