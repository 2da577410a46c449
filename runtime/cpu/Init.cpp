//===- Init.cpp - Initial values, independent of the plan -----------------===//

#include "runtime/cpu/Function.h"
#include "runtime/format/Random.h"

#include <cmath>

namespace whale::runtime {

using namespace format;

namespace {

double normalDensity(double x) {
  constexpr double inverseSqrtTwoPi = 0.3989422804014327;
  return inverseSqrtTwoPi * std::exp(-0.5 * x * x);
}

double normalDistribution(double x) {
  return 0.5 * std::erfc(-x * 0.7071067811865476);
}

/// x in [-2, 2] with normalDistribution(x) = p: Newton's method, safe-guarded
/// by bisection, to the last digits of a double.
double inverseNormal(double p) {
  double low = -2, high = 2, x = 0;
  for (int i = 0; i < 60; ++i) {
    double error = normalDistribution(x) - p;
    (error > 0 ? high : low) = x;
    double next = x - error / normalDensity(x);
    if (!(next > low && next < high))
      next = 0.5 * (low + high);
    if (std::abs(next - x) < 1e-15)
      return next;
    x = next;
  }
  return x;
}

struct Normal {
  static double at(const std::array<uint32_t, 4> &block, double mean,
                   double deviation) {
    return mean + deviation * standardNormal(block);
  }
};

struct Uniform {
  static double at(const std::array<uint32_t, 4> &block, double low,
                   double high) {
    return low + (high - low) * unitInterval(block[0]);
  }
};

struct TruncatedNormal {
  static double at(const std::array<uint32_t, 4> &block, double mean,
                   double deviation) {
    double low = normalDistribution(-2), high = normalDistribution(2);
    return mean + deviation * inverseNormal(low + (high - low) *
                                                      unitInterval(block[0]));
  }
};

template <typename Distribution> Status initialise(FunctionCall &call) {
  const std::vector<int64_t> &dims = call.dims(0);
  size_t rank = dims.size();
  const int64_t *global = call.node.ints.data() + 1;
  uint64_t path = static_cast<uint64_t>(call.node.ints[0]);
  auto key = randomKey(static_cast<uint64_t>(call.scalar(0)), 0);
  double a = call.node.floats[0], b = call.node.floats[1];
  std::vector<int64_t> index(rank, 0);
  uint64_t count = *elementsOf(dims);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t at = 0;
    for (size_t d = 0; d < rank; ++d)
      at = at * static_cast<uint64_t>(global[d]) +
           static_cast<uint64_t>(call.scalar(d + 1) + index[d]);
    storeNumber(call.dtype(0), call.data[0], i,
                Distribution::at(randomBlock(key, path, at), a, b));
    for (size_t d = rank; d-- > 0 && ++index[d] == dims[d];)
      index[d] = 0;
  }
  return Status();
}

Status initConstant(FunctionCall &call) {
  uint64_t count = *elementsOf(call.dims(0));
  for (uint64_t i = 0; i < count; ++i)
    storeNumber(call.dtype(0), call.data[0], i, call.node.floats[0]);
  return Status();
}

Status checkRandom(const CallT &node) {
  Shapes shapes(node);
  size_t rank = shapes.dims(0).size();
  shapes.requireFloats({0});
  shapes.require(node.ints.size() == rank + 1,
                 "expected the path's hash and one global extent per "
                 "dimension");
  shapes.require(node.scalars.size() == rank + 1,
                 "expected the seed and one offset per dimension");
  return shapes.status();
}

} // namespace

std::vector<NamedFunction> initFunctions() {
  return {
      {"init_constant", {[](const CallT &) { return Status(); }, initConstant}},
      {"init_normal", {checkRandom, initialise<Normal>}},
      {"init_uniform", {checkRandom, initialise<Uniform>}},
      {"init_truncated_normal", {checkRandom, initialise<TruncatedNormal>}}};
}

} // namespace whale::runtime
