//===- Layers.cpp - softmax, norms and cross-entropy of the reference -----===//

#include "test/reference/Ops.h"

#include <cmath>

using namespace reference;
using namespace whale;

/// Number of rows and their length: all leading dimensions, the last one.
static std::pair<int64_t, int64_t> rowsOf(const Tensor &tensor) {
  int64_t length = tensor.shape.back();
  return {tensor.size() / length, length};
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// log(sum(exp(row))), safe against overflow.
static double logSumExp(const double *row, int64_t length) {
  double top = *std::max_element(row, row + length), sum = 0;
  for (int64_t i = 0; i < length; ++i)
    sum += std::exp(row[i] - top);
  return top + std::log(sum);
}

static Tensors evaluateSoftmax(mlir::Operation *op, const Tensors &operands,
                               const Context &) {
  Tensor result(op->getResult(0).getType());
  auto [rows, length] = rowsOf(result);
  for (int64_t row = 0; row < rows; ++row) {
    const double *x = &operands[0].reals[row * length];
    double total = logSumExp(x, length);
    for (int64_t i = 0; i < length; ++i)
      result.reals[row * length + i] = std::exp(x[i] - total);
  }
  return {result};
}

static Tensors evaluateSoftmaxGrad(mlir::Operation *op, const Tensors &operands,
                                   const Context &) {
  Tensor result(op->getResult(0).getType());
  auto [rows, length] = rowsOf(result);
  for (int64_t row = 0; row < rows; ++row) {
    const double *y = &operands[0].reals[row * length];
    const double *dy = &operands[1].reals[row * length];
    double dot = 0;
    for (int64_t i = 0; i < length; ++i)
      dot += y[i] * dy[i];
    for (int64_t i = 0; i < length; ++i)
      result.reals[row * length + i] = y[i] * (dy[i] - dot);
  }
  return {result};
}

//===----------------------------------------------------------------------===//
// Normalisation of a set of elements
//===----------------------------------------------------------------------===//

namespace {
/// Positions of the elements that are normalised together.
using Set = std::vector<int64_t>;
struct Moments {
  double mean = 0, variance = 0;
};
} // namespace

static Moments momentsOf(const Tensor &x, const Set &set) {
  Moments moments;
  for (int64_t at : set)
    moments.mean += x.reals[at] / set.size();
  for (int64_t at : set)
    moments.variance += (x.reals[at] - moments.mean) *
                        (x.reals[at] - moments.mean) / set.size();
  return moments;
}

/// Gradient of normalisation over one set. With n = (x - mean) * r, r = 1 /
/// sqrt(variance + epsilon) and h = dy * scale: dx = r (h - mean(h) - n
/// mean(h n)) (Ioffe and Szegedy 2015, section 3). Scale and shift of an
/// element are found by `featureOf`.
static void normalGradient(const Tensors &operands, const Set &set,
                           double epsilon,
                           const std::function<int64_t(int64_t)> &featureOf,
                           Tensors &results) {
  const Tensor &x = operands[0], &scale = operands[1], &dy = operands[2];
  Moments moments = momentsOf(x, set);
  double r = 1 / std::sqrt(moments.variance + epsilon);
  double meanH = 0, meanHN = 0;
  for (int64_t at : set) {
    double n = (x.reals[at] - moments.mean) * r;
    double h = dy.reals[at] * scale.reals[featureOf(at)];
    meanH += h / set.size();
    meanHN += h * n / set.size();
    results[1].reals[featureOf(at)] += dy.reals[at] * n;
    results[2].reals[featureOf(at)] += dy.reals[at];
  }
  for (int64_t at : set) {
    double n = (x.reals[at] - moments.mean) * r;
    double h = dy.reals[at] * scale.reals[featureOf(at)];
    results[0].reals[at] = r * (h - meanH - n * meanHN);
  }
}

static Set rowSet(int64_t row, int64_t length) {
  Set set;
  for (int64_t i = 0; i < length; ++i)
    set.push_back(row * length + i);
  return set;
}

static Tensors zeroResults(mlir::Operation *op) {
  Tensors results;
  for (mlir::Type type : op->getResultTypes())
    results.emplace_back(type);
  return results;
}

//===----------------------------------------------------------------------===//
// Layer norm, RMS norm
//===----------------------------------------------------------------------===//

static Tensors evaluateLayerNorm(mlir::Operation *op, const Tensors &operands,
                                 const Context &) {
  double epsilon = llvm::cast<LayerNormOp>(op).getEpsilon().convertToDouble();
  const Tensor &x = operands[0];
  Tensor result(op->getResult(0).getType());
  auto [rows, length] = rowsOf(x);
  for (int64_t row = 0; row < rows; ++row) {
    Moments moments = momentsOf(x, rowSet(row, length));
    for (int64_t i = 0; i < length; ++i)
      result.reals[row * length + i] =
          (x.reals[row * length + i] - moments.mean) /
              std::sqrt(moments.variance + epsilon) * operands[1].reals[i] +
          operands[2].reals[i];
  }
  return {result};
}

static Tensors evaluateLayerNormGrad(mlir::Operation *op,
                                     const Tensors &operands, const Context &) {
  double epsilon =
      llvm::cast<LayerNormGradOp>(op).getEpsilon().convertToDouble();
  Tensors results = zeroResults(op);
  auto [rows, length] = rowsOf(operands[0]);
  int64_t features = length;
  for (int64_t row = 0; row < rows; ++row)
    normalGradient(
        operands, rowSet(row, length), epsilon,
        [features](int64_t at) { return at % features; }, results);
  return results;
}

static double meanSquare(const double *row, int64_t length) {
  double sum = 0;
  for (int64_t i = 0; i < length; ++i)
    sum += row[i] * row[i];
  return sum / length;
}

static Tensors evaluateRmsNorm(mlir::Operation *op, const Tensors &operands,
                               const Context &) {
  double epsilon = llvm::cast<RmsNormOp>(op).getEpsilon().convertToDouble();
  Tensor result(op->getResult(0).getType());
  auto [rows, length] = rowsOf(result);
  for (int64_t row = 0; row < rows; ++row) {
    const double *x = &operands[0].reals[row * length];
    double r = 1 / std::sqrt(meanSquare(x, length) + epsilon);
    for (int64_t i = 0; i < length; ++i)
      result.reals[row * length + i] = x[i] * r * operands[1].reals[i];
  }
  return {result};
}

/// With h = dy * scale: dx = r h - x r^3 mean(h x).
static Tensors evaluateRmsNormGrad(mlir::Operation *op, const Tensors &operands,
                                   const Context &) {
  double epsilon = llvm::cast<RmsNormGradOp>(op).getEpsilon().convertToDouble();
  Tensors results = zeroResults(op);
  const Tensor &scale = operands[1];
  auto [rows, length] = rowsOf(operands[0]);
  for (int64_t row = 0; row < rows; ++row) {
    const double *x = &operands[0].reals[row * length];
    const double *dy = &operands[2].reals[row * length];
    double r = 1 / std::sqrt(meanSquare(x, length) + epsilon), meanHX = 0;
    for (int64_t i = 0; i < length; ++i)
      meanHX += dy[i] * scale.reals[i] * x[i] / length;
    for (int64_t i = 0; i < length; ++i) {
      results[0].reals[row * length + i] =
          r * dy[i] * scale.reals[i] - x[i] * r * r * r * meanHX;
      results[1].reals[i] += dy[i] * x[i] * r;
    }
  }
  return results;
}

//===----------------------------------------------------------------------===//
// Batch norm
//===----------------------------------------------------------------------===//

/// Elements of one feature in samples [first, first + over).
static Set batchSet(const Tensor &x, int64_t feature, int64_t first,
                    int64_t over) {
  int64_t features = x.shape.back();
  int64_t sample = x.size() / x.shape[0];
  Set set;
  for (int64_t at = first * sample; at < (first + over) * sample; ++at)
    if (at % features == feature)
      set.push_back(at);
  return set;
}

template <typename OpTy> static int64_t groupOf(OpTy op, const Tensor &x) {
  return op.getOver() ? static_cast<int64_t>(*op.getOver()) : x.shape[0];
}

static Tensors evaluateBatchNorm(mlir::Operation *op, const Tensors &operands,
                                 const Context &) {
  auto norm = llvm::cast<BatchNormOp>(op);
  double epsilon = norm.getEpsilon().convertToDouble();
  const Tensor &x = operands[0];
  int64_t over = groupOf(norm, x), groups = x.shape[0] / over;
  Tensors results = zeroResults(op);
  for (int64_t feature = 0; feature < x.shape.back(); ++feature)
    for (int64_t group = 0; group < groups; ++group) {
      Set set = batchSet(x, feature, group * over, over);
      Moments moments = momentsOf(x, set);
      for (int64_t at : set)
        results[0].reals[at] = (x.reals[at] - moments.mean) /
                                   std::sqrt(moments.variance + epsilon) *
                                   operands[1].reals[feature] +
                               operands[2].reals[feature];
      results[1].reals[feature] += moments.mean / groups;
      results[2].reals[feature] += moments.variance / groups;
    }
  return results;
}

static Tensors evaluateBatchNormGrad(mlir::Operation *op,
                                     const Tensors &operands, const Context &) {
  auto norm = llvm::cast<BatchNormGradOp>(op);
  const Tensor &x = operands[0];
  int64_t over = groupOf(norm, x), features = x.shape.back();
  Tensors results = zeroResults(op);
  for (int64_t feature = 0; feature < features; ++feature)
    for (int64_t first = 0; first < x.shape[0]; first += over)
      normalGradient(
          operands, batchSet(x, feature, first, over),
          norm.getEpsilon().convertToDouble(),
          [features](int64_t at) { return at % features; }, results);
  return results;
}

//===----------------------------------------------------------------------===//
// Cross-entropy
//===----------------------------------------------------------------------===//

static Tensors evaluateCrossEntropy(mlir::Operation *op,
                                    const Tensors &operands, const Context &) {
  Tensors results = zeroResults(op);
  auto [rows, classes] = rowsOf(operands[0]);
  for (int64_t row = 0; row < rows; ++row) {
    const double *x = &operands[0].reals[row * classes];
    int64_t label = operands[1].integers[row];
    double total = logSumExp(x, classes);
    bool counts = label >= 0 && label < classes;
    results[0].reals[row] = counts ? total - x[label] : 0.0;
    results[1].reals[row] = total;
  }
  return results;
}

static Tensors evaluateCrossEntropyGrad(mlir::Operation *op,
                                        const Tensors &operands,
                                        const Context &context) {
  Tensor result(op->getResult(0).getType());
  auto [rows, classes] = rowsOf(result);
  size_t loop = result.rank() - 1;
  int64_t first = context.offsetOf(loop);
  int64_t allClasses = context.extentOf(loop, classes);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t label = operands[1].integers[row];
    if (label < 0 || label >= allClasses)
      continue;
    for (int64_t i = 0; i < classes; ++i) {
      int64_t at = row * classes + i;
      double p = std::exp(operands[0].reals[at] - operands[2].reals[row]);
      result.reals[at] =
          (p - (first + i == label ? 1 : 0)) * operands[3].reals[row];
    }
  }
  return {result};
}

llvm::ArrayRef<Row> reference::layerRows() {
  static const Row rows[] = {
      {"softmax", evaluateSoftmax},
      {"softmax_grad", evaluateSoftmaxGrad},
      {"layer_norm", evaluateLayerNorm},
      {"layer_norm_grad", evaluateLayerNormGrad},
      {"rms_norm", evaluateRmsNorm},
      {"rms_norm_grad", evaluateRmsNormGrad},
      {"batch_norm", evaluateBatchNorm},
      {"batch_norm_grad", evaluateBatchNormGrad},
      {"cross_entropy", evaluateCrossEntropy},
      {"cross_entropy_grad", evaluateCrossEntropyGrad},
  };
  return rows;
}
