//===- Shapes.cpp - contractions, reductions, shapes, gathers -------------===//

#include "test/reference/Ops.h"

#include <map>

using namespace reference;
using namespace whale;

/// Copies one element between tensors of one kind.
static void copyElement(Tensor &to, int64_t at, const Tensor &from,
                        int64_t position) {
  if (to.isInteger)
    to.integers[at] = from.integers[position];
  else
    to.reals[at] = from.reals[position];
}

/// result[index] = operand[source(index)].
static Tensors gather(mlir::Operation *op, const Tensor &operand,
                      const std::function<Index(const Index &)> &source) {
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &index) {
    copyElement(result, result.position(index), operand,
                operand.position(source(index)));
  });
  return {result};
}

//===----------------------------------------------------------------------===//
// einsum, reduce
//===----------------------------------------------------------------------===//

static Tensors evaluateEinsum(mlir::Operation *op, const Tensors &operands,
                              const Context &) {
  Equation equation = *parseEquation(llvm::cast<EinsumOp>(op).getEquation());
  Shape extents;
  std::map<std::string, size_t> loops;
  auto positions = [&](llvm::ArrayRef<std::string> names, const Shape &shape) {
    std::vector<size_t> dims;
    for (auto [name, extent] : llvm::zip(names, shape)) {
      if (loops.try_emplace(name, extents.size()).second)
        extents.push_back(extent);
      dims.push_back(loops[name]);
    }
    return dims;
  };
  Tensor result(op->getResult(0).getType());
  auto lhs = positions(equation.lhs, operands[0].shape);
  auto rhs = positions(equation.rhs, operands[1].shape);
  auto out = positions(equation.result, result.shape);
  auto pick = [](const Index &index, const std::vector<size_t> &dims) {
    Index own;
    for (size_t dim : dims)
      own.push_back(index[dim]);
    return own;
  };
  forEachIndex(extents, [&](const Index &index) {
    result.at(pick(index, out)) +=
        operands[0].at(pick(index, lhs)) * operands[1].at(pick(index, rhs));
  });
  return {result};
}

template <typename T> static T combine(ReductionKind kind, T a, T b) {
  switch (kind) {
  case ReductionKind::sum:
    return a + b;
  case ReductionKind::max:
    return std::max(a, b);
  case ReductionKind::min:
    return std::min(a, b);
  }
  return a;
}

static Tensors evaluateReduce(mlir::Operation *op, const Tensors &operands,
                              const Context &) {
  auto reduce = llvm::cast<ReduceOp>(op);
  Tensor result(op->getResult(0).getType());
  std::vector<bool> seen(result.size(), false);
  forEachIndex(operands[0].shape, [&](const Index &index) {
    Index kept;
    for (size_t dim = 0; dim < index.size(); ++dim)
      if (!llvm::is_contained(reduce.getDims(), static_cast<int64_t>(dim)))
        kept.push_back(index[dim]);
    int64_t at = result.position(kept);
    int64_t from = operands[0].position(index);
    if (!seen[at])
      copyElement(result, at, operands[0], from);
    else if (result.isInteger)
      result.integers[at] = combine(reduce.getKind(), result.integers[at],
                                    operands[0].integers[from]);
    else
      result.reals[at] =
          combine(reduce.getKind(), result.reals[at], operands[0].reals[from]);
    seen[at] = true;
  });
  return {result};
}

//===----------------------------------------------------------------------===//
// Sources
//===----------------------------------------------------------------------===//

static double numberOf(mlir::Attribute value) {
  if (auto real = llvm::dyn_cast<mlir::FloatAttr>(value))
    return real.getValueAsDouble();
  return static_cast<double>(
      llvm::cast<mlir::IntegerAttr>(value).getValue().getSExtValue());
}

static Tensors evaluateConstant(mlir::Operation *op, const Tensors &,
                                const Context &) {
  Tensor result(op->getResult(0).getType());
  mlir::Attribute value = llvm::cast<ConstantOp>(op).getValue();
  if (result.isInteger)
    llvm::fill(result.integers,
               llvm::cast<mlir::IntegerAttr>(value).getValue().getSExtValue());
  else
    llvm::fill(result.reals, numberOf(value));
  return {result};
}

static Tensors evaluateIota(mlir::Operation *op, const Tensors &,
                            const Context &context) {
  int64_t dim = llvm::cast<IotaOp>(op).getDim();
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &index) {
    int64_t value = index[dim] + context.offsetOf(dim);
    if (result.isInteger)
      result.intAt(index) = value;
    else
      result.at(index) = static_cast<double>(value);
  });
  return {result};
}

static Tensors evaluateStepNumber(mlir::Operation *op, const Tensors &,
                                  const Context &context) {
  Tensor result(op->getResult(0).getType());
  if (result.isInteger)
    result.integers[0] = context.step;
  else
    result.reals[0] = static_cast<double>(context.step);
  return {result};
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static Tensors evaluateBroadcast(mlir::Operation *op, const Tensors &operands,
                                 const Context &) {
  auto dims = llvm::cast<BroadcastOp>(op).getDims();
  return gather(op, operands[0], [&](const Index &index) {
    Index own;
    for (int64_t dim : dims)
      own.push_back(index[dim]);
    return own;
  });
}

static Tensors evaluateReshape(mlir::Operation *op, const Tensors &operands,
                               const Context &) {
  Tensor result(op->getResult(0).getType());
  result.reals = operands[0].reals;
  result.integers = operands[0].integers;
  return {result};
}

static Tensors evaluateTranspose(mlir::Operation *op, const Tensors &operands,
                                 const Context &) {
  auto permutation = llvm::cast<TransposeOp>(op).getPermutation();
  return gather(op, operands[0], [&](const Index &index) {
    Index own(index.size());
    for (size_t i = 0; i < index.size(); ++i)
      own[permutation[i]] = index[i];
    return own;
  });
}

static Tensors evaluateSlice(mlir::Operation *op, const Tensors &operands,
                             const Context &) {
  auto slice = llvm::cast<SliceOp>(op);
  return gather(op, operands[0], [&](const Index &index) {
    Index own(index);
    own[slice.getDim()] += slice.getStart();
    return own;
  });
}

static Tensors evaluatePad(mlir::Operation *op, const Tensors &operands,
                           const Context &) {
  auto pad = llvm::cast<PadOp>(op);
  Tensor result(op->getResult(0).getType());
  forEachIndex(operands[0].shape, [&](const Index &index) {
    Index to(index);
    to[pad.getDim()] += pad.getLow();
    copyElement(result, result.position(to), operands[0],
                operands[0].position(index));
  });
  return {result};
}

static Tensors evaluateConcat(mlir::Operation *op, const Tensors &operands,
                              const Context &) {
  int64_t dim = llvm::cast<ConcatOp>(op).getDim(), start = 0;
  Tensor result(op->getResult(0).getType());
  for (const Tensor &operand : operands) {
    forEachIndex(operand.shape, [&](const Index &index) {
      Index to(index);
      to[dim] += start;
      copyElement(result, result.position(to), operand,
                  operand.position(index));
    });
    start += operand.shape[dim];
  }
  return {result};
}

//===----------------------------------------------------------------------===//
// Gather and scatter: loop dimension 0 of the table's rows may be a shard
//===----------------------------------------------------------------------===//

/// [indices..., features...] to the row and its features.
static Index rowIndex(const Index &index, size_t indexRank, int64_t row) {
  Index own{row};
  own.insert(own.end(), index.begin() + indexRank, index.end());
  return own;
}

static Tensors evaluateEmbedding(mlir::Operation *op, const Tensors &operands,
                                 const Context &context) {
  const Tensor &table = operands[0], &indices = operands[1];
  // The rows' loop follows those of the indices.
  int64_t offset = context.offsetOf(indices.rank());
  Tensor result(op->getResult(0).getType());
  forEachIndex(result.shape, [&](const Index &index) {
    Index where(index.begin(), index.begin() + indices.rank());
    int64_t row = indices.intAt(where) - offset;
    if (row >= 0 && row < table.shape[0])
      result.at(index) = table.at(rowIndex(index, indices.rank(), row));
  });
  return {result};
}

static Tensors evaluateScatterAdd(mlir::Operation *op, const Tensors &operands,
                                  const Context &context) {
  const Tensor &indices = operands[0], &updates = operands[1];
  int64_t offset = context.offsetOf(indices.rank());
  Tensor result(op->getResult(0).getType());
  forEachIndex(updates.shape, [&](const Index &index) {
    Index where(index.begin(), index.begin() + indices.rank());
    int64_t row = indices.intAt(where) - offset;
    if (row >= 0 && row < result.shape[0])
      result.at(rowIndex(index, indices.rank(), row)) += updates.at(index);
  });
  return {result};
}

llvm::ArrayRef<Row> reference::shapeRows() {
  static const Row rows[] = {
      {"einsum", evaluateEinsum},
      {"reduce", evaluateReduce},
      {"constant", evaluateConstant},
      {"iota", evaluateIota},
      {"step_number", evaluateStepNumber},
      {"broadcast", evaluateBroadcast},
      {"reshape", evaluateReshape},
      {"transpose", evaluateTranspose},
      {"slice", evaluateSlice},
      {"pad", evaluatePad},
      {"concat", evaluateConcat},
      {"embedding", evaluateEmbedding},
      {"scatter_add", evaluateScatterAdd},
  };
  return rows;
}
