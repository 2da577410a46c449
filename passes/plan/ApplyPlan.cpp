//===- ApplyPlan.cpp - a plan applied to a model --------------------------===//

#include "passes/plan/ApplyPlan.h"

#include "dialects/whale/TrainingSpec.h"
#include "passes/plan/Canonical.h"
#include "passes/plan/Evaluation.h"
#include "passes/plan/Inline.h"
#include "passes/plan/Precision.h"
#include "passes/plan/Recompute.h"
#include "passes/plan/Splits.h"
#include "passes/plan/Stages.h"
#include "passes/plan/Training.h"
#include "passes/strategy/NameOps.h"
#include "passes/strategy/Strategy.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

planner::NormalForm plan::trivialPlan() {
  planner::NormalForm form;
  form.stages.emplace_back();
  return form;
}

std::optional<planner::NormalForm> plan::readPlan(const std::string &path,
                                                  Diagnostics &diagnostics) {
  std::optional<planner::Node> node = readStrategyFile(path, diagnostics);
  if (!node)
    return std::nullopt;
  return planner::normalize(*node, diagnostics);
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
static FailureOr<std::pair<ModuleDefOp, ModuleDefOp>>
inlineBoth(ModelOp model) {
  auto old = llvm::to_vector(model.getBody().front().getOps<ModuleDefOp>());
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
    op.removeAttr(originAttr);
    if (!op.hasTrait<OpTrait::IsTerminator>())
      setGraph(&op, graphOf(&op));
  }
}

/// One mesh: its axes and, row-major over them, its ranks.
static Attribute meshAttr(Builder &builder, const planner::NormalForm &form,
                          unsigned stage) {
  SmallVector<Attribute> axes;
  int64_t devices = 1;
  for (const planner::Axis &axis : form.stages[stage].axes) {
    bool replica = axis.kind == planner::AxisKind::Replica;
    NamedAttrList entry;
    entry.set("name", builder.getStringAttr(axis.name));
    entry.set("size", builder.getI64IntegerAttr(axis.size));
    entry.set("kind", builder.getStringAttr(replica ? "replica" : "split"));
    if (!axis.shares.empty())
      entry.set("shares", builder.getI64ArrayAttr(axis.shares));
    axes.push_back(entry.getDictionary(builder.getContext()));
    devices *= axis.size;
  }
  SmallVector<int64_t> ranks(devices);
  for (int64_t rank = 0; rank < planner::rankCount(form); ++rank) {
    planner::Coordinates place = planner::coordinatesOf(form, rank);
    if (place.stage != stage)
      continue;
    int64_t position = 0;
    for (auto [axis, coordinate] :
         llvm::zip_equal(form.stages[stage].axes, place.axes))
      position = position * axis.size + coordinate;
    ranks[position] = rank;
  }
  return builder.getDictionaryAttr(
      {builder.getNamedAttr("axes", builder.getArrayAttr(axes)),
       builder.getNamedAttr("devices", builder.getI64ArrayAttr(ranks))});
}

/// Attributes of the whole step.
static void describe(ModuleDefOp module, const planner::NormalForm &form) {
  Builder builder(module.getContext());
  SmallVector<Attribute> meshes;
  for (unsigned stage = 0; stage < form.stages.size(); ++stage)
    meshes.push_back(meshAttr(builder, form, stage));
  module->setAttr("meshes", builder.getArrayAttr(meshes));
  module->setAttr("micro_batches",
                  builder.getI64IntegerAttr(form.microBatches));
  StringRef schedule(planner::nameOf(form.schedule));
  module->setAttr("schedule", builder.getStringAttr(schedule));
  for (InputOp input : blockOf(module).getOps<InputOp>())
    module->setAttr(
        "global_batch",
        builder.getI64IntegerAttr(tensorType(input.getResult()).getDimSize(0)));
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
  ModuleDefOp step = modules->first, eval = modules->second;
  moveStatistics(step);
  toEvaluation(eval);
  for (ModuleDefOp module : {step, eval}) {
    if (failed(hoistCounts(module)))
      return failure();
    // What only the counts used has no stage.
    eraseDeadOps(module);
    if (spec->precision == "bf16")
      toBfloat16(module);
    if (failed(assignGraphs(module, form)))
      return failure();
  }
  applyRecompute(step, form);
  buildTraining(step, *spec, options.canonical);
  for (ModuleDefOp module : {step, eval}) {
    eraseDeadOps(module);
    if (failed(expandForSplits(module, form)))
      return failure();
    if (options.canonical && failed(makeCanonical(module)))
      return failure();
    localizeSources(module);
    eraseDeadOps(module);
    assignSplits(module, form);
    if (spec->precision == "f64")
      toFloat64(module);
    describe(module, form);
    removeTemporaries(module);
  }
  return success();
}
