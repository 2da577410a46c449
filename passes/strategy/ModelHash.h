//===- ModelHash.h - identity of a model ------------------------*- C++ -*-===//

#ifndef WHALE_PASSES_STRATEGY_MODELHASH_H
#define WHALE_PASSES_STRATEGY_MODELHASH_H

#include "dialects/whale/Whale.h"

#include <string>

namespace whale {

/// SHA-256 of the model's canonical text: without scopes, strategy, places and
/// comments, every op named. What is parallel and how the text is laid out does
/// not change it. The model stays as it is. Failure: illegal scopes.
llvm::FailureOr<std::string> modelHash(ModelOp model);

} // namespace whale

#endif // WHALE_PASSES_STRATEGY_MODELHASH_H
