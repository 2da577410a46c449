//===- Passes.cpp - passes between model and plan -------------------------===//

#include "passes/plan/Passes.h"

#include "passes/plan/ApplyPlan.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace whale {
#define GEN_PASS_DECL
#define GEN_PASS_DEF_APPLYPLAN
#define GEN_PASS_REGISTRATION
#include "passes/plan/Passes.h.inc"

namespace {

struct ApplyPlan : impl::ApplyPlanBase<ApplyPlan> {
  using ApplyPlanBase::ApplyPlanBase;
  void runOnOperation() override {
    plan::ApplyPlanOptions options;
    options.precision = precision;
    if (failed(plan::applyPlan(getOperation(), plan::trivialPlan(), options)))
      signalPassFailure();
  }
};

} // namespace

void registerWhalePlanPasses() { registerWhalePlanPassesPasses(); }
} // namespace whale
