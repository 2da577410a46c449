//===- Attention.h - attention with its projections -------------*- C++ -*-===//
//
// Pieces of modules, as in Layers.h: plain, grouped-query and latent attention.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_ATTENTION_H
#define WHALE_IMPORTERS_ATTENTION_H

#include "compiler/importers/Layers.h"

namespace whale::importers {

/// RMS norm of each head of q and k. Trained: with a weight, before the
/// positions (Qwen 3). Plain: without, after them (Llama 4).
enum class HeadNorm { None, Trained, Plain };

/// Attention with its four projections. q [hidden, heads, group, head], k and v
/// [hidden, heads, head], out [heads, group, head, hidden]: `heads` are those
/// of keys and values, `group` the query heads of each.
struct Attention {
  int64_t heads = 1, group = 1, head = 1;
  bool bias = false, outBias = false;
  Init query, keyValue, out;
  double scale = 1;
  AttentionMask mask;
  std::optional<Rotary> rotary;
  /// The head's first elements that positions turn; 0 = all.
  int64_t rotaryDims = 0;
  HeadNorm headNorm = HeadNorm::None;
  double headNormEpsilon = 1e-6;
  /// Scores are cap * tanh(score / cap); 0 = as they are. Not 0: the attention
  /// is written out.
  double scoreCap = 0;
  /// Of the probabilities. Not 0: the attention is written out.
  double dropout = 0;
};
/// `memory` gives keys and values: `operand` itself, or an encoder's result.
mlir::Value attend(ModuleBuilder &module, mlir::Value operand,
                   mlir::Value memory, const Attention &spec);

/// Multi-head latent attention (DeepSeek-V2, section 2.1). A head's query and
/// key are `plain` elements without and `rotary` elements with position, its
/// value `value` elements. k and v come from one vector of `keyValueRank`
/// elements, q from one of `queryRank` (none: from x), each normalised; the
/// keys' rotary part is one for all heads, straight from x.
struct Latent {
  std::optional<int64_t> queryRank;
  int64_t keyValueRank = 1, plain = 1, rotary = 2, value = 1;
  Norm norm;
};
/// Takes heads, out, scale, mask, dropout and rotary of `spec`.
mlir::Value attendLatent(ModuleBuilder &module, mlir::Value operand,
                         const Attention &spec, const Latent &latent);

/// [rows, columns] that says where column <= row (and row - column < window).
mlir::Value causalMask(ModuleBuilder &module, int64_t sequence,
                       std::optional<int64_t> window);

/// Attention with linear biases (Press et al. 2022): slope of the head * (key -
/// query), [heads, 1, sequence, sequence].
mlir::Value linearBias(ModuleBuilder &module, int64_t heads, int64_t sequence);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_ATTENTION_H
