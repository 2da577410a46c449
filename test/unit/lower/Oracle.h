//===- Oracle.h - a rank program by the reference, op by op -----*- C++ -*-===//

#ifndef WHALE_TEST_UNIT_LOWER_ORACLE_H
#define WHALE_TEST_UNIT_LOWER_ORACLE_H

#include "test/reference/Evaluate.h"
#include "test/unit/lower/Machine.h"

namespace whale::test {

/// One-rank programs without collectives, in f64, micro-batch by micro-batch.
struct Oracle {
  explicit Oracle(const std::string &text);

  std::map<std::string, std::vector<double>> inputs, variables;
  std::map<std::string, double> metrics;
  uint64_t seed = 0;
  void step(int64_t number = 0);

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;

private:
  void execute(mlir::Operation *op, int64_t microBatch, int64_t number);
  std::map<void *, reference::Tensor> values;
  std::map<std::string, std::vector<double>> assigned;
};

/// What a comparison starts from.
struct Comparison {
  Comparison(std::string text, double tolerance)
      : text(std::move(text)), tolerance(tolerance) {}

  std::string text;
  double tolerance; ///< relative to the largest element of a tensor
  unsigned steps = 1;
  lower::LowerOptions options;
  std::string target = "x86-64-v3";
};

/// Runs both on equal pseudo-random inputs and state; requires equal variables
/// and metrics after each step. Gives the lowered set for further checks.
std::unique_ptr<Machine> requireEqual(const Comparison &comparison);

} // namespace whale::test

#endif // WHALE_TEST_UNIT_LOWER_ORACLE_H
