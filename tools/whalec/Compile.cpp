//===- Compile.cpp - whalec compile ---------------------------------------===//

#include "compiler/support/Files.h"
#include "compiler/support/MlirText.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"
#include "passes/strategy/ModelHash.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Compiling.h"
#include "tools/whalec/Folders.h"

#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string model, plan, output, emit;
  CompileOptions compile;
  bool listPhases = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("model", options.model, "a model.mlir ('-': stdin)")
      ->type_name("FILE");
  command.add_option("--plan", options.plan, "its plan.json")
      ->type_name("FILE");
  addOutput(command, options.output,
            "folder of the programs; with --emit a file (stdout)");
  command.add_option("--target", options.compile.target, "cpu")
      ->type_name("DEVICE");
  command
      .add_option("--emit", options.emit,
                  "stop after a phase and print what is there")
      ->type_name("PHASE");
  command.add_flag("--phases", options.listPhases, "list the phases");
  command
      .add_option("--precision", options.compile.precision,
                  "f32, bf16 or f64 instead of the model's")
      ->check(oneOf({"f32", "bf16", "f64"}))
      ->type_name("TYPE");
  command.add_flag("--keep-gradients", options.compile.keepGradients,
                   "gradients stay readable for 'whalec run --dump'");
  command.add_flag("--canonical", options.compile.canonical,
                   "slow programs whose bits no plan changes");
}

static ExitCode listPhases(Session &session) {
  std::string text;
  for (const Phase &phase : phases())
    text += fmt::format("{:<14} {}\n", phase.name.str(), phase.help.str());
  writeProduct("", text, session.diagnostics);
  return session.diagnostics.exitCode();
}

/// The phase that `--emit` names; null after a report.
static const Phase *expectPhase(const std::string &name,
                                Diagnostics &diagnostics) {
  if (const Phase *phase = findPhase(name))
    return phase;
  Diag &diag =
      diagnostics.error(Place(), "unknown phase " + whale::quoted(name));
  std::vector<std::string> names;
  for (const Phase &phase : phases())
    names.push_back(phase.name.str());
  if (auto nearest = suggest(name, names))
    diag.hint("did you mean " + whale::quoted(*nearest) + "?");
  else
    diag.hint("'whalec compile --phases' lists all phases");
  return nullptr;
}

static bool checkOptions(const Options &options, Diagnostics &diagnostics) {
  if (options.compile.target != "cpu")
    diagnostics
        .error(Place(),
               "cannot compile for " + whale::quoted(options.compile.target),
               ExitCode::Unsupported)
        .hint("this version compiles for 'cpu'");
  else if (options.model.empty() || options.plan.empty())
    diagnostics.error(Place(), options.model.empty() ? "no model is given"
                                                     : "no plan is given");
  else if (options.output.empty() && options.emit.empty())
    diagnostics.error(Place(), "no folder is given")
        .hint("-o names the folder of the programs");
  return !diagnostics.hasErrors();
}

/// The `predicted` of the plan's first phase as JSON text.
static std::string predictedOf(const json::Value &plan) {
  const json::Value *phases = plan.find("phases");
  if (!phases || !phases->isArray() || phases->elements().empty() ||
      !phases->elements()[0].isObject())
    return "";
  const json::Value *predicted = phases->elements()[0].find("predicted");
  if (!predicted)
    return "";
  json::Writer writer;
  writer.value(*predicted);
  return writer.take();
}

/// What the plan says of each stage's arena; nothing where it only guesses.
static std::vector<Bytes> arenasOf(const planner::Plan &plan) {
  std::vector<Bytes> arenas;
  if (plan.prediction.memoryMeasured)
    for (const planner::StagePrediction &stage : plan.prediction.stages)
      arenas.push_back(stage.memory.arena());
  return arenas;
}

/// Reads model and plan and sees that they belong together.
static std::optional<CompileRequest> readRequest(const Options &options,
                                                 Diagnostics &diagnostics) {
  auto context = makeContext();
  std::optional<ModelFile> model =
      readModel(options.model, *context, diagnostics);
  if (!model)
    return std::nullopt;
  std::optional<PlanFile> plan = readPlanFile(options.plan, diagnostics);
  // Plans of the full space are read, but not all of them are lowered.
  if (!plan || !planner::normalize(plan->plan.strategy, diagnostics))
    return std::nullopt;
  MlirMessages messages(*context, diagnostics);
  auto hash = modelHash(model->model());
  if (failed(hash) || !checkPlanIsOf(*plan, options.plan, *hash, diagnostics))
    return std::nullopt;
  // The prediction is of what was planned, and of nothing else.
  bool asPlanned = options.compile.precision.empty() &&
                   !options.compile.keepGradients && !options.compile.canonical;
  return CompileRequest{model->text,
                        options.model,
                        plan->form,
                        plan->text,
                        asPlanned ? predictedOf(plan->json) : "",
                        options.compile,
                        plan->plan.globalBatch,
                        asPlanned ? arenasOf(plan->plan)
                                  : std::vector<Bytes>()};
}

static ExitCode runCompile(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  if (options.listPhases)
    return listPhases(session);
  if (!checkOptions(options, diagnostics))
    return diagnostics.exitCode();
  const Phase *last = nullptr;
  if (!options.emit.empty()) {
    last = expectPhase(options.emit, diagnostics);
    if (!last)
      return diagnostics.exitCode();
  }
  std::optional<CompileRequest> request = readRequest(options, diagnostics);
  if (!request)
    return diagnostics.exitCode();
  if (last) {
    auto text = emitPhase(*request, *last, diagnostics);
    if (text)
      writeProduct(options.output, *text, diagnostics);
    return diagnostics.exitCode();
  }
  FolderReplacement folder(options.output, diagnostics);
  if (folder.good())
    compileToFolder(*request, folder.path(), diagnostics,
                    [&] { return folder.commit(); });
  return diagnostics.exitCode();
}

void cli::addCompile(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "compile",
                      "programs for the ranks of a plan", runCompile, declare);
}
