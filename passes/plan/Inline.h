//===- Inline.h - instances written out -------------------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_INLINE_H
#define WHALE_PASSES_PLAN_INLINE_H

#include "passes/plan/FlatStep.h"

#include <string>
#include <vector>

namespace whale::plan {

struct InlineOptions {
  /// Backward parts too; the modules must be differentiated.
  bool backward = true;
  /// Top-level chains are written once, as if `repeat` were 1: one instance
  /// stands for its class.
  bool chainsOnce = false;
};

/// A top-level instance op of @main in the flat module.
struct TopLevel {
  InstanceOp source;
  /// Flat values of the (first) instance's arguments and (last) results.
  llvm::SmallVector<mlir::Value> arguments, results;
  /// Gradients that its (last instance's) results got and its (first
  /// instance's) arguments gave; null where there are none.
  llvm::SmallVector<mlir::Value> resultGradients, argumentGradients;
};

struct Flat {
  ModuleDefOp module;
  std::vector<TopLevel> items;
};

/// Appends a module `name` to `model` that holds @main with all instances
/// inlined: variables first (phase prologue, one op for each variable path,
/// tied ones as uses of theirs), then forward, then backward ops; gradients of
/// variables as `whale.gradient`. Sets path, phase, item and variable_path,
/// the keys of dropouts and the names of losses (their paths). Errors with
/// place: no @main, arguments of @main, a module without backward part, scans
/// and scopes that earlier passes remove.
llvm::FailureOr<Flat> inlineModel(ModelOp model, llvm::StringRef name,
                                  const InlineOptions &options);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_INLINE_H
