//===- Convolution.cpp - convolution and pooling of the reference ---------===//

#include "test/reference/Ops.h"

using namespace reference;
using namespace whale;

namespace {
/// Where windows lie over an image.
struct Windows {
  int64_t stride[2], low[2], extent[2];

  template <typename OpTy>
  Windows(OpTy op, const Shape &image)
      : stride{op.getStrides()[0], op.getStrides()[1]},
        low{op.getPadding()[0], op.getPadding()[2]},
        extent{image[1], image[2]} {}

  /// Row and column under window element (kh, kw) of output (oh, ow); false in
  /// the padding.
  bool place(int64_t oh, int64_t ow, int64_t kh, int64_t kw, int64_t &h,
             int64_t &w) const {
    h = oh * stride[0] + kh - low[0];
    w = ow * stride[1] + kw - low[1];
    return h >= 0 && h < extent[0] && w >= 0 && w < extent[1];
  }
};
} // namespace

/// Calls `visit(input, filter, output)` for every multiplication of a
/// convolution: the three ops sum over the same triples.
static void forEachProduct(
    const Windows &windows, const Shape &filter, const Shape &output,
    const std::function<void(const Index &, const Index &, const Index &)>
        &visit) {
  forEachIndex(output, [&](const Index &out) {
    forEachIndex({filter[0], filter[1], filter[2]}, [&](const Index &tap) {
      int64_t h, w;
      if (windows.place(out[1], out[2], tap[0], tap[1], h, w))
        visit({out[0], h, w, tap[2]}, {tap[0], tap[1], tap[2], out[3]}, out);
    });
  });
}

static Tensors evaluateConv2d(mlir::Operation *op, const Tensors &operands,
                              const Context &) {
  Tensor result(op->getResult(0).getType());
  forEachProduct(Windows(llvm::cast<Conv2dOp>(op), operands[0].shape),
                 operands[1].shape, result.shape,
                 [&](const Index &x, const Index &f, const Index &y) {
                   result.at(y) += operands[0].at(x) * operands[1].at(f);
                 });
  return {result};
}

static Tensors evaluateConv2dInputGrad(mlir::Operation *op,
                                       const Tensors &operands,
                                       const Context &) {
  Tensor result(op->getResult(0).getType());
  forEachProduct(Windows(llvm::cast<Conv2dInputGradOp>(op), result.shape),
                 operands[1].shape, operands[0].shape,
                 [&](const Index &x, const Index &f, const Index &y) {
                   result.at(x) += operands[0].at(y) * operands[1].at(f);
                 });
  return {result};
}

static Tensors evaluateConv2dFilterGrad(mlir::Operation *op,
                                        const Tensors &operands,
                                        const Context &) {
  Tensor result(op->getResult(0).getType());
  forEachProduct(Windows(llvm::cast<Conv2dFilterGradOp>(op), operands[0].shape),
                 result.shape, operands[1].shape,
                 [&](const Index &x, const Index &f, const Index &y) {
                   result.at(f) += operands[0].at(x) * operands[1].at(y);
                 });
  return {result};
}

//===----------------------------------------------------------------------===//
// Pooling
//===----------------------------------------------------------------------===//

/// Elements of the image under output `out`, in row-major order.
template <typename OpTy>
static std::vector<Index> covered(OpTy op, const Shape &image,
                                  const Index &out) {
  Windows windows(op, image);
  std::vector<Index> found;
  for (int64_t kh = 0; kh < op.getWindow()[0]; ++kh)
    for (int64_t kw = 0; kw < op.getWindow()[1]; ++kw) {
      int64_t h, w;
      if (windows.place(out[1], out[2], kh, kw, h, w))
        found.push_back({out[0], h, w, out[3]});
    }
  return found;
}

/// The first of the largest.
static Index largest(const Tensor &image, const std::vector<Index> &places) {
  Index best = places.front();
  for (const Index &place : places)
    if (image.at(place) > image.at(best))
      best = place;
  return best;
}

static Tensors evaluatePool(mlir::Operation *op, const Tensors &operands,
                            const Context &) {
  auto pool = llvm::cast<PoolOp>(op);
  double area = static_cast<double>(pool.getWindow()[0] * pool.getWindow()[1]);
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &out) {
    auto places = covered(pool, operands[0].shape, out);
    if (pool.getKind() == PoolKind::max) {
      result.at(out) = operands[0].at(largest(operands[0], places));
      return;
    }
    for (const Index &place : places)
      result.at(out) += operands[0].at(place) / area;
  });
  return {result};
}

static Tensors evaluatePoolGrad(mlir::Operation *op, const Tensors &operands,
                                const Context &) {
  auto pool = llvm::cast<PoolGradOp>(op);
  double area = static_cast<double>(pool.getWindow()[0] * pool.getWindow()[1]);
  Tensor result(op->getResult(0).getType());
  forEachIndex(operands[1].shape, [&](const Index &out) {
    double gradient = operands[1].at(out);
    auto places = covered(pool, operands[0].shape, out);
    if (pool.getKind() == PoolKind::max) {
      result.at(largest(operands[0], places)) += gradient;
      return;
    }
    for (const Index &place : places)
      result.at(place) += gradient / area;
  });
  return {result};
}

llvm::ArrayRef<Row> reference::convolutionRows() {
  static const Row rows[] = {
      {"conv2d", evaluateConv2d},
      {"conv2d_input_grad", evaluateConv2dInputGrad},
      {"conv2d_filter_grad", evaluateConv2dFilterGrad},
      {"pool", evaluatePool},
      {"pool_grad", evaluatePoolGrad},
  };
  return rows;
}
