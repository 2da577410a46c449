//===- Planning.cpp - the planner's question, from files ------------------===//

#include "tools/whalec/Planning.h"

#include "compiler/planner/CutInside.h"
#include "compiler/support/Sha256.h"
#include "compiler/workload/Rebatch.h"
#include "passes/Pipelines.h"
#include "passes/plan/ReadWorkload.h"
#include "passes/strategy/ModelHash.h"
#include "passes/strategy/Strategy.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/ModelFile.h"
#include "tools/whalec/StrategyNames.h"

using namespace whale;
using namespace whale::cli;

planner::Space cli::spaceOf(std::string_view name) {
  return name == "full" ? planner::Space::Full : planner::Space::Default;
}

/// The model as the planner sees it, and the scopes in its text.
static bool readModelInto(Planning &result, const std::string &path,
                          const std::string &precision,
                          Diagnostics &diagnostics) {
  result.context = makeContext();
  std::optional<ModelFile> file = readModel(path, *result.context, diagnostics);
  if (!file)
    return false;
  result.model = mlir::cast<mlir::ModuleOp>(file->module.get()->clone());
  MlirMessages messages(*result.context, diagnostics);
  plan::ReadWorkloadOptions options;
  auto hash = modelHash(file->model());
  if (failed(hash))
    return false;
  options.modelHash = *hash;
  // What is not computed in 8 bits is in 16.
  options.precision = precision == "fp8" ? "bf16" : precision;
  Compilation compilation;
  compilation.module = std::move(file->module);
  if (!cli::runPhases(compilation, "", lastModelPhase, diagnostics))
    return false;
  auto workload = plan::readWorkload(compilation.model(), options);
  if (failed(workload))
    return false;
  result.workload = std::move(*workload);
  result.changesPrecision = !precision.empty();
  if (result.changesPrecision)
    result.workload.precision = precision;
  if (compilation.scopes)
    result.options.strategy = std::move(*compilation.scopes);
  return true;
}

static std::string hashOf(const Cluster &cluster) {
  json::Writer writer;
  writeCluster(cluster, writer);
  return sha256Hex(writer.take());
}

std::optional<Planning> cli::readQuestion(const std::string &model,
                                          const PlanningOptions &options,
                                          Diagnostics &diagnostics) {
  Planning result;
  std::optional<Cluster> cluster =
      readCluster(inputPath(options.cluster), diagnostics);
  std::optional<planner::Pins> pins =
      planner::readPins(options.pins, diagnostics);
  if (!cluster || !pins)
    return std::nullopt;
  result.cluster = std::make_unique<Cluster>(std::move(*cluster));
  result.hardware = std::make_unique<cost::CatalogueHardware>(*result.cluster);
  if (!readModelInto(result, model, options.precision, diagnostics))
    return std::nullopt;
  if (!options.strategy.empty()) {
    auto strategy = readStrategyFile(inputPath(options.strategy), diagnostics);
    if (!strategy)
      return std::nullopt;
    result.options.strategy = std::move(*strategy);
  }
  if (options.globalBatch &&
      !workload::rebatch(result.workload, *options.globalBatch, diagnostics))
    return std::nullopt;
  result.options.pins = *pins;
  result.options.space = options.space;
  result.options.threads = options.threads;
  result.options.inputs = {{"model", result.workload.modelHash},
                           {"cluster", hashOf(*result.cluster)}};
  if (!planner::check(result.problem(), diagnostics) ||
      !checkStrategyNames(result.options.strategy, result.workload,
                          diagnostics))
    return std::nullopt;
  result.workload = planner::asCut(result.workload, result.options.strategy);
  return result;
}
