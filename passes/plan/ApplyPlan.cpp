//===- ApplyPlan.cpp - a plan applied to a model --------------------------===//

#include "passes/plan/ApplyPlan.h"

#include "dialects/whale/TrainingSpec.h"
#include "passes/plan/Inline.h"
#include "passes/plan/Training.h"
#include "passes/strategy/NameOps.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

planner::NormalForm plan::trivialPlan() {
  planner::NormalForm form;
  form.stages.emplace_back();
  return form;
}

LogicalResult plan::buildFlatStep(ModelOp model,
                                  const ApplyPlanOptions &options) {
  return applyPlan(model, trivialPlan(), options);
}

static FailureOr<TrainingSpec> specOf(ModelOp model,
                                      const ApplyPlanOptions &options) {
  TrainingSpec spec;
  if (TrainingOp training = model.getTraining()) {
    FailureOr<TrainingSpec> read = readTrainingSpec(training);
    if (failed(read))
      return failure();
    spec = *read;
  }
  if (!options.precision.empty())
    spec.precision = options.precision;
  return spec;
}

/// Inlined modules instead of the model's own.
static FailureOr<std::pair<ModuleDefOp, ModuleDefOp>> inlineBoth(ModelOp model) {
  auto old =
      llvm::to_vector(model.getBody().front().getOps<ModuleDefOp>());
  FailureOr<Flat> step = inlineModel(model, "step", {.backward = true});
  if (failed(step))
    return failure();
  FailureOr<Flat> eval = inlineModel(model, "eval", {.backward = false});
  if (failed(eval))
    return failure();
  for (ModuleDefOp module : old)
    module.erase();
  return std::make_pair(step->module, eval->module);
}

static void removeTemporaries(ModuleDefOp module) {
  for (Operation &op : blockOf(module)) {
    op.removeAttr(itemAttr);
    op.removeAttr(parameterAttr);
    if (!op.hasTrait<OpTrait::IsTerminator>())
      setGraph(&op, graphOf(&op));
  }
}

LogicalResult plan::applyPlan(ModelOp model, const planner::NormalForm &form,
                              const ApplyPlanOptions &options) {
  FailureOr<TrainingSpec> spec = specOf(model, options);
  if (failed(spec))
    return failure();
  nameOps(model);
  auto modules = inlineBoth(model);
  if (failed(modules))
    return failure();
  auto [step, eval] = *modules;
  if (failed(hoistCounts(step)) || failed(hoistCounts(eval)))
    return failure();
  moveStatistics(step);
  buildTraining(step, *spec);
  for (ModuleDefOp module : {step, eval}) {
    eraseDeadOps(module);
    removeTemporaries(module);
  }
  return success();
}
