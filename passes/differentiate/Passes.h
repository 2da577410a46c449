//===- Passes.h - unrolling of scans, differentiation -----------*- C++ -*-===//

#ifndef WHALE_PASSES_DIFFERENTIATE_PASSES_H
#define WHALE_PASSES_DIFFERENTIATE_PASSES_H

#include "dialects/whale/Whale.h"
#include "mlir/Pass/Pass.h"

namespace whale {

#define GEN_PASS_DECL
#include "passes/differentiate/Passes.h.inc"

/// Makes --whale-unroll-scan and --whale-differentiate known.
void registerWhaleDifferentiatePasses();

} // namespace whale

#endif // WHALE_PASSES_DIFFERENTIATE_PASSES_H
