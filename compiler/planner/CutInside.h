//===- CutInside.h - stages that begin inside of instances ------*- C++ -*-===//
//
// Problem: the search cuts a pipeline between instances only (layers). Where a
// stage has few of them one more or less is much. Which cuts of a plan's form
// inside of the instances next to its cuts are faster?
//
// Method: the instances on both sides of each cut are written as all their
// fragments (workload/Fragments.h); the best cuts of that workload are those of
// any other. What is not cut in the end is a whole again, so that only what is
// has costs of its own; and the result is simulated as such. From there again,
// since a cut may want to go further, as long as it helps; at first with cuts
// that no more crosses than what instances hand on, then with others.
// Guarantee: never slower than the plan. Heuristic: neither other forms nor
// cuts further away are looked at; the plan's bound counts for cuts between
// instances. Complexity O(rounds * stages * cuts of an instance) more instances
// in what Cuts.cpp says.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_CUTINSIDE_H
#define WHALE_PLANNER_CUTINSIDE_H

#include "compiler/planner/Plan.h"

namespace whale::planner {

/// The workload whose fragments the stages of a strategy name; itself where
/// they name whole instances.
workload::Workload asCut(const workload::Workload &workload,
                         const Node &strategy);

/// A plan whose stages may begin inside of instances, of asCut() its strategy.
struct PlanInside {
  workload::Workload workload;
  Plan plan;
};
/// Nothing where no cuts inside of instances make a plan of the problem faster,
/// or the problem has fragments already.
std::optional<PlanInside> cutInside(const Problem &problem, const Plan &plan);

} // namespace whale::planner

#endif // WHALE_PLANNER_CUTINSIDE_H
