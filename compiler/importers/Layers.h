//===- Layers.h - what transformer families have in common ------*- C++ -*-===//
//
// Pieces of modules: each adds ops and variables to the module given and
// returns the value. Names of variables are those of the op plus `.weight` and
// `.bias`. Dimension names: notes in Importers.h and docs/language.md.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_LAYERS_H
#define WHALE_IMPORTERS_LAYERS_H

#include "compiler/importers/Config.h"
#include "compiler/importers/ModelBuilder.h"

namespace whale::importers {

enum class Activation { Gelu, GeluTanh, Relu, Silu };

/// Reads an activation by Hugging Face's name ("gelu_new", "silu", ...).
Activation readActivation(Config &config, std::string_view key,
                          std::string fallback);

mlir::Value activate(ModuleBuilder &module, llvm::StringRef name,
                     mlir::Value operand, Activation kind);

/// Layer norm (with bias) or RMS norm over the last dimension.
enum class NormKind { Layer, Rms };
struct Norm {
  NormKind kind = NormKind::Layer;
  double epsilon = 1e-5;
};
mlir::Value normalize(ModuleBuilder &module, llvm::StringRef name,
                      mlir::Value operand, Norm norm);

/// x [batch, sequence, hidden] by `<name>.weight` [hidden, dim] (+ bias); `dim`
/// names the result's last dimension.
struct Linear {
  llvm::StringRef dim;
  int64_t extent = 0;
  Init init;
  bool bias = false;
  /// Name of the contracted dimension.
  llvm::StringRef from = "hidden";
};
mlir::Value linear(ModuleBuilder &module, llvm::StringRef name,
                   mlir::Value operand, const Linear &spec);

/// Attention with its four projections. q [hidden, heads, group, head], k and v
/// [hidden, heads, head], out [heads, group, head, hidden]: `heads` are those
/// of keys and values, `group` the query heads of each.
struct Attention {
  int64_t heads = 1, group = 1, head = 1;
  bool bias = false, outBias = false;
  Init query, keyValue, out;
  double scale = 1;
  AttentionMask mask;
  std::optional<double> rotaryTheta;
  /// Of the probabilities. Not 0: the attention is written out.
  double dropout = 0;
};
/// `memory` gives keys and values: `operand` itself, or an encoder's result.
mlir::Value attend(ModuleBuilder &module, mlir::Value operand,
                   mlir::Value memory, const Attention &spec);

/// Two (gated: three) linear layers.
struct FeedForward {
  int64_t ffn = 1;
  Activation activation = Activation::Gelu;
  /// activation(x gate) * (x up): Shazeer 2020.
  bool gated = false;
  bool bias = false;
  Init in, out;
  /// Between the layers.
  double dropout = 0;
};
mlir::Value feedForward(ModuleBuilder &module, mlir::Value operand,
                        const FeedForward &spec);

/// Rows of a trained table [vocabulary, hidden].
mlir::Value embed(ModuleBuilder &module, llvm::StringRef name,
                  mlir::Value tokens, int64_t vocabulary, int64_t hidden,
                  Init init);

/// A trained table [positions, hidden], of which the first rows are used:
/// [sequence, hidden].
mlir::Value positions(ModuleBuilder &module, llvm::StringRef name,
                      int64_t positions, int64_t sequence, int64_t hidden,
                      Init init);

/// x by a table [vocabulary, hidden] (an embedding's, used as decoder).
mlir::Value decode(ModuleBuilder &module, llvm::StringRef name,
                   mlir::Value operand, mlir::Value table);

/// [rows, columns] that says where column <= row (and row - column < window).
mlir::Value causalMask(ModuleBuilder &module, int64_t sequence,
                       std::optional<int64_t> window);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_LAYERS_H
