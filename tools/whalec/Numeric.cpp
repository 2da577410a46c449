//===- Numeric.cpp - N ranks against one rank -----------------------------===//

#include "tools/whalec/Numeric.h"

#include "compiler/support/Json.h"
#include "compiler/support/Text.h"
#include "dialects/whale/TrainingSpec.h"
#include "tools/whalec/Compiling.h"
#include "tools/whalec/Folders.h"
#include "tools/whalec/ProgramsFolder.h"
#include "tools/whalec/WhaleRun.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

/// Slots of the optimizer that stores gradients.
constexpr std::string_view gradientSlot = "#m";
/// What a tensor's largest element counts as at least: gradients are sums of
/// terms up to 1 (a probability less a target) that may cancel, and f32 rounds
/// such a term by 6e-8, which is 6e-3 of its tolerance.
constexpr double smallestScale = 1e-2;
/// Steps whose bits are compared.
constexpr int bitSteps = 3;

namespace {
class NumericCheck {
public:
  NumericCheck(const std::string &folder, const TemporaryFolder &scratch,
               NumericResult &result, Diagnostics &diagnostics)
      : folder(folder), scratch(scratch), result(result),
        diagnostics(diagnostics) {}

  bool run();

private:
  bool readInputs();
  bool readPrecision(ModelOp model);
  /// The model's text with the optimizer that stores gradients.
  void storeGradients(ModelOp model);
  bool compile(const std::string &name, const std::string &modelText,
               const planner::NormalForm &form);
  std::optional<std::vector<double>> losses(const std::string &programs,
                                            int steps, const std::string &dump);
  bool compareLosses();
  bool compareGradients();
  bool compareUpdates();
  bool compareDumps(const std::string &one, const std::string &many,
                    std::vector<json::Value> &lines);
  void compareGradient(const json::Value &line);
  void compareBits(const json::Value &line, const std::string &name,
                   size_t &count);
  void compare(const std::string &name, double difference, double magnitude,
               double slack = 1);

  const std::string &folder;
  const TemporaryFolder &scratch;
  NumericResult &result;
  Diagnostics &diagnostics;
  std::string modelText, gradientText;
  planner::NormalForm form;
  int64_t globalBatch = 0;
};
} // namespace

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

/// Tolerances: f64 and f32 as docs/cli.md says; bf16 rounds each result to 8
/// bits, so that sums in another order differ in the last ones.
static double toleranceOf(const std::string &precision) {
  return precision == "f64" ? 1e-12 : precision == "f32" ? 1e-5 : 3e-2;
}

bool NumericCheck::readPrecision(ModelOp model) {
  auto manifest = readManifestOf(folder, diagnostics);
  if (!manifest)
    return false;
  auto text = readListedFile(folder, *manifest, optionsFileName, diagnostics);
  if (!text)
    return false;
  auto json = json::parse(*text, optionsFileName, diagnostics);
  if (!json)
    return false;
  json::ObjectReader reader(*json, "options", diagnostics);
  result.precision = reader.requiredString("precision").value_or("");
  TrainingOp training = model.getTraining();
  if (result.precision.empty() && training)
    if (auto spec = readTrainingSpec(training); succeeded(spec))
      result.precision = spec->precision;
  result.tolerance = toleranceOf(result.precision);
  return !diagnostics.hasErrors();
}

void NumericCheck::storeGradients(ModelOp model) {
  if (TrainingOp training = model.getTraining()) {
    mlir::Builder builder(training.getContext());
    auto entry = [&](llvm::StringRef name, mlir::Attribute value) {
      return builder.getNamedAttr(name, value);
    };
    mlir::NamedAttrList spec(training.getSpec());
    spec.erase("groups");
    spec.erase("clip_norm");
    spec.set("optimizer",
             builder.getDictionaryAttr(
                 {entry("name", builder.getStringAttr("momentum")),
                  entry("momentum", builder.getF64FloatAttr(0)),
                  entry("learning_rate", builder.getF64FloatAttr(0))}));
    training.setSpecAttr(spec.getDictionary(training.getContext()));
  }
  gradientText = printOp(model);
}

bool NumericCheck::readInputs() {
  auto manifest = readManifestOf(folder, diagnostics);
  if (!manifest)
    return false;
  if (result.canonical && !manifest->isCanonical) {
    diagnostics.error(Place(folder), "the programs are not canonical")
        .hint("'whalec compile --canonical' makes canonical ones");
    return false;
  }
  auto text = readListedFile(folder, *manifest, modelFileName, diagnostics);
  if (!text || !readListedFile(folder, *manifest, planFileName, diagnostics))
    return false;
  auto plan = readPlanFile(folder + "/" + planFileName, diagnostics);
  auto context = makeContext();
  auto model =
      parseModel(*text, folder + "/" + modelFileName, *context, diagnostics);
  if (!plan || !model || !readPrecision(model->model()))
    return false;
  modelText = *text;
  form = plan->form;
  globalBatch = plan->plan.globalBatch;
  storeGradients(model->model());
  return true;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

bool NumericCheck::compile(const std::string &name, const std::string &text,
                           const planner::NormalForm &as) {
  CompileRequest request;
  request.modelText = text;
  request.modelName = folder + "/" + modelFileName;
  request.form = as;
  request.globalBatch = globalBatch;
  request.options.precision = result.precision;
  request.options.canonical = result.canonical;
  return compileToFolder(request, scratch / name, diagnostics);
}

/// The loss of each step, from whale-run's JSON lines.
std::optional<std::vector<double>>
NumericCheck::losses(const std::string &programs, int steps,
                     const std::string &dump) {
  std::vector<std::string> arguments = {
      programs, "--steps", std::to_string(steps), "--no-eval", "--json"};
  if (!dump.empty())
    arguments.insert(arguments.end(), {"--dump", dump});
  auto ended = callWhaleRun(arguments, diagnostics);
  if (!ended)
    return std::nullopt;
  if (ended->code != 0) {
    diagnostics.error(Place(programs),
                      fmt::format("whale-run ended with {}", ended->code),
                      ExitCode::Finding);
    return std::nullopt;
  }
  std::vector<double> values;
  for (size_t begin = 0; begin < ended->output.size();) {
    size_t end =
        std::min(ended->output.find('\n', begin), ended->output.size());
    auto line =
        json::parse(std::string_view(ended->output).substr(begin, end - begin),
                    "whale-run", diagnostics);
    if (!line)
      return std::nullopt;
    const json::Value *loss = line->find("loss");
    if (loss && loss->isNumber())
      values.push_back(loss->asNumber());
    begin = end + 1;
  }
  if (int(values.size()) == steps)
    return values;
  diagnostics.error(
      Place(programs),
      fmt::format("{} steps gave {} losses", steps, values.size()),
      ExitCode::Finding);
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Comparing
//===----------------------------------------------------------------------===//

void NumericCheck::compare(const std::string &name, double difference,
                           double magnitude, double slack) {
  double bound = result.tolerance * slack * std::max(smallestScale, magnitude);
  // Not a number is as far away as can be.
  double share = difference <= HUGE_VAL ? difference / bound : HUGE_VAL;
  if (share > result.worst || result.worstName.empty()) {
    result.worst = share;
    result.worstName = name;
  }
  if (share <= 1)
    return;
  diagnostics.error(Place(folder),
                    fmt::format("{} differs from one rank by {:.3g}, allowed "
                                "are {:.3g}",
                                whale::quoted(name), difference, bound),
                    ExitCode::Finding);
}

bool NumericCheck::compareLosses() {
  if (!compile("one", modelText, plan::trivialPlan()))
    return false;
  auto many = losses(folder, 2, "");
  auto one = losses(scratch / "one", 2, "");
  if (!many || !one)
    return false;
  for (size_t step = 0; step < one->size(); ++step)
    compare(fmt::format("loss of step {}", step),
            std::abs((*many)[step] - (*one)[step]), std::abs((*one)[step]),
            step == 0 ? 1 : updateSlack);
  return true;
}

/// What `whale-run --compare` says of each tensor of two dumps.
bool NumericCheck::compareDumps(const std::string &one, const std::string &many,
                                std::vector<json::Value> &lines) {
  // What whale-run thinks of the differences does not matter here.
  auto ended = callWhaleRun({"--compare", one, many, "--json"}, diagnostics);
  if (!ended)
    return false;
  for (size_t begin = 0; begin < ended->output.size();) {
    size_t end =
        std::min(ended->output.find('\n', begin), ended->output.size());
    auto line = json::parse(ended->output.substr(begin, end - begin),
                            "whale-run", diagnostics);
    if (!line)
      return false;
    lines.push_back(std::move(*line));
    begin = end + 1;
  }
  return true;
}

/// The path of a compared tensor.
static std::string pathOf(const json::Value &line) {
  const json::Value *path = line.find("path");
  return path && path->isString() ? path->asString() : "";
}

/// The variable whose gradient a slot holds; nothing for other tensors.
static std::optional<std::string> gradientOf(const std::string &path) {
  if (!path.ends_with(gradientSlot))
    return std::nullopt;
  return path.substr(0, path.size() - gradientSlot.size());
}

void NumericCheck::compareGradient(const json::Value &line) {
  std::optional<std::string> name = gradientOf(pathOf(line));
  if (!name)
    return;
  ++result.gradients;
  auto number = [&](const char *key) {
    const json::Value *value = line.find(key);
    return value && value->isNumber() ? value->asNumber() : HUGE_VAL;
  };
  compare("gradient of " + *name, number("max_difference"),
          number("max_magnitude"));
}

bool NumericCheck::compareGradients() {
  if (!compile("many-gradients", gradientText, form) ||
      !compile("one-gradients", gradientText, plan::trivialPlan()))
    return false;
  std::vector<json::Value> lines;
  if (!losses(scratch / "many-gradients", 1, scratch / "many-dump") ||
      !losses(scratch / "one-gradients", 1, scratch / "one-dump") ||
      !compareDumps(scratch / "one-dump/step-1", scratch / "many-dump/step-1",
                    lines))
    return false;
  for (const json::Value &line : lines)
    if (!result.canonical)
      compareGradient(line);
    else if (auto name = gradientOf(pathOf(line)))
      compareBits(line, "gradient of " + *name, result.gradients);
  if (result.gradients != 0)
    return true;
  diagnostics.error(Place(folder), "no gradient could be compared",
                    ExitCode::Finding);
  return false;
}

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

/// "[1, 2]" or a number.
static std::string textOf(const json::Value *value) {
  if (value && value->isNumber())
    return fmt::format("{}", value->asNumber());
  std::string text;
  if (value && value->isArray())
    for (const json::Value &element : value->elements())
      text += (text.empty() ? "" : ", ") + textOf(&element);
  return "[" + text + "]";
}

/// One tensor; `count` counts them.
void NumericCheck::compareBits(const json::Value &line, const std::string &name,
                               size_t &count) {
  ++count;
  const json::Value *other = line.find("first_other_bits");
  if (!other || !other->isObject())
    return;
  diagnostics.error(
      Place(folder),
      fmt::format("{} has other bits than one rank, first at {}: "
                  "{} instead of {}",
                  whale::quoted(name), textOf(other->find("index")),
                  textOf(other->find("right")), textOf(other->find("left"))),
      ExitCode::Finding);
}

/// Losses and variables of the programs themselves.
bool NumericCheck::compareUpdates() {
  if (!compile("one", modelText, plan::trivialPlan()))
    return false;
  auto many = losses(folder, bitSteps, scratch / "many-state");
  auto one = losses(scratch / "one", bitSteps, scratch / "one-state");
  if (!many || !one)
    return false;
  for (int step = 0; step < bitSteps; ++step)
    if ((*many)[step] != (*one)[step])
      diagnostics.error(
          Place(folder),
          fmt::format("'loss of step {}' has other bits than one rank: {} "
                      "instead of {}",
                      step, (*many)[step], (*one)[step]),
          ExitCode::Finding);
  for (int step = 1; step <= bitSteps; ++step) {
    std::vector<json::Value> lines;
    std::string name = "/step-" + std::to_string(step);
    if (!compareDumps(scratch / ("one-state" + name),
                      scratch / ("many-state" + name), lines))
      return false;
    result.variables = 0;
    for (const json::Value &line : lines)
      compareBits(line, fmt::format("{} after step {}", pathOf(line), step),
                  result.variables);
  }
  return true;
}

bool NumericCheck::run() {
  return readInputs() &&
         (result.canonical ? compareUpdates() : compareLosses()) &&
         compareGradients() && !diagnostics.hasErrors();
}

bool cli::verifyNumerically(const std::string &folder, NumericResult &result,
                            Diagnostics &diagnostics) {
  TemporaryFolder scratch(diagnostics);
  return scratch.good() &&
         NumericCheck(folder, scratch, result, diagnostics).run();
}
