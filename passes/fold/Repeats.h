//===- Repeats.h - repetitions in a sequence of tokens ----------*- C++ -*-===//

#ifndef WHALE_PASSES_FOLD_REPEATS_H
#define WHALE_PASSES_FOLD_REPEATS_H

#include "llvm/ADT/ArrayRef.h"

#include <cstddef>
#include <vector>

namespace whale::fold {

/// tokens[i] == tokens[i + period] for begin <= i < end - period, and
/// end - begin >= 2 * period.
struct Repeat {
  size_t begin, end, period;

  /// Tokens that writing the block once saves, at the best.
  size_t saved() const { return ((end - begin) / period - 1) * period; }
  bool operator==(const Repeat &) const = default;
};

/// All maximal repetitions: none can be extended to either side. Of those of
/// one interval at most `periodsPerInterval` with the smallest periods.
/// Ordered by what they save (most first), then by begin and period.
std::vector<Repeat> findRepeats(llvm::ArrayRef<unsigned> tokens);

/// That order.
bool savesMore(const Repeat &a, const Repeat &b);

constexpr size_t periodsPerInterval = 8;

} // namespace whale::fold

#endif // WHALE_PASSES_FOLD_REPEATS_H
