//===- DimensionNames.h - what split(dim) may call a loop -------*- C++ -*-===//
//
// Each loop dimension of an op has a set of names. Sources, in this order:
//   - the op's own names (an einsum's letters, attention's heads and group, an
//     embedding's vocabulary, a convolution's in and out, experts);
//   - declared names, those of `whale.input`: they go through every op along
//     its accesses, whatever own names it has;
//   - other names of the operands' dimensions, for loops without an own name;
//   - on einsums of a variable in the forward part the aliases `rows` (the
//     variable's summed dimensions) and `columns` (those that the result has);
//   - for loops that have none by then: the names that the users of the result
//     give that dimension (a broadcast constant, a norm's scale).
// A variable is named by the einsums and embeddings that read it, else by its
// other users; arguments of modules by all sites that instantiate them. A
// dimension of several loops (reshape) carries the names of the outermost.
// Iterated to a fixed point over one module or a whole model, O(ops) a round.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_DIMENSIONNAMES_H
#define WHALE_PASSES_PLAN_DIMENSIONNAMES_H

#include "dialects/whale/Whale.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

namespace whale::plan {

class DimensionNames {
public:
  /// Of a flat step.
  explicit DimensionNames(ModuleDefOp module);
  /// Of all modules of a model, differentiated or not.
  explicit DimensionNames(ModelOp model);

  /// The loop of `op` called `name`: one with this own name, else the first
  /// that has it among its names.
  std::optional<unsigned> findLoop(mlir::Operation *op,
                                   llvm::StringRef name) const;
  /// Names of a loop: its own first, the others in the order of first sight.
  llvm::SmallVector<llvm::StringRef> loopNames(mlir::Operation *op,
                                               unsigned loop) const;
  /// Names of a value's dimension.
  llvm::SmallVector<llvm::StringRef> dimNames(mlir::Value value,
                                              unsigned dim) const;
  bool hasName(mlir::Value value, unsigned dim, llvm::StringRef name) const;
  /// The op's iteration space, computed once.
  const IterationSpace &spaceOf(mlir::Operation *op) const {
    return ops.at(op).space;
  }

private:
  /// Sorted identifiers of names.
  using NameSet = llvm::SmallVector<unsigned, 4>;
  struct OpNames {
    IterationSpace space;
    llvm::SmallVector<NameSet, 6> loops;
  };

  void solve(llvm::ArrayRef<ModuleDefOp> modules);
  void visitForward(mlir::Operation *op);
  void visitCompute(mlir::Operation *op);
  void visitStructure(mlir::Operation *op);
  void visitScan(ScanOp scan);
  void addAliases(EinsumOp op, OpNames &names);
  void visitBackward(mlir::Operation *op);
  void nameVariable(VariableOp op);
  mlir::Value argumentOf(mlir::OpOperand &use) const;
  void fillFromUsers(mlir::Value value);
  void copyDims(mlir::Value from, mlir::Value to);

  unsigned intern(llvm::StringRef name);
  bool add(NameSet &set, unsigned name);
  void addAll(NameSet &set, const NameSet &other, bool declaredOnly = false);
  llvm::SmallVector<NameSet, 4> &dimsOf(mlir::Value value);
  ModuleDefOp calleeOf(llvm::StringRef name) const;

  ModelOp model;
  bool changed = false;
  llvm::StringMap<unsigned> identifiers;
  llvm::SmallVector<llvm::StringRef> names;
  llvm::SmallVector<bool> declared;
  llvm::DenseMap<mlir::Operation *, OpNames> ops;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<NameSet, 4>> dims;
};

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_DIMENSIONNAMES_H
