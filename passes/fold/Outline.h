//===- Outline.h - a chain of blocks becomes module and instance -*- C++ -*-==//

#ifndef WHALE_PASSES_FOLD_OUTLINE_H
#define WHALE_PASSES_FOLD_OUTLINE_H

#include "passes/fold/Chain.h"

#include <set>
#include <string>

namespace whale::fold {

/// The names that a chain gets.
struct ChainNames {
  /// Of the instance.
  std::string chain;
  /// Of the block's own variables, by their index.
  std::vector<std::string> variables;
  /// Of the block's ops; empty where the flat op has none.
  std::vector<std::string> ops;
};

/// Names from the flat names of the first two blocks; `taken` are those of the
/// module.
ChainNames nameChain(const Sequence &sequence, const Chain &chain,
                     std::set<std::string> &taken);

/// Builds the module of a block, before the one it is in. It has the symbol
/// name "block", which the caller changes.
ModuleDefOp buildBlock(const Sequence &sequence, const Chain &chain,
                       const ChainNames &names);

/// Puts an instance of `module` in the place of the blocks and erases them,
/// their variables, and constants that only they used.
void replaceBlocks(const Sequence &sequence, const Chain &chain,
                   const ChainNames &names, ModuleDefOp module);

} // namespace whale::fold

#endif // WHALE_PASSES_FOLD_OUTLINE_H
