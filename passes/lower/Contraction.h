//===- Contraction.h - an einsum as one batched matrix product --*- C++ -*-===//
//
// Problem:   find batch, m, n and k of an einsum over row-major tensors such
//            that each group of dimensions walks with one stride in the tensors
//            that have it.
// Objective: no copies. Dimensions of m and n that do not merge become batch
//            dimensions (stride 0 in the other operand); only what cannot be a
//            matrix at all is transposed into a temporary first.
// Guarantee: always an exact product; copies are avoided where one of the
//            dimension groups tried here works (all attention projections,
//            their gradients, tied embeddings do).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_CONTRACTION_H
#define WHALE_PASSES_LOWER_CONTRACTION_H

#include "dialects/whale/Whale.h"
#include "runtime/format/Format.h"

namespace whale::lower {

/// Order in which the dimensions of a tensor are stored instead of their own:
/// position i of the copy is dimension order[i] of the tensor. Empty = as is.
using StorageOrder = llvm::SmallVector<unsigned, 6>;

/// c = alpha-free product of a and b, where `swapped` says that a is the
/// einsum's rhs. Operands are null in `contract`.
struct Contraction {
  format::ContractT contract;
  bool swapped = false;
  /// Of lhs, rhs and result: where not empty, the tensor goes through a
  /// temporary in that order.
  StorageOrder lhs, rhs, result;
};

/// Analyses an equation over the extents of its operands and result.
Contraction analyseContraction(const whale::Equation &equation,
                               llvm::ArrayRef<int64_t> lhs,
                               llvm::ArrayRef<int64_t> rhs,
                               llvm::ArrayRef<int64_t> result);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_CONTRACTION_H
