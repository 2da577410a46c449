//===- Sequence.h - a module's ops as a sequence of tokens ------*- C++ -*-===//
//
// The ops that compute, in program order. Variables and constants have no place
// of their own: they are leaves, which belong to the ops that use them, so that
// it does not matter where they are written.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_FOLD_SEQUENCE_H
#define WHALE_PASSES_FOLD_SEQUENCE_H

#include "dialects/whale/Whale.h"
#include "llvm/ADT/DenseMap.h"

#include <map>
#include <vector>

namespace whale::fold {

/// Where an operand comes from.
struct Source {
  enum Kind { Op, Variable, Constant, Argument } kind;
  /// Op: its position; Variable: its number; Constant: its token; Argument: its
  /// index.
  unsigned id;
  /// Of an op.
  unsigned result = 0;

  bool operator==(const Source &) const = default;
  auto operator<=>(const Source &) const = default;
};

/// A variable, which several ops may read.
struct VariableUse {
  VariableOp op;
  /// Equal for variables that differ in their names only.
  unsigned token;
  /// Positions of the first and the last op that reads or assigns it.
  unsigned first = ~0u, last = 0;
  /// Neither tied nor the target of a tie, which goes by path.
  bool isFree;
};

class Sequence {
public:
  explicit Sequence(ModuleDefOp module);

  size_t size() const { return ops.size(); }
  mlir::Operation *op(size_t position) const { return ops[position]; }
  /// Equal where two ops differ at most in names, places and in where operands
  /// of the same types come from. Ops that may not be folded (instances,
  /// inputs, losses, scopes) have tokens of their own.
  llvm::ArrayRef<unsigned> getTokens() const { return tokens; }
  /// One per operand; of an assign also the variable, as the last.
  llvm::ArrayRef<Source> sources(size_t position) const {
    return allSources[position];
  }
  const VariableUse &variable(unsigned number) const {
    return variables[number];
  }
  /// Position of the last user of a result; 0 where it has none.
  unsigned lastUser(size_t position, unsigned result) const {
    return lastUsers[position][result];
  }

private:
  unsigned tokenOf(mlir::Operation *op);
  unsigned numberOf(VariableOp op);
  Source sourceOf(mlir::Value value);
  void addOp(mlir::Operation *op);
  void use(const Source &source, unsigned position);
  bool isFree(VariableOp op) const;

  std::vector<mlir::Operation *> ops;
  std::vector<unsigned> tokens;
  std::vector<llvm::SmallVector<Source, 3>> allSources;
  std::vector<llvm::SmallVector<unsigned, 1>> lastUsers;
  std::vector<VariableUse> variables;
  llvm::DenseMap<mlir::Operation *, unsigned> positions;
  std::map<std::string, unsigned> variableNumbers;
  std::map<std::string, bool> tieTargets;
  /// Numbered in the order of their first use: pointers are only compared.
  std::map<std::vector<const void *>, unsigned> interned;
};

/// Whether an op is a leaf without a name: a constant, an iota.
bool isConstantLeaf(mlir::Operation *op);

} // namespace whale::fold

#endif // WHALE_PASSES_FOLD_SEQUENCE_H
