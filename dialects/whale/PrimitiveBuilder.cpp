//===- PrimitiveBuilder.cpp - short names for primitive ops ---------------===//

#include "dialects/whale/PrimitiveBuilder.h"

using namespace mlir;
using namespace whale;

Value PrimitiveBuilder::scalar(double value, Value like) {
  auto type = RankedTensorType::get({}, tensorType(like).getElementType());
  return ConstantOp::create(builder, location, type,
                            builder.getF64FloatAttr(value));
}

Value PrimitiveBuilder::add(Value lhs, Value rhs) {
  return AddOp::create(builder, location, lhs, rhs);
}
Value PrimitiveBuilder::sub(Value lhs, Value rhs) {
  return SubOp::create(builder, location, lhs, rhs);
}
Value PrimitiveBuilder::mul(Value lhs, Value rhs) {
  return MulOp::create(builder, location, lhs, rhs);
}
Value PrimitiveBuilder::div(Value lhs, Value rhs) {
  return DivOp::create(builder, location, lhs, rhs);
}
Value PrimitiveBuilder::compare(Predicate predicate, Value lhs, Value rhs) {
  return CompareOp::create(builder, location, predicate, lhs, rhs);
}
Value PrimitiveBuilder::select(Value condition, Value lhs, Value rhs) {
  return SelectOp::create(builder, location, condition, lhs, rhs);
}
Value PrimitiveBuilder::add(Value lhs, double rhs) {
  return add(lhs, scalar(rhs, lhs));
}
Value PrimitiveBuilder::mul(Value lhs, double rhs) {
  return mul(lhs, scalar(rhs, lhs));
}
Value PrimitiveBuilder::mask(Value condition, Value value) {
  return select(condition, value, scalar(0.0, value));
}

Value PrimitiveBuilder::sum(Value operand, ArrayRef<int64_t> dims) {
  RankedTensorType type = tensorType(operand);
  SmallVector<int64_t> shape;
  for (auto [index, extent] : llvm::enumerate(type.getShape()))
    if (!llvm::is_contained(dims, static_cast<int64_t>(index)))
      shape.push_back(extent);
  return ReduceOp::create(builder, location, type.clone(shape),
                          ReductionKind::sum, operand, dims);
}

Value PrimitiveBuilder::broadcast(Value operand, RankedTensorType type,
                                  ArrayRef<int64_t> dims) {
  auto result = type.clone(tensorType(operand).getElementType());
  if (operand.getType() == result)
    return operand;
  return BroadcastOp::create(builder, location, result, operand, dims);
}

Value PrimitiveBuilder::broadcastRows(Value operand, RankedTensorType type) {
  return broadcast(operand, type,
                   llvm::to_vector(llvm::seq<int64_t>(0, type.getRank() - 1)));
}

Value PrimitiveBuilder::reshape(Value operand, ArrayRef<int64_t> shape) {
  RankedTensorType type = tensorType(operand);
  if (type.getShape() == shape)
    return operand;
  return ReshapeOp::create(builder, location, type.clone(shape), operand);
}

Value PrimitiveBuilder::sumToShape(Value gradient, RankedTensorType type) {
  ArrayRef<int64_t> from = tensorType(gradient).getShape();
  ArrayRef<int64_t> to = type.getShape();
  int64_t skip = from.size() - to.size();
  SmallVector<int64_t> dims;
  for (auto [index, extent] : llvm::enumerate(from)) {
    int64_t own = static_cast<int64_t>(index) - skip;
    if (own < 0 || (to[own] == 1 && extent != 1))
      dims.push_back(index);
  }
  if (!dims.empty())
    gradient = sum(gradient, dims);
  return reshape(gradient, to);
}
