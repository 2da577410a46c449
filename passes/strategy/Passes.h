//===- Passes.h - passes about the strategy ---------------------*- C++ -*-===//

#ifndef WHALE_PASSES_STRATEGY_PASSES_H
#define WHALE_PASSES_STRATEGY_PASSES_H

namespace whale {
/// Makes the passes of this folder known to whale-opt.
void registerWhaleStrategyPasses();
} // namespace whale

#endif // WHALE_PASSES_STRATEGY_PASSES_H
