//===- Attention.cpp - attention and rotary positions of the reference ----===//

#include "test/reference/Ops.h"

#include <algorithm>
#include <cmath>

using namespace reference;
using namespace whale;

namespace {
/// One head of one sample: everything that a softmax row needs.
struct Head {
  const Tensors &operands;
  int64_t bias; // position among the operands, -1 without
  double scale;
  bool causal;
  int64_t window; // 0 without
  /// Of the first query among all: a shard of them sees the keys of all.
  int64_t firstQuery = 0;
  int64_t batch = 0, kvHead = 0, group = 0;

  int64_t queries() const { return operands[0].shape[1]; }
  int64_t keys() const { return operands[1].shape[1]; }
  int64_t width() const { return operands[0].shape[4]; }
  int64_t valueWidth() const { return operands[2].shape[3]; }

  Index query(int64_t i, int64_t d) const {
    return {batch, i, kvHead, group, d};
  }
  Index key(int64_t j, int64_t d) const { return {batch, j, kvHead, d}; }
  Index row(int64_t i) const { return {batch, kvHead, group, i}; }
  Index pair(int64_t i, int64_t j) const { return {kvHead, group, i, j}; }

  bool sees(int64_t query, int64_t j) const {
    int64_t i = firstQuery + query;
    return !causal || (j <= i && (window == 0 || i - j < window));
  }
  double score(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t d = 0; d < width(); ++d)
      sum += operands[0].at(query(i, d)) * operands[1].at(key(j, d));
    return sum * scale + (bias < 0 ? 0 : operands[bias].at(pair(i, j)));
  }
};
} // namespace

template <typename OpTy>
static Head makeHead(OpTy op, const Tensors &operands, const Context &context,
                     int64_t biasPosition) {
  constexpr unsigned sequence = 1; // Loop of the iteration space.
  return Head{operands,
              op.getBias() ? biasPosition : -1,
              op.getScale().convertToDouble(),
              op.getCausal(),
              static_cast<int64_t>(op.getWindow().value_or(0)),
              context.offsetOf(sequence)};
}

/// Calls `visit` for every (batch, kv head, group).
static void forEachHead(Head &head, const std::function<void()> &visit) {
  const Shape &q = head.operands[0].shape;
  for (head.batch = 0; head.batch < q[0]; ++head.batch)
    for (head.kvHead = 0; head.kvHead < q[2]; ++head.kvHead)
      for (head.group = 0; head.group < q[3]; ++head.group)
        visit();
}

static void attendRow(const Head &head, int64_t i, Tensors &results) {
  double top = -INFINITY, sum = 0;
  for (int64_t j = 0; j < head.keys(); ++j)
    if (head.sees(i, j))
      top = std::max(top, head.score(i, j));
  for (int64_t j = 0; j < head.keys(); ++j)
    if (head.sees(i, j))
      sum += std::exp(head.score(i, j) - top);
  results[1].at(head.row(i)) = top + std::log(sum);
  for (int64_t j = 0; j < head.keys(); ++j) {
    if (!head.sees(i, j))
      continue;
    double p = std::exp(head.score(i, j) - top) / sum;
    for (int64_t d = 0; d < head.valueWidth(); ++d)
      results[0].at(head.query(i, d)) +=
          p * head.operands[2].at(head.key(j, d));
  }
}

static Tensors evaluateAttention(mlir::Operation *op, const Tensors &operands,
                                 const Context &context) {
  Tensors results;
  for (mlir::Type type : op->getResultTypes())
    results.emplace_back(type);
  Head head = makeHead(llvm::cast<AttentionOp>(op), operands, context, 3);
  forEachHead(head, [&] {
    for (int64_t i = 0; i < head.queries(); ++i)
      attendRow(head, i, results);
  });
  return results;
}

/// Row i of the gradient. With P the weights, dP_j = dO . V_j and
/// dS_j = P_j (dP_j - sum_j P_j dP_j). Operands: q k v out lse dout [bias].
static void attendRowBack(const Head &head, int64_t i, Tensors &results) {
  const Tensors &in = head.operands;
  std::vector<double> p(head.keys()), dp(head.keys());
  double dot = 0;
  for (int64_t j = 0; j < head.keys(); ++j) {
    if (!head.sees(i, j))
      continue;
    p[j] = std::exp(head.score(i, j) - in[4].at(head.row(i)));
    for (int64_t d = 0; d < head.valueWidth(); ++d)
      dp[j] += in[5].at(head.query(i, d)) * in[2].at(head.key(j, d));
    dot += p[j] * dp[j];
  }
  for (int64_t j = 0; j < head.keys(); ++j) {
    double ds = p[j] * (dp[j] - dot);
    if (head.bias >= 0)
      results[3].at(head.pair(i, j)) += ds;
    for (int64_t d = 0; d < head.width(); ++d) {
      Index q = head.query(i, d), k = head.key(j, d);
      results[0].at(q) += head.scale * ds * in[1].at(k);
      results[1].at(k) += head.scale * ds * in[0].at(q);
    }
    for (int64_t d = 0; d < head.valueWidth(); ++d)
      results[2].at(head.key(j, d)) += p[j] * in[5].at(head.query(i, d));
  }
}

static Tensors evaluateAttentionGrad(mlir::Operation *op,
                                     const Tensors &operands,
                                     const Context &context) {
  Tensors results;
  for (mlir::Type type : op->getResultTypes())
    results.emplace_back(type);
  Head head = makeHead(llvm::cast<AttentionGradOp>(op), operands, context, 6);
  forEachHead(head, [&] {
    for (int64_t i = 0; i < head.queries(); ++i)
      attendRowBack(head, i, results);
  });
  return results;
}

/// Angle per position of pair i, as the releases of Llama 3.1 and YaRN write
/// it.
static double rotaryFrequency(RotaryOp rotary, int64_t i, int64_t half) {
  double theta = rotary.getTheta().convertToDouble();
  double frequency = std::pow(theta, -static_cast<double>(i) / half);
  if (!rotary.getScaling())
    return frequency;
  RotaryScalingAttr scaling = *rotary.getScaling();
  double factor = scaling.getFactor().convertToDouble();
  double low = scaling.getLow().convertToDouble();
  double high = scaling.getHigh().convertToDouble();
  double positions = scaling.getPositions().convertToDouble();
  const double circle = 2 * std::acos(-1.0);
  if (scaling.getKind() == RotaryScalingKind::linear)
    return frequency / factor;
  if (scaling.getKind() == RotaryScalingKind::llama3) {
    double wavelength = circle / frequency;
    if (wavelength < positions / high)
      return frequency;
    if (wavelength > positions / low)
      return frequency / factor;
    double smooth = (positions / wavelength - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  }
  auto pair = [&](double turns) {
    return 2.0 * half * std::log(positions / (turns * circle)) /
           (2 * std::log(theta));
  };
  double first = std::max(std::floor(pair(high)), 0.0);
  double last = std::min(std::ceil(pair(low)), 2.0 * half - 1);
  if (first == last)
    last += 0.001;
  double ramp = std::clamp((i - first) / (last - first), 0.0, 1.0);
  return frequency / factor * ramp + frequency * (1 - ramp);
}

static Tensors evaluateRotary(mlir::Operation *op, const Tensors &operands,
                              const Context &context) {
  auto rotary = llvm::cast<RotaryOp>(op);
  double length = rotary.getScaling()
                      ? rotary.getScaling()->getMagnitude().convertToDouble()
                      : 1;
  Tensor result(op->getResult(0).getType());
  int64_t half = result.shape.back() / 2;
  forEachIndex(result.shape, [&](const Index &index) {
    bool upper = index.back() >= half;
    int64_t i = index.back() % half;
    double position = static_cast<double>(index[1] + context.offsetOf(1));
    double angle = position * rotaryFrequency(rotary, i, half);
    if (rotary.getInverse())
      angle = -angle;
    Index low(index), high(index);
    low.back() = i;
    high.back() = i + half;
    double a = operands[0].at(low), b = operands[0].at(high);
    result.at(index) =
        length * (upper ? b * std::cos(angle) + a * std::sin(angle)
                        : a * std::cos(angle) - b * std::sin(angle));
  });
  return {result};
}

llvm::ArrayRef<Row> reference::attentionRows() {
  static const Row rows[] = {
      {"attention", evaluateAttention},
      {"attention_grad", evaluateAttentionGrad},
      {"rotary", evaluateRotary},
  };
  return rows;
}
