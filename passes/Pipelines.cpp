//===- Pipelines.cpp - the phases of the compiler -------------------------===//

#include "passes/Pipelines.h"

#include "passes/differentiate/Passes.h"
#include "passes/fold/Fold.h"
#include "passes/partition/Partition.h"
#include "passes/strategy/NameOps.h"
#include "passes/strategy/Strategy.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace whale;

ModelOp Compilation::model() {
  auto models = module->getOps<ModelOp>();
  return models.empty() ? ModelOp() : *models.begin();
}

static LogicalResult runOnModel(Compilation &compilation,
                                std::unique_ptr<mlir::Pass> pass) {
  PassManager manager(compilation.module->getContext());
  manager.enableVerifier(false);
  manager.addNestedPass<ModelOp>(std::move(pass));
  return manager.run(*compilation.module);
}

/// A model whose text has scopes stays as it is written: the scopes name its
/// ops.
static LogicalResult foldPhase(Compilation &compilation) {
  ModelOp model = compilation.model();
  bool scopes = model.walk([](Operation *op) {
                       return isa<ReplicaOp, SplitOp, StageOp, PipelineOp,
                                  ClusterOp, DefaultStrategyOp>(op)
                                  ? WalkResult::interrupt()
                                  : WalkResult::advance();
                     }).wasInterrupted();
  if (!scopes)
    fold::foldModel(model);
  return success();
}

static LogicalResult strategyPhase(Compilation &compilation) {
  FailureOr<std::optional<planner::Node>> scopes =
      extractStrategy(compilation.model());
  if (failed(scopes))
    return failure();
  compilation.scopes = std::move(*scopes);
  return success();
}

static LogicalResult partitionPhase(Compilation &compilation) {
  FailureOr<partition::Partitioned> parts =
      partition::partitionModel(compilation.model(), compilation.form);
  if (failed(parts))
    return failure();
  compilation.ranks = std::move(parts->table);
  compilation.module = std::move(parts->programs);
  return success();
}

static LogicalResult lowerPhase(Compilation &compilation) {
  lower::LowerOptions options = compilation.lowerOptions;
  options.ranks = &compilation.ranks;
  FailureOr<lower::LoweredProgramSet> programs =
      lower::lowerPrograms(*compilation.module, options);
  if (failed(programs))
    return failure();
  compilation.programs = std::move(*programs);
  return success();
}

static const Phase table[] = {
    {"fold", "repeated blocks of a flat model become modules and chains",
     foldPhase},
    {"name-ops", "every op gets a name that is unique in its module",
     [](Compilation &compilation) {
       nameOps(compilation.model());
       return success();
     }},
    {"strategy", "scopes leave the text and become a strategy tree",
     strategyPhase},
    {"unroll-scan", "scans become one shared instance per step",
     [](Compilation &compilation) {
       return runOnModel(compilation, createUnrollScan());
     }},
    {"differentiate", "modules get their backward parts",
     [](Compilation &compilation) {
       return runOnModel(compilation, createDifferentiate());
     }},
    {"apply-plan", "the flat training step that the plan asks for",
     [](Compilation &compilation) {
       return plan::applyPlan(compilation.model(), compilation.form,
                              compilation.applyOptions);
     }},
    {"partition", "one program per role, at local shapes",
     partitionPhase},
    {"lower", "kernels, buffers and instructions", lowerPhase},
};

ArrayRef<Phase> whale::phases() { return table; }

const Phase *whale::findPhase(StringRef name) {
  for (const Phase &phase : phases())
    if (phase.name == name)
      return &phase;
  return nullptr;
}

static PhaseOutcome runPhase(Compilation &compilation, const Phase &phase) {
  Location place = compilation.module->getLoc();
  if (failed(phase.run(compilation)))
    return PhaseOutcome::Refused;
  if (succeeded(mlir::verify(*compilation.module)))
    return PhaseOutcome::Done;
  emitError(place, "phase '") << phase.name << "' made a program that does "
                              << "not verify";
  return PhaseOutcome::Broken;
}

PhaseOutcome whale::runPhases(Compilation &compilation, StringRef after,
                              StringRef last) {
  const Phase *first = after.empty() ? phases().begin() : findPhase(after) + 1;
  const Phase *end = findPhase(last) + 1;
  for (const Phase *phase = first; phase < end; ++phase) {
    PhaseOutcome outcome = runPhase(compilation, *phase);
    if (outcome != PhaseOutcome::Done)
      return outcome;
  }
  return PhaseOutcome::Done;
}
