//===- Presets.h - the preset files inside the program ----------*- C++ -*-===//

#ifndef WHALE_IMPORTERS_PRESETS_H
#define WHALE_IMPORTERS_PRESETS_H

#include "compiler/support/Json.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace whale::importers {

/// One file of presets/, as it was at build time.
struct PresetFile {
  /// The preset's name: the file's without ".json".
  std::string_view name;
  std::string_view text;
};

/// All files by name (generated: EmbedPresets.cmake).
std::span<const PresetFile> presetFiles();

/// What a preset file says: {format_version, summary, source, batch, sequence?,
/// precision, config}.
struct Preset {
  std::string name, summary, source, precision, family;
  int64_t batch = 8;
  std::optional<int64_t> sequence;
  json::Value config;
};

std::optional<Preset> readPreset(const PresetFile &file,
                                 Diagnostics &diagnostics);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_PRESETS_H
