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

/// SquaredRelu: So et al. 2021 ("relu2").
enum class Activation { Gelu, GeluTanh, Relu, Silu, SquaredRelu };

/// Reads an activation by Hugging Face's name ("gelu_new", "silu", ...).
Activation readActivation(Config &config, std::string_view key,
                          std::string fallback);

mlir::Value activate(ModuleBuilder &module, llvm::StringRef name,
                     mlir::Value operand, Activation kind);

/// Layer norm or RMS norm over the last dimension; LayerNoBias: a layer norm
/// without shift.
enum class NormKind { Layer, LayerNoBias, Rms };
struct Norm {
  NormKind kind = NormKind::Layer;
  double epsilon = 1e-5;
};
mlir::Value normalize(ModuleBuilder &module, llvm::StringRef name,
                      mlir::Value operand, Norm norm);

/// `operand` by `<name>.weight` of `shape`, as the equation says. Where the
/// model has adapters for `target` (default: the name), theirs is added.
mlir::Value project(ModuleBuilder &module, llvm::StringRef name,
                    llvm::StringRef equation, mlir::Value operand, Shape shape,
                    Init init, llvm::StringRef target = "");

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

/// A trained table [positions, hidden], of which the rows from `first` on are
/// used: [sequence, hidden].
mlir::Value positions(ModuleBuilder &module, llvm::StringRef name,
                      int64_t positions, int64_t sequence, int64_t hidden,
                      Init init, int64_t first = 0);

/// x by a table [vocabulary, hidden] (an embedding's, used as decoder).
mlir::Value decode(ModuleBuilder &module, llvm::StringRef name,
                   mlir::Value operand, mlir::Value table);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_LAYERS_H
