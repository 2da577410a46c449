//===- Recompute.h - residuals computed again -------------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_RECOMPUTE_H
#define WHALE_PASSES_PLAN_RECOMPUTE_H

#include "compiler/planner/Strategy.h"
#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Whether selective recompute may repeat the op: elementwise, data movement,
/// row reductions, norms, softmax, dropout; no contraction, attention,
/// convolution, gather or routing.
bool isCheap(mlir::Operation *op);

/// Within each item of a stage that recomputes, backward ops use clones (path
/// `...#recompute`, phase backward) of the forward ops as
/// workload/Residuals.h says; a clone stands right before its first user.
/// Whatever the mode, what is made of constants alone is repeated.
void applyRecompute(ModuleDefOp step, const planner::NormalForm &form);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_RECOMPUTE_H
