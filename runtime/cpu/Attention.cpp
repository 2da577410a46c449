//===- Attention.cpp ------------------------------------------------------===//
//
// Scores are made for a block of queries at a time, over the keys that the
// block can see: with a causal mask only the blocks on and below the diagonal
// are computed. Forward keeps log-sum-exp; backward makes the probabilities
// again from it (T. Dao et al., "FlashAttention", NeurIPS 2022, section 3.1).
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/Function.h"
#include "runtime/cpu/VectorKernels.h"

#include <algorithm>
#include <cmath>

namespace whale::runtime {

using namespace format;

namespace {

/// Extents and options, from a call of either direction.
struct AttentionShape {
  AttentionShape(const CallT &node, const std::vector<int64_t> &scalars)
      : batch(node.operands[0]->dims[0]), queries(node.operands[0]->dims[1]),
        keyHeads(node.operands[0]->dims[2]), group(node.operands[0]->dims[3]),
        head(node.operands[0]->dims[4]), keys(node.operands[1]->dims[1]),
        width(node.operands[2]->dims[3]),
        causal(node.ints[0] != 0), window(node.ints[1]),
        hasBias(node.ints[2] != 0), scale(node.floats[0]),
        shift(scalars.empty() ? 0
                              : scalars[0] -
                                    (scalars.size() > 1 ? scalars[1] : 0)) {}

  /// Keys [low, high) that query i sees, both local.
  int64_t low(int64_t i) const {
    return window > 0 ? std::clamp<int64_t>(i + shift - window + 1, 0, keys)
                      : 0;
  }
  int64_t high(int64_t i) const {
    return causal ? std::clamp<int64_t>(i + shift + 1, low(i), keys) : keys;
  }
  /// Queries per block: small where the triangle would be wasted otherwise.
  int64_t blockSize() const { return keys <= 512 ? 64 : 128; }
  int64_t rowQ() const { return keyHeads * group * head; }
  int64_t rowK() const { return keyHeads * head; }
  int64_t rowOut() const { return keyHeads * group * width; }
  int64_t rowV() const { return keyHeads * width; }
  /// First element of a head in tensors like q, k, the result and v.
  int64_t atQ(int64_t b, int64_t k, int64_t g) const {
    return b * queries * rowQ() + (k * group + g) * head;
  }
  int64_t atK(int64_t b, int64_t k) const {
    return b * keys * rowK() + k * head;
  }
  int64_t atOut(int64_t b, int64_t k, int64_t g) const {
    return b * queries * rowOut() + (k * group + g) * width;
  }
  int64_t atV(int64_t b, int64_t k) const {
    return b * keys * rowV() + k * width;
  }
  /// First row of a head in lse, in rows of one element.
  int64_t atLse(int64_t b, int64_t k, int64_t g) const {
    return ((b * keyHeads + k) * group + g) * queries;
  }
  int64_t atBias(int64_t k, int64_t g) const {
    return (k * group + g) * queries * keys;
  }

  int64_t batch, queries, keyHeads, group, head, keys;
  int64_t width; ///< of a value's head
  bool causal;
  int64_t window;
  bool hasBias;
  double scale;
  int64_t shift; ///< global position of query 0 less that of key 0
};

/// The queries [first, last) of a head and the keys [low, high) they see.
struct Block {
  Block(const AttentionShape &shape, int64_t start)
      : first(start), last(std::min(start + shape.blockSize(), shape.queries)),
        low(shape.low(first)), high(std::max(low, shape.high(last - 1))) {}
  int64_t rows() const { return last - first; }
  int64_t cols() const { return high - low; }

  int64_t first, last, low, high;
};

/// Calls f(b, k, g) for each head.
template <typename F> void forEachHead(const AttentionShape &s, F &&f) {
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t k = 0; k < s.keyHeads; ++k)
      for (int64_t g = 0; g < s.group; ++g)
        f(b, k, g);
}

/// scores = scale * q k^T + bias for a block; q, k: first element of the head.
template <typename C>
void makeScores(const AttentionShape &s, const Blas &blas, const Block &block,
                const C *q, const C *k, const C *bias, C *scores) {
  blas.gemm(false, true, block.rows(), block.cols(), s.head, C(s.scale),
            q + block.first * s.rowQ(), s.rowQ(), k + block.low * s.rowK(),
            s.rowK(), C(0), scores, block.cols());
  if (bias)
    for (int64_t i = block.first; i < block.last; ++i)
      vectorKernels().of<C>().add(bias + i * s.keys + block.low,
                                  scores + (i - block.first) * block.cols(),
                                  block.cols());
}

/// Zeroes what row i of a block does not see; returns its visible part.
template <typename C>
C *visiblePart(const AttentionShape &s, const Block &block, int64_t i, C *row,
               int64_t &count) {
  int64_t low = s.low(i) - block.low;
  int64_t high = std::max(low, s.high(i) - block.low);
  std::fill(row, row + low, C(0));
  std::fill(row + high, row + block.cols(), C(0));
  count = high - low;
  return row + low;
}

template <typename C>
void forwardHead(const AttentionShape &s, const Blas &blas, const C *q,
                 const C *k, const C *v, const C *bias, C *out, C *lse,
                 std::vector<C> &scratch) {
  const VectorKernelsOf<C> &kernels = vectorKernels().of<C>();
  for (int64_t start = 0; start < s.queries; start += s.blockSize()) {
    Block block(s, start);
    scratch.resize(static_cast<size_t>(block.rows() * block.cols() + 1));
    C *scores = scratch.data();
    makeScores(s, blas, block, q, k, bias, scores);
    C inverse[128];
    for (int64_t i = block.first; i < block.last; ++i) {
      int64_t count = 0;
      C *row = visiblePart(s, block, i,
                           scores + (i - block.first) * block.cols(), count);
      C top = kernels.largest(row, count);
      bool seesNone = !(top > -C(INFINITY));
      C sum = kernels.expSum(row, count, seesNone ? C(0) : top);
      inverse[i - block.first] = seesNone ? C(0) : C(1) / sum;
      lse[i] = seesNone ? -C(INFINITY) : top + std::log(sum);
    }
    blas.gemm(false, false, block.rows(), s.width, block.cols(), C(1), scores,
              block.cols(), v + block.low * s.rowV(), s.rowV(), C(0),
              out + block.first * s.rowOut(), s.rowOut());
    for (int64_t i = block.first; i < block.last; ++i)
      kernels.scale(out + i * s.rowOut(), s.width, inverse[i - block.first]);
  }
}

template <typename T> Status attentionForward(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  AttentionShape s(call.node, call.scalars);
  Wide<T> q(call, 0, true), k(call, 1, true), v(call, 2, true);
  size_t result = s.hasBias ? 4 : 3;
  Wide<T> bias(call, s.hasBias ? 3 : 0, s.hasBias);
  Wide<T> out(call, result, false);
  C *lse = call.as<C>(result + 1);
  std::vector<C> scratch;
  forEachHead(s, [&](int64_t b, int64_t kh, int64_t g) {
    forwardHead(s, call.blas, q.get() + s.atQ(b, kh, g),
                k.get() + s.atK(b, kh), v.get() + s.atV(b, kh),
                s.hasBias ? bias.get() + s.atBias(kh, g) : nullptr,
                out.get() + s.atOut(b, kh, g), lse + s.atLse(b, kh, g), scratch);
  });
  out.store();
  return Status();
}

/// Pointers to one head's tensors; null where there is no bias.
template <typename C> struct BackwardHead {
  const C *q, *k, *v, *out, *lse, *dout, *bias;
  C *dq, *dk, *dv, *dbias;
};

template <typename C>
void backwardHead(const AttentionShape &s, const Blas &blas,
                  const BackwardHead<C> &h, std::vector<C> &scratch) {
  const VectorKernelsOf<C> &kernels = vectorKernels().of<C>();
  for (int64_t start = 0; start < s.queries; start += s.blockSize()) {
    Block block(s, start);
    int64_t rows = block.rows(), cols = block.cols();
    scratch.resize(static_cast<size_t>(2 * rows * cols + 1));
    C *p = scratch.data(), *dp = p + rows * cols;
    const C *dout = h.dout + block.first * s.rowOut();
    makeScores(s, blas, block, h.q, h.k, h.bias, p);
    blas.gemm(false, true, rows, cols, s.width, C(1), dout, s.rowOut(),
              h.v + block.low * s.rowV(), s.rowV(), C(0), dp, cols);
    for (int64_t i = block.first; i < block.last; ++i) {
      C *rowP = p + (i - block.first) * cols;
      C *rowD = dp + (i - block.first) * cols;
      int64_t count = 0;
      C *seen = visiblePart(s, block, i, rowP, count);
      visiblePart(s, block, i, rowD, count);
      if (!(h.lse[i] > -C(INFINITY)))
        std::fill(rowP, rowP + cols, C(0));
      else
        kernels.expSum(seen, count, h.lse[i]);
      C delta = kernels.dot(h.dout + i * s.rowOut(), h.out + i * s.rowOut(),
                            s.width);
      kernels.softmaxGradient(seen, rowD + (seen - rowP), count, delta);
      if (h.dbias)
        kernels.add(rowD, h.dbias + i * s.keys + block.low, cols);
    }
    blas.gemm(false, false, rows, s.head, cols, C(s.scale), dp, cols,
              h.k + block.low * s.rowK(), s.rowK(), C(0),
              h.dq + block.first * s.rowQ(), s.rowQ());
    blas.gemm(true, false, cols, s.head, rows, C(s.scale), dp, cols,
              h.q + block.first * s.rowQ(), s.rowQ(), C(1),
              h.dk + block.low * s.rowK(), s.rowK());
    blas.gemm(true, false, cols, s.width, rows, C(1), p, cols, dout,
              s.rowOut(), C(1), h.dv + block.low * s.rowV(), s.rowV());
  }
}

template <typename T> Status attentionBackward(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  AttentionShape s(call.node, call.scalars);
  size_t result = s.hasBias ? 7 : 6;
  Wide<T> q(call, 0, true), k(call, 1, true), v(call, 2, true);
  Wide<T> out(call, 3, true), dout(call, 5, true);
  Wide<T> bias(call, s.hasBias ? 6 : 0, s.hasBias);
  Wide<T> dq(call, result, false), dk(call, result + 1, false);
  Wide<T> dv(call, result + 2, false);
  Wide<T> dbias(call, s.hasBias ? result + 3 : result, false);
  const C *lse = call.as<C>(4);
  std::fill_n(dk.get(), dk.size(), C(0));
  std::fill_n(dv.get(), dv.size(), C(0));
  if (s.hasBias)
    std::fill_n(dbias.get(), dbias.size(), C(0));
  std::vector<C> scratch;
  forEachHead(s, [&](int64_t b, int64_t kh, int64_t g) {
    int64_t atQ = s.atQ(b, kh, g), atK = s.atK(b, kh);
    int64_t atOut = s.atOut(b, kh, g), atV = s.atV(b, kh);
    C *head = s.hasBias ? dbias.get() + s.atBias(kh, g) : nullptr;
    backwardHead<C>(
        s, call.blas,
        {q.get() + atQ, k.get() + atK, v.get() + atV, out.get() + atOut,
         lse + s.atLse(b, kh, g), dout.get() + atOut,
         s.hasBias ? bias.get() + s.atBias(kh, g) : nullptr, dq.get() + atQ,
         dk.get() + atK, dv.get() + atV, head},
        scratch);
  });
  dq.store();
  dk.store();
  dv.store();
  if (s.hasBias)
    dbias.store();
  return Status();
}

Status checkAttention(const CallT &node, bool backward) {
  Shapes shapes(node);
  bool hasBias = node.ints[2] != 0;
  size_t bias = backward ? 6 : 3;
  size_t results = bias + (hasBias ? 1 : 0);
  size_t wanted = results + (backward ? 3 + (hasBias ? 1 : 0) : 2);
  size_t lse = backward ? 4 : results + 1;
  if (!shapes.require(node.operands.size() == wanted,
                      "expected " + std::to_string(wanted) + " operands") ||
      !shapes.requireRank(0, 5) || !shapes.requireRank(1, 4) ||
      !shapes.requireRank(2, 4))
    return shapes.status();
  const std::vector<int64_t> q = shapes.dims(0), k = shapes.dims(1);
  const int64_t width = shapes.dims(2)[3];
  const std::vector<int64_t> v = {q[0], k[1], q[2], width};
  const std::vector<int64_t> out = {q[0], q[1], q[2], q[3], width};
  shapes.requireDims(1, {q[0], k[1], q[2], q[4]});
  shapes.requireDims(2, v);
  shapes.requireDims(lse, {q[0], q[2], q[3], q[1]});
  DType dtype = shapes.dtype(0);
  shapes.require(shapes.dtype(lse) ==
                     (dtype == DType::F64 ? DType::F64 : DType::F32),
                 "log-sum-exp has a wrong type");
  if (hasBias)
    shapes.requireDims(bias, {q[2], q[3], q[1], k[1]});
  for (size_t i = 0; i < wanted; ++i)
    if (i != lse)
      shapes.requireFloats({0, i});
  if (!backward) {
    shapes.requireDims(results, out);
    return shapes.status();
  }
  shapes.requireDims(3, out);
  shapes.requireDims(5, out);
  shapes.requireDims(results, q);
  shapes.requireDims(results + 1, k);
  shapes.requireDims(results + 2, v);
  if (hasBias)
    shapes.requireDims(results + 3, {q[2], q[3], q[1], k[1]});
  return shapes.status();
}

} // namespace

std::vector<NamedFunction> attentionFunctions() {
  auto forward = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(0), [&](auto zero) {
      return attentionForward<decltype(zero)>(call);
    });
  };
  auto backward = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(0), [&](auto zero) {
      return attentionBackward<decltype(zero)>(call);
    });
  };
  return {{"attention_forward",
           {[](const CallT &node) { return checkAttention(node, false); },
            forward}},
          {"attention_backward",
           {[](const CallT &node) { return checkAttention(node, true); },
            backward}}};
}

} // namespace whale::runtime
