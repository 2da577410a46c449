//===- Reduce.cpp ---------------------------------------------------------===//

#include "runtime/comm/Reduce.h"

#include "runtime/core/Accumulator.h"
#include "runtime/core/Convert.h"

#include <algorithm>
#include <cmath>

namespace whale::runtime {

using namespace format;

namespace {

/// Elements reduced at once: one block of f64 stays in the L1 cache.
constexpr uint64_t blockElements = 1024;

struct Add {
  template <typename T> static T combine(T a, T b) {
    return static_cast<T>(a + b);
  }
};
// NaN is kept, and +0 is larger than -0: any order gives the same bits.
struct Larger {
  template <typename T> static T combine(T a, T b) {
    return a != a || a > b || (a == b && !std::signbit(double(a))) ? a : b;
  }
};
struct Smaller {
  template <typename T> static T combine(T a, T b) {
    return a != a || a < b || (a == b && std::signbit(double(a))) ? a : b;
  }
};

template <typename T, typename Op>
void reduceBlocks(const std::vector<const void *> &inputs, uint64_t first,
                  uint64_t last, const std::vector<void *> &outputs,
                  uint64_t outputFirst) {
  using Traits = ElementTraits<T>;
  typename Traits::Compute sum[blockElements];
  T rounded[blockElements];
  for (uint64_t start = first; start < last; start += blockElements) {
    uint64_t count = std::min(blockElements, last - start);
    const T *source = static_cast<const T *>(inputs[0]) + start;
    for (uint64_t i = 0; i < count; ++i)
      sum[i] = Traits::load(source[i]);
    for (size_t member = 1; member < inputs.size(); ++member) {
      source = static_cast<const T *>(inputs[member]) + start;
      for (uint64_t i = 0; i < count; ++i)
        sum[i] = Op::combine(sum[i], Traits::load(source[i]));
    }
    for (uint64_t i = 0; i < count; ++i)
      rounded[i] = Traits::store(sum[i]);
    for (void *output : outputs)
      std::copy_n(rounded, count,
                  static_cast<T *>(output) + outputFirst + (start - first));
  }
}

void sumAccumulators(const std::vector<const void *> &inputs, uint64_t first,
                     uint64_t last, const std::vector<void *> &outputs,
                     uint64_t outputFirst) {
  for (uint64_t i = first; i < last; ++i) {
    Accumulator sum;
    for (const void *input : inputs)
      sum.add(static_cast<const Accumulator *>(input)[i]);
    for (void *output : outputs)
      static_cast<Accumulator *>(output)[outputFirst + (i - first)] = sum;
  }
}

} // namespace

void reduceRange(DType dtype, Reduction reduction,
                 const std::vector<const void *> &inputs, uint64_t first,
                 uint64_t last, const std::vector<void *> &outputs,
                 uint64_t outputFirst) {
  if (dtype == DType::Accumulator)
    return sumAccumulators(inputs, first, last, outputs, outputFirst);
  dispatchDType(dtype, [&](auto zero) {
    using T = decltype(zero);
    if (reduction == Reduction::Sum)
      reduceBlocks<T, Add>(inputs, first, last, outputs, outputFirst);
    else if (reduction == Reduction::Max)
      reduceBlocks<T, Larger>(inputs, first, last, outputs, outputFirst);
    else
      reduceBlocks<T, Smaller>(inputs, first, last, outputs, outputFirst);
  });
}

} // namespace whale::runtime
