//===- Gather.cpp - Embedding, its adjoint, and top-k ---------------------===//

#include "runtime/cpu/Function.h"
#include "runtime/cpu/VectorKernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace whale::runtime {

using namespace format;

namespace {

int64_t product(const std::vector<int64_t> &dims, size_t first, size_t last) {
  int64_t result = 1;
  for (size_t i = first; i < last; ++i)
    result *= dims[i];
  return result;
}

//===----------------------------------------------------------------------===//
// Rows of a table
//===----------------------------------------------------------------------===//

/// Rows are copied as bytes: no type is needed.
Status embedding(FunctionCall &call) {
  const auto &table = call.dims(0);
  Indices indices(call, 1);
  int64_t rows = table[0];
  int64_t bytes = product(table, 1, table.size()) *
                  static_cast<int64_t>(bytesOf(call.dtype(0)));
  int64_t count = product(call.dims(1), 0, call.dims(1).size());
  for (int64_t i = 0; i < count; ++i) {
    int64_t row = indices[i] - call.scalar(0);
    std::byte *target = call.data[2] + i * bytes;
    if (row >= 0 && row < rows)
      std::memcpy(target, call.data[0] + row * bytes, bytes);
    else
      std::memset(target, 0, bytes);
  }
  return Status();
}

template <typename T> Status scatterAdd(FunctionCall &call) {
  using C = typename ElementTraits<T>::Compute;
  const auto &table = call.dims(2);
  Indices indices(call, 0);
  Wide<T> updates(call, 1, true), result(call, 2, false);
  int64_t rows = table[0], width = product(table, 1, table.size());
  int64_t count = product(call.dims(0), 0, call.dims(0).size());
  std::fill_n(result.get(), result.size(), C(0));
  for (int64_t i = 0; i < count; ++i) {
    int64_t row = indices[i] - call.scalar(0);
    if (row >= 0 && row < rows)
      vectorKernels().of<C>().add(updates.get() + i * width,
                                  result.get() + row * width, width);
  }
  result.store();
  return Status();
}

/// table, indices and rows: which operands they are.
std::function<Status(const CallT &)> rowCheck(size_t table, size_t indices,
                                              size_t rows) {
  return [=](const CallT &node) {
    Shapes shapes(node);
    shapes.requireFloats({table, rows});
    shapes.requireInts({indices});
    if (!shapes.require(!shapes.dims(table).empty(), "the table has no rows"))
      return shapes.status();
    std::vector<int64_t> wanted = shapes.dims(indices);
    wanted.insert(wanted.end(), shapes.dims(table).begin() + 1,
                  shapes.dims(table).end());
    shapes.requireDims(rows, wanted);
    return shapes.status();
  };
}

//===----------------------------------------------------------------------===//
// Top-k
//===----------------------------------------------------------------------===//

void storeIndex(FunctionCall &call, size_t operand, int64_t at,
                int64_t value) {
  if (call.dtype(operand) == DType::I64)
    call.as<int64_t>(operand)[at] = value;
  else
    call.as<int32_t>(operand)[at] = static_cast<int32_t>(value);
}

template <typename T> Status topK(FunctionCall &call) {
  using Traits = ElementTraits<T>;
  const T *x = call.as<T>(0);
  T *values = call.as<T>(1);
  int64_t n = call.dims(0).back(), k = call.dims(1).back();
  int64_t rows = product(call.dims(0), 0, call.dims(0).size() - 1);
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t r = 0; r < rows; ++r) {
    const T *row = x + r * n;
    std::iota(order.begin(), order.end(), int64_t(0));
    auto before = [&](int64_t a, int64_t b) {
      auto va = Traits::load(row[a]), vb = Traits::load(row[b]);
      bool nanA = va != va, nanB = vb != vb;
      if (nanA != nanB)
        return nanA;
      return !nanA && va != vb ? va > vb : a < b;
    };
    std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
    for (int64_t i = 0; i < k; ++i) {
      values[r * k + i] = row[order[i]];
      storeIndex(call, 2, r * k + i, order[i]);
    }
  }
  return Status();
}

template <typename T> Status topKBackward(FunctionCall &call) {
  Indices indices(call, 0);
  const T *dvalues = call.as<T>(1);
  T *dx = call.as<T>(2);
  int64_t n = call.dims(2).back(), k = call.dims(0).back();
  int64_t rows = product(call.dims(2), 0, call.dims(2).size() - 1);
  std::fill_n(dx, rows * n, T());
  for (int64_t i = 0; i < rows * k; ++i)
    if (indices[i] >= 0 && indices[i] < n)
      dx[i / k * n + indices[i]] = dvalues[i];
  return Status();
}

std::function<Status(const CallT &)> topKCheck(size_t whole, size_t values,
                                               size_t indices) {
  return [=](const CallT &node) {
    Shapes shapes(node);
    shapes.requireFloats({whole, values});
    shapes.requireInts({indices});
    if (!shapes.require(!shapes.dims(whole).empty() &&
                            !shapes.dims(values).empty(),
                        "top_k of a scalar"))
      return shapes.status();
    std::vector<int64_t> wanted = shapes.dims(whole);
    wanted.back() = shapes.dims(values).back();
    shapes.requireDims(values, wanted);
    shapes.requireDims(indices, wanted);
    shapes.require(wanted.back() <= shapes.dims(whole).back(),
                   "k is larger than the dimension");
    return shapes.status();
  };
}

} // namespace

std::vector<NamedFunction> gatherFunctions() {
  auto scatter = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(1), [&](auto zero) {
      return scatterAdd<decltype(zero)>(call);
    });
  };
  auto top = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(0), [&](auto zero) {
      return topK<decltype(zero)>(call);
    });
  };
  auto topBackward = [](FunctionCall &call) {
    return dispatchFloat(call.dtype(1), [&](auto zero) {
      return topKBackward<decltype(zero)>(call);
    });
  };
  return {{"embedding", {rowCheck(0, 1, 2), embedding}},
          {"scatter_add", {rowCheck(2, 0, 1), scatter}},
          {"top_k", {topKCheck(0, 1, 2), top}},
          {"top_k_backward", {topKCheck(2, 1, 0), topBackward}}};
}

} // namespace whale::runtime
