//===- Experts.cpp - Mixture of experts -----------------------------------===//
//
// Two forms: buffers of fixed capacity (expert_slot, dispatch, collect) and
// grouped products over rows sorted by expert (expert_matmul, expert_outer).
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/Function.h"

#include <algorithm>
#include <cstring>

namespace whale::runtime {

using namespace format;

namespace {

//===----------------------------------------------------------------------===//
// Capacity form
//===----------------------------------------------------------------------===//

Status expertSlot(FunctionCall &call) {
  const auto &dims = call.dims(0);
  Indices experts(call, 0);
  int64_t numExperts = call.integer(0), capacity = call.integer(1);
  int64_t over = call.integer(2);
  int64_t positions = dims[1], choices = dims[2];
  std::vector<int64_t> used(static_cast<size_t>(numExperts));
  for (int64_t start = 0; start < dims[0]; start += over) {
    std::fill(used.begin(), used.end(), 0);
    for (int64_t c = 0; c < choices; ++c)
      for (int64_t row = start * positions; row < (start + over) * positions;
           ++row) {
        int64_t at = row * choices + c, expert = experts[at];
        bool known = expert >= 0 && expert < numExperts;
        int64_t slot = known ? used[expert]++ : -1;
        slot = slot < capacity ? slot : -1;
        if (call.dtype(1) == DType::I64)
          call.as<int64_t>(1)[at] = slot;
        else
          call.as<int32_t>(1)[at] = static_cast<int32_t>(slot);
      }
  }
  return Status();
}

Status checkExpertSlot(const CallT &node) {
  Shapes shapes(node);
  shapes.requireInts({0, 1});
  shapes.requireDims(1, shapes.dims(0));
  if (shapes.requireRank(0, 3))
    shapes.require(node.ints[0] > 0 && node.ints[0] < (1 << 24) &&
                       node.ints[1] >= 0 && node.ints[2] > 0 &&
                       shapes.dims(0)[0] % node.ints[2] == 0,
                   "the batch is not a multiple of 'over'");
  return shapes.status();
}

/// Calls f(row, place in the buffers or -1), both in rows of features.
template <typename F>
void forEachSlot(FunctionCall &call, size_t buffers, F &&f) {
  const auto &dims = call.dims(buffers);
  const auto &rows = call.dims(1);
  Indices experts(call, 1), slots(call, 2);
  int64_t groups = dims[0], held = dims[1], capacity = dims[2];
  int64_t total = rows[0] * rows[1] * rows[2];
  int64_t perGroup = groups > 0 ? total / groups : 0;
  for (int64_t row = 0; row < total; ++row) {
    int64_t expert = experts[row] - call.scalar(0), slot = slots[row];
    bool here = expert >= 0 && expert < held && slot >= 0 && slot < capacity;
    f(row, here ? (row / perGroup * held + expert) * capacity + slot : -1);
  }
}

/// Rows are moved as bytes: no type is needed.
Status dispatch(FunctionCall &call) {
  int64_t bytes = call.dims(0).back() *
                  static_cast<int64_t>(bytesOf(call.dtype(0)));
  std::memset(call.data[3], 0, *elementsOf(call.dims(3)) *
                                   bytesOf(call.dtype(3)));
  forEachSlot(call, 3, [&](int64_t row, int64_t place) {
    if (place >= 0)
      std::memcpy(call.data[3] + place * bytes, call.data[0] + row * bytes,
                  bytes);
  });
  return Status();
}

Status collect(FunctionCall &call) {
  int64_t bytes = call.dims(0).back() *
                  static_cast<int64_t>(bytesOf(call.dtype(0)));
  forEachSlot(call, 0, [&](int64_t row, int64_t place) {
    if (place >= 0)
      std::memcpy(call.data[3] + row * bytes, call.data[0] + place * bytes,
                  bytes);
    else
      std::memset(call.data[3] + row * bytes, 0, bytes);
  });
  return Status();
}

std::function<Status(const CallT &)> bufferCheck(size_t rows, size_t buffers) {
  return [=](const CallT &node) {
    Shapes shapes(node);
    shapes.requireFloats({rows, buffers});
    shapes.requireInts({1, 2});
    if (!shapes.requireRank(rows, 4) || !shapes.requireRank(buffers, 4))
      return shapes.status();
    const auto &r = shapes.dims(rows), &b = shapes.dims(buffers);
    shapes.requireDims(1, {r[0], r[1], r[2]});
    shapes.requireDims(2, {r[0], r[1], r[2]});
    shapes.require(r[3] == b[3] && b[0] > 0 && r[0] % b[0] == 0,
                   "the buffers do not fit the rows");
    return shapes.status();
  };
}

//===----------------------------------------------------------------------===//
// Grouped form
//===----------------------------------------------------------------------===//

/// Rows of each held expert, in order: rows of expert e are
/// order[start[e]] to order[start[e + 1]].
struct SortedRows {
  SortedRows(FunctionCall &call, int64_t total, int64_t held)
      : start(static_cast<size_t>(held + 1), 0) {
    Indices experts(call, 2);
    auto expertOf = [&](int64_t row) { return experts[row] - call.scalar(0); };
    auto isHeld = [&](int64_t e) { return e >= 0 && e < held; };
    for (int64_t row = 0; row < total; ++row)
      if (int64_t e = expertOf(row); isHeld(e))
        ++start[e + 1];
    for (int64_t e = 0; e < held; ++e)
      start[e + 1] += start[e];
    order.resize(static_cast<size_t>(start[held]));
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t row = 0; row < total; ++row)
      if (int64_t e = expertOf(row); isHeld(e))
        order[next[e]++] = row;
  }

  std::vector<int64_t> start;
  std::vector<int64_t> order;
};

/// The rows of one expert, one after another.
template <typename C>
void pack(const C *rows, const SortedRows &sorted, int64_t expert,
          int64_t width, std::vector<C> &packed) {
  packed.clear();
  for (int64_t i = sorted.start[expert]; i < sorted.start[expert + 1]; ++i)
    packed.insert(packed.end(), rows + sorted.order[i] * width,
                  rows + (sorted.order[i] + 1) * width);
}

template <typename T> Status expertMatmul(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  bool transposed = call.integer(0) != 0;
  const auto &w = call.dims(1);
  int64_t in = call.dims(0)[3], out = call.dims(3)[3];
  Wide<T> rows(call, 0, true), weights(call, 1, true), result(call, 3, false);
  int64_t total = call.dims(0)[0] * call.dims(0)[1] * call.dims(0)[2];
  SortedRows sorted(call, total, w[0]);
  std::fill_n(result.get(), result.size(), C(0));
  std::vector<C> packed, product;
  for (int64_t e = 0; e < w[0]; ++e) {
    int64_t count = sorted.start[e + 1] - sorted.start[e];
    pack(rows.get(), sorted, e, in, packed);
    product.resize(static_cast<size_t>(count * out));
    call.blas.gemm(false, transposed, count, out, in, C(1), packed.data(), in,
                   weights.get() + e * in * out, w[2], C(0), product.data(),
                   out);
    for (int64_t i = 0; i < count; ++i)
      std::copy_n(product.data() + i * out, out,
                  result.get() + sorted.order[sorted.start[e] + i] * out);
  }
  result.store();
  return Status();
}

template <typename T> Status expertOuter(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  int64_t held = call.dims(3)[0], in = call.dims(3)[1], out = call.dims(3)[2];
  Wide<T> lhs(call, 0, true), rhs(call, 1, true), result(call, 3, false);
  int64_t total = call.dims(0)[0] * call.dims(0)[1] * call.dims(0)[2];
  SortedRows sorted(call, total, held);
  std::vector<C> left, right;
  for (int64_t e = 0; e < held; ++e) {
    int64_t count = sorted.start[e + 1] - sorted.start[e];
    pack(lhs.get(), sorted, e, in, left);
    pack(rhs.get(), sorted, e, out, right);
    call.blas.gemm(true, false, in, out, count, C(1), left.data(), in,
                   right.data(), out, C(0), result.get() + e * in * out, out);
  }
  result.store();
  return Status();
}

Status checkMatmul(const CallT &node) {
  Shapes shapes(node);
  shapes.requireFloats({0, 1, 3});
  shapes.requireInts({2});
  if (!shapes.requireRank(0, 4) || !shapes.requireRank(1, 3) ||
      !shapes.requireRank(3, 4))
    return shapes.status();
  const auto &r = shapes.dims(0), &w = shapes.dims(1), &y = shapes.dims(3);
  shapes.requireDims(2, {r[0], r[1], r[2]});
  shapes.requireDims(3, {r[0], r[1], r[2], y[3]});
  bool transposed = node.ints[0] != 0;
  shapes.require(w[transposed ? 2 : 1] == r[3] && w[transposed ? 1 : 2] == y[3],
                 "the weights do not fit the rows");
  return shapes.status();
}

Status checkOuter(const CallT &node) {
  Shapes shapes(node);
  shapes.requireFloats({0, 1, 3});
  shapes.requireInts({2});
  if (!shapes.requireRank(0, 4) || !shapes.requireRank(1, 4) ||
      !shapes.requireRank(3, 3))
    return shapes.status();
  const auto &l = shapes.dims(0), &r = shapes.dims(1);
  shapes.requireDims(1, {l[0], l[1], l[2], r[3]});
  shapes.requireDims(2, {l[0], l[1], l[2]});
  shapes.requireDims(3, {shapes.dims(3)[0], l[3], r[3]});
  return shapes.status();
}

} // namespace

std::vector<NamedFunction> expertFunctions() {
  auto matmul = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(0), [&](auto zero) {
      return expertMatmul<decltype(zero)>(call);
    });
  };
  auto outer = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(0), [&](auto zero) {
      return expertOuter<decltype(zero)>(call);
    });
  };
  return {{"expert_slot", {checkExpertSlot, expertSlot}},
          {"dispatch", {bufferCheck(0, 3), dispatch}},
          {"collect", {bufferCheck(3, 0), collect}},
          {"expert_matmul", {checkMatmul, matmul}},
          {"expert_outer", {checkOuter, outer}}};
}

} // namespace whale::runtime
