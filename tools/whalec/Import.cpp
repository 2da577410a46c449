//===- Import.cpp - whalec import -----------------------------------------===//

#include "compiler/importers/Importers.h"
#include "compiler/support/Text.h"
#include "dialects/whale/Parameters.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/ModelFile.h"

#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string file, preset, from = "hf", output;
  std::optional<std::string> lora;
  std::vector<std::string> settings;
  ImportOptions import;
  bool list = false, json = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("file", options.file, "a config.json ('-': stdin)")
      ->type_name("FILE");
  command
      .add_option("--preset", options.preset,
                  "a model that ships with whalec instead of a file")
      ->type_name("NAME");
  command
      .add_option("--from", options.from,
                  "form of the file: hf (Hugging Face config.json)")
      ->type_name("FORM");
  command.add_flag("--list", options.list, "list the presets");
  command
      .add_option("--set", options.settings,
                  "override a key of the configuration; may be repeated")
      ->type_name("KEY=VALUE")
      ->take_all();
  command
      .add_option("--lora", options.lora,
                  "low-rank adapters on the frozen model: rank=16,"
                  "alpha=32,dropout=0,targets=q,k,v,o")
      ->type_name("KEY=VALUE,...");
  ImportOptions &import = options.import;
  command.add_option("--batch", import.batch, "samples of the global batch");
  command.add_option("--sequence", import.sequence, "positions of a sample");
  command.add_option("--precision", import.precision, "f32, bf16 or f64")
      ->type_name("TYPE");
  command
      .add_option("--optimizer", import.optimizer,
                  "adamw, adafactor, momentum or sgd")
      ->type_name("NAME");
  command.add_option("--learning-rate", import.learningRate,
                     "learning rate of the optimizer");
  command.add_option("--seed", import.seed,
                     "seed of weights and random numbers (0)");
  command.add_option("--name", import.name, "the model's name");
  addOutput(command, options.output, "where the model goes (stdout)");
  addJson(command, options.json, "the list of presets as JSON");
}

static std::string listAsJson(const std::vector<PresetInfo> &presets) {
  json::Writer writer;
  writer.beginArray();
  for (const PresetInfo &preset : presets) {
    writer.beginObject();
    writer.field("name", preset.name).field("family", preset.family);
    writer.field("summary", preset.summary).field("source", preset.source);
    writer.endObject();
  }
  return writer.endArray().take();
}

static ExitCode listAll(const Options &options, Session &session) {
  std::vector<PresetInfo> presets = listPresets();
  std::string text;
  size_t width = 0;
  for (const PresetInfo &preset : presets)
    width = std::max(width, preset.name.size());
  for (const PresetInfo &preset : presets)
    text += fmt::format("{:{}}  {}\n", preset.name, width, preset.summary);
  writeProduct(options.output, options.json ? listAsJson(presets) : text,
               session.diagnostics);
  return session.diagnostics.exitCode();
}

/// Whether the options say exactly one thing to import.
static bool checkSource(const Options &options, Diagnostics &diagnostics) {
  if (options.file.empty() == options.preset.empty()) {
    diagnostics
        .error(Place(), options.file.empty()
                            ? "neither a file nor a preset is given"
                            : "both a file and a preset are given")
        .hint("'whalec import --list' lists the presets");
    return false;
  }
  if (options.from != "hf") {
    diagnostics
        .error(Place(), "cannot import from " + whale::quoted(options.from),
               ExitCode::Unsupported)
        .hint("this version imports from 'hf'");
    return false;
  }
  return true;
}

static ExitCode runImport(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  if (options.list)
    return listAll(options, session);
  ImportOptions import = options.import;
  if (!checkSource(options, diagnostics) ||
      !readAssignments(options.settings, "--set", import.settings, diagnostics))
    return diagnostics.exitCode();
  if (options.lora && !(import.lora = parseLora(*options.lora, diagnostics)))
    return diagnostics.exitCode();
  auto context = makeContext();
  MlirMessages messages(*context, diagnostics);
  mlir::OwningOpRef<mlir::ModuleOp> module =
      options.preset.empty()
          ? importHuggingFaceFile(*context, inputPath(options.file), import,
                                  diagnostics)
          : importPreset(*context, options.preset, import, diagnostics);
  if (!module)
    return diagnostics.exitCode();
  ModelOp model = *module->getOps<ModelOp>().begin();
  if (!writeProduct(options.output, printOp(model), diagnostics))
    return diagnostics.exitCode();
  say(fmt::format("{}: {} parameters", model.getSymName().str(),
                  formatCount(countParameters(model).value_or(0))));
  return ExitCode::Ok;
}

void cli::addImport(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "import",
                      "a model from a configuration or a preset", runImport,
                      declare);
}
