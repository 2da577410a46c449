//===- Influence.h - which values gradients flow through --------*- C++ -*-===//
//
// A value takes a gradient where it depends on a trainable parameter and a loss
// depends on it. Both are found over the whole model, so that a module's
// arguments and results are judged by all its instances. Both are upper bounds:
// an op may still cut the flow (stop_gradient), which differentiation sees.
//
// One pass over the modules, callers first; linear in ops and uses.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_DIFFERENTIATE_INFLUENCE_H
#define WHALE_PASSES_DIFFERENTIATE_INFLUENCE_H

#include "dialects/whale/Whale.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"

namespace whale {

/// Modules of `model`, each after all that it instantiates.
llvm::SmallVector<ModuleDefOp> calleesFirst(ModelOp model);

class Influence {
public:
  explicit Influence(ModelOp model);

  /// Whether `value` depends on a trainable parameter, here or in a caller.
  bool isVaried(mlir::Value value) const { return varied.contains(value); }
  /// A loss that depends on `value`, here or in a caller; null if none does.
  LossOp lossOf(mlir::Value value) const { return losses.lookup(value); }
  /// The module that `instance` is of.
  ModuleDefOp calleeOf(InstanceOp instance) const;

  /// Whether `module` or one below it holds a loss.
  bool ownsLoss(ModuleDefOp module) const;
  /// Whether a loss is anywhere in the model.
  bool hasLoss() const;

private:
  /// What callers say of a module, and what it holds itself.
  struct Facts {
    llvm::SmallVector<LossOp> resultLosses;
    /// In the module or below it.
    bool trainable = false;
    LossOp ownLoss;
  };

  void collect(ModuleDefOp module);
  void spreadVaried(ModuleDefOp module);
  void spreadLosses(ModuleDefOp module);
  void enterVaried(InstanceOp instance);
  void enterLosses(InstanceOp instance);
  LossOp lossOfResults(mlir::Operation *op) const;
  void markLoss(mlir::Value value, LossOp loss);

  mlir::SymbolTable symbols;
  llvm::DenseMap<mlir::Operation *, Facts> facts;
  llvm::DenseSet<mlir::Value> varied;
  llvm::DenseMap<mlir::Value, LossOp> losses;
};

/// Whether `value` has elements that a gradient could have.
bool isDifferentiable(mlir::Value value);
/// Whether `variable` is trained: a parameter, not frozen, of real numbers.
bool isTrainable(VariableOp variable);

} // namespace whale

#endif // WHALE_PASSES_DIFFERENTIATE_INFLUENCE_H
