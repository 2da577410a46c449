//===- Machine.h - runs lowered programs in tests ---------------*- C++ -*-===//
//
// A naive executor, independent of runtime/: loops over every instruction, no
// BLAS. Kernels are loaded from the emitted shared object.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_UNIT_LOWER_MACHINE_H
#define WHALE_TEST_UNIT_LOWER_MACHINE_H

#include "passes/lower/Lower.h"

#include "mlir/IR/MLIRContext.h"

#include <map>
#include <string>
#include <vector>

namespace whale::test {

/// Lowers text of rank.programs and runs role 0 on one rank.
class Machine {
public:
  explicit Machine(const std::string &text, lower::LowerOptions options = {},
                   const std::string &target = "x86-64-v3");
  ~Machine();

  /// Inputs of the global batch and state, as doubles.
  std::map<std::string, std::vector<double>> inputs;
  std::map<std::string, double> metrics;
  void set(const std::string &variable, const std::vector<double> &values);
  std::vector<double> get(const std::string &variable);
  void run(const std::string &entry, int64_t step = 0);

  lower::LoweredProgramSet set_;
  int64_t seed = 0;
  /// Number of instructions of a kind in all sections but init.
  unsigned count(format::Operation kind) const;

private:
  const format::OperandT &variableOperand(const std::string &name) const;
  char *address(const format::OperandT &operand);
  double load(const format::OperandT &operand, int64_t index);
  void store(const format::OperandT &operand, int64_t index, double value);
  int64_t value(const format::ScalarT *scalar) const;
  void execute(format::OperationUnion &operation);
  void launch(const format::LaunchT &launch);
  void contract(const format::ContractT &contract);
  void copy(const format::CopyT &copy);
  void input(const format::InputT &input);

  mlir::MLIRContext context;
  std::vector<char> arena;
  void *library = nullptr;
  std::string path;
  int64_t step = 0, microBatch = 0;
};

} // namespace whale::test

#endif // WHALE_TEST_UNIT_LOWER_MACHINE_H
