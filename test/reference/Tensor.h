//===- Tensor.h - dense tensors of the reference ----------------*- C++ -*-===//
//
// Real elements of every width are held as double, integers (and i1) as int64:
// the reference says what is meant, not how it is rounded.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_REFERENCE_TENSOR_H
#define WHALE_TEST_REFERENCE_TENSOR_H

#include "mlir/IR/BuiltinTypes.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace reference {

using Shape = std::vector<int64_t>;
/// One position, an index per dimension.
using Index = std::vector<int64_t>;

/// Product of the extents.
int64_t countOf(const Shape &shape);

/// Row-major elements; exactly one of `reals` and `integers` is in use.
struct Tensor {
  Shape shape;
  bool isInteger = false;
  std::vector<double> reals;
  std::vector<int64_t> integers;

  Tensor() = default;
  /// Zeros.
  Tensor(Shape shape, bool isInteger);
  /// Zeros of a type's shape and kind.
  explicit Tensor(mlir::Type type);

  int64_t size() const { return countOf(shape); }
  int64_t rank() const { return static_cast<int64_t>(shape.size()); }

  /// Row-major position of `index`.
  int64_t position(const Index &index) const;
  /// As position, with the index of a larger, right-aligned shape: extra
  /// leading dimensions are dropped and extents of 1 repeat.
  int64_t broadcastPosition(const Index &index) const;

  double &at(const Index &index) { return reals[position(index)]; }
  double at(const Index &index) const { return reals[position(index)]; }
  int64_t &intAt(const Index &index) { return integers[position(index)]; }
  int64_t intAt(const Index &index) const { return integers[position(index)]; }

  /// Element-wise sum into this; shapes must agree.
  void add(const Tensor &other);
};

/// Calls `visit` for every index of `shape` in row-major order.
void forEachIndex(const Shape &shape,
                  const std::function<void(const Index &)> &visit);

} // namespace reference

#endif // WHALE_TEST_REFERENCE_TENSOR_H
