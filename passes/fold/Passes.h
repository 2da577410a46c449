//===- Passes.h - folding of flat models ------------------------*- C++ -*-===//

#ifndef WHALE_PASSES_FOLD_PASSES_H
#define WHALE_PASSES_FOLD_PASSES_H

#include "dialects/whale/Whale.h"
#include "mlir/Pass/Pass.h"

namespace whale {

#define GEN_PASS_DECL
#include "passes/fold/Passes.h.inc"

/// Makes --whale-fold known.
void registerWhaleFoldPasses();

} // namespace whale

#endif // WHALE_PASSES_FOLD_PASSES_H
