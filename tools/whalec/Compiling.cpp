//===- Compiling.cpp - from model and plan to a programs/ folder ----------===//

#include "tools/whalec/Compiling.h"

#include "compiler/support/Files.h"
#include "compiler/support/Sha256.h"
#include "compiler/support/Text.h"
#include "dialects/whale/TrainingSpec.h"
#include "passes/lower/Lower.h"
#include "passes/plan/GlobalBatch.h"
#include "passes/strategy/ModelHash.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Signals.h"

#include <filesystem>
#include <fmt/format.h>

using namespace mlir;
using namespace whale;
using namespace whale::cli;

//===----------------------------------------------------------------------===//
// The plan
//===----------------------------------------------------------------------===//

std::optional<PlanFile> cli::readPlanFile(const std::string &path,
                                          Diagnostics &diagnostics,
                                          planner::Space space) {
  std::optional<std::string> text =
      readFile(inputPath(path), diagnostics, json::Limits().bytes);
  if (!text)
    return std::nullopt;
  std::optional<json::Value> json = json::parse(*text, path, diagnostics);
  if (!json)
    return std::nullopt;
  std::optional<planner::Plan> plan = planner::readPlan(*json, diagnostics);
  if (!plan || !planner::check(plan->strategy, diagnostics))
    return std::nullopt;
  if (plan->precision && space == planner::Space::Default) {
    diagnostics.error(Place(path),
                      "arithmetic in " + whale::quoted(plan->precision->to) +
                          " instead of the model's is not compilable yet",
                      ExitCode::Unsupported);
    return std::nullopt;
  }
  std::optional<planner::NormalForm> form =
      planner::normalize(plan->strategy, diagnostics, space);
  if (!form)
    return std::nullopt;
  return PlanFile{std::move(*text), std::move(*json), std::move(*plan),
                  std::move(*form)};
}

bool cli::checkPlanIsOf(const PlanFile &plan, const std::string &path,
                        const std::string &modelHash,
                        Diagnostics &diagnostics) {
  for (const planner::InputHash &input : plan.plan.inputs)
    if (input.name == "model" && input.sha256 == modelHash)
      return true;
  diagnostics.error(Place(path), "the plan is not of this model")
      .hint("the model's hash is " + modelHash + "; plan it again");
  return false;
}

//===----------------------------------------------------------------------===//
// One compilation
//===----------------------------------------------------------------------===//

namespace {
/// A model on its way through the phases.
struct Work {
  std::unique_ptr<MLIRContext> context = makeContext();
  Compilation compilation;
  lower::ManifestData manifest;
};
} // namespace

/// What the manifest says of the model itself.
static bool describeModel(ModelOp model, const CompileRequest &request,
                          Work &work) {
  auto hash = modelHash(model);
  if (failed(hash))
    return false;
  work.manifest.model = model.getSymName().str();
  work.manifest.modelHash = *hash;
  if (TrainingOp training = model.getTraining()) {
    auto spec = readTrainingSpec(training);
    if (failed(spec))
      return false;
    work.manifest.seed = spec->seed;
  }
  if (ModuleDefOp main = model.getMain())
    for (InputOp input : main.getBody().front().getOps<InputOp>())
      work.manifest.globalBatch = tensorType(input.getResult()).getDimSize(0);
  return true;
}

/// Runs all phases up to `last`; `work` is new.
static bool runTo(const CompileRequest &request, llvm::StringRef last,
                  Work &work, Diagnostics &diagnostics) {
  std::optional<ModelFile> file = parseModel(
      request.modelText, request.modelName, *work.context, diagnostics);
  if (!file)
    return false;
  MlirMessages messages(*work.context, diagnostics);
  if (!describeModel(file->model(), request, work))
    return false;
  if (request.globalBatch && request.globalBatch != work.manifest.globalBatch) {
    if (failed(plan::setGlobalBatch(file->model(), request.globalBatch)))
      return false;
    work.manifest.globalBatch = request.globalBatch;
  }
  work.compilation.module = std::move(file->module);
  work.compilation.form = request.form;
  work.compilation.applyOptions.precision = request.options.precision;
  work.compilation.applyOptions.canonical = request.options.canonical;
  work.manifest.isCanonical = request.options.canonical;
  work.compilation.lowerOptions.keepGradients = request.options.keepGradients;
  work.compilation.lowerOptions.modelHash = work.manifest.modelHash;
  work.manifest.planHash = sha256Hex(request.planText);
  work.compilation.lowerOptions.planHash = work.manifest.planHash;
  return cli::runPhases(work.compilation, "", last, diagnostics);
}

std::optional<std::string> cli::emitPhase(const CompileRequest &request,
                                          const Phase &last,
                                          Diagnostics &diagnostics) {
  Work work;
  if (!runTo(request, last.name, work, diagnostics))
    return std::nullopt;
  if (work.compilation.programs)
    return lower::printProgramSet(*work.compilation.programs);
  std::string text;
  for (Operation &op : *work.compilation.module->getBody())
    text += printOp(&op);
  return text;
}

//===----------------------------------------------------------------------===//
// The folder
//===----------------------------------------------------------------------===//

static std::string optionsText(const CompileOptions &options) {
  json::Writer writer;
  writer.beginObject();
  writer.field("format_version", 1);
  writer.field("target", options.target);
  writer.field("precision", options.precision);
  writer.field("keep_gradients", options.keepGradients);
  if (options.canonical)
    writer.field("canonical", true);
  return writer.endObject().take();
}

/// No rank may need more memory than the plan says of its stage: the plan asked
/// the same buffer assignment.
static bool checkArenas(const CompileRequest &request,
                        const Compilation &compilation,
                        Diagnostics &diagnostics) {
  for (auto [number, rank] : llvm::enumerate(compilation.ranks.ranks)) {
    if (rank.stage >= request.arenas.size())
      continue;
    const format::ProgramT &program =
        compilation.programs->roles[rank.role].program;
    Bytes arena(static_cast<int64_t>(program.arenaBytes)),
        promised = request.arenas[rank.stage];
    if (arena <= promised)
      continue;
    diagnostics
        .error(Place(),
               fmt::format("the arena of rank {} has {} bytes, the plan says "
                           "{} of stage {}",
                           number, arena.value(), promised.value(), rank.stage),
               ExitCode::Bug)
        .hint("a plan made by another version may say other numbers: plan it "
              "again");
    return false;
  }
  return true;
}

bool cli::compileToFolder(const CompileRequest &request,
                          const std::string &folder, Diagnostics &diagnostics,
                          const std::function<bool()> &commit) {
  Work work;
  if (!runTo(request, phases().back().name, work, diagnostics) ||
      !checkArenas(request, work.compilation, diagnostics))
    return false;
  work.manifest.predicted = request.predicted;
  work.manifest.files = {{modelFileName, request.modelText},
                         {optionsFileName, optionsText(request.options)}};
  if (!request.planText.empty())
    work.manifest.files.push_back({planFileName, request.planText});
  InterruptionScope writing(InterruptionScope::Mode::Block);
  format::Status status =
      lower::writePrograms(folder, *work.compilation.programs,
                           work.compilation.ranks, work.manifest);
  if (status.ok())
    return !commit || commit();
  diagnostics.error(Place(folder), status.error().message);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return false;
}
