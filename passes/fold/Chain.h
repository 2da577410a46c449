//===- Chain.h - equal blocks that follow one another -----------*- C++ -*-===//

#ifndef WHALE_PASSES_FOLD_CHAIN_H
#define WHALE_PASSES_FOLD_CHAIN_H

#include "passes/fold/Repeats.h"
#include "passes/fold/Sequence.h"

#include <optional>

namespace whale::fold {

/// What an operand of a block's op is, in every block alike.
struct Slot {
  enum Kind {
    /// Result `result` of the block's op `index`.
    Internal,
    /// Carried value `index`: from the block before, for the first from
    /// outside.
    Carried,
    /// Value `index` that all blocks share.
    Common,
    /// Variable `index` of the block.
    Own,
    /// A constant, which each block may have for itself.
    Constant,
  } kind;
  unsigned index = 0, result = 0;
};

/// A place where an operand stands: op of a block, operand.
struct Place {
  unsigned op, operand;
};

/// `blocks` blocks of `period` ops from position `begin` that compute the same.
struct Chain {
  size_t begin = 0, period = 0, blocks = 0;
  /// By op of the block and operand.
  std::vector<std::vector<Slot>> slots;
  /// Carried values: result of which op of a block, and where the first block
  /// reads it.
  struct CarriedValue {
    unsigned op, result;
    Source initial;
    Place place;
  };
  std::vector<CarriedValue> carried;
  /// Common values: where the first block reads them.
  std::vector<std::pair<Source, Place>> common;
  /// By block: its own variables, by their number in the sequence.
  std::vector<std::vector<unsigned>> own;

  size_t end() const { return begin + blocks * period; }
};

/// The longest chain (two blocks or more, each with parameters of its own) that
/// starts at `begin` and ends by `end`. Compares exactly: values only flow
/// inside a block, from one block to the next, or from before the chain; after
/// it only what would be carried on is read.
/// O((end - begin) * operands).
std::optional<Chain> matchChain(const Sequence &sequence, size_t begin,
                                size_t period, size_t end);

/// Where in a repetition to cut it into blocks: starts in the order in which
/// they should be tried, the fewest carried values first, and of those the
/// earliest; only starts that lose at most one block. At most `limit`.
std::vector<size_t> chooseStarts(const Sequence &sequence, const Repeat &repeat,
                                 size_t limit);

} // namespace whale::fold

#endif // WHALE_PASSES_FOLD_CHAIN_H
