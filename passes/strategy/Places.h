//===- Places.h - places and messages of both worlds ------------*- C++ -*-===//

#ifndef WHALE_PASSES_STRATEGY_PLACES_H
#define WHALE_PASSES_STRATEGY_PLACES_H

#include "compiler/support/Diagnostics.h"

#include "mlir/IR/Location.h"
#include "llvm/Support/LogicalResult.h"

namespace whale {

/// Emits all messages at their places, those without one at `fallback`.
/// Failure if there was an error.
llvm::LogicalResult report(const Diagnostics &diagnostics,
                           mlir::Location fallback);

/// The place that a location names: the innermost file, line and column; none
/// for an unknown location.
Place placeOf(mlir::Location location);

} // namespace whale

#endif // WHALE_PASSES_STRATEGY_PLACES_H
