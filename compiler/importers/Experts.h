//===- Experts.h - mixtures of experts without capacity ---------*- C++ -*-===//
//
// Every token reaches its experts (dropless), and adds shared experts that all
// tokens take. Pieces of modules, as in Layers.h.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_EXPERTS_H
#define WHALE_IMPORTERS_EXPERTS_H

#include "compiler/importers/Layers.h"

namespace whale::importers {

/// What a router's logits become.
enum class Score {
  /// A softmax over the chosen ones. Equals `Softmax`, normalised.
  SoftmaxOfChosen,
  /// A softmax over all experts.
  Softmax,
  Sigmoid,
};

struct Experts {
  int64_t count = 0, chosen = 1, ffn = 1;
  /// Width of the feed-forward that every token takes; 0 = none.
  int64_t shared = 0;
  Activation activation = Activation::Silu;
  /// Without a gate, activation(up x) goes down (GPT with experts).
  bool gated = true;
  Init init;
  Score score = Score::SoftmaxOfChosen;
  /// Weights of the chosen are divided by their sum (DeepSeek-V3, Qwen 3).
  bool normalised = false;
  double scaling = 1;
  /// Only the experts of the best `groupsChosen` of `groups` may be chosen; a
  /// group is as good as the sum of its `groupTop` best (DeepSeek-V2, 2.2.2).
  int64_t groups = 1, groupsChosen = 1, groupTop = 1;
  /// A bias of the choice, not of the weight (DeepSeek-V3, 2.1.2). It is moved
  /// by hand in training, not by a gradient; here it stays 0.
  bool correction = false;
  /// Weights multiply the experts' input, not their output (Llama 4).
  bool weighInput = false;

  /// Weight of the balance loss, 0 = none; samples of its groups.
  double balanceWeight = 0;
  int64_t groupSamples = 1;
};

/// The chosen experts' values and numbers, [batch, sequence, choices].
struct Route {
  mlir::Value logits, values, numbers;
  /// Softmax of the logits; null where the score is something else.
  mlir::Value probability;
};
Route route(ModuleBuilder &module, mlir::Value x, const Experts &spec);

/// Sum over the chosen experts of weight * SwiGLU(x), or of their kind.
mlir::Value applyExperts(ModuleBuilder &module, mlir::Value x,
                         const Route &route, const Experts &spec);

//===----------------------------------------------------------------------===//
// Balance loss
//===----------------------------------------------------------------------===//
//
// experts * sum over experts of (share of the choices) * (mean router
// probability), both taken over all layers (Fedus et al. 2022, as Hugging Face
// has it). It couples samples, so it is taken in groups of `groupSamples`
// samples and averaged over groups.

/// Adds this layer's choices and probabilities to the two sums carried, each
/// [groups, experts].
void addBalance(ModuleBuilder &module, const Route &route, const Experts &spec,
                llvm::MutableArrayRef<mlir::Value> sums);

/// The loss `balance` of the sums over `layers` layers.
void balanceLoss(ModuleBuilder &module, llvm::ArrayRef<mlir::Value> sums,
                 const Experts &spec, int64_t layers, int64_t sequence);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_EXPERTS_H
