//===- Passes.cpp - passes about the strategy -----------------------------===//

#include "passes/strategy/Passes.h"

#include "dialects/whale/Whale.h"
#include "passes/strategy/NameOps.h"

#include "mlir/Pass/Pass.h"

namespace whale {
#define GEN_PASS_DECL
#define GEN_PASS_DEF_NAMEOPS
#define GEN_PASS_REGISTRATION
#include "passes/strategy/Passes.h.inc"

namespace {
struct NameOps : impl::NameOpsBase<NameOps> {
  void runOnOperation() override { nameOps(getOperation()); }
};
} // namespace

void registerWhaleStrategyPasses() { registerWhaleStrategyPassesPasses(); }
} // namespace whale
