//===- Oracle.cpp - a rank program by the reference, op by op -------------===//

#include "test/unit/lower/Oracle.h"

#include "dialects/rank/Rank.h"
#include "mlir/Parser/Parser.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace whale;
using namespace whale::test;
using reference::Tensor;

Oracle::Oracle(const std::string &text) {
  context.loadDialect<WhaleDialect, rank::RankDialect>();
  module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  REQUIRE(module);
}

static Tensor tensorOf(mlir::Type type, const std::vector<double> &values,
                       int64_t first = 0) {
  Tensor tensor(type);
  for (int64_t i = 0; i < tensor.size(); ++i) {
    if (tensor.isInteger)
      tensor.integers[i] = static_cast<int64_t>(values.at(first + i));
    else
      tensor.reals[i] = values.at(first + i);
  }
  return tensor;
}

static std::vector<double> numbersOf(const Tensor &tensor) {
  if (!tensor.isInteger)
    return tensor.reals;
  return std::vector<double>(tensor.integers.begin(), tensor.integers.end());
}

/// Value of a scalar at a micro-batch.
static int64_t valueOf(rank::ScalarAttr scalar, int64_t microBatch) {
  int64_t value = scalar.getConstant();
  llvm::ArrayRef<int64_t> terms = scalar.getTerms();
  for (size_t i = 0; i < terms.size(); i += 3)
    value += terms[i] == rank::ScalarAttr::kMicroBatch
                 ? terms[i + 2] * microBatch
                 : 0;
  return value;
}

static std::string phaseName(mlir::Operation *op) {
  auto attr = op->getAttrOfType<mlir::StringAttr>("phase");
  return attr ? attr.getValue().str() : "forward";
}

void Oracle::execute(mlir::Operation *op, int64_t microBatch, int64_t number) {
  auto value = [&](mlir::Value v) -> Tensor & {
    return values[v.getAsOpaquePointer()];
  };
  if (auto variable = llvm::dyn_cast<rank::VariableOp>(op)) {
    value(variable.getResult()) = tensorOf(
        variable.getType(), variables.at(variable.getVariablePath().str()));
    return;
  }
  if (auto input = llvm::dyn_cast<rank::InputOp>(op)) {
    auto type = tensorType(input.getResult());
    int64_t row = type.getNumElements() / type.getShape()[0];
    value(input.getResult()) =
        tensorOf(type, inputs.at(input.getName().str()),
                 row * valueOf(input.getFirstSample(), microBatch));
    return;
  }
  if (auto assign = llvm::dyn_cast<rank::AssignOp>(op)) {
    assigned[assign.getVariablePath().str()] =
        numbersOf(value(assign.getValue()));
    return;
  }
  if (auto metric = llvm::dyn_cast<rank::MetricOp>(op)) {
    metrics[metric.getName().str()] = metric.getWeight().convertToDouble() *
                                      value(metric.getSum()).reals[0] /
                                      value(metric.getCount()).reals[0];
    return;
  }
  if (auto sum = llvm::dyn_cast<rank::AccumulateOp>(op)) {
    const Tensor &part = value(sum.getOperand());
    if (microBatch == 0)
      value(sum.getResult()) = part;
    else
      value(sum.getResult()).add(part);
    return;
  }
  reference::Tensors operands;
  for (mlir::Value operand : op->getOperands())
    operands.push_back(value(operand));
  reference::Context call;
  call.seed = seed;
  call.step = number;
  if (auto dropout = llvm::dyn_cast<DropoutOp>(op))
    call.key = dropout.getKey().value_or("").str();
  reference::Tensors results = reference::evaluate(op, operands, call);
  for (auto [result, tensor] : llvm::zip(op->getResults(), results))
    value(result) = tensor;
}

void Oracle::step(int64_t number) {
  auto program = *module->getOps<rank::ProgramOp>().begin();
  int64_t microBatches = 1;
  if (auto attr = program->getAttrOfType<mlir::IntegerAttr>("micro_batches"))
    microBatches = attr.getInt();
  auto runPhase = [&](const std::string &phase, int64_t microBatch) {
    for (mlir::Operation &op : program.getBody().front()) {
      std::string own = phaseName(&op);
      if (auto sum = llvm::dyn_cast<rank::AccumulateOp>(op))
        own = phaseName(sum.getOperand().getDefiningOp());
      if (own == phase)
        execute(&op, microBatch, number);
    }
  };
  runPhase("prologue", 0);
  for (int64_t micro = 0; micro < microBatches; ++micro) {
    runPhase("forward", micro);
    runPhase("backward", micro);
  }
  runPhase("update", 0);
  for (auto &[path, numbers] : assigned)
    variables[path] = numbers;
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

/// Reproducible numbers in [-1, 1): multiplicative congruence.
static std::vector<double> noise(size_t count, uint64_t &state) {
  std::vector<double> values(count);
  for (double &value : values) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    value = static_cast<float>(double(state >> 40) / (1 << 23) - 1.0);
  }
  return values;
}

static void requireClose(const std::string &what,
                         const std::vector<double> &found,
                         const std::vector<double> &expected,
                         double tolerance) {
  REQUIRE(found.size() == expected.size());
  double scale = 0, worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    scale = std::max(scale, std::fabs(expected[i]));
    double error = std::fabs(found[i] - expected[i]);
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  INFO(what << "[" << at << "]: found " << found[at] << ", expected "
            << expected[at] << ", largest " << scale);
  REQUIRE(worst <= tolerance * std::max(scale, 1e-3));
}

std::unique_ptr<Machine> test::requireEqual(const Comparison &comparison) {
  Oracle oracle(comparison.text);
  auto machine = std::make_unique<Machine>(comparison.text, comparison.options,
                                           comparison.target);
  uint64_t state = 12345;
  oracle.module->walk([&](rank::VariableOp op) {
    std::string path = op.getVariablePath().str();
    if (oracle.variables.count(path))
      return;
    auto values = noise(tensorType(op.getResult()).getNumElements(), state);
    if (op.getKind() == VariableKind::slot)
      for (double &value : values)
        value = std::fabs(value);
    oracle.variables[path] = values;
    machine->set(path, values);
  });
  oracle.module->walk([&](rank::InputOp op) {
    auto type = tensorType(op.getResult());
    auto values = noise(
        type.getNumElements() / type.getShape()[0] * op.getBatch(), state);
    if (llvm::isa<mlir::IntegerType>(type.getElementType()))
      for (double &value : values)
        value = std::floor((value + 1) / 2 * double(op.getRange().value_or(8)));
    oracle.inputs[op.getName().str()] = values;
    machine->inputs[op.getName().str()] = values;
  });
  for (unsigned step = 0; step < comparison.steps; ++step) {
    oracle.step(step);
    machine->run("step", step);
    for (auto &[path, expected] : oracle.variables)
      requireClose(path, machine->get(path), expected, comparison.tolerance);
    for (auto &[name, expected] : oracle.metrics)
      requireClose(name, {machine->metrics[name]}, {expected},
                   comparison.tolerance);
  }
  return machine;
}
