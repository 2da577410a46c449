//===- Passes.cpp - passes between model and plan -------------------------===//

#include "passes/plan/Passes.h"

#include "passes/plan/ApplyPlan.h"
#include "passes/plan/ReadWorkload.h"
#include "passes/strategy/Places.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace whale {
#define GEN_PASS_DECL
#define GEN_PASS_DEF_APPLYPLAN
#define GEN_PASS_DEF_READWORKLOAD
#define GEN_PASS_REGISTRATION
#include "passes/plan/Passes.h.inc"

namespace {

struct ApplyPlan : impl::ApplyPlanBase<ApplyPlan> {
  using ApplyPlanBase::ApplyPlanBase;
  void runOnOperation() override {
    namespace plans = whale::plan;
    plans::ApplyPlanOptions options;
    options.precision = precision;
    Diagnostics diagnostics;
    std::optional<planner::NormalForm> form = plans::trivialPlan();
    if (!plan.empty())
      form = plans::readPlan(plan, diagnostics);
    if (failed(report(diagnostics, getOperation().getLoc())) || !form ||
        failed(plans::applyPlan(getOperation(), *form, options)))
      signalPassFailure();
  }
};

struct ReadWorkload : impl::ReadWorkloadBase<ReadWorkload> {
  using ReadWorkloadBase::ReadWorkloadBase;
  void runOnOperation() override {
    FailureOr<workload::Workload> workload =
        plan::readWorkload(getOperation(), {.precision = precision, .modelHash = ""});
    if (failed(workload))
      return signalPassFailure();
    Diagnostics diagnostics;
    workload::check(*workload, diagnostics);
    if (failed(report(diagnostics, getOperation().getLoc())))
      return signalPassFailure();
    json::Writer writer;
    workload::writeWorkload(writer, *workload);
    llvm::outs() << writer.take();
  }
};

} // namespace

void registerWhalePlanPasses() { registerWhalePlanPassesPasses(); }
} // namespace whale
