//===- Evaluation.h - the forward part without training ---------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_EVALUATION_H
#define WHALE_PASSES_PLAN_EVALUATION_H

#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Makes a flat forward part one for evaluation: dropouts let all through,
/// batch norms use the running statistics that their mean and variance are
/// assigned to (those of the batch where there are none), nothing is assigned.
void toEvaluation(ModuleDefOp module);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_EVALUATION_H
