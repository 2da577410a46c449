//===- CpuTest.cpp - The CPU device against naive loops in f64 ------------===//

#include "TestPrograms.h"

#include "runtime/core/Accumulator.h"
#include "runtime/core/Convert.h"
#include "runtime/cpu/CpuDevice.h"
#include "runtime/cpu/Function.h"
#include "runtime/format/Functions.h"
#include "runtime/format/Random.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <map>

using namespace whale::test;
using namespace whale::runtime;

namespace {

using Values = std::vector<double>;

/// One call or contraction on a device of its own. Tensors are added in the
/// order of the operands; numbers go in and out as f64.
class Bench {
public:
  explicit Bench(bool useBlas = true) {
    CpuOptions options;
    options.useBlas = useBlas;
    options.arena = Memory.data() + (64 - uintptr_t(Memory.data()) % 64);
    Arena = options.arena;
    Owner = makeCpuDevice(options);
  }

  /// Adds a tensor with content; returns its index.
  size_t add(DType dtype, std::vector<int64_t> dims, const Values &values) {
    OperandT node = operand(dtype, std::move(dims), Next);
    for (size_t i = 0; i < values.size(); ++i)
      storeNumber(dtype, Arena + Next, i, values[i]);
    Next += (*bytesOf(node) + 63) / 64 * 64;
    REQUIRE(Next + 64 < Memory.size());
    Operands.push_back(node);
    return Operands.size() - 1;
  }
  /// Adds a result, filled with what must be overwritten.
  size_t result(DType dtype, std::vector<int64_t> dims) {
    uint64_t count = *elementsOf(dims);
    return add(dtype, std::move(dims), Values(count, 77));
  }
  Values read(size_t index) const {
    const OperandT &node = Operands[index];
    Values out(*elementsOf(node.dims));
    const auto *sums =
        reinterpret_cast<const Accumulator *>(Arena + node.offset);
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = node.dtype == DType::Accumulator
                   ? sums[i].rounded<double>()
                   : loadNumber(node.dtype, Arena + node.offset, i);
    return out;
  }

  Status call(const std::string &function, std::vector<int64_t> ints = {},
              Values floats = {}, std::vector<int64_t> scalars = {}) {
    CallT node;
    node.function = function;
    for (const OperandT &operand : Operands)
      node.operands.push_back(boxed(operand));
    node.ints = std::move(ints);
    node.floats = std::move(floats);
    for (int64_t value : scalars)
      node.scalars.push_back(scalar(value));
    return run(std::move(node));
  }
  void callOk(const std::string &function, std::vector<int64_t> ints = {},
              Values floats = {}, std::vector<int64_t> scalars = {}) {
    Status status = call(function, ints, floats, scalars);
    INFO((status.ok() ? "" : status.error().text()));
    REQUIRE(status.ok());
  }

  template <typename T> Status run(T node) {
    OperationUnion operation;
    operation.Set(std::move(node));
    auto task = Owner->bind(operation);
    if (task.failed())
      return task.status();
    RunContext context;
    context.arena = Arena;
    return (*task)->run(context);
  }

  std::vector<OperandT> Operands;

private:
  std::vector<std::byte> Memory = std::vector<std::byte>(8 << 20);
  std::byte *Arena = nullptr;
  uint64_t Next = 0;
  std::unique_ptr<Device> Owner;
};

Values randomValues(uint64_t count, uint64_t seed, double scale = 1) {
  Values out(count);
  for (uint64_t i = 0; i < count; ++i)
    out[i] = scale * standardNormal(randomBlock(randomKey(seed, 0), 1, i));
  return out;
}

/// Rounds as storing in the type would.
Values rounded(DType dtype, Values values) {
  for (double &value : values) {
    std::byte bytes[8];
    storeNumber(dtype, bytes, 0, value);
    value = loadNumber(dtype, bytes, 0);
  }
  return values;
}

void requireNear(const Values &got, const Values &expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  double size = 1e-30;
  for (double value : expected)
    if (std::isfinite(value))
      size = std::max(size, std::abs(value));
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i])
      continue;
    INFO("element " << i << ": " << got[i] << " expected " << expected[i]);
    REQUIRE(std::abs(got[i] - expected[i]) <= tolerance * size);
  }
}

double toleranceOf(DType dtype) {
  switch (dtype) {
  case DType::F64:
    return 1e-13;
  case DType::BF16:
    return 1e-2;
  case DType::F16:
    return 2e-3;
  default:
    return 5e-6;
  }
}

const DType floatTypes[] = {DType::F32, DType::F64, DType::BF16, DType::F16};

/// A function and its twin in canonical mode.
struct Variant {
  DType dtype, result;
  std::string prefix;
  double tolerance() const { return toleranceOf(dtype); }
};
const Variant variants[] = {{DType::F32, DType::F32, ""},
                            {DType::F64, DType::F64, ""},
                            {DType::BF16, DType::BF16, ""},
                            {DType::F16, DType::F16, ""},
                            {DType::F32, DType::Accumulator, "canonical_"},
                            {DType::F64, DType::Accumulator, "canonical_"}};

} // namespace

//===----------------------------------------------------------------------===//
// Contraction
//===----------------------------------------------------------------------===//

TEST_CASE("contractions agree with three loops") {
  struct Extents {
    int64_t m, n, k;
  };
  for (bool useBlas : {true, false})
    for (DType dtype : floatTypes)
      for (Extents e : {Extents{1, 1, 1}, Extents{7, 5, 3}, Extents{33, 70, 65},
                        Extents{1, 40, 300}, Extents{100, 3, 0}})
        for (int form = 0; form < 8; ++form) {
          bool ta = form & 1, tb = form & 2, accumulate = form & 4;
          int64_t lda = (ta ? e.m : e.k) + 3, ldb = (tb ? e.k : e.n) + 1;
          int64_t rowsA = ta ? e.k : e.m, rowsB = tb ? e.n : e.k;
          Bench bench(useBlas);
          Values a = rounded(dtype, randomValues(2 * rowsA * lda, 1));
          Values b = rounded(dtype, randomValues(rowsB * ldb, 2));
          Values c = rounded(dtype, randomValues(2 * e.m * e.n, 3));
          bench.add(dtype, {int64_t(a.size())}, a);
          bench.add(dtype, {int64_t(b.size())}, b);
          size_t at = bench.add(dtype, {int64_t(c.size())}, c);
          ContractT node;
          node.a = boxed(bench.Operands[0]);
          node.b = boxed(bench.Operands[1]);
          node.c = boxed(bench.Operands[2]);
          node.batch = {BatchDim(2, rowsA * lda, 0, e.m * e.n)};
          node.m = e.m, node.n = e.n, node.k = e.k;
          node.lda = lda, node.ldb = ldb, node.ldc = e.n;
          node.transA = ta, node.transB = tb;
          node.alpha = 0.5, node.accumulate = accumulate;
          REQUIRE(bench.run(std::move(node)).ok());
          for (int64_t s = 0; s < 2; ++s)
            for (int64_t i = 0; i < e.m; ++i)
              for (int64_t j = 0; j < e.n; ++j) {
                double sum = 0;
                for (int64_t p = 0; p < e.k; ++p)
                  sum += a[s * rowsA * lda + (ta ? p * lda + i : i * lda + p)] *
                         b[tb ? j * ldb + p : p * ldb + j];
                double &slot = c[s * e.m * e.n + i * e.n + j];
                slot = 0.5 * sum + (accumulate ? slot : 0);
              }
          INFO(nameOf(dtype) << " form " << form << " blas " << useBlas);
          requireNear(bench.read(at), c, toleranceOf(dtype));
        }
}

TEST_CASE("16-bit products may be kept in f32") {
  Bench bench;
  Values a = rounded(DType::BF16, randomValues(6, 1));
  Values b = rounded(DType::BF16, randomValues(6, 2));
  bench.add(DType::BF16, {2, 3}, a);
  bench.add(DType::BF16, {3, 2}, b);
  size_t c = bench.result(DType::F32, {2, 2});
  ContractT node;
  node.a = boxed(bench.Operands[0]);
  node.b = boxed(bench.Operands[1]);
  node.c = boxed(bench.Operands[2]);
  node.m = node.n = 2, node.k = 3;
  node.lda = 3, node.ldb = node.ldc = 2;
  REQUIRE(bench.run(std::move(node)).ok());
  Values expected(4);
  for (int i = 0; i < 4; ++i)
    for (int p = 0; p < 3; ++p)
      expected[i] += a[i / 2 * 3 + p] * b[p * 2 + i % 2];
  requireNear(bench.read(c), expected, 1e-6);
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

namespace {

struct AttentionCase {
  int64_t b, s, t, kh, g, d;
  bool causal;
  int64_t window;
  bool bias;
  int64_t shift;
  int64_t w = d; ///< width of a value
};

/// result and log-sum-exp by the definition.
void naiveAttention(const AttentionCase &c, const Values &q, const Values &k,
                    const Values &v, const Values &bias, double scale,
                    Values &out, Values &lse) {
  out.assign(c.b * c.s * c.kh * c.g * c.w, 0);
  lse.assign(c.b * c.kh * c.g * c.s, -INFINITY);
  for (int64_t b = 0; b < c.b; ++b)
    for (int64_t h = 0; h < c.kh; ++h)
      for (int64_t g = 0; g < c.g; ++g)
        for (int64_t i = 0; i < c.s; ++i) {
          auto atQ = [&](int64_t x) {
            return (((b * c.s + i) * c.kh + h) * c.g + g) * c.d + x;
          };
          auto atK = [&](int64_t j, int64_t x) {
            return ((b * c.t + j) * c.kh + h) * c.d + x;
          };
          auto atV = [&](int64_t j, int64_t x) {
            return ((b * c.t + j) * c.kh + h) * c.w + x;
          };
          int64_t atOut = (((b * c.s + i) * c.kh + h) * c.g + g) * c.w;
          Values weight(c.t, 0);
          double sum = 0;
          for (int64_t j = 0; j < c.t; ++j) {
            int64_t ahead = j - (i + c.shift);
            if ((c.causal && ahead > 0) || (c.window && -ahead >= c.window))
              continue;
            double score = 0;
            for (int64_t x = 0; x < c.d; ++x)
              score += q[atQ(x)] * k[atK(j, x)];
            score *= scale;
            if (c.bias)
              score += bias[((h * c.g + g) * c.s + i) * c.t + j];
            sum += weight[j] = std::exp(score);
          }
          if (sum > 0)
            lse[((b * c.kh + h) * c.g + g) * c.s + i] = std::log(sum);
          for (int64_t j = 0; j < c.t && sum > 0; ++j)
            for (int64_t x = 0; x < c.w; ++x)
              out[atOut + x] += weight[j] / sum * v[atV(j, x)];
        }
}

const AttentionCase attentionCases[] = {
    {2, 5, 5, 1, 1, 4, false, 0, false, 0},
    {2, 9, 9, 2, 3, 8, true, 0, true, 0},
    {1, 150, 150, 2, 1, 16, true, 0, false, 0},
    {1, 140, 140, 1, 2, 8, true, 20, true, 0},
    {1, 70, 200, 1, 1, 8, true, 0, false, 130},
    {1, 6, 9, 1, 2, 4, true, 0, false, -3}, // the first queries see no key
    {1, 600, 600, 1, 1, 8, true, 0, false, 0},
    {1, 40, 40, 1, 1, 8, false, 5, true, 0},
    {2, 70, 70, 2, 2, 12, true, 0, true, 0, 8}, // narrow and wide values
    {2, 9, 12, 2, 1, 3, true, 0, false, 3, 5},
};

} // namespace

TEST_CASE("attention agrees with its definition") {
  for (DType dtype : floatTypes)
    for (const AttentionCase &c : attentionCases) {
      if (dtype != DType::F32 && c.s > 150)
        continue;
      uint64_t sizeQ = c.b * c.s * c.kh * c.g * c.d;
      uint64_t sizeK = c.b * c.t * c.kh * c.d;
      Values q = rounded(dtype, randomValues(sizeQ, 1));
      Values k = rounded(dtype, randomValues(sizeK, 2));
      Values v = rounded(dtype, randomValues(sizeK / c.d * c.w, 3));
      Values bias = rounded(dtype, randomValues(c.kh * c.g * c.s * c.t, 4));
      Bench bench;
      bench.add(dtype, {c.b, c.s, c.kh, c.g, c.d}, q);
      bench.add(dtype, {c.b, c.t, c.kh, c.d}, k);
      bench.add(dtype, {c.b, c.t, c.kh, c.w}, v);
      if (c.bias)
        bench.add(dtype, {c.kh, c.g, c.s, c.t}, bias);
      size_t out = bench.result(dtype, {c.b, c.s, c.kh, c.g, c.w});
      size_t lse = bench.result(dtype == DType::F64 ? DType::F64 : DType::F32,
                                {c.b, c.kh, c.g, c.s});
      double scale = 0.3;
      bench.callOk("attention_forward", {c.causal, c.window, c.bias}, {scale},
                   {c.shift + 5, 5});
      Values wantedOut, wantedLse;
      naiveAttention(c, q, k, v, bias, scale, wantedOut, wantedLse);
      INFO(nameOf(dtype) << " s " << c.s << " t " << c.t);
      requireNear(bench.read(out), wantedOut, toleranceOf(dtype));
      requireNear(bench.read(lse), wantedLse, toleranceOf(dtype));
    }
}

TEST_CASE("attention's gradient agrees with finite differences") {
  for (const AttentionCase &c :
       {AttentionCase{2, 5, 5, 1, 2, 3, true, 0, true, 0},
        AttentionCase{1, 6, 8, 2, 1, 3, true, 4, false, 2},
        AttentionCase{1, 5, 4, 1, 1, 2, true, 0, false, -2},
        AttentionCase{2, 5, 5, 2, 2, 3, true, 0, true, 0, 2},
        AttentionCase{1, 4, 6, 1, 2, 2, true, 0, false, 2, 4}}) {
    Values q = randomValues(c.b * c.s * c.kh * c.g * c.d, 1);
    Values k = randomValues(c.b * c.t * c.kh * c.d, 2);
    Values v = randomValues(c.b * c.t * c.kh * c.w, 3);
    Values bias = randomValues(c.kh * c.g * c.s * c.t, 4);
    Values dout = randomValues(c.b * c.s * c.kh * c.g * c.w, 5);
    const double scale = 0.7;
    auto objective = [&] {
      Values out, lse;
      naiveAttention(c, q, k, v, bias, scale, out, lse);
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i)
        sum += out[i] * dout[i];
      return sum;
    };
    auto gradientOf = [&](Values &x) {
      Values out(x.size());
      for (size_t i = 0; i < x.size(); ++i) {
        double kept = x[i], h = 1e-5;
        x[i] = kept + h;
        double up = objective();
        x[i] = kept - h;
        out[i] = (up - objective()) / (2 * h);
        x[i] = kept;
      }
      return out;
    };
    Values out, lse;
    naiveAttention(c, q, k, v, bias, scale, out, lse);
    Bench bench;
    DType t = DType::F64;
    std::vector<int64_t> dimsQ = {c.b, c.s, c.kh, c.g, c.d};
    std::vector<int64_t> dimsK = {c.b, c.t, c.kh, c.d};
    std::vector<int64_t> dimsV = {c.b, c.t, c.kh, c.w};
    std::vector<int64_t> dimsOut = {c.b, c.s, c.kh, c.g, c.w};
    std::vector<int64_t> dimsB = {c.kh, c.g, c.s, c.t};
    bench.add(t, dimsQ, q);
    bench.add(t, dimsK, k);
    bench.add(t, dimsV, v);
    bench.add(t, dimsOut, out);
    bench.add(t, {c.b, c.kh, c.g, c.s}, lse);
    bench.add(t, dimsOut, dout);
    if (c.bias)
      bench.add(t, dimsB, bias);
    size_t dq = bench.result(t, dimsQ), dk = bench.result(t, dimsK);
    size_t dv = bench.result(t, dimsV);
    size_t dbias = c.bias ? bench.result(t, dimsB) : 0;
    bench.callOk("attention_backward", {c.causal, c.window, c.bias}, {scale},
                 {c.shift, 0});
    requireNear(bench.read(dq), gradientOf(q), 1e-8);
    requireNear(bench.read(dk), gradientOf(k), 1e-8);
    requireNear(bench.read(dv), gradientOf(v), 1e-8);
    if (c.bias)
      requireNear(bench.read(dbias), gradientOf(bias), 1e-8);
  }
}

//===----------------------------------------------------------------------===//
// Convolution and pooling
//===----------------------------------------------------------------------===//

namespace {

struct ConvCase {
  int64_t n, h, w, ci, kh, kw, co;
  int64_t sh, sw, top, bottom, left, right, dh, dw;
  int64_t oh() const { return (h + top + bottom - dh * (kh - 1) - 1) / sh + 1; }
  int64_t ow() const { return (w + left + right - dw * (kw - 1) - 1) / sw + 1; }
  std::vector<int64_t> ints() const {
    return {sh, sw, top, bottom, left, right, dh, dw};
  }

  /// f(image, filter, result) for each product of the definition.
  template <typename F> void forEach(F &&f) const {
    for (int64_t b = 0; b < n; ++b)
      for (int64_t y = 0; y < oh(); ++y)
        for (int64_t x = 0; x < ow(); ++x)
          for (int64_t i = 0; i < kh; ++i)
            for (int64_t j = 0; j < kw; ++j) {
              int64_t iy = y * sh - top + i * dh, ix = x * sw - left + j * dw;
              if (iy < 0 || iy >= h || ix < 0 || ix >= w)
                continue;
              for (int64_t c = 0; c < ci; ++c)
                for (int64_t o = 0; o < co; ++o)
                  f(((b * h + iy) * w + ix) * ci + c,
                    ((i * kw + j) * ci + c) * co + o,
                    ((b * oh() + y) * ow() + x) * co + o);
            }
  }
};

const ConvCase convCases[] = {
    {2, 5, 6, 3, 3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1},
    {1, 8, 7, 2, 3, 2, 3, 2, 1, 0, 1, 2, 0, 1, 1},
    {2, 4, 4, 3, 1, 1, 5, 1, 1, 0, 0, 0, 0, 1, 1},
    {1, 9, 9, 2, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2},
};

} // namespace

TEST_CASE("convolution and its gradients agree with their definition") {
  for (const Variant &v : variants)
    for (const ConvCase &c : convCases) {
      std::vector<int64_t> dimsX = {c.n, c.h, c.w, c.ci};
      std::vector<int64_t> dimsW = {c.kh, c.kw, c.ci, c.co};
      std::vector<int64_t> dimsY = {c.n, c.oh(), c.ow(), c.co};
      Values x = rounded(v.dtype, randomValues(*elementsOf(dimsX), 1));
      Values w = rounded(v.dtype, randomValues(*elementsOf(dimsW), 2));
      Values dy = rounded(v.dtype, randomValues(*elementsOf(dimsY), 3));
      Values y(dy.size()), dx(x.size()), dw(w.size());
      c.forEach([&](int64_t i, int64_t f, int64_t o) {
        y[o] += x[i] * w[f];
        dx[i] += dy[o] * w[f];
        dw[f] += dy[o] * x[i];
      });
      Bench forward, input, filter;
      forward.add(v.dtype, dimsX, x);
      forward.add(v.dtype, dimsW, w);
      size_t at = forward.result(v.result, dimsY);
      forward.callOk(v.prefix + "conv2d_forward", c.ints());
      requireNear(forward.read(at), y, v.tolerance());
      input.add(v.dtype, dimsY, dy);
      input.add(v.dtype, dimsW, w);
      at = input.result(v.result, dimsX);
      input.callOk(v.prefix + "conv2d_backward_input", c.ints());
      requireNear(input.read(at), dx, v.tolerance());
      filter.add(v.dtype, dimsX, x);
      filter.add(v.dtype, dimsY, dy);
      at = filter.result(v.result, dimsW);
      filter.callOk(v.prefix + "conv2d_backward_filter", c.ints());
      requireNear(filter.read(at), dw, v.tolerance());
    }
}

TEST_CASE("pooling and its gradients") {
  // 1 x 3 x 4 x 1, window 2 x 2, stride 1 x 2, one row of padding below.
  Values x = {1, 5, 2, 2, 3, 5, 8, 1, 4, 0, 7, 7};
  Values dy = {1, 2, 3, 4, 5, 6};
  std::vector<int64_t> ints = {2, 2, 1, 2, 0, 1, 0, 0};
  Bench forward;
  forward.add(DType::F32, {1, 3, 4, 1}, x);
  size_t y = forward.result(DType::F32, {1, 3, 2, 1});
  forward.callOk("max_pool_forward", ints);
  CHECK(forward.read(y) == Values{5, 8, 5, 8, 4, 7});
  Bench backward;
  backward.add(DType::F32, {1, 3, 4, 1}, x);
  backward.add(DType::F32, {1, 3, 2, 1}, dy);
  size_t dx = backward.result(DType::F32, {1, 3, 4, 1});
  backward.callOk("max_pool_backward", ints);
  // Equals: the first in row-major order wins.
  CHECK(backward.read(dx) == Values{0, 1, 0, 0, 0, 3, 6, 0, 5, 0, 6, 0});
  Bench average;
  average.add(DType::F32, {1, 3, 4, 1}, x);
  y = average.result(DType::F32, {1, 3, 2, 1});
  average.callOk("avg_pool_forward", ints);
  CHECK(average.read(y) == Values{3.5, 3.25, 3, 5.75, 1, 3.5});
  Bench spread;
  spread.add(DType::F32, {1, 3, 2, 1}, dy);
  dx = spread.result(DType::F32, {1, 3, 4, 1});
  spread.callOk("avg_pool_backward", ints);
  CHECK(spread.read(dx) == Values{0.25, 0.25, 0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2,
                                  2.5, 2.5});
}

//===----------------------------------------------------------------------===//
// Gather, top-k, experts
//===----------------------------------------------------------------------===//

TEST_CASE("embedding and scatter_add of a shard of the table") {
  for (const Variant &v : variants)
    for (DType index : {DType::I32, DType::I64}) {
      Values ids = {4, 7, 3, 4, 9, -1};
      Bench gather;
      gather.add(v.dtype, {3, 2}, {1, 2, 3, 4, 5, 6});
      gather.add(index, {2, 3}, ids);
      size_t rows = gather.result(v.result, {2, 3, 2});
      gather.callOk(v.prefix + "embedding", {}, {}, {3}); // rows 3, 4, 5
      CHECK(gather.read(rows) ==
            Values{3, 4, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0});
      Bench scatter;
      scatter.add(index, {2, 3}, ids);
      scatter.add(v.dtype, {2, 3, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
      size_t table = scatter.result(v.result, {3, 2});
      scatter.callOk(v.prefix + "scatter_add", {}, {}, {3});
      CHECK(scatter.read(table) == Values{5, 6, 8, 10, 0, 0});
    }
}

TEST_CASE("16-bit scatter_add rounds once") {
  // 256 + 1 is lost in bf16 when each addition rounds.
  Values updates(257, 1);
  updates[0] = 256;
  Bench bench;
  bench.add(DType::I32, {257}, Values(257, 0));
  bench.add(DType::BF16, {257, 1}, updates);
  size_t table = bench.result(DType::BF16, {1, 1});
  bench.callOk("scatter_add");
  CHECK(bench.read(table) == Values{512});
}

TEST_CASE("top_k takes the lower index of equals") {
  Bench bench;
  bench.add(DType::F32, {2, 5}, {1, 3, 3, 2, 3, -1, -2, -1, NAN, -9});
  size_t values = bench.result(DType::F32, {2, 3});
  size_t indices = bench.result(DType::I32, {2, 3});
  bench.callOk("top_k");
  Values got = bench.read(values);
  CHECK(Values(got.begin(), got.begin() + 3) == Values{3, 3, 3});
  CHECK(got[3] != got[3]);
  CHECK(bench.read(indices) == Values{1, 2, 4, 3, 0, 2});
  Bench backward;
  backward.add(DType::I32, {2, 3}, {1, 2, 4, 3, 0, 2});
  backward.add(DType::F32, {2, 3}, {1, 2, 3, 4, 5, 6});
  size_t dx = backward.result(DType::F32, {2, 5});
  backward.callOk("top_k_backward");
  CHECK(backward.read(dx) == Values{0, 1, 2, 0, 3, 5, 0, 6, 4, 0});
}

TEST_CASE("expert slots are counted by choice, sample, position") {
  Bench bench;
  // Two groups of one sample, two positions, two choices; capacity 1.
  Values experts = {0, 1, 1, 0, 2, 2, 2, 0};
  bench.add(DType::I32, {2, 2, 2}, experts);
  size_t slots = bench.result(DType::I32, {2, 2, 2});
  bench.callOk("expert_slot", {3, 2, 1});
  // Group 0, choice 0: experts 0, 1 -> 0, 0; choice 1: 1, 0 -> 1, 1.
  // Group 1, choice 0: experts 2, 2 -> 0, 1; choice 1: 2, 0 -> dropped, 0.
  CHECK(bench.read(slots) == Values{0, 1, 0, 1, 0, -1, 1, 0});
}

TEST_CASE("dispatch and collect are adjoint, and split over experts") {
  Values experts = {0, 1, 1, 0, 2, 2, 2, 0};
  Values slots = {0, 1, 0, 1, 0, -1, 1, 0};
  Values rows = randomValues(8 * 3, 1), buffers = randomValues(2 * 3 * 2 * 3, 2);
  rows = rounded(DType::F32, rows);
  buffers = rounded(DType::F32, buffers);
  double left = 0, right = 0;
  for (int64_t offset : {0, 2}) { // experts 0 and 1, then expert 2
    int64_t held = offset == 0 ? 2 : 1;
    Bench dispatch, collect;
    Values part;
    for (int64_t g = 0; g < 2; ++g)
      for (int64_t e = offset; e < offset + held; ++e)
        for (int64_t i = 0; i < 6; ++i)
          part.push_back(buffers[(g * 3 + e) * 6 + i]);
    dispatch.add(DType::F32, {2, 2, 2, 3}, rows);
    dispatch.add(DType::I32, {2, 2, 2}, experts);
    dispatch.add(DType::I32, {2, 2, 2}, slots);
    size_t out = dispatch.result(DType::F32, {2, held, 2, 3});
    dispatch.callOk("dispatch", {}, {}, {offset});
    collect.add(DType::F32, {2, held, 2, 3}, part);
    collect.add(DType::I32, {2, 2, 2}, experts);
    collect.add(DType::I32, {2, 2, 2}, slots);
    size_t back = collect.result(DType::F32, {2, 2, 2, 3});
    collect.callOk("collect", {}, {}, {offset});
    Values dispatched = dispatch.read(out), collected = collect.read(back);
    for (size_t i = 0; i < part.size(); ++i)
      left += dispatched[i] * part[i];
    for (size_t i = 0; i < rows.size(); ++i)
      right += collected[i] * rows[i];
    if (offset == 0) // row 2 of group 0: expert 1, slot 0
      CHECK(dispatched[(0 * 2 + 1) * 6] == rows[2 * 3]);
  }
  CHECK(left == Approx(right).epsilon(1e-12));
  CHECK(std::abs(left) > 0.1);
}

TEST_CASE("grouped products agree with one product per row") {
  for (const Variant &v : variants)
    for (bool transposed : {false, true}) {
      const int64_t in = 4, out = 3, count = 6;
      Values experts = {2, 0, 1, 2, 5, 0};
      Values rows = rounded(v.dtype, randomValues(count * in, 1));
      Values w = rounded(v.dtype, randomValues(2 * in * out, 2));
      Values dy = rounded(v.dtype, randomValues(count * out, 3));
      Values y(count * out), dw(2 * in * out); // experts 1 and 2 are here
      for (int64_t r = 0; r < count; ++r)
        for (int64_t i = 0; i < in; ++i)
          for (int64_t o = 0; o < out; ++o) {
            int64_t e = static_cast<int64_t>(experts[r]) - 1;
            if (e < 0 || e > 1)
              continue;
            y[r * out + o] +=
                rows[r * in + i] * w[e * in * out +
                                     (transposed ? o * in + i : i * out + o)];
            dw[(e * in + i) * out + o] += rows[r * in + i] * dy[r * out + o];
          }
      Bench matmul, outer;
      matmul.add(v.dtype, {1, 3, 2, in}, rows);
      matmul.add(v.dtype, {2, transposed ? out : in, transposed ? in : out}, w);
      matmul.add(DType::I32, {1, 3, 2}, experts);
      size_t result = matmul.result(v.result, {1, 3, 2, out});
      matmul.callOk(v.prefix + "expert_matmul", {transposed}, {}, {1});
      requireNear(matmul.read(result), y, v.tolerance());
      outer.add(v.dtype, {1, 3, 2, in}, rows);
      outer.add(v.dtype, {1, 3, 2, out}, dy);
      outer.add(DType::I32, {1, 3, 2}, experts);
      result = outer.result(v.result, {2, in, out});
      outer.callOk(v.prefix + "expert_outer", {}, {}, {1});
      requireNear(outer.read(result), dw, v.tolerance());
    }
}

//===----------------------------------------------------------------------===//
// Initial values
//===----------------------------------------------------------------------===//

TEST_CASE("initial values have their distribution and ignore the plan") {
  const int64_t rows = 200, cols = 300, path = pathHash("layers.0/q#weight");
  struct Row {
    const char *name;
    double a, b, mean, deviation;
  };
  // Variance of the normal cut at 2: 1 - 4 phi(2) / (2 Phi(2) - 1).
  for (const Row &row : {Row{"init_normal", 1, 2, 1, 2},
                         Row{"init_uniform", -1, 3, 1, 4 / std::sqrt(12.0)},
                         Row{"init_truncated_normal", 0, 1, 0, 0.87962566}}) {
    Bench whole, part;
    size_t x = whole.result(DType::F32, {rows, cols});
    whole.callOk(row.name, {path, rows, cols}, {row.a, row.b}, {7, 0, 0});
    Values all = whole.read(x);
    double mean = 0, square = 0;
    for (double value : all) {
      mean += value / static_cast<double>(all.size());
      square += value * value / static_cast<double>(all.size());
    }
    CHECK(mean == Approx(row.mean).margin(0.03));
    CHECK(std::sqrt(square - mean * mean) == Approx(row.deviation).epsilon(0.01));
    if (std::string(row.name) == "init_truncated_normal")
      CHECK(*std::max_element(all.begin(), all.end()) <= 2);
    size_t box = part.result(DType::F32, {11, 13});
    part.callOk(row.name, {path, rows, cols}, {row.a, row.b}, {7, 150, 200});
    Values some = part.read(box);
    for (int64_t i = 0; i < 11 * 13; ++i)
      REQUIRE(some[i] == all[(150 + i / 13) * cols + 200 + i % 13]);
  }
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

TEST_CASE("every function of the page is there") {
  for (const FunctionInfo &info : functions) {
    INFO(info.name);
    CHECK(findCpuFunction(std::string(info.name)) != nullptr);
  }
}

TEST_CASE("wrong calls are refused when they are bound") {
  Bench unknown;
  Status status = unknown.call("fft");
  REQUIRE(status.failed());
  CHECK_THAT(status.error().message, Catch::Contains("no function 'fft'"));
  Bench few;
  few.result(DType::F32, {2, 2});
  CHECK(few.call("embedding").failed());
  Bench shape;
  shape.result(DType::F32, {3, 2});
  shape.result(DType::I32, {4});
  shape.result(DType::F32, {4, 3});
  status = shape.call("embedding");
  REQUIRE(status.failed());
  CHECK_THAT(status.error().message,
             Catch::Contains("operand 2 is 4x3, expected 4x2"));
  Bench conv;
  conv.result(DType::F32, {1, 5, 5, 1});
  conv.result(DType::F32, {3, 3, 1, 1});
  conv.result(DType::F32, {1, 5, 5, 1});
  CHECK(conv.call("conv2d_forward", {1, 1, 0, 0, 0, 0}).failed());
  CHECK(conv.call("conv2d_forward", {0, 0, 1, 1, 1, 1}).failed());
  CHECK(conv.call("conv2d_forward", {1, 1, 1, 1, 1, 1}).ok());
}

TEST_CASE("canonical contractions walk any loops") {
  // out[j] = sum of a[i, k] * b[k, j] over i and k.
  const int64_t m = 3, k = 5, n = 4;
  Values a = randomValues(m * k, 1), b = randomValues(k * n, 2), sum(n),
         column(k);
  for (int64_t i = 0; i < m * k * n; ++i)
    sum[i % n] += a[i / n] * b[i / n % k * n + i % n];
  for (int64_t i = 0; i < m * k; ++i)
    column[i % k] += a[i];
  Bench product, reduction;
  product.add(DType::F64, {m, k}, a);
  product.add(DType::F64, {k, n}, b);
  size_t at = product.result(DType::Accumulator, {n});
  const std::vector<int64_t> loops = {n, 0, 1, 1, m, k, 0, 0, k, 1, n, 0};
  product.callOk("canonical_contract", loops);
  requireNear(product.read(at), sum, 1e-14);
  reduction.add(DType::F64, {m, k}, a);
  at = reduction.result(DType::Accumulator, {k});
  reduction.callOk("canonical_reduce", {k, 1, 1, m, k, 0});
  requireNear(reduction.read(at), column, 1e-14);
  // Beyond an operand, without a stride, or into something else.
  CHECK(reduction.call("canonical_reduce", {k + 1, 1, 1, m, k, 0}).failed());
  CHECK(reduction.call("canonical_reduce", {k, 1, 2}).failed());
  CHECK(reduction.call("canonical_reduce", {k, 1}).failed());
  CHECK(reduction.call("canonical_reduce", {-1, 1, 1}).failed());
  CHECK(reduction.call("canonical_add").failed());
  CHECK(reduction.call("canonical_round").failed());
}

TEST_CASE("sums of sums are rounded once") {
  Bench bench;
  bench.result(DType::Accumulator, {2});
  bench.result(DType::Accumulator, {2});
  for (const OperandT &operand : bench.Operands) {
    FillT fill;
    fill.operand = boxed(operand);
    REQUIRE(bench.run(std::move(fill)).ok());
  }
  bench.callOk("canonical_add");
  CHECK(bench.read(1) == Values{0, 0});
}

TEST_CASE("strided copies and fills") {
  Bench bench;
  Values values(24);
  for (size_t i = 0; i < 24; ++i)
    values[i] = static_cast<double>(i);
  bench.add(DType::I32, {2, 3, 4}, values);
  size_t target = bench.result(DType::I32, {4, 6});
  CopyT copy; // transposes [2, 3, 4] to [4, 2, 3]
  copy.src = boxed(bench.Operands[0]);
  copy.dst = boxed(bench.Operands[1]);
  copy.elementBytes = 4;
  copy.dims = {2, 3, 4};
  copy.srcStrides = {12, 4, 1};
  copy.dstStrides = {3, 1, 6};
  REQUIRE(bench.run(std::move(copy)).ok());
  Values got = bench.read(target);
  for (int64_t a = 0; a < 2; ++a)
    for (int64_t b = 0; b < 3; ++b)
      for (int64_t c = 0; c < 4; ++c)
        REQUIRE(got[c * 6 + a * 3 + b] == values[(a * 3 + b) * 4 + c]);
  FillT fill;
  fill.operand = boxed(bench.Operands[1]);
  fill.value = 9;
  REQUIRE(bench.run(std::move(fill)).ok());
  CHECK(bench.read(target) == Values(24, 9));
}
