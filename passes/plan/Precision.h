//===- Precision.h - element types of a flat step ---------------*- C++ -*-===//
//
// bf16: variables stay float32 (the master copy) and are cast once, in phase
// prologue; forward and backward run in bfloat16 but for
//   - what is a statistic: losses and their sums, log-sum-exps, means and
//     variances; scales and shifts of norms and their gradients;
//   - sums, which are taken in float32, and what is made of sums, counts and
//     integers alone, until it meets a bfloat16 value;
//   - gradients from the moment that they are accumulated.
// f64: every float32 becomes float64.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_PRECISION_H
#define WHALE_PASSES_PLAN_PRECISION_H

#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Before gradients become updates (buildTraining).
void toBfloat16(ModuleDefOp module);

/// Any time.
void toFloat64(ModuleDefOp module);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_PRECISION_H
