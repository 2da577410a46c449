//===- Harness.h - models from text, gradients by differences ---*- C++ -*-===//

#ifndef WHALE_TEST_UNIT_GRADIENTS_HARNESS_H
#define WHALE_TEST_UNIT_GRADIENTS_HARNESS_H

#include "test/reference/Interpreter.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <random>

namespace reference {

/// A parsed model. Diagnostics are collected, not printed.
class Model {
public:
  /// Parses `text`; `ok` says whether it did.
  explicit Model(const std::string &text);

  bool ok() const { return bool(module); }
  whale::ModelOp op() const;
  /// Runs --whale-unroll-scan and --whale-differentiate.
  bool differentiate();
  /// All errors and notes so far, a line each.
  const std::string &diagnostics() const { return messages; }

private:
  mlir::MLIRContext context;
  std::string messages;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

/// Largest difference between the gradients in `result` and central
/// differences of the total loss, relative to max(1, |gradient|), over at most
/// `perVariable` random entries of each trainable variable in `variables`. A
/// variable without a gradient counts as 0.
struct GradientCheck {
  double worst = 0;
  std::string worstPlace;
  size_t entries = 0;
};
GradientCheck checkGradients(Interpreter &interpreter, const StepResult &result,
                             const std::vector<std::string> &variables,
                             size_t perVariable, std::mt19937_64 &random);

} // namespace reference

#endif // WHALE_TEST_UNIT_GRADIENTS_HARNESS_H
