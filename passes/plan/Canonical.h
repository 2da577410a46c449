//===- Canonical.h - sums whose order does not matter -----------*- C++ -*-===//
//
// Canonical mode: an oracle in which every plan gives the bits of one rank
// (docs/rationale/canonical-mode.md). Every op that adds up reals gives an
// accumulator, whose addition is associative, and a `round_sum` behind it
// rounds once. Partitioning then has partial accumulators only, and since
// `round_sum` is not linear, no partial sum passes through another op.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_CANONICAL_H
#define WHALE_PASSES_PLAN_CANONICAL_H

#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Terms that an accumulator takes at most: runtime/core/Accumulator.h.
constexpr int64_t kMaxTerms = INT32_MAX;

/// Expands fused ops of a flat step (softmax, norms, cross-entropy, attention)
/// and makes their sums and all others accumulators. Errors: elements of 16
/// bits, which fused kernels may or may not round; sums of too many terms.
llvm::LogicalResult makeCanonical(ModuleDefOp module);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_CANONICAL_H
