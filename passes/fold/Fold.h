//===- Fold.h - a flat model back into modules ------------------*- C++ -*-===//

#ifndef WHALE_PASSES_FOLD_FOLD_H
#define WHALE_PASSES_FOLD_FOLD_H

#include "dialects/whale/Whale.h"

#include <map>
#include <string>

namespace whale::fold {

/// Path of a folded variable -> the name that it had in the flat `@main`.
using PathMap = std::map<std::string, std::string>;

/// Folds the repeated blocks of `@main`, then those of the modules that this
/// makes; the model must be verified. Warns about blocks that stay flat because
/// of the training spec. A second call changes nothing.
PathMap foldModel(ModelOp model);

} // namespace whale::fold

#endif // WHALE_PASSES_FOLD_FOLD_H
