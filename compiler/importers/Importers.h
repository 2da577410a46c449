//===- Importers.h - models from configurations and presets -----*- C++ -*-===//
//
// A model for the compiler from a Hugging Face `config.json`, or from a preset
// that ships with the compiler (presets/*.json). Both give a whale model of
// global-batch shapes: modules defined once, layers as chains, a training spec.
//
// What the text says
//   inputs    `tokens`, `labels`, ... [batch, sequence]; labels are already
//             shifted: labels[i] is what position i should predict.
//   losses    sum over positions / count over the global batch. Causal models:
//             every position counts. Masked models: those with label >= 0.
//   sequences are full: there is no padding mask.
//   dropout   by whale.dropout at the config's rates; `--set dropout=0` sets
//             all rates. With attention dropout the attention is written out in
//             primitive ops, otherwise it is one fused op. Presets say 0.
//
// Defaults
//   batch      the preset's; 8 for a configuration
//   sequence   the preset's; a configuration's maximal positions
//   precision  the preset's; a configuration's `torch_dtype` (float16 and
//              bfloat16: "bf16"), else "f32"
//   optimizer  AdamW, learning rate 3e-4, beta 0.9 and 0.95, epsilon 1e-8,
//              weight decay 0.1, clipping at norm 1 (Brown et al. 2020,
//              appendix B, for GPT-3; the rate is that of its 760M model). No
//              decay of biases and norms (`**.bias`, `**norm.weight`):
//              parameter groups. resnet: momentum 0.9, rate 0.1, decay 1e-4 (He
//              et al. 2016). m6: Adafactor, rate 1e-3, no decay (notes on M6).
//   seed       0
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_IMPORTERS_H
#define WHALE_IMPORTERS_IMPORTERS_H

#include "compiler/importers/Lora.h"
#include "compiler/support/Diagnostics.h"
#include "compiler/support/Json.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace whale {

/// What the command line says about an import. Unset = the defaults above.
struct ImportOptions {
  /// Samples of the global batch.
  std::optional<int64_t> batch;
  /// Positions of a sample.
  std::optional<int64_t> sequence;
  /// "f32", "bf16" or "f64" (then the model's tensors are f64).
  std::optional<std::string> precision;
  /// "adamw", "adafactor", "momentum" or "sgd".
  std::optional<std::string> optimizer;
  std::optional<double> learningRate;
  int64_t seed = 0;
  /// `--set key=value`: keys of the configuration, in order; the last wins.
  std::vector<std::pair<std::string, std::string>> settings;
  /// Symbol of the model; empty = the preset's or the family's name.
  std::string name;
  /// `--lora`: adapters on a frozen base.
  std::optional<Lora> lora;
};

/// A model that ships with the compiler.
struct PresetInfo {
  std::string name;
  /// Family that reads it: "gpt2", "resnet", ...
  std::string family;
  /// One line.
  std::string summary;
  /// Where its numbers are printed.
  std::string source;
};

/// All presets by name. Their JSON is part of the program.
std::vector<PresetInfo> listPresets();

/// Names of the model types that `importHuggingFace` reads.
std::vector<std::string> listModelTypes();

/// The model of a preset. Null after an error: unknown preset (with the nearest
/// name), unknown or wrong settings.
mlir::OwningOpRef<mlir::ModuleOp> importPreset(mlir::MLIRContext &context,
                                               std::string_view name,
                                               const ImportOptions &options,
                                               Diagnostics &diagnostics);

/// The model of a parsed `config.json`. Null after an error, reported with its
/// place: unknown `model_type`, missing keys, wrong types, sizes that do not
/// fit, unknown settings, features that the importer does not have. Keys that
/// do not change the model are ignored.
mlir::OwningOpRef<mlir::ModuleOp>
importHuggingFace(mlir::MLIRContext &context, const json::Value &config,
                  const ImportOptions &options, Diagnostics &diagnostics);

/// Reads the file first.
mlir::OwningOpRef<mlir::ModuleOp>
importHuggingFaceFile(mlir::MLIRContext &context, const std::string &path,
                      const ImportOptions &options, Diagnostics &diagnostics);

} // namespace whale

#endif // WHALE_IMPORTERS_IMPORTERS_H
