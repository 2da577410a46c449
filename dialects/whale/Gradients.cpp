//===- Gradients.cpp - gradients of contractions, shapes and layers -------===//
//
// Reverse-mode rules of the ops in WhaleTensor.td. Contractions, shape ops,
// gathers, convolutions and expert products are closed under differentiation
// among themselves; norms, attention, cross-entropy and pooling have a fused
// gradient op that is first order.
//
//===----------------------------------------------------------------------===//

#include "dialects/whale/PrimitiveBuilder.h"

using namespace mlir;
using namespace whale;

using Gradients = FailureOr<SmallVector<Value>>;

static Gradients one(Value gradient) { return SmallVector<Value>{gradient}; }

//===----------------------------------------------------------------------===//
// Contraction and reduction
//===----------------------------------------------------------------------===//

Gradients EinsumOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // Every dimension of one operand is in the other or in the result (the
  // verifier says so), so both gradients are einsums of the same names.
  Equation equation = *parseEquation(getEquation());
  Equation forLhs{equation.result, equation.rhs, equation.lhs};
  Equation forRhs{equation.lhs, equation.result, equation.rhs};
  Value lhs = EinsumOp::create(builder, getLoc(), getLhs().getType(),
                               printEquation(forLhs), gradients[0], getRhs());
  Value rhs = EinsumOp::create(builder, getLoc(), getRhs().getType(),
                               printEquation(forRhs), getLhs(), gradients[0]);
  return SmallVector<Value>{lhs, rhs};
}

/// Dimensions of `op`'s operand that its result keeps.
static SmallVector<int64_t> keptDims(ReduceOp op) {
  SmallVector<int64_t> kept;
  for (int64_t dim = 0; dim < tensorType(op.getOperand()).getRank(); ++dim)
    if (!llvm::is_contained(op.getDims(), dim))
      kept.push_back(dim);
  return kept;
}

Gradients ReduceOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  RankedTensorType type = tensorType(getOperand());
  SmallVector<int64_t> kept = keptDims(*this);
  if (getKind() == ReductionKind::sum)
    return one(b.broadcast(gradients[0], type, kept));
  Value best = b.broadcast(getResult(), type, kept);
  Value reached = b.compare(Predicate::eq, getOperand(), best);
  Value ones = b.select(reached, b.scalar(1.0, best), b.scalar(0.0, best));
  Value share = b.div(gradients[0], b.sum(ones, getDims()));
  return one(b.mask(reached, b.broadcast(share, type, kept)));
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

Gradients BroadcastOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  SmallVector<int64_t> repeated;
  for (int64_t dim = 0; dim < tensorType(getResult()).getRank(); ++dim)
    if (!llvm::is_contained(getDims(), dim))
      repeated.push_back(dim);
  return one(PrimitiveBuilder(builder, *this).sum(gradients[0], repeated));
}

Gradients ReshapeOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(PrimitiveBuilder(builder, *this)
                 .reshape(gradients[0], tensorType(getOperand()).getShape()));
}

Gradients TransposeOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  SmallVector<int64_t> inverse(getPermutation().size());
  for (auto [index, dim] : llvm::enumerate(getPermutation()))
    inverse[dim] = index;
  return one(TransposeOp::create(builder, getLoc(), getOperand().getType(),
                                 gradients[0], inverse));
}

Gradients SliceOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(PadOp::create(builder, getLoc(), getOperand().getType(),
                           gradients[0], getDim(), getStart()));
}

Gradients PadOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(SliceOp::create(builder, getLoc(), getOperand().getType(),
                             gradients[0], getDim(), getLow()));
}

Gradients ConcatOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  SmallVector<Value> pieces;
  int64_t start = 0;
  for (Value operand : getOperands()) {
    pieces.push_back(SliceOp::create(builder, getLoc(), operand.getType(),
                                     gradients[0], getDim(), start));
    start += tensorType(operand).getDimSize(getDim());
  }
  return pieces;
}

//===----------------------------------------------------------------------===//
// Gather and scatter
//===----------------------------------------------------------------------===//

Gradients EmbeddingOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  Value table = ScatterAddOp::create(builder, getLoc(), getTable().getType(),
                                     getIndices(), gradients[0]);
  return SmallVector<Value>{table, Value()};
}

Gradients ScatterAddOp::buildGradient(OpBuilder &builder,
                                      ValueRange gradients) {
  Value updates = EmbeddingOp::create(builder, getLoc(), getUpdates().getType(),
                                      gradients[0], getIndices());
  return SmallVector<Value>{Value(), updates};
}

//===----------------------------------------------------------------------===//
// Softmax, norms, cross-entropy
//===----------------------------------------------------------------------===//

Gradients SoftmaxOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(SoftmaxGradOp::create(builder, getLoc(), getResult().getType(),
                                   getResult(), gradients[0]));
}

Gradients SoftmaxGradOp::buildGradient(OpBuilder &builder,
                                       ValueRange gradients) {
  // r = y (dy - sum(y dy)) is symmetric and linear in dy; for y:
  // h (dy - sum(y dy)) - dy sum(y h), h the gradient of r.
  PrimitiveBuilder b(builder, *this);
  Value y = getResultValue(), dy = getGradient(), h = gradients[0];
  RankedTensorType type = tensorType(y);
  int64_t last = type.getRank() - 1;
  auto dot = [&](Value lhs, Value rhs) {
    return b.broadcastRows(b.sum(b.mul(lhs, rhs), last), type);
  };
  Value forY = b.sub(b.mul(h, b.sub(dy, dot(y, dy))), b.mul(dy, dot(y, h)));
  Value forGradient = SoftmaxGradOp::create(builder, getLoc(), type, y, h);
  return SmallVector<Value>{forY, forGradient};
}

Gradients LayerNormOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  Type vector = getScale().getType();
  auto op = LayerNormGradOp::create(
      builder, getLoc(), TypeRange{getOperand().getType(), vector, vector},
      ValueRange{getOperand(), getScale(), gradients[0]},
      builder.getNamedAttr("epsilon", getEpsilonAttr()));
  return SmallVector<Value>(op.getResults());
}

Gradients RmsNormOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  auto op = RmsNormGradOp::create(
      builder, getLoc(),
      TypeRange{getOperand().getType(), getScale().getType()},
      ValueRange{getOperand(), getScale(), gradients[0]},
      builder.getNamedAttr("epsilon", getEpsilonAttr()));
  return SmallVector<Value>(op.getResults());
}

Gradients BatchNormOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // The statistics are for running averages only.
  if (gradients[1] || gradients[2])
    return failure();
  Type vector = getScale().getType();
  SmallVector<NamedAttribute> attributes = {
      builder.getNamedAttr("epsilon", getEpsilonAttr())};
  if (getOverAttr())
    attributes.push_back(builder.getNamedAttr("over", getOverAttr()));
  auto op = BatchNormGradOp::create(
      builder, getLoc(), TypeRange{getOperand().getType(), vector, vector},
      ValueRange{getOperand(), getScale(), gradients[0]}, attributes);
  return SmallVector<Value>(op.getResults());
}

Gradients CrossEntropyOp::buildGradient(OpBuilder &builder,
                                        ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value logits = getLogits(), sum;
  RankedTensorType type = tensorType(logits);
  if (gradients[0])
    sum = CrossEntropyGradOp::create(builder, getLoc(), type, logits,
                                     getLabels(), getLogSumExp(), gradients[0]);
  if (gradients[1]) {
    Value shift = b.broadcastRows(getLogSumExp(), type);
    Value softmax = b.unary<ExpOp>(b.sub(logits, shift));
    Value part = b.mul(softmax, b.broadcastRows(gradients[1], type));
    sum = sum ? b.add(sum, part) : part;
  }
  return SmallVector<Value>{sum, Value()};
}

//===----------------------------------------------------------------------===//
// Attention and positions
//===----------------------------------------------------------------------===//

Gradients AttentionOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // log_sum_exp is a residual, not a result to learn from.
  if (gradients[1])
    return failure();
  auto op = AttentionGradOp::create(
      builder, getLoc(), getQuery().getType(), getKey().getType(),
      getValue().getType(), getBias() ? getBias().getType() : Type(),
      getQuery(), getKey(), getValue(), getResult(), getLogSumExp(),
      gradients[0], getBias(), getScaleAttr(), getCausalAttr(),
      getWindowAttr());
  return SmallVector<Value>(op.getResults());
}

Gradients RotaryOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(RotaryOp::create(builder, getLoc(), getResult().getType(),
                              gradients[0], getTheta(), getScalingAttr(),
                              !getInverse()));
}

//===----------------------------------------------------------------------===//
// Convolution and pooling: each of the three ops is linear in both operands,
// and the adjoints of one are the other two.
//===----------------------------------------------------------------------===//

Gradients Conv2dOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  Value input = Conv2dInputGradOp::create(
      builder, getLoc(), getInput().getType(), gradients[0], getFilter(),
      getStrides(), getPadding());
  Value filter = Conv2dFilterGradOp::create(
      builder, getLoc(), getFilter().getType(), getInput(), gradients[0],
      getStrides(), getPadding());
  return SmallVector<Value>{input, filter};
}

Gradients Conv2dInputGradOp::buildGradient(OpBuilder &builder,
                                           ValueRange gradients) {
  Value gradient =
      Conv2dOp::create(builder, getLoc(), getGradient().getType(), gradients[0],
                       getFilter(), getStrides(), getPadding());
  Value filter = Conv2dFilterGradOp::create(
      builder, getLoc(), getFilter().getType(), gradients[0], getGradient(),
      getStrides(), getPadding());
  return SmallVector<Value>{gradient, filter};
}

Gradients Conv2dFilterGradOp::buildGradient(OpBuilder &builder,
                                            ValueRange gradients) {
  Value input = Conv2dInputGradOp::create(
      builder, getLoc(), getInput().getType(), getGradient(), gradients[0],
      getStrides(), getPadding());
  Value gradient =
      Conv2dOp::create(builder, getLoc(), getGradient().getType(), getInput(),
                       gradients[0], getStrides(), getPadding());
  return SmallVector<Value>{input, gradient};
}

Gradients PoolOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(PoolGradOp::create(builder, getLoc(), getInput().getType(),
                                getKind(), getInput(), gradients[0],
                                getWindow(), getStrides(), getPadding()));
}

//===----------------------------------------------------------------------===//
// Mixture of experts
//===----------------------------------------------------------------------===//

Gradients TopKOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // [i..., k, n]: choice j went to place indices[i..., j].
  if (!gradients[0])
    return one(Value());
  PrimitiveBuilder b(builder, *this);
  RankedTensorType type = tensorType(getOperand());
  SmallVector<int64_t> shape(tensorType(getValues()).getShape());
  shape.push_back(type.getShape().back());
  RankedTensorType wide = tensorType(getIndices()).clone(shape);
  Value place = IotaOp::create(builder, getLoc(), wide, type.getRank());
  Value chosen =
      b.compare(Predicate::eq, place, b.broadcastRows(getIndices(), wide));
  Value spread = b.mask(chosen, b.broadcastRows(gradients[0], wide));
  return one(b.sum(spread, type.getRank() - 1));
}

Gradients ExpertMatmulOp::buildGradient(OpBuilder &builder,
                                        ValueRange gradients) {
  Value rows = ExpertMatmulOp::create(builder, getLoc(), getRows().getType(),
                                      gradients[0], getWeights(), getExperts(),
                                      !getTransposed());
  Value lhs = getTransposed() ? gradients[0] : getRows();
  Value rhs = getTransposed() ? getRows() : gradients[0];
  Value weights = ExpertOuterOp::create(
      builder, getLoc(), getWeights().getType(), lhs, rhs, getExperts());
  return SmallVector<Value>{rows, weights, Value()};
}

Gradients ExpertOuterOp::buildGradient(OpBuilder &builder,
                                       ValueRange gradients) {
  Value lhs = ExpertMatmulOp::create(builder, getLoc(), getLhs().getType(),
                                     getRhs(), gradients[0], getExperts(),
                                     /*transposed=*/true);
  Value rhs = ExpertMatmulOp::create(builder, getLoc(), getRhs().getType(),
                                     getLhs(), gradients[0], getExperts(),
                                     /*transposed=*/false);
  return SmallVector<Value>{lhs, rhs, Value()};
}

Gradients DispatchOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  Value rows = CollectOp::create(builder, getLoc(), getRows().getType(),
                                 gradients[0], getExperts(), getSlots());
  return SmallVector<Value>{rows, Value(), Value()};
}

Gradients CollectOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  Value buffers = DispatchOp::create(builder, getLoc(), getBuffers().getType(),
                                     gradients[0], getExperts(), getSlots());
  return SmallVector<Value>{buffers, Value(), Value()};
}
