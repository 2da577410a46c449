//===- Passes.cpp - passes between model and plan -------------------------===//

#include "passes/plan/Passes.h"

#include "passes/plan/ApplyPlan.h"
#include "passes/plan/DimensionNames.h"
#include "passes/plan/GlobalBatch.h"
#include "passes/plan/ReadWorkload.h"
#include "passes/strategy/NameOps.h"
#include "passes/strategy/Places.h"
#include "passes/strategy/Strategy.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace whale {
#define GEN_PASS_DECL
#define GEN_PASS_DEF_APPLYPLAN
#define GEN_PASS_DEF_PRINTDIMENSIONNAMES
#define GEN_PASS_DEF_READWORKLOAD
#define GEN_PASS_DEF_SETGLOBALBATCH
#define GEN_PASS_REGISTRATION
#include "passes/plan/Passes.h.inc"

namespace {

struct ApplyPlan : impl::ApplyPlanBase<ApplyPlan> {
  using ApplyPlanBase::ApplyPlanBase;
  void runOnOperation() override {
    namespace plans = whale::plan;
    plans::ApplyPlanOptions options;
    options.precision = precision;
    options.canonical = canonical;
    Diagnostics diagnostics;
    std::optional<planner::NormalForm> form = plans::trivialPlan();
    FailureOr<std::optional<planner::Node>> tree = strategyOf(getOperation());
    if (failed(tree))
      return signalPassFailure();
    if (!plan.empty())
      form = plans::readPlan(plan, diagnostics);
    else if (*tree)
      form = planner::normalize(**tree, diagnostics);
    if (failed(report(diagnostics, getOperation().getLoc())) || !form ||
        failed(plans::applyPlan(getOperation(), *form, options)))
      signalPassFailure();
  }
};

struct ReadWorkload : impl::ReadWorkloadBase<ReadWorkload> {
  using ReadWorkloadBase::ReadWorkloadBase;
  void runOnOperation() override {
    FailureOr<workload::Workload> workload = plan::readWorkload(
        getOperation(), {.precision = precision, .modelHash = ""});
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

struct SetGlobalBatch : impl::SetGlobalBatchBase<SetGlobalBatch> {
  using SetGlobalBatchBase::SetGlobalBatchBase;
  void runOnOperation() override {
    if (failed(plan::setGlobalBatch(getOperation(), batch)))
      signalPassFailure();
  }
};

struct PrintDimensionNames
    : impl::PrintDimensionNamesBase<PrintDimensionNames> {
  void runOnOperation() override {
    nameOps(getOperation());
    plan::DimensionNames names(getOperation());
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (auto module = dyn_cast<ModuleDefOp>(op))
        llvm::outs() << "@" << module.getSymName() << "\n";
      if (!isa<IterationSpaceOpInterface>(op))
        return;
      llvm::outs() << "  " << cast<StringAttr>(op->getAttr("name")).getValue();
      for (unsigned loop = 0; loop < names.spaceOf(op).loops.size(); ++loop)
        llvm::outs() << " (" << llvm::join(names.loopNames(op, loop), " ")
                     << ")";
      llvm::outs() << "\n";
    });
    markAllAnalysesPreserved();
  }
};

} // namespace

void registerWhalePlanPasses() { registerWhalePlanPassesPasses(); }
} // namespace whale
