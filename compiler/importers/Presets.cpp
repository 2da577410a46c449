//===- Presets.cpp - the preset files inside the program ------------------===//

#include "compiler/importers/Presets.h"

using namespace whale;
using namespace whale::importers;

static constexpr PresetFile files[] = {
#include "compiler/importers/Presets.inc"
};

std::span<const PresetFile> importers::presetFiles() { return files; }

std::optional<Preset> importers::readPreset(const PresetFile &file,
                                            Diagnostics &diagnostics) {
  std::string place = "presets/" + std::string(file.name) + ".json";
  std::optional<json::Value> root = json::parse(file.text, place, diagnostics);
  if (!root)
    return std::nullopt;
  json::ObjectReader reader(*root, "preset", diagnostics);
  if (!json::checkFormatVersion(reader, "preset", 1, diagnostics))
    return std::nullopt;
  Preset preset;
  preset.name = file.name;
  preset.summary = reader.requiredString("summary").value_or("");
  preset.source = reader.requiredString("source").value_or("");
  preset.precision = reader.requiredString("precision").value_or("f32");
  preset.batch = reader.requiredInteger("batch", json::positive).value_or(1);
  preset.sequence = reader.integer("sequence", json::positive);
  if (const json::Value *config = reader.required("config"))
    preset.config = *config;
  if (!reader.finish())
    return std::nullopt;
  json::ObjectReader config(preset.config, "config", diagnostics);
  preset.family = config.requiredString("model_type").value_or("");
  return preset;
}
