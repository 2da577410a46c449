//===- Passes.cpp - passes about the strategy -----------------------------===//

#include "passes/strategy/Passes.h"

#include "dialects/whale/Whale.h"
#include "passes/strategy/ModelHash.h"
#include "passes/strategy/NameOps.h"
#include "passes/strategy/Places.h"
#include "passes/strategy/Strategy.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace whale {
#define GEN_PASS_DECL
#define GEN_PASS_DEF_NAMEOPS
#define GEN_PASS_DEF_PRINTMODELHASH
#define GEN_PASS_DEF_STRATEGY
#define GEN_PASS_REGISTRATION
#include "passes/strategy/Passes.h.inc"

namespace {
struct NameOps : impl::NameOpsBase<NameOps> {
  void runOnOperation() override { nameOps(getOperation()); }
};

struct Strategy : impl::StrategyBase<Strategy> {
  using StrategyBase::StrategyBase;
  void runOnOperation() override {
    FailureOr<std::optional<planner::Node>> tree =
        extractStrategy(getOperation());
    if (failed(tree))
      return signalPassFailure();
    if (!file.empty()) {
      Diagnostics diagnostics;
      *tree = readStrategyFile(file, diagnostics);
      if (failed(report(diagnostics, getOperation().getLoc())))
        return signalPassFailure();
    }
    if (*tree)
      setStrategy(getOperation(), **tree);
  }
};

struct PrintModelHash : impl::PrintModelHashBase<PrintModelHash> {
  void runOnOperation() override {
    FailureOr<std::string> hash = modelHash(getOperation());
    if (failed(hash))
      return signalPassFailure();
    llvm::outs() << *hash << '\n';
    markAllAnalysesPreserved();
  }
};
} // namespace

void registerWhaleStrategyPasses() { registerWhaleStrategyPassesPasses(); }
} // namespace whale
