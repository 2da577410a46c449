//===- Splits.h - which axis cuts which loop --------------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_SPLITS_H
#define WHALE_PASSES_PLAN_SPLITS_H

#include "compiler/planner/Strategy.h"
#include "passes/plan/DimensionNames.h"

namespace whale::plan {

/// Expands ops that an axis wants to cut along a loop that they need whole
/// (`ExpandableOpInterface`). Graphs must be assigned. Error: an op that
/// couples the whole batch under micro-batches.
llvm::LogicalResult expandForSplits(ModuleDefOp module,
                                    const planner::NormalForm &form);

/// Sets `split` on every op: forward and backward ops by names, variables and
/// inputs as their first user cuts them, update ops as their parameter, in
/// addition over the axis that shards the optimizer.
void assignSplits(ModuleDefOp module, const planner::NormalForm &form);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_SPLITS_H
