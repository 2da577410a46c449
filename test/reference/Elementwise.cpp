//===- Elementwise.cpp - elementwise ops of the reference -----------------===//

#include "runtime/format/Random.h"
#include "test/reference/Ops.h"

#include <cmath>

using namespace reference;
using namespace whale;

namespace format = whale::format;

template <auto F>
static Tensors unary(mlir::Operation *op, const Tensors &operands,
                     const Context &) {
  Tensor result(op->getResult(0).getType());
  for (size_t i = 0; i < result.reals.size(); ++i)
    result.reals[i] = F(operands[0].reals[i]);
  return {result};
}

template <auto F>
static Tensors binary(mlir::Operation *op, const Tensors &operands,
                      const Context &) {
  Tensor result(op->getResult(0).getType());
  const Tensor &lhs = operands[0], &rhs = operands[1];
  forEachIndex(result.shape, [&](const Index &index) {
    int64_t l = lhs.broadcastPosition(index), r = rhs.broadcastPosition(index);
    if (result.isInteger)
      result.intAt(index) = F(lhs.integers[l], rhs.integers[r]);
    else
      result.at(index) = F(lhs.reals[l], rhs.reals[r]);
  });
  return {result};
}

static double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

//===----------------------------------------------------------------------===//
// gelu, silu
//===----------------------------------------------------------------------===//

static constexpr double sqrtTwoOverPi = 0.79788456080286535588;
static constexpr double sqrtHalf = 0.70710678118654752440;
static constexpr double oneOverSqrtTwoPi = 0.39894228040143267794;

static double gelu(double x, bool tanh) {
  if (tanh)
    return 0.5 * x *
           (1 + std::tanh(sqrtTwoOverPi * (x + 0.044715 * x * x * x)));
  return 0.5 * x * (1 + std::erf(x * sqrtHalf));
}

static double geluSlope(double x, bool tanh) {
  if (!tanh)
    return 0.5 * (1 + std::erf(x * sqrtHalf)) +
           x * oneOverSqrtTwoPi * std::exp(-0.5 * x * x);
  double t = std::tanh(sqrtTwoOverPi * (x + 0.044715 * x * x * x));
  double inner = sqrtTwoOverPi * (1 + 3 * 0.044715 * x * x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner;
}

static Tensors evaluateGelu(mlir::Operation *op, const Tensors &operands,
                            const Context &) {
  Tensor result(op->getResult(0).getType());
  for (size_t i = 0; i < result.reals.size(); ++i)
    result.reals[i] =
        gelu(operands[0].reals[i], llvm::cast<GeluOp>(op).getTanh());
  return {result};
}

static Tensors evaluateGeluGrad(mlir::Operation *op, const Tensors &operands,
                                const Context &) {
  Tensor result(op->getResult(0).getType());
  bool tanh = llvm::cast<GeluGradOp>(op).getTanh();
  for (size_t i = 0; i < result.reals.size(); ++i)
    result.reals[i] =
        operands[1].reals[i] * geluSlope(operands[0].reals[i], tanh);
  return {result};
}

static double siluGrad(double x, double gradient) {
  double s = sigmoid(x);
  return gradient * (s + x * s * (1 - s));
}

//===----------------------------------------------------------------------===//
// compare, select, cast, dropout
//===----------------------------------------------------------------------===//

template <typename T> static bool holds(Predicate predicate, T a, T b) {
  switch (predicate) {
  case Predicate::eq:
    return a == b;
  case Predicate::ne:
    return a != b;
  case Predicate::lt:
    return a < b;
  case Predicate::le:
    return a <= b;
  case Predicate::gt:
    return a > b;
  case Predicate::ge:
    return a >= b;
  }
  return false;
}

static Tensors evaluateCompare(mlir::Operation *op, const Tensors &operands,
                               const Context &) {
  Predicate predicate = llvm::cast<CompareOp>(op).getPredicate();
  Tensor result(op->getResult(0).getType());
  const Tensor &lhs = operands[0], &rhs = operands[1];
  forEachIndex(result.shape, [&](const Index &index) {
    int64_t l = lhs.broadcastPosition(index), r = rhs.broadcastPosition(index);
    result.intAt(index) =
        lhs.isInteger ? holds(predicate, lhs.integers[l], rhs.integers[r])
                      : holds(predicate, lhs.reals[l], rhs.reals[r]);
  });
  return {result};
}

static Tensors evaluateSelect(mlir::Operation *op, const Tensors &operands,
                              const Context &) {
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &index) {
    bool yes = operands[0].integers[operands[0].broadcastPosition(index)];
    const Tensor &from = operands[yes ? 1 : 2];
    int64_t position = from.broadcastPosition(index);
    if (result.isInteger)
      result.intAt(index) = from.integers[position];
    else
      result.at(index) = from.reals[position];
  });
  return {result};
}

static Tensors evaluateCast(mlir::Operation *op, const Tensors &operands,
                            const Context &) {
  Tensor result(op->getResult(0).getType());
  const Tensor &from = operands[0];
  for (int64_t i = 0; i < result.size(); ++i) {
    if (result.isInteger)
      result.integers[i] = from.isInteger ? from.integers[i]
                                          : static_cast<int64_t>(from.reals[i]);
    else
      result.reals[i] = from.isInteger ? static_cast<double>(from.integers[i])
                                       : from.reals[i];
  }
  return {result};
}

static Tensors evaluateDropout(mlir::Operation *op, const Tensors &operands,
                               const Context &context) {
  double rate = llvm::cast<DropoutOp>(op).getRate().convertToDouble();
  // Random.h: kept when word 0 >= rate * 2^32, rounded down.
  auto threshold = static_cast<uint64_t>(rate * 0x1p32);
  auto key = format::randomKey(context.seed, context.step);
  uint64_t path = format::pathHash(context.key);
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &index) {
    uint64_t global = 0;
    for (size_t dim = 0; dim < index.size(); ++dim)
      global = global * context.extentOf(dim, result.shape[dim]) + index[dim] +
               context.offsetOf(dim);
    bool kept = format::randomBlock(key, path, global)[0] >= threshold;
    result.at(index) = kept ? operands[0].at(index) / (1 - rate) : 0.0;
  });
  return {result};
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

static double signOf(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; }

llvm::ArrayRef<Row> reference::elementwiseRows() {
  static const Row rows[] = {
      {"neg", unary<[](double x) { return -x; }>},
      {"abs", unary<[](double x) { return std::fabs(x); }>},
      {"sign", unary<[](double x) { return signOf(x); }>},
      {"exp", unary<[](double x) { return std::exp(x); }>},
      {"log", unary<[](double x) { return std::log(x); }>},
      {"sqrt", unary<[](double x) { return std::sqrt(x); }>},
      {"rsqrt", unary<[](double x) { return 1 / std::sqrt(x); }>},
      {"reciprocal", unary<[](double x) { return 1 / x; }>},
      {"tanh", unary<[](double x) { return std::tanh(x); }>},
      {"sigmoid", unary<[](double x) { return sigmoid(x); }>},
      {"erf", unary<[](double x) { return std::erf(x); }>},
      {"sin", unary<[](double x) { return std::sin(x); }>},
      {"cos", unary<[](double x) { return std::cos(x); }>},
      {"relu", unary<[](double x) { return x > 0 ? x : 0.0; }>},
      {"silu", unary<[](double x) { return x * sigmoid(x); }>},
      {"floor", unary<[](double x) { return std::floor(x); }>},
      {"stop_gradient", unary<[](double x) { return x; }>},
      {"gelu", evaluateGelu},
      {"gelu_grad", evaluateGeluGrad},
      {"silu_grad", binary<[](auto x, auto g) {
         return static_cast<decltype(x)>(siluGrad(x, g));
       }>},
      {"add", binary<[](auto a, auto b) { return a + b; }>},
      {"sub", binary<[](auto a, auto b) { return a - b; }>},
      {"mul", binary<[](auto a, auto b) { return a * b; }>},
      {"div", binary<[](auto a, auto b) { return a / b; }>},
      {"max", binary<[](auto a, auto b) { return a >= b ? a : b; }>},
      {"min", binary<[](auto a, auto b) { return a <= b ? a : b; }>},
      {"pow", binary<[](auto a, auto b) {
         return static_cast<decltype(a)>(std::pow(a, b));
       }>},
      {"compare", evaluateCompare},
      {"select", evaluateSelect},
      {"cast", evaluateCast},
      {"dropout", evaluateDropout},
  };
  return rows;
}
