//===- Training.h - from gradients to the update ----------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_TRAINING_H
#define WHALE_PASSES_PLAN_TRAINING_H

#include "dialects/whale/TrainingSpec.h"
#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Computes the losses' counts in phase prologue, over inputs of their own.
/// Error with place where a count depends on a variable or a random number.
llvm::LogicalResult hoistCounts(ModuleDefOp step);

/// Turns `whale.gradient` ops into the update phase: sum over the uses (within
/// a TaskGraph in phase backward, across TaskGraphs in phase update), clipping
/// by the global norm with factor min(1, limit / (norm + 1e-6)) (as
/// torch.nn.utils.clip_grad_norm_), optimizer. Losses' gradients start as
/// weight / count, so nothing is divided here. Graphs must be assigned; ops
/// about one parameter get `parameterAttr`. `inModelOrder`: gradients of
/// several uses, and the squares of the norm, are added in the order of the
/// model, whatever the stages.
void buildTraining(ModuleDefOp step, const TrainingSpec &spec,
                   bool inModelOrder = false);

/// Moves the elementwise tail of what is assigned to running statistics into
/// phase update, so that what crosses from forward is summed over the
/// micro-batches.
void moveStatistics(ModuleDefOp step);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_TRAINING_H
