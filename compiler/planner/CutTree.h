//===- CutTree.h - branch and bound over the cuts of a form -----*- C++ -*-===//
//
// Problem: unequal stages wait for each other in more ways than the bounds of
// single stages know (BoundRows.h), and which stage has an instance more
// matters. How fast are the best cuts of a form whose schedule does not depend
// on times?
//
// Method: what the stages may hold within a limit by the bounds of single
// stages (forEachSpace) is a set of ranges for each stage. Every stage with the
// least times of its ranges takes no longer than any cuts among them, on the
// simulator: each task and message of a fixed schedule waits for a fixed set of
// others, so that shorter times make nothing later. Best first, the place where
// a stage begins is halved, until stages hold one range each.
// Guarantee: no cuts that fit are faster than the bound. Exact unless `nodes`
// end it.
// Complexity O(nodes * (stages * micro-batches + ranges)).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_CUTTREE_H
#define WHALE_PLANNER_CUTTREE_H

#include "compiler/planner/Bound.h"

namespace whale::planner {

/// Whether the schedule's order of tasks is the same for all times, each of
/// several stages is one part of the model, and all is small enough.
bool hasCutTree(const CostTable &table, const NormalForm &form);

/// Requires hasCutTree(). What no cuts beat that fit, `limit` where all of them
/// take as long; and the fastest cuts met, none unless they are faster than
/// the limit (both without `wholeStep`). Looks at `nodes` at most, and takes off
/// those that it looked at.
CutBound treeBound(CostTable &table, const NormalForm &form,
                   const ReplicaCosts &costs, Picoseconds limit, int &nodes);

} // namespace whale::planner

#endif // WHALE_PLANNER_CUTTREE_H
