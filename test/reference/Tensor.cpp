//===- Tensor.cpp - dense tensors of the reference ------------------------===//

#include "test/reference/Tensor.h"

using namespace reference;

int64_t reference::countOf(const Shape &shape) {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

Tensor::Tensor(Shape extents, bool integer)
    : shape(std::move(extents)), isInteger(integer) {
  if (isInteger)
    integers.assign(size(), 0);
  else
    reals.assign(size(), 0.0);
}

Tensor::Tensor(mlir::Type type)
    : Tensor(Shape(llvm::cast<mlir::RankedTensorType>(type).getShape()),
             llvm::cast<mlir::RankedTensorType>(type)
                 .getElementType()
                 .isInteger()) {}

int64_t Tensor::position(const Index &index) const {
  assert(index.size() == shape.size() && "index of another rank");
  int64_t position = 0;
  for (size_t dim = 0; dim < shape.size(); ++dim) {
    assert(index[dim] >= 0 && index[dim] < shape[dim] && "index out of range");
    position = position * shape[dim] + index[dim];
  }
  return position;
}

int64_t Tensor::broadcastPosition(const Index &index) const {
  size_t skip = index.size() - shape.size();
  int64_t position = 0;
  for (size_t dim = 0; dim < shape.size(); ++dim)
    position =
        position * shape[dim] + (shape[dim] == 1 ? 0 : index[skip + dim]);
  return position;
}

void Tensor::add(const Tensor &other) {
  assert(shape == other.shape && isInteger == other.isInteger);
  for (size_t i = 0; i < reals.size(); ++i)
    reals[i] += other.reals[i];
  for (size_t i = 0; i < integers.size(); ++i)
    integers[i] += other.integers[i];
}

void reference::forEachIndex(const Shape &shape,
                             const std::function<void(const Index &)> &visit) {
  Index index(shape.size(), 0);
  for (int64_t left = countOf(shape); left > 0; --left) {
    visit(index);
    for (size_t dim = shape.size(); dim-- > 0;) {
      if (++index[dim] < shape[dim])
        break;
      index[dim] = 0;
    }
  }
}
