//===- RunModel.h - the model of a measured run -----------------*- C++ -*-===//

#ifndef WHALE_VALIDATION_RUNMODEL_H
#define WHALE_VALIDATION_RUNMODEL_H

#include "compiler/validation/MeasuredRun.h"

namespace whale::validation {

/// What an importer is asked for. Equal requests give equal models.
struct ModelRequest {
  /// A Hugging Face configuration as JSON text, or a preset's name.
  std::string config, preset;
  /// Of the preset: keys of its configuration.
  std::vector<std::pair<std::string, std::string>> settings;
  /// Low-rank adapters on a frozen base (rank 16, as in MLPerf's fine-tuning).
  bool adapters = false;
  int64_t sequence = 0;
  /// "bf16" or "f32": the type of activations and the master copy.
  std::string precision;

  auto operator<=>(const ModelRequest &) const = default;
};

/// The request for a run, or nothing and why this model cannot be rebuilt.
std::optional<ModelRequest> modelOf(const MeasuredRun &run,
                                    std::string &reason);

/// The element type of the linear layers: "f32", "tf32", "bf16", "fp8" or
/// "fp4"; nothing where the text is unknown.
std::optional<std::string> arithmeticOf(const MeasuredRun &run);

} // namespace whale::validation

#endif // WHALE_VALIDATION_RUNMODEL_H
