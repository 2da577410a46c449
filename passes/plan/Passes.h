//===- Passes.h - passes between model and plan -----------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_PASSES_H
#define WHALE_PASSES_PLAN_PASSES_H

namespace whale {
/// Makes the passes of this folder known to whale-opt.
void registerWhalePlanPasses();
} // namespace whale

#endif // WHALE_PASSES_PLAN_PASSES_H
