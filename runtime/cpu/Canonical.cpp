//===- Canonical.cpp - Functions of canonical mode ------------------------===//
//
// Loops as they stand in the definitions, one term after another into
// accumulators: an oracle, not a fast path. Terms are formed in f64, where
// products of f32 are exact.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Accumulator.h"
#include "runtime/cpu/Function.h"

#include <algorithm>
#include <array>

namespace whale::runtime {

using namespace format;

namespace {

int64_t elements(const std::vector<int64_t> &dims) {
  return static_cast<int64_t>(*elementsOf(dims));
}

/// The sums of a call, its last operand, emptied.
Accumulator *emptySums(FunctionCall &call) {
  const size_t last = call.data.size() - 1;
  auto *sums = call.as<Accumulator>(last);
  std::fill_n(sums, elements(call.dims(last)), Accumulator());
  return sums;
}

bool isReal(DType dtype) { return dtype == DType::F32 || dtype == DType::F64; }

//===----------------------------------------------------------------------===//
// Contractions and reductions over strided loops
//===----------------------------------------------------------------------===//

template <size_t Operands> struct StridedLoop {
  int64_t extent;
  std::array<int64_t, Operands> strides;
};
template <size_t Operands>
using StridedLoops = std::vector<StridedLoop<Operands>>;

template <size_t Operands>
StridedLoops<Operands> loopsOf(const std::vector<int64_t> &ints) {
  StridedLoops<Operands> loops(ints.size() / (Operands + 1));
  for (size_t i = 0; i < loops.size(); ++i) {
    const int64_t *row = ints.data() + i * (Operands + 1);
    loops[i].extent = row[0];
    std::copy_n(row + 1, Operands, loops[i].strides.begin());
  }
  return loops;
}

/// Calls f(index in each operand) for every iteration from loop `depth` on.
template <size_t Operands, typename F>
void forEach(const StridedLoops<Operands> &loops,
             std::array<int64_t, Operands> at, F &f, size_t depth = 0) {
  if (depth == loops.size())
    return f(at);
  const StridedLoop<Operands> &loop = loops[depth];
  const bool isInnermost = depth + 1 == loops.size();
  for (int64_t i = 0; i < loop.extent; ++i) {
    if (isInnermost)
      f(at);
    else
      forEach(loops, at, f, depth + 1);
    for (size_t operand = 0; operand < Operands; ++operand)
      at[operand] += loop.strides[operand];
  }
}

template <typename T> Status contract(FunctionCall &call) {
  const T *lhs = call.as<T>(0), *rhs = call.as<T>(1);
  Accumulator *sums = emptySums(call);
  auto add = [&](const std::array<int64_t, 3> &at) {
    sums[at[2]].add(double(lhs[at[0]]) * double(rhs[at[1]]));
  };
  forEach(loopsOf<3>(call.node.ints), {}, add);
  return Status();
}

template <typename T> Status reduce(FunctionCall &call) {
  const T *x = call.as<T>(0);
  Accumulator *sums = emptySums(call);
  auto add = [&](const std::array<int64_t, 2> &at) {
    sums[at[1]].add(double(x[at[0]]));
  };
  forEach(loopsOf<2>(call.node.ints), {}, add);
  return Status();
}

/// Loops stay inside the operands.
template <size_t Operands> Status checkLoops(const CallT &node) {
  Shapes shapes(node);
  for (size_t i = 0; i + 1 < Operands; ++i)
    shapes.require(isReal(shapes.dtype(i)) &&
                       shapes.dtype(i) == shapes.dtype(0),
                   "operand " + std::to_string(i) + " is " +
                       std::string(nameOf(shapes.dtype(i))));
  shapes.require(shapes.dtype(Operands - 1) == DType::Accumulator,
                 "the sums are no accumulators");
  if (!shapes.require(node.ints.size() % (Operands + 1) == 0,
                      "a loop lacks a stride"))
    return shapes.status();
  std::array<__int128, Operands> last = {};
  bool isEmpty = false;
  for (const auto &loop : loopsOf<Operands>(node.ints)) {
    auto isPossible = [](int64_t value) {
      return value >= 0 && value <= int64_t(maxArenaBytes);
    };
    shapes.require(isPossible(loop.extent), "a loop has a bad extent");
    isEmpty |= loop.extent == 0;
    for (size_t i = 0; i < Operands; ++i) {
      shapes.require(isPossible(loop.strides[i]), "a loop has a bad stride");
      last[i] += __int128(loop.extent - 1) * loop.strides[i];
    }
  }
  for (size_t i = 0; !isEmpty && i < Operands; ++i)
    shapes.require(last[i] < elements(shapes.dims(i)),
                   "loops leave operand " + std::to_string(i));
  return shapes.status();
}

//===----------------------------------------------------------------------===//
// Sums of sums, and rounding
//===----------------------------------------------------------------------===//

Status addSums(FunctionCall &call) {
  const auto *part = call.as<Accumulator>(0);
  auto *sums = call.as<Accumulator>(1);
  for (int64_t i = 0, end = elements(call.dims(0)); i < end; ++i)
    sums[i].add(part[i]);
  return Status();
}

template <typename T> Status roundSums(FunctionCall &call) {
  const auto *sums = call.as<Accumulator>(0);
  T *x = call.as<T>(1);
  for (int64_t i = 0, end = elements(call.dims(0)); i < end; ++i)
    x[i] = sums[i].rounded<T>();
  return Status();
}

Status checkSums(const CallT &node, bool isRounded) {
  Shapes shapes(node);
  const DType result = shapes.dtype(1);
  shapes.require(shapes.dtype(0) == DType::Accumulator,
                 "operand 0 is no accumulator");
  shapes.require(isRounded ? isReal(result) : result == DType::Accumulator,
                 "operand 1 is " + std::string(nameOf(result)));
  shapes.requireDims(1, shapes.dims(0));
  return shapes.status();
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

/// Calls f(first element of a row of the table, first element of the other)
/// for the indices that the table has.
template <typename F>
void forEachRow(FunctionCall &call, size_t table, size_t indices, F &&f) {
  Indices index(call, indices);
  const int64_t rows = call.dims(table)[0];
  const int64_t width = rows == 0 ? 0 : elements(call.dims(table)) / rows;
  for (int64_t i = 0, end = elements(call.dims(indices)); i < end; ++i) {
    const int64_t row = index[i] - call.scalar(0);
    for (int64_t j = 0; row >= 0 && row < rows && j < width; ++j)
      f(row * width + j, i * width + j);
  }
}

template <typename T> Status embed(FunctionCall &call) {
  Accumulator *sums = emptySums(call);
  forEachRow(call, 0, 1, [&](int64_t inTable, int64_t at) {
    sums[at].add(double(call.as<T>(0)[inTable]));
  });
  return Status();
}

template <typename T> Status scatter(FunctionCall &call) {
  Accumulator *sums = emptySums(call);
  forEachRow(call, 2, 0, [&](int64_t inTable, int64_t at) {
    sums[inTable].add(double(call.as<T>(1)[at]));
  });
  return Status();
}

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

/// sums += lhs * rhs over all (image, output position, tap, channels), where
/// `Image`, `Filter` and `Result` say which operands those are; the sums are
/// operand 2.
template <typename T, size_t Image, size_t Filter, size_t Result>
Status convolve(FunctionCall &call) {
  const auto &image = call.dims(Image), &filter = call.dims(Filter);
  const auto &result = call.dims(Result);
  const T *lhs = call.as<T>(0), *rhs = call.as<T>(1);
  Accumulator *sums = emptySums(call);
  auto addChannels = [&](int64_t inImage, int64_t inFilter, int64_t inResult) {
    for (int64_t ci = 0; ci < image[3]; ++ci)
      for (int64_t co = 0; co < result[3]; ++co) {
        std::array<int64_t, 3> at;
        at[Image] = inImage * image[3] + ci;
        at[Filter] = (inFilter * image[3] + ci) * result[3] + co;
        at[Result] = inResult * result[3] + co;
        sums[at[2]].add(double(lhs[at[0]]) * double(rhs[at[1]]));
      }
  };
  // Loops over image, oy, ox, ky, kx.
  const StridedLoops<5> loops = {{image[0], {1, 0, 0, 0, 0}},
                                 {result[1], {0, 1, 0, 0, 0}},
                                 {result[2], {0, 0, 1, 0, 0}},
                                 {filter[0], {0, 0, 0, 1, 0}},
                                 {filter[1], {0, 0, 0, 0, 1}}};
  auto tap = [&](const std::array<int64_t, 5> &at) {
    auto [n, oy, ox, ky, kx] = at;
    int64_t y =
        oy * call.integer(0) - call.integer(2) + ky * call.integer(6, 1);
    int64_t x =
        ox * call.integer(1) - call.integer(4) + kx * call.integer(7, 1);
    if (y >= 0 && y < image[1] && x >= 0 && x < image[2])
      addChannels((n * image[1] + y) * image[2] + x, ky * filter[1] + kx,
                  (n * result[1] + oy) * result[2] + ox);
  };
  forEach(loops, {}, tap);
  return Status();
}

//===----------------------------------------------------------------------===//
// Grouped experts
//===----------------------------------------------------------------------===//

/// Calls f(row, expert) for the rows whose expert is held.
template <typename F>
void forEachHeld(FunctionCall &call, int64_t held, F &&f) {
  Indices experts(call, 2);
  for (int64_t row = 0, end = elements(call.dims(2)); row < end; ++row)
    if (int64_t e = experts[row] - call.scalar(0); e >= 0 && e < held)
      f(row, e);
}

template <typename T> Status expertMatmulSums(FunctionCall &call) {
  const int64_t in = call.dims(0)[3], out = call.dims(3)[3];
  const bool isTransposed = call.integer(0) != 0;
  const T *rows = call.as<T>(0), *weights = call.as<T>(1);
  Accumulator *sums = emptySums(call);
  forEachHeld(call, call.dims(1)[0], [&](int64_t row, int64_t e) {
    const T *matrix = weights + e * in * out;
    for (int64_t i = 0; i < in; ++i)
      for (int64_t o = 0; o < out; ++o)
        sums[row * out + o].add(
            double(rows[row * in + i]) *
            double(matrix[isTransposed ? o * in + i : i * out + o]));
  });
  return Status();
}

template <typename T> Status expertOuterSums(FunctionCall &call) {
  const int64_t in = call.dims(0)[3], out = call.dims(1)[3];
  const T *lhs = call.as<T>(0), *rhs = call.as<T>(1);
  Accumulator *sums = emptySums(call);
  forEachHeld(call, call.dims(3)[0], [&](int64_t row, int64_t e) {
    for (int64_t i = 0; i < in; ++i)
      for (int64_t o = 0; o < out; ++o)
        sums[(e * in + i) * out + o].add(double(lhs[row * in + i]) *
                                         double(rhs[row * out + o]));
  });
  return Status();
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

/// The operands of the function that the rest of the name says, but for the
/// sums.
Status checkAsOther(const CallT &node) {
  CallT other = node;
  other.function = node.function.substr(std::string_view("canonical_").size());
  Shapes shapes(node);
  shapes.require(shapes.dtype(node.operands.size() - 1) == DType::Accumulator,
                 "the sums are no accumulators");
  // Indices are operand 0 of scatter_add only.
  const DType type =
      isFloat(shapes.dtype(0)) ? shapes.dtype(0) : shapes.dtype(1);
  if (!shapes.require(isReal(type), "sums are of f32 or f64, not " +
                                        std::string(nameOf(type))))
    return shapes.status();
  if (shapes.status().failed())
    return shapes.status();
  other.operands.back()->dtype = type;
  return findCpuFunction(other.function)->check(other);
}

} // namespace

/// The function for the real type of operand `index`.
#define WHALE_BY_REAL(index, function)                                         \
  [](FunctionCall &call) {                                                     \
    if (call.dtype(index) == DType::F64) {                                     \
      using T = double;                                                        \
      return function(call);                                                   \
    }                                                                          \
    using T = float;                                                           \
    return function(call);                                                     \
  }

std::vector<NamedFunction> canonicalFunctions() {
  auto checkAdd = [](const CallT &node) { return checkSums(node, false); };
  auto checkRound = [](const CallT &node) { return checkSums(node, true); };
  return {
      {"canonical_contract", {checkLoops<3>, WHALE_BY_REAL(0, contract<T>)}},
      {"canonical_reduce", {checkLoops<2>, WHALE_BY_REAL(0, reduce<T>)}},
      {"canonical_add", {checkAdd, addSums}},
      {"canonical_round", {checkRound, WHALE_BY_REAL(1, roundSums<T>)}},
      {"canonical_embedding", {checkAsOther, WHALE_BY_REAL(0, embed<T>)}},
      {"canonical_scatter_add", {checkAsOther, WHALE_BY_REAL(1, scatter<T>)}},
      {"canonical_conv2d_forward",
       {checkAsOther, WHALE_BY_REAL(0, (convolve<T, 0, 1, 2>))}},
      {"canonical_conv2d_backward_input",
       {checkAsOther, WHALE_BY_REAL(0, (convolve<T, 2, 1, 0>))}},
      {"canonical_conv2d_backward_filter",
       {checkAsOther, WHALE_BY_REAL(0, (convolve<T, 0, 2, 1>))}},
      {"canonical_expert_matmul",
       {checkAsOther, WHALE_BY_REAL(0, expertMatmulSums<T>)}},
      {"canonical_expert_outer",
       {checkAsOther, WHALE_BY_REAL(0, expertOuterSums<T>)}}};
}

} // namespace whale::runtime
