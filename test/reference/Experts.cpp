//===- Experts.cpp - mixture of experts of the reference ------------------===//

#include "test/reference/Ops.h"

#include <algorithm>
#include <numeric>

using namespace reference;
using namespace whale;

static Tensors evaluateTopK(mlir::Operation *op, const Tensors &operands,
                            const Context &) {
  Tensors results{Tensor(op->getResult(0).getType()),
                  Tensor(op->getResult(1).getType())};
  int64_t n = operands[0].shape.back(), k = results[0].shape.back();
  for (int64_t row = 0; row < operands[0].size() / n; ++row) {
    const double *x = &operands[0].reals[row * n];
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [x](int64_t a, int64_t b) {
      return x[a] > x[b] || (x[a] == x[b] && a < b);
    });
    for (int64_t i = 0; i < k; ++i) {
      results[0].reals[row * k + i] = x[order[i]];
      results[1].integers[row * k + i] = order[i];
    }
  }
  return results;
}

static bool isExpert(int64_t expert, int64_t count) {
  return expert >= 0 && expert < count;
}

static Tensors evaluateExpertMatmul(mlir::Operation *op,
                                    const Tensors &operands,
                                    const Context &context) {
  int64_t first = context.offsetOf(3);
  bool transposed = llvm::cast<ExpertMatmulOp>(op).getTransposed();
  const Tensor &rows = operands[0], &weights = operands[1];
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &index) {
    int64_t expert = operands[2].intAt({index[0], index[1], index[2]}) - first;
    if (!isExpert(expert, weights.shape[0]))
      return;
    for (int64_t in = 0; in < rows.shape[3]; ++in) {
      Index weight = transposed ? Index{expert, index[3], in}
                                : Index{expert, in, index[3]};
      result.at(index) +=
          rows.at({index[0], index[1], index[2], in}) * weights.at(weight);
    }
  });
  return {result};
}

static Tensors evaluateExpertOuter(mlir::Operation *op, const Tensors &operands,
                                   const Context &context) {
  int64_t first = context.offsetOf(3);
  const Tensor &lhs = operands[0], &rhs = operands[1];
  Tensor result(op->getResult(0).getType());
  forEachIndex(lhs.shape, [&](const Index &index) {
    int64_t expert = operands[2].intAt({index[0], index[1], index[2]}) - first;
    if (!isExpert(expert, result.shape[0]))
      return;
    for (int64_t out = 0; out < rhs.shape[3]; ++out)
      result.at({expert, index[3], out}) +=
          lhs.at(index) * rhs.at({index[0], index[1], index[2], out});
  });
  return {result};
}

static Tensors evaluateExpertSlot(mlir::Operation *op, const Tensors &operands,
                                  const Context &) {
  auto slot = llvm::cast<ExpertSlotOp>(op);
  int64_t over = slot.getOver(), capacity = slot.getCapacity();
  int64_t experts = slot.getNumExperts();
  const Shape &shape = operands[0].shape;
  Tensor result(op->getResult(0).getType());
  for (int64_t first = 0; first < shape[0]; first += over) {
    std::vector<int64_t> taken(experts, 0);
    forEachIndex({shape[2], over, shape[1]}, [&](const Index &at) {
      Index index{first + at[1], at[2], at[0]};
      int64_t expert = operands[0].intAt(index);
      result.intAt(index) = -1;
      if (isExpert(expert, experts) && taken[expert]++ < capacity)
        result.intAt(index) = taken[expert] - 1;
    });
  }
  return {result};
}

/// Calls `visit(row, buffer)` for every element that has a place.
static void
forEachPlaced(const Shape &rows, const Shape &buffers, const Tensor &experts,
              const Tensor &slots,
              const std::function<void(const Index &, const Index &)> &visit) {
  int64_t over = rows[0] / buffers[0];
  forEachIndex(rows, [&](const Index &row) {
    Index where{row[0], row[1], row[2]};
    int64_t expert = experts.intAt(where), slot = slots.intAt(where);
    if (isExpert(expert, buffers[1]) && slot >= 0 && slot < buffers[2])
      visit(row, {row[0] / over, expert, slot, row[3]});
  });
}

static Tensors evaluateDispatch(mlir::Operation *op, const Tensors &operands,
                                const Context &) {
  Tensor result(op->getResult(0).getType());
  forEachPlaced(operands[0].shape, result.shape, operands[1], operands[2],
                [&](const Index &row, const Index &buffer) {
                  result.at(buffer) += operands[0].at(row);
                });
  return {result};
}

static Tensors evaluateCollect(mlir::Operation *op, const Tensors &operands,
                               const Context &) {
  Tensor result(op->getResult(0).getType());
  forEachPlaced(result.shape, operands[0].shape, operands[1], operands[2],
                [&](const Index &row, const Index &buffer) {
                  result.at(row) = operands[0].at(buffer);
                });
  return {result};
}

llvm::ArrayRef<Row> reference::expertRows() {
  static const Row rows[] = {
      {"top_k", evaluateTopK},
      {"expert_matmul", evaluateExpertMatmul},
      {"expert_outer", evaluateExpertOuter},
      {"expert_slot", evaluateExpertSlot},
      {"dispatch", evaluateDispatch},
      {"collect", evaluateCollect},
  };
  return rows;
}
