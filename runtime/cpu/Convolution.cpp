//===- Convolution.cpp - Convolution and pooling, NHWC --------------------===//
//
// A convolution is a matrix product over unfolded windows (im2col), one image
// at a time: columns [oh * ow, kh * kw * ci] by filter [kh * kw * ci, co].
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/Function.h"

#include <algorithm>
#include <cmath>

namespace whale::runtime {

using namespace format;

namespace {

/// Extents of a windowed op; `small` is the windowed side.
struct Windows {
  int64_t images = 0, height = 0, width = 0, channels = 0;
  int64_t outHeight = 0, outWidth = 0, outChannels = 0;
  int64_t kernelHeight = 0, kernelWidth = 0;
  int64_t strideHeight = 1, strideWidth = 1;
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  int64_t dilationHeight = 1, dilationWidth = 1;

  int64_t positions() const { return outHeight * outWidth; }
  int64_t depth() const { return kernelHeight * kernelWidth * channels; }
  int64_t imageSize() const { return height * width * channels; }
  int64_t resultSize() const { return positions() * outChannels; }
  /// True when the columns are the image itself.
  bool isPointwise() const {
    return kernelHeight == 1 && kernelWidth == 1 && strideHeight == 1 &&
           strideWidth == 1 && top + bottom + left + right == 0;
  }

  /// Calls f(position, tap, element of the image or -1 in the padding); tap
  /// counts window elements, without channels.
  template <typename F> void forEachTap(F &&f) const {
    for (int64_t oy = 0; oy < outHeight; ++oy)
      for (int64_t ox = 0; ox < outWidth; ++ox)
        for (int64_t ky = 0; ky < kernelHeight; ++ky)
          for (int64_t kx = 0; kx < kernelWidth; ++kx) {
            int64_t y = oy * strideHeight - top + ky * dilationHeight;
            int64_t x = ox * strideWidth - left + kx * dilationWidth;
            bool inside = y >= 0 && y < height && x >= 0 && x < width;
            f(oy * outWidth + ox, ky * kernelWidth + kx,
              inside ? (y * width + x) * channels : -1);
          }
  }
};

void takeImage(Windows &w, const std::vector<int64_t> &dims) {
  w.images = dims[0], w.height = dims[1], w.width = dims[2],
  w.channels = dims[3];
}

/// ints of a convolution, from its image, filter and result dims.
Windows convolution(const CallT &node, const std::vector<int64_t> &image,
                    const std::vector<int64_t> &filter,
                    const std::vector<int64_t> &result) {
  Windows w;
  takeImage(w, image);
  w.kernelHeight = filter[0], w.kernelWidth = filter[1];
  w.outHeight = result[1], w.outWidth = result[2], w.outChannels = result[3];
  const auto &ints = node.ints;
  w.strideHeight = ints[0], w.strideWidth = ints[1];
  w.top = ints[2], w.bottom = ints[3], w.left = ints[4], w.right = ints[5];
  if (ints.size() > 7)
    w.dilationHeight = ints[6], w.dilationWidth = ints[7];
  return w;
}

Windows pooling(const CallT &node, const std::vector<int64_t> &image,
                const std::vector<int64_t> &result) {
  Windows w;
  takeImage(w, image);
  w.outHeight = result[1], w.outWidth = result[2], w.outChannels = result[3];
  const auto &ints = node.ints;
  w.kernelHeight = ints[0], w.kernelWidth = ints[1];
  w.strideHeight = ints[2], w.strideWidth = ints[3];
  w.top = ints[4], w.bottom = ints[5], w.left = ints[6], w.right = ints[7];
  return w;
}

/// Whether an output extent is what the formula of Functions.h gives.
bool fits(int64_t out, int64_t in, int64_t low, int64_t high, int64_t kernel,
          int64_t dilation, int64_t stride) {
  if (low < 0 || high < 0 || kernel < 1 || dilation < 1 || stride < 1)
    return false;
  int64_t free = in + low + high - dilation * (kernel - 1) - 1;
  return free >= 0 ? out == free / stride + 1 : out == 0;
}

bool isConsistent(const Windows &w) {
  return fits(w.outHeight, w.height, w.top, w.bottom, w.kernelHeight,
              w.dilationHeight, w.strideHeight) &&
         fits(w.outWidth, w.width, w.left, w.right, w.kernelWidth,
              w.dilationWidth, w.strideWidth);
}

//===----------------------------------------------------------------------===//
// Convolution
//===----------------------------------------------------------------------===//

template <typename C>
const C *unfold(const Windows &w, const C *image, std::vector<C> &columns) {
  if (w.isPointwise())
    return image;
  columns.resize(static_cast<size_t>(w.positions() * w.depth()));
  w.forEachTap([&](int64_t position, int64_t tap, int64_t element) {
    C *target = columns.data() + position * w.depth() + tap * w.channels;
    if (element < 0)
      std::fill_n(target, w.channels, C(0));
    else
      std::copy_n(image + element, w.channels, target);
  });
  return columns.data();
}

template <typename T> Status convForward(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  Windows w = convolution(call.node, call.dims(0), call.dims(1), call.dims(2));
  Wide<T> x(call, 0, true), filter(call, 1, true), y(call, 2, false);
  std::vector<C> columns;
  for (int64_t n = 0; n < w.images; ++n) {
    const C *unfolded = unfold(w, x.get() + n * w.imageSize(), columns);
    call.blas.gemm(false, false, w.positions(), w.outChannels, w.depth(), C(1),
                   unfolded, w.depth(), filter.get(), w.outChannels, C(0),
                   y.get() + n * w.resultSize(), w.outChannels);
  }
  y.store();
  return Status();
}

template <typename T> Status convBackwardInput(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  Windows w = convolution(call.node, call.dims(2), call.dims(1), call.dims(0));
  Wide<T> dy(call, 0, true), filter(call, 1, true), dx(call, 2, false);
  std::fill_n(dx.get(), dx.size(), C(0));
  std::vector<C> columns(static_cast<size_t>(w.positions() * w.depth()));
  for (int64_t n = 0; n < w.images; ++n) {
    C *image = dx.get() + n * w.imageSize();
    call.blas.gemm(false, true, w.positions(), w.depth(), w.outChannels, C(1),
                   dy.get() + n * w.resultSize(), w.outChannels, filter.get(),
                   w.outChannels, C(0), columns.data(), w.depth());
    w.forEachTap([&](int64_t position, int64_t tap, int64_t element) {
      const C *source = columns.data() + position * w.depth() + tap * w.channels;
      for (int64_t c = 0; element >= 0 && c < w.channels; ++c)
        image[element + c] += source[c];
    });
  }
  dx.store();
  return Status();
}

template <typename T> Status convBackwardFilter(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  Windows w = convolution(call.node, call.dims(0), call.dims(2), call.dims(1));
  Wide<T> x(call, 0, true), dy(call, 1, true), dw(call, 2, false);
  std::fill_n(dw.get(), dw.size(), C(0));
  std::vector<C> columns;
  for (int64_t n = 0; n < w.images; ++n) {
    const C *unfolded = unfold(w, x.get() + n * w.imageSize(), columns);
    call.blas.gemm(true, false, w.depth(), w.outChannels, w.positions(), C(1),
                   unfolded, w.depth(), dy.get() + n * w.resultSize(),
                   w.outChannels, C(1), dw.get(), w.outChannels);
  }
  dw.store();
  return Status();
}

/// image, filter, result: which operands they are.
CpuFunction convFunction(size_t image, size_t filter, size_t result,
                         std::function<Status(FunctionCall &)> run) {
  auto check = [=](const CallT &node) {
    Shapes shapes(node);
    shapes.requireFloats({0, 1, 2});
    if (!shapes.requireRank(0, 4) || !shapes.requireRank(1, 4) ||
        !shapes.requireRank(2, 4))
      return shapes.status();
    Windows w = convolution(node, shapes.dims(image), shapes.dims(filter),
                            shapes.dims(result));
    shapes.require(isConsistent(w) && shapes.dims(result)[0] == w.images,
                   "extents, strides and padding do not fit");
    shapes.requireDims(filter, {w.kernelHeight, w.kernelWidth, w.channels,
                                w.outChannels});
    return shapes.status();
  };
  return {check, std::move(run)};
}

//===----------------------------------------------------------------------===//
// Pooling
//===----------------------------------------------------------------------===//

/// best[position * channels + c] = element of the image that wins, or -1.
template <typename C>
void findLargest(const Windows &w, const C *image, std::vector<int64_t> &best) {
  best.assign(static_cast<size_t>(w.positions() * w.channels), -1);
  w.forEachTap([&](int64_t position, int64_t, int64_t element) {
    for (int64_t c = 0; element >= 0 && c < w.channels; ++c) {
      int64_t &winner = best[position * w.channels + c];
      if (winner < 0 || image[element + c] > image[winner])
        winner = element + c;
    }
  });
}

template <typename T> Status maxPoolForward(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  Windows w = pooling(call.node, call.dims(0), call.dims(1));
  Wide<T> x(call, 0, true), y(call, 1, false);
  std::vector<int64_t> best;
  for (int64_t n = 0; n < w.images; ++n) {
    const C *image = x.get() + n * w.imageSize();
    findLargest(w, image, best);
    for (size_t i = 0; i < best.size(); ++i)
      y.get()[n * w.resultSize() + static_cast<int64_t>(i)] =
          best[i] < 0 ? -C(INFINITY) : image[best[i]];
  }
  y.store();
  return Status();
}

template <typename T> Status maxPoolBackward(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  Windows w = pooling(call.node, call.dims(0), call.dims(1));
  Wide<T> x(call, 0, true), dy(call, 1, true), dx(call, 2, false);
  std::fill_n(dx.get(), dx.size(), C(0));
  std::vector<int64_t> best;
  for (int64_t n = 0; n < w.images; ++n) {
    findLargest(w, x.get() + n * w.imageSize(), best);
    for (size_t i = 0; i < best.size(); ++i)
      if (best[i] >= 0)
        dx.get()[n * w.imageSize() + best[i]] +=
            dy.get()[n * w.resultSize() + static_cast<int64_t>(i)];
  }
  dx.store();
  return Status();
}

/// Forward gathers the window's sum into y, backward spreads dy into dx.
template <typename T, bool forward> Status averagePool(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  Windows w = pooling(call.node, call.dims(forward ? 0 : 1),
                      call.dims(forward ? 1 : 0));
  Wide<T> from(call, 0, true), to(call, 1, false);
  std::fill_n(to.get(), to.size(), C(0));
  const C factor = C(1) / C(w.kernelHeight * w.kernelWidth);
  for (int64_t n = 0; n < w.images; ++n)
    w.forEachTap([&](int64_t position, int64_t, int64_t element) {
      int64_t image = n * w.imageSize() + element;
      int64_t result = n * w.resultSize() + position * w.channels;
      for (int64_t c = 0; element >= 0 && c < w.channels; ++c) {
        if constexpr (forward)
          to.get()[result + c] += from.get()[image + c] * factor;
        else
          to.get()[image + c] += from.get()[result + c] * factor;
      }
    });
  to.store();
  return Status();
}

CpuFunction poolFunction(size_t operands, size_t image, size_t result,
                         std::function<Status(FunctionCall &)> run) {
  auto check = [=](const CallT &node) {
    Shapes shapes(node);
    for (size_t i = 0; i < operands; ++i) {
      shapes.requireFloats({0, i});
      if (!shapes.requireRank(i, 4))
        return shapes.status();
    }
    Windows w = pooling(node, shapes.dims(image), shapes.dims(result));
    shapes.require(isConsistent(w) && w.outChannels == w.channels &&
                       shapes.dims(result)[0] == w.images,
                   "extents, strides and padding do not fit");
    if (operands == 3)
      shapes.requireDims(2, shapes.dims(0));
    return shapes.status();
  };
  return {check, std::move(run)};
}

} // namespace

/// A function of the floating type of operand 0.
#define WHALE_BY_TYPE(function)                                               \
  [](FunctionCall &call) {                                                     \
    return dispatchFloat(call.dtype(0), [&](auto zero) {                       \
      using T = decltype(zero);                                                \
      return function(call);                                                   \
    });                                                                        \
  }

std::vector<NamedFunction> convolutionFunctions() {
  return {
      {"conv2d_forward", convFunction(0, 1, 2, WHALE_BY_TYPE(convForward<T>))},
      {"conv2d_backward_input",
       convFunction(2, 1, 0, WHALE_BY_TYPE(convBackwardInput<T>))},
      {"conv2d_backward_filter",
       convFunction(0, 2, 1, WHALE_BY_TYPE(convBackwardFilter<T>))},
      {"max_pool_forward",
       poolFunction(2, 0, 1, WHALE_BY_TYPE(maxPoolForward<T>))},
      {"max_pool_backward",
       poolFunction(3, 0, 1, WHALE_BY_TYPE(maxPoolBackward<T>))},
      {"avg_pool_forward",
       poolFunction(2, 0, 1, WHALE_BY_TYPE((averagePool<T, true>)))},
      {"avg_pool_backward",
       poolFunction(2, 1, 0, WHALE_BY_TYPE((averagePool<T, false>)))}};
}

} // namespace whale::runtime
