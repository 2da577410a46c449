//===- Validate.cpp - whalec validate -------------------------------------===//

#include "compiler/cost/CatalogueHardware.h"
#include "compiler/importers/Importers.h"
#include "compiler/support/Files.h"
#include "compiler/validation/ExpertWidth.h"
#include "compiler/validation/RunDefaults.h"
#include "compiler/validation/RunMachine.h"
#include "compiler/validation/RunModel.h"
#include "compiler/validation/RunPlan.h"
#include "compiler/validation/RunSoftware.h"
#include "compiler/validation/Statistics.h"
#include "compiler/workload/Rebatch.h"
#include "passes/Pipelines.h"
#include "passes/plan/ReadWorkload.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/ModelFile.h"

#include <map>

using namespace whale;
using namespace whale::cli;
using namespace whale::validation;

namespace {

struct Options {
  std::string runs, parameters;
  bool json = false;
};

/// Predicts rows; models are rebuilt once each.
class Predictor {
public:
  Predictor(const cost::Parameters &parameters, const Catalogue &catalogue)
      : parameters(parameters), catalogue(catalogue) {}

  Outcome predict(const MeasuredRun &row);

private:
  const workload::Workload *workloadOf(const ModelRequest &request,
                                       std::string &reason);
  std::optional<workload::Workload> readModel(const ModelRequest &request,
                                              std::string &reason);
  std::optional<planner::Prediction> evaluate(const MeasuredRun &run,
                                              std::string &reason);

  Bytes memoryOf(MemoryQuantity quantity,
                 const planner::MemoryParts &parts) const;

  cost::Parameters parameters;
  const Catalogue &catalogue;
  /// With the reason where a model cannot be built.
  std::map<ModelRequest,
           std::pair<std::optional<workload::Workload>, std::string>>
      models;
};

/// The first error, without its place in text that nobody wrote.
std::string firstError(const Diagnostics &diagnostics) {
  for (const Diag &diag : diagnostics.messages())
    return diag.message;
  return "unknown error";
}

} // namespace

std::optional<workload::Workload>
Predictor::readModel(const ModelRequest &request, std::string &reason) {
  Diagnostics diagnostics;
  auto context = makeContext();
  MlirMessages messages(*context, diagnostics);
  ImportOptions options;
  // A reshape has no loop over a dimension of size 1, so the batch is more.
  options.batch = 2;
  if (request.sequence > 0)
    options.sequence = request.sequence;
  options.precision = request.precision;
  if (request.adapters)
    options.lora.emplace();
  options.settings = request.settings;
  Compilation compilation;
  if (!request.preset.empty())
    compilation.module =
        importPreset(*context, request.preset, options, diagnostics);
  else if (auto config =
               json::parse(request.config, "configuration", diagnostics))
    compilation.module =
        importHuggingFace(*context, *config, options, diagnostics);
  std::optional<workload::Workload> workload;
  if (compilation.module &&
      cli::runPhases(compilation, "", lastModelPhase, diagnostics))
    if (auto read = plan::readWorkload(compilation.model(), {});
        succeeded(read))
      workload = std::move(*read);
  if (workload)
    nameExpertWidth(*workload);
  else
    reason = "the model cannot be rebuilt: " + firstError(diagnostics);
  return workload;
}

const workload::Workload *Predictor::workloadOf(const ModelRequest &request,
                                                std::string &reason) {
  auto [it, isNew] = models.try_emplace(request);
  if (isNew)
    it->second.first = readModel(request, it->second.second);
  reason = it->second.second;
  return it->second.first ? &*it->second.first : nullptr;
}

std::optional<planner::Prediction> Predictor::evaluate(const MeasuredRun &run,
                                                       std::string &reason) {
  std::optional<ModelRequest> request = modelOf(run, reason);
  std::optional<std::string> machine = clusterOf(run, reason);
  if (!request || !machine)
    return std::nullopt;
  const workload::Workload *model = workloadOf(*request, reason);
  if (!model)
    return std::nullopt;
  Diagnostics diagnostics;
  std::optional<Cluster> cluster =
      parseCluster(*machine, "cluster of " + run.id, catalogue, diagnostics);
  workload::Workload workload = *model;
  workload.precision = *arithmeticOf(run);
  if (!cluster || !run.globalBatch ||
      !workload::rebatch(workload, wholeBatch(run), diagnostics)) {
    reason = !run.globalBatch ? "the global batch is not given"
                              : firstError(diagnostics);
    return std::nullopt;
  }
  cost::CatalogueHardware hardware(*cluster);
  hardware.execution = {stackOf(run), parameters};
  std::optional<planner::Candidate> candidate = planOf(run, workload, reason);
  if (!candidate)
    return std::nullopt;
  planner::CostTable table(workload, hardware);
  return planner::evaluate(table, *candidate);
}

Bytes Predictor::memoryOf(MemoryQuantity quantity,
                          const planner::MemoryParts &parts) const {
  Bytes variable = parts.activations + parts.transients + parts.communication;
  Bytes allocated = parts.arena() - parts.layout;
  Bytes reserved = allocated + variable.scaled(parameters.allocatorReserved);
  switch (quantity) {
  case MemoryQuantity::Allocated:
  case MemoryQuantity::AllocatedLast:
    return allocated;
  case MemoryQuantity::Reserved:
    return reserved;
  case MemoryQuantity::Device:
    return reserved + parts.layout + parts.reserve;
  }
  return allocated;
}

Outcome Predictor::predict(const MeasuredRun &row) {
  Outcome outcome;
  outcome.run = &row;
  if (row.memory > 0)
    outcome.measuredMemory = row.memory;
  MeasuredRun run = withDefaults(row), counted = row;
  counted.globalBatch = run.globalBatch;
  outcome.measuredSeconds = counted.stepSeconds();
  auto prediction = evaluate(run, outcome.reason);
  if (!prediction)
    return outcome;
  outcome.predictedSeconds = toSeconds(prediction->step);
  MemoryQuantity quantity = memoryQuantityOf(run);
  bool ofLast = quantity == MemoryQuantity::AllocatedLast;
  Bytes most;
  for (const planner::StagePrediction &stage : prediction->stages)
    if (!ofLast || &stage == &prediction->stages.back())
      most = std::max(most, memoryOf(quantity, stage.memory));
  if (quantity != MemoryQuantity::Device)
    most += libraryWorkspace(run);
  outcome.predictedMemory = most.asDouble() / (int64_t(1) << 30);
  return outcome;
}

static void declare(CLI::App &command, Options &options) {
  command
      .add_option("--runs", options.runs,
                  "a table of measured runs (CSV; docs/cost-model.md)")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--parameters", options.parameters,
                  "execution parameters instead of the shipped ones")
      ->type_name("FILE");
  addJson(command, options.json, "every row as JSON");
}

static ExitCode runValidate(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  cost::Parameters parameters = cost::defaultParameters();
  if (!options.parameters.empty()) {
    auto json = json::parseFile(inputPath(options.parameters), diagnostics);
    if (!json || !cost::readParameters(*json, parameters, diagnostics))
      return diagnostics.exitCode();
  }
  auto text = readFile(inputPath(options.runs), diagnostics);
  if (!text)
    return diagnostics.exitCode();
  auto runs = readRuns(*text, options.runs, diagnostics);
  if (!runs)
    return diagnostics.exitCode();
  std::optional<Catalogue> catalogue = Catalogue::load(diagnostics);
  if (!catalogue)
    return diagnostics.exitCode();
  Predictor predictor(parameters, *catalogue);
  std::vector<Outcome> outcomes;
  for (const MeasuredRun &run : *runs)
    outcomes.push_back(predictor.predict(run));
  std::string product;
  if (options.json) {
    json::Writer writer;
    writeStatistics(writer, outcomes);
    product = writer.take();
  } else {
    product = printStatistics(outcomes);
  }
  writeProduct("", product, diagnostics);
  return diagnostics.exitCode();
}

void cli::addValidate(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "validate",
                      "predictions beside a table of measured runs",
                      runValidate, declare);
}
