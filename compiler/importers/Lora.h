//===- Lora.h - low-rank adapters on a frozen model -------------*- C++ -*-===//
//
// Hu et al. 2021: beside a projection x W runs x A B * alpha / rank, with A
// [in, rank] uniform like a linear layer's weights and B [rank, out] zero. Only
// A and B are trained; all other parameters are `frozen`, so that no gradient
// of theirs is computed and they have no optimizer state.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_LORA_H
#define WHALE_IMPORTERS_LORA_H

#include "compiler/support/Diagnostics.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

struct Lora {
  int64_t rank = 16;
  /// Unset = 2 * rank.
  std::optional<double> alpha;
  /// Of the adapter's input.
  double dropout = 0;
  /// Which projections: q, k, v, o (attention's), gate, up, down (feed-forward
  /// layers, not routed experts); qkv = q, k and v with one A for the three, as
  /// where their weights are one matrix.
  std::vector<std::string> targets = {"q", "k", "v", "o"};

  double scale() const { return alpha.value_or(2.0 * double(rank)) / rank; }
};

/// Reads `rank=16,alpha=32,dropout=0.1,targets=q,k,v,o`; all parts may be left
/// out. Null after an error, which is reported.
std::optional<Lora> parseLora(std::string_view text, Diagnostics &diagnostics);

} // namespace whale

#endif // WHALE_IMPORTERS_LORA_H
