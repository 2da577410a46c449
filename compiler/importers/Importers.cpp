//===- Importers.cpp - models from configurations and presets -------------===//

#include "compiler/importers/Importers.h"

#include "compiler/importers/Families.h"
#include "compiler/importers/Presets.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include "mlir/IR/Verifier.h"

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
/// What an import is made from, once options and defaults are joined.
struct Request {
  const json::Value &config;
  const ImportOptions &options;
  Sizes sizes;
  std::string precision;
  /// The model's symbol.
  std::string name;
};
} // namespace

//===----------------------------------------------------------------------===//
// Training spec
//===----------------------------------------------------------------------===//

static std::vector<NamedAttribute> optimizerKeys(Builder &builder,
                                                 Recipe recipe) {
  auto number = [&](StringRef key, double value) {
    return builder.getNamedAttr(key, builder.getF64FloatAttr(value));
  };
  auto name = [&](StringRef value) {
    return builder.getNamedAttr("name", builder.getStringAttr(value));
  };
  switch (recipe) {
  case Recipe::AdamW:
    return {name("adamw"),           number("learning_rate", 3e-4),
            number("beta1", 0.9),    number("beta2", 0.95),
            number("epsilon", 1e-8), number("weight_decay", 0.1)};
  case Recipe::Momentum:
    return {name("momentum"), number("learning_rate", 0.1),
            number("momentum", 0.9), number("weight_decay", 1e-4)};
  case Recipe::Adafactor:
    return {name("adafactor"), number("learning_rate", 1e-3)};
  }
  llvm_unreachable("unknown recipe");
}

/// The recipe that the options ask for; the family's where they do not.
static std::optional<Recipe> recipeOf(const ImportOptions &options,
                                      Recipe fallback) {
  if (!options.optimizer)
    return fallback;
  if (*options.optimizer == "adamw")
    return Recipe::AdamW;
  if (*options.optimizer == "adafactor")
    return Recipe::Adafactor;
  if (*options.optimizer == "momentum" || *options.optimizer == "sgd")
    return Recipe::Momentum;
  return std::nullopt;
}

static DictionaryAttr trainingSpec(Builder &builder, const Request &request,
                                   Recipe recipe) {
  const ImportOptions &options = request.options;
  NamedAttrList optimizer(optimizerKeys(builder, recipe));
  if (options.learningRate)
    optimizer.set("learning_rate",
                  builder.getF64FloatAttr(*options.learningRate));
  if (options.optimizer == "sgd") {
    optimizer.set("name", builder.getStringAttr("sgd"));
    optimizer.erase("momentum");
  }
  NamedAttrList spec;
  if (optimizer.get("weight_decay")) {
    SmallVector<Attribute> groups;
    for (StringRef pattern : {"**.bias", "**norm.weight", "**norm*/*"})
      groups.push_back(builder.getDictionaryAttr(
          {builder.getNamedAttr("match", builder.getStringAttr(pattern)),
           builder.getNamedAttr("weight_decay", builder.getF64FloatAttr(0))}));
    spec.set("groups", builder.getArrayAttr(groups));
  }
  if (recipe == Recipe::AdamW)
    spec.set("clip_norm", builder.getF64FloatAttr(1));
  spec.set("optimizer", optimizer.getDictionary(builder.getContext()));
  spec.set("precision", builder.getStringAttr(request.precision));
  spec.set("seed", builder.getI64IntegerAttr(options.seed));
  return spec.getDictionary(builder.getContext());
}

//===----------------------------------------------------------------------===//
// The import
//===----------------------------------------------------------------------===//

static const Family *findFamily(const json::Value &config,
                                Diagnostics &diagnostics) {
  json::ObjectReader reader(config, "configuration", diagnostics);
  std::optional<std::string> type = reader.requiredString("model_type");
  if (!type)
    return nullptr;
  std::vector<std::string> names;
  for (const Family &family : families()) {
    if (family.name == *type)
      return &family;
    names.emplace_back(family.name);
  }
  Diag &diag = diagnostics.error(config.find("model_type")->place(),
                                 "unknown model_type " + quoted(*type) +
                                     ", expected one of " + quotedList(names));
  if (auto nearest = suggest(*type, names))
    diag.hint("did you mean " + quoted(*nearest) + "?");
  return nullptr;
}

/// Complains about options that no family has to know.
static bool checkOptions(const Request &request, Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  auto size = [&](StringRef what, int64_t value) {
    if (value < 1 || value >= int64_t(1) << 31)
      diagnostics.error(Place(), what.str() + " is " + std::to_string(value) +
                                     ", expected 1 to 2147483647");
  };
  size("batch", request.sizes.batch);
  size("sequence", request.sizes.sequence.value_or(1));
  if (request.precision != "f32" && request.precision != "bf16" &&
      request.precision != "f64")
    diagnostics.error(Place(), "precision is " + quoted(request.precision) +
                                   ", expected 'f32', 'bf16' or 'f64'");
  if (!recipeOf(request.options, Recipe::AdamW))
    diagnostics.error(Place(), "optimizer is " +
                                   quoted(*request.options.optimizer) +
                                   ", expected 'adamw', 'adafactor', "
                                   "'momentum' or 'sgd'");
  for (const auto &[key, value] : request.options.settings)
    if (key == "model_type")
      diagnostics.error(Place("--set model_type"),
                        "'model_type' says what the file is and cannot be set");
  double rate = request.options.learningRate.value_or(0);
  if (!(rate >= 0 && rate <= 1e6))
    diagnostics.error(Place(), "learning rate is " + std::to_string(rate) +
                                   ", expected 0 to 1e6");
  if (request.options.seed < 0)
    diagnostics.error(Place(), "seed is " +
                                   std::to_string(request.options.seed) +
                                   ", expected 0 or more");
  return diagnostics.errorCount() == before;
}

static Location locationOf(MLIRContext *context, const Place &place) {
  if (place.file().empty())
    return UnknownLoc::get(context);
  return FileLineColLoc::get(context, StringRef(place.file()), place.line(),
                             place.column());
}

/// A symbol that prints without quotes.
static std::string symbolOf(StringRef name) {
  std::string symbol = name.str();
  for (char &c : symbol)
    if (!llvm::isAlnum(c))
      c = '_';
  return symbol.empty() || llvm::isDigit(symbol.front()) ? "model_" + symbol
                                                         : symbol;
}

/// Verifies what was built; a failure is a bug of the importer.
static bool verifyModel(ModuleOp module, Diagnostics &diagnostics) {
  std::string text;
  ScopedDiagnosticHandler handler(
      module.getContext(), [&](Diagnostic &diagnostic) {
        text += (text.empty() ? "" : "; ") + diagnostic.str();
        return success();
      });
  if (succeeded(verify(module)))
    return true;
  diagnostics.error(Place(), "the imported model is not valid: " + text,
                    ExitCode::Bug);
  return false;
}

static OwningOpRef<ModuleOp> importModel(MLIRContext &context,
                                         const Request &request,
                                         Diagnostics &diagnostics) {
  const Family *family = findFamily(request.config, diagnostics);
  if (!family || !checkOptions(request, diagnostics))
    return {};
  std::string name = request.options.name;
  if (name.empty())
    name = request.name.empty() ? std::string(family->name) : request.name;
  Builder builder(&context);
  Type element = request.precision == "f64" ? Type(builder.getF64Type())
                                            : Type(builder.getF32Type());
  ModelBuilder model(&context, symbolOf(name),
                     locationOf(&context, request.config.place()), element);
  if (request.options.lora)
    model.adapt(*request.options.lora);
  Config config(request.config, request.options.settings, diagnostics);
  if (!family->build(config, request.sizes, model))
    return {};
  if (auto target = model.unusedTarget()) {
    diagnostics.error(Place("--lora"),
                      "no layer of the model is a target " + quoted(*target));
    return {};
  }
  model.training(trainingSpec(builder, request,
                              *recipeOf(request.options, family->recipe)));
  OwningOpRef<ModuleOp> root = model.take();
  if (!verifyModel(*root, diagnostics))
    return {};
  return root;
}

//===----------------------------------------------------------------------===//
// The doors
//===----------------------------------------------------------------------===//

/// The precision of a configuration's weights.
static std::string precisionOf(const json::Value &config) {
  if (config.isObject())
    for (StringRef key : {"torch_dtype", "dtype"})
      if (const json::Value *type = config.find(key); type && type->isString())
        return type->asString() == "float32" ? "f32" : "bf16";
  return "f32";
}

OwningOpRef<ModuleOp> whale::importHuggingFace(MLIRContext &context,
                                               const json::Value &config,
                                               const ImportOptions &options,
                                               Diagnostics &diagnostics) {
  Sizes sizes{options.batch.value_or(8), options.sequence};
  Request request{config, options, sizes,
                  options.precision.value_or(precisionOf(config)), ""};
  return importModel(context, request, diagnostics);
}

OwningOpRef<ModuleOp> whale::importHuggingFaceFile(MLIRContext &context,
                                                   const std::string &path,
                                                   const ImportOptions &options,
                                                   Diagnostics &diagnostics) {
  std::optional<json::Value> config = json::parseFile(path, diagnostics);
  if (!config)
    return {};
  return importHuggingFace(context, *config, options, diagnostics);
}

OwningOpRef<ModuleOp> whale::importPreset(MLIRContext &context,
                                          std::string_view name,
                                          const ImportOptions &options,
                                          Diagnostics &diagnostics) {
  std::vector<std::string> names;
  for (const PresetFile &file : presetFiles()) {
    names.emplace_back(file.name);
    if (file.name != name)
      continue;
    std::optional<Preset> preset = readPreset(file, diagnostics);
    if (!preset)
      return {};
    Sizes sizes{options.batch.value_or(preset->batch), options.sequence};
    if (!sizes.sequence)
      sizes.sequence = preset->sequence;
    Request request{preset->config, options, sizes,
                    options.precision.value_or(preset->precision),
                    preset->name};
    return importModel(context, request, diagnostics);
  }
  Diag &diag = diagnostics.error(Place(), "unknown preset " + quoted(name));
  if (auto nearest = suggest(name, names))
    diag.hint("did you mean " + quoted(*nearest) + "?");
  else
    diag.hint("presets are " + quotedList(names, 60));
  return {};
}

std::vector<PresetInfo> whale::listPresets() {
  std::vector<PresetInfo> infos;
  Diagnostics ignored;
  for (const PresetFile &file : presetFiles())
    if (std::optional<Preset> preset = readPreset(file, ignored))
      infos.push_back(
          {preset->name, preset->family, preset->summary, preset->source});
  return infos;
}

std::vector<std::string> whale::listModelTypes() {
  std::vector<std::string> names;
  for (const Family &family : families())
    names.emplace_back(family.name);
  return names;
}
