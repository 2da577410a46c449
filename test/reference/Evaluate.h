//===- Evaluate.h - what each op means, in plain loops ----------*- C++ -*-===//
//
// One function an op, written from the op's description alone: no passes, no
// kernels, no shared code with either. Speed does not matter.
//
// An op may be a shard of a larger one: `Context::offsets` then says where each
// loop dimension of its iteration space begins, and `extents` how long it is in
// the whole op.
//
// Random numbers are those of runtime/format/Random.h, the one definition.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_REFERENCE_EVALUATE_H
#define WHALE_TEST_REFERENCE_EVALUATE_H

#include "dialects/whale/Whale.h"
#include "test/reference/Tensor.h"

#include <string>

namespace reference {

/// Operands and results of one evaluation.
using Tensors = std::vector<Tensor>;

/// What an evaluation may know besides operands and attributes.
struct Context {
  uint64_t seed = 0;
  /// From 0.
  int64_t step = 0;
  /// Path that keys the op's random numbers.
  std::string key;
  /// Per loop dimension, both empty where the op is whole.
  std::vector<int64_t> offsets, extents;

  int64_t offsetOf(size_t loop) const {
    return offsets.empty() ? 0 : offsets[loop];
  }
  /// `own` is the extent that the op has itself.
  int64_t extentOf(size_t loop, int64_t own) const {
    return extents.empty() ? own : extents[loop];
  }
};

/// Whether evaluate knows the op.
bool canEvaluate(mlir::Operation *op);

/// Results of `op`, which must be one that canEvaluate; operand tensors have
/// the types of its operands.
Tensors evaluate(mlir::Operation *op, const Tensors &operands,
                 const Context &context);

} // namespace reference

#endif // WHALE_TEST_REFERENCE_EVALUATE_H
