//===- OpNames.h - the names of a module's ops ------------------*- C++ -*-===//
//
// An op's path is the instance path, '/', and its name in its module. The name
// is the attribute `name` where there is one (inherent on variables, inputs,
// losses and instances, discardable elsewhere), else `<mnemonic>.<ordinal>`
// with the ordinal counted among the module's ops of that mnemonic, named ones
// included, so that naming one op does not rename the others.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_DIALECT_OPNAMES_H
#define WHALE_DIALECT_OPNAMES_H

#include "dialects/whale/Whale.h"
#include "llvm/ADT/DenseMap.h"

namespace whale {

/// Names of all ops in a module, nested regions included, as they were when
/// this was made.
class OpNames {
public:
  explicit OpNames(ModuleDefOp module);

  /// The name of `op`, which must be in the module.
  llvm::StringRef of(mlir::Operation *op) const;
  /// The name of the op that defines `value`, or `arg<i>` of an argument.
  std::string of(mlir::Value value) const;

private:
  llvm::DenseMap<mlir::Operation *, std::string> names;
};

} // namespace whale

#endif // WHALE_DIALECT_OPNAMES_H
