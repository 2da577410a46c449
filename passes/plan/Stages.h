//===- Stages.h - the TaskGraph of each op ----------------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_STAGES_H
#define WHALE_PASSES_PLAN_STAGES_H

#include "compiler/planner/Strategy.h"
#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Sets the graph of every op by the rules of ApplyPlan.h. Errors with both
/// places: a stage without ops, a stage that uses what a later one computes.
llvm::LogicalResult assignGraphs(ModuleDefOp module,
                                 const planner::NormalForm &form);

/// Gives each TaskGraph and phase its own copy of inputs, constants, iotas and
/// of the step number, so that none of them is sent or kept.
void localizeSources(ModuleDefOp module);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_STAGES_H
