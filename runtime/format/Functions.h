//===- Functions.h - Functions that a Call may name -------------*- C++ -*-===//
//
// The contract between lowering, which emits Call{function, operands, ints,
// floats, scalars}, and the devices, which register functions by these names.
// Results come after the operands they are made of; results are overwritten.
// All tensors are dense and row-major with local extents; extents that do not
// appear in `ints` are read from the operands' dims.
//
// T = f32, f64, bf16 or f16, the same for all T of a call; 16-bit types are
// computed in f32 and rounded once at the result. I = i32 or i64.
// A name with ? may be absent: then `ints` says so and the operand is left out.
//
//===----------------------------------------------------------------------===//
//
// attention_forward   q k v [bias] -> out lse
//   q [b, s, kvh, g, d] T; k [b, t, kvh, d] T; v [b, t, kvh, w] T;
//   out [b, s, kvh, g, w] T (w = d but for latent attention);
//   bias [kvh, g, s, t] T; lse [b, kvh, g, s] f32 (f64 when T is f64)
//   ints: causal (0|1), window (0 = none), hasBias (0|1); floats: scale
//   scalars: queryOffset, keyOffset   global positions of the first query and
//     key; may be left out (0). Query i sees key j where i and j, both global:
//     !causal or j <= i; and window == 0 or i - j < window.
//     A query that sees no key gives out = 0, lse = -inf.
// attention_backward  q k v out lse dout [bias] -> dq dk dv [dbias]
//   ints, floats, scalars as forward
//
// conv2d_forward           x w -> y
// conv2d_backward_input    dy w -> dx
// conv2d_backward_filter   x dy -> dw
//   x [n, h, w, ci]; w [kh, kw, ci, co]; y [n, oh, ow, co], all T
//   ints: strideH, strideW, top, bottom, left, right (zeros around x),
//         dilationH, dilationW (1 = dense; both may be left out)
//   oh = (h + top + bottom - dilationH * (kh - 1) - 1) / strideH + 1, floor
//
// max_pool_forward    x -> y             max_pool_backward   x dy -> dx
// avg_pool_forward    x -> y             avg_pool_backward   dy -> dx
//   x, dx [n, h, w, c]; y, dy [n, oh, ow, c], all T
//   ints: windowH, windowW, strideH, strideW, top, bottom, left, right
//   Max ignores padding, the first of equals (row-major) is taken; average
//   divides by windowH * windowW.
//
// embedding           table indices -> rows
//   table [v, f...] T; indices [i...] I; rows [i..., f...] T
//   scalars: rowOffset (may be left out): table holds rows
//   [rowOffset, rowOffset + v); other indices give zeros
// scatter_add         indices updates -> table
//   the adjoint: table = 0, then in row-major order of indices
//   table[index - rowOffset] += update; other indices are skipped.
//   16-bit T: summed in f32, rounded once
//
// top_k               x -> values indices
//   x [i..., n] T; values [i..., k] T, descending; indices [i..., k] I.
//   k is the last extent of values. Of equals the lower index comes first;
//   NaN counts as larger than everything
// top_k_backward      indices dvalues -> dx       dx = 0 but at the indices
//
// expert_slot         experts -> slots
//   [b, s, c] I both (types may differ)
//   ints: numExperts, capacity, over. In each group of `over` samples the
//   choices of an expert are counted in the order (choice, sample, position);
//   slot = that count, or -1 from capacity on, or outside [0, numExperts)
// dispatch            rows experts slots -> buffers
//   rows [b, s, c, f] T; experts, slots [b, s, c] I;
//   buffers [groups, e, capacity, f] T, zeros where nobody goes; the group of
//   sample i is i / (b / groups)
//   scalars: expertOffset (may be left out): buffers hold experts
//   [expertOffset, expertOffset + e)
// collect             buffers experts slots -> rows
//   the adjoint of dispatch; dropped rows and foreign experts give zeros
//
// expert_matmul       rows weights experts -> result
//   rows [b, s, c, in] T; weights [e, in, out] T; experts [b, s, c] I;
//   result [b, s, c, out] T. ints: transposed (0|1): then weights are
//   [e, out, in]. scalars: expertOffset (may be left out)
//   Rows of foreign experts give zeros.
// expert_outer        lhs rhs experts -> result
//   lhs [b, s, c, in], rhs [b, s, c, out] T -> result [e, in, out] T; per
//   expert, sum over its rows of lhs^T rhs. scalars: expertOffset
//
// Canonical mode. A = accumulator, T = f32 or f64. Results are A and begin
// empty; where a function of the list above has the rest of the name, operands,
// ints and scalars are its own.
// canonical_contract  lhs rhs -> sums     sums[..] = sum of lhs * rhs (in f64)
// canonical_reduce    x -> sums           sums[..] = sum of x
//   ints: per loop its extent and its stride in each operand, sums last, in
//   elements; a stride of 0 where the operand does not have the loop
// canonical_add       part sums           sums += part, both A, of one shape
// canonical_round     sums -> x           x T, of one shape, rounded once
// canonical_embedding, canonical_scatter_add, canonical_conv2d_forward,
// canonical_conv2d_backward_input, canonical_conv2d_backward_filter,
// canonical_expert_matmul, canonical_expert_outer
//
// init_constant          -> x   floats: value
// init_normal            -> x   floats: mean, deviation
// init_uniform           -> x   floats: low, high
// init_truncated_normal  -> x   floats: mean, deviation (cut at 2 deviations)
//   x any T, its box of a global tensor. ints: pathHash(path) as int64, then
//   the global extents (as many as dims). scalars: seed, then the offset of x
//   per dimension. Values are those of Random.h: x = box of the global tensor.
//   init_constant also takes integers and needs no ints and scalars.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_FORMAT_FUNCTIONS_H
#define WHALE_RUNTIME_FORMAT_FUNCTIONS_H

#include <cstddef>
#include <string_view>

namespace whale::format {

/// What a call of a function carries at least and at most.
struct FunctionInfo {
  std::string_view name;
  size_t minOperands;
  size_t maxOperands;
  size_t minInts;
  size_t floats;
  size_t maxScalars; ///< SIZE_MAX = one per dimension and the seed
};

/// All functions, in the order of this page.
inline constexpr FunctionInfo functions[] = {
    {"attention_forward", 5, 6, 3, 1, 2},
    {"attention_backward", 9, 11, 3, 1, 2},
    {"conv2d_forward", 3, 3, 6, 0, 0},
    {"conv2d_backward_input", 3, 3, 6, 0, 0},
    {"conv2d_backward_filter", 3, 3, 6, 0, 0},
    {"max_pool_forward", 2, 2, 8, 0, 0},
    {"max_pool_backward", 3, 3, 8, 0, 0},
    {"avg_pool_forward", 2, 2, 8, 0, 0},
    {"avg_pool_backward", 2, 2, 8, 0, 0},
    {"embedding", 3, 3, 0, 0, 1},
    {"scatter_add", 3, 3, 0, 0, 1},
    {"top_k", 3, 3, 0, 0, 0},
    {"top_k_backward", 3, 3, 0, 0, 0},
    {"expert_slot", 2, 2, 3, 0, 0},
    {"dispatch", 4, 4, 0, 0, 1},
    {"collect", 4, 4, 0, 0, 1},
    {"expert_matmul", 4, 4, 1, 0, 1},
    {"expert_outer", 4, 4, 0, 0, 1},
    {"canonical_contract", 3, 3, 0, 0, 0},
    {"canonical_reduce", 2, 2, 0, 0, 0},
    {"canonical_add", 2, 2, 0, 0, 0},
    {"canonical_round", 2, 2, 0, 0, 0},
    {"canonical_embedding", 3, 3, 0, 0, 1},
    {"canonical_scatter_add", 3, 3, 0, 0, 1},
    {"canonical_conv2d_forward", 3, 3, 6, 0, 0},
    {"canonical_conv2d_backward_input", 3, 3, 6, 0, 0},
    {"canonical_conv2d_backward_filter", 3, 3, 6, 0, 0},
    {"canonical_expert_matmul", 4, 4, 1, 0, 1},
    {"canonical_expert_outer", 4, 4, 0, 0, 1},
    {"init_constant", 1, 1, 0, 1, SIZE_MAX},
    {"init_normal", 1, 1, 1, 2, SIZE_MAX},
    {"init_uniform", 1, 1, 1, 2, SIZE_MAX},
    {"init_truncated_normal", 1, 1, 1, 2, SIZE_MAX},
};

/// The row of a function, or null.
constexpr const FunctionInfo *findFunction(std::string_view name) {
  for (const FunctionInfo &info : functions)
    if (info.name == name)
      return &info;
  return nullptr;
}

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_FUNCTIONS_H
