//===- NameOps.h - identity of ops ------------------------------*- C++ -*-===//

#ifndef WHALE_PASSES_STRATEGY_NAMEOPS_H
#define WHALE_PASSES_STRATEGY_NAMEOPS_H

#include "dialects/whale/Whale.h"

namespace whale {

/// Writes down the names that ops have anyway (dialects/whale/OpNames.h) as
/// attribute `name`, so that they survive later changes. Structure (returns,
/// scopes, regions) stays unnamed. A dropout without a key gets its name as
/// the key.
void nameOps(ModelOp model);

} // namespace whale

#endif // WHALE_PASSES_STRATEGY_NAMEOPS_H
