//===- Passes.h - lowering passes -------------------------------*- C++ -*-===//

#ifndef WHALE_PASSES_LOWER_PASSES_H
#define WHALE_PASSES_LOWER_PASSES_H

namespace whale {
/// Makes the --whale-... passes of passes/lower known to the pass registry.
void registerWhaleLowerPasses();
} // namespace whale

#endif // WHALE_PASSES_LOWER_PASSES_H
