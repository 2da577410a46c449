//===- Expand.cpp - fused ops in primitive ops ----------------------------===//
//
// Softmax, norms, cross-entropy and their gradients in elementwise, reduce,
// broadcast and iota ops. Rows are max-subtracted; variances are those of the
// centred values (two passes), never E[x^2] - E[x]^2. 16-bit operands are
// computed in f32 and rounded at the results.
//
//===----------------------------------------------------------------------===//

#include "dialects/whale/Whale.h"

using namespace mlir;
using namespace whale;

namespace {

/// Builds primitives on tensors at one place.
class Primitives {
public:
  Primitives(OpBuilder &builder, Operation *op)
      : builder(builder), loc(op->getLoc()) {}

  /// 16-bit floats as f32; others as they are.
  Value widen(Value x) {
    Type element = tensorType(x).getElementType();
    if (!element.isBF16() && !element.isF16())
      return x;
    return cast(x, builder.getF32Type());
  }
  Value cast(Value x, Type element) {
    RankedTensorType type = tensorType(x);
    if (type.getElementType() == element)
      return x;
    return CastOp::create(builder, loc, type.clone(element), x);
  }
  Value cast(Value x, Value like) {
    return cast(x, tensorType(like).getElementType());
  }
  Value add(Value a, Value b) { return AddOp::create(builder, loc, a, b); }
  Value sub(Value a, Value b) { return SubOp::create(builder, loc, a, b); }
  Value mul(Value a, Value b) { return MulOp::create(builder, loc, a, b); }
  Value div(Value a, Value b) { return DivOp::create(builder, loc, a, b); }
  Value exp(Value x) { return ExpOp::create(builder, loc, x.getType(), x); }
  Value log(Value x) { return LogOp::create(builder, loc, x.getType(), x); }
  Value rsqrt(Value x) { return RsqrtOp::create(builder, loc, x.getType(), x); }
  Value select(Value condition, Value a, Value b) {
    return SelectOp::create(builder, loc, condition, a, b);
  }
  Value compare(Predicate predicate, Value a, Value b) {
    return CompareOp::create(builder, loc, predicate, a, b);
  }
  /// A scalar of `like`'s element type; elementwise ops repeat it.
  Value number(double value, Value like) {
    auto type = RankedTensorType::get({}, tensorType(like).getElementType());
    Attribute attr = isa<FloatType>(type.getElementType())
                         ? Attribute(builder.getF64FloatAttr(value))
                         : Attribute(builder.getI64IntegerAttr(value));
    return ConstantOp::create(builder, loc, type, attr);
  }
  Value reduce(ReductionKind kind, Value x, ArrayRef<int64_t> dims) {
    RankedTensorType type = tensorType(x);
    SmallVector<int64_t> shape;
    for (auto [index, extent] : llvm::enumerate(type.getShape()))
      if (!llvm::is_contained(dims, static_cast<int64_t>(index)))
        shape.push_back(extent);
    return ReduceOp::create(builder, loc,
                            RankedTensorType::get(shape, type.getElementType()),
                            kind, x, dims);
  }
  Value sum(Value x, ArrayRef<int64_t> dims) {
    return reduce(ReductionKind::sum, x, dims);
  }
  /// Mean over dims.
  Value mean(Value x, ArrayRef<int64_t> dims) {
    int64_t count = 1;
    for (int64_t dim : dims)
      count *= tensorType(x).getDimSize(dim);
    return mul(sum(x, dims), number(1.0 / std::max<int64_t>(count, 1), x));
  }
  Value broadcast(Value x, ArrayRef<int64_t> shape, ArrayRef<int64_t> dims) {
    RankedTensorType type = tensorType(x);
    if (type.getShape() == shape)
      return x;
    return BroadcastOp::create(builder, loc, type.clone(shape), x, dims);
  }
  /// Repeats `x`, which has lost `reduced`, along them again.
  Value restore(Value x, Value like, ArrayRef<int64_t> reduced) {
    SmallVector<int64_t> kept;
    for (int64_t dim = 0, rank = tensorType(like).getRank(); dim < rank; ++dim)
      if (!llvm::is_contained(reduced, dim))
        kept.push_back(dim);
    return broadcast(x, tensorType(like).getShape(), kept);
  }
  Value reshape(Value x, ArrayRef<int64_t> shape) {
    RankedTensorType type = tensorType(x);
    if (type.getShape() == shape)
      return x;
    return ReshapeOp::create(builder, loc, type.clone(shape), x);
  }
  /// Contraction of the three terms' names.
  Value einsum(std::array<StringRef, 3> terms, Value a, Value b) {
    std::string equation =
        (terms[0] + ", " + terms[1] + " -> " + terms[2]).str();
    Equation names = *parseEquation(equation);
    SmallVector<int64_t> shape;
    for (const std::string &name : names.result) {
      auto *left = llvm::find(names.lhs, name);
      shape.push_back(
          left != names.lhs.end()
              ? tensorType(a).getDimSize(left - names.lhs.begin())
              : tensorType(b).getDimSize(llvm::find(names.rhs, name) -
                                         names.rhs.begin()));
    }
    return EinsumOp::create(builder, loc, tensorType(a).clone(shape), equation,
                            a, b);
  }
  /// Index along dimension `dim` of `like`.
  Value index(Value like, int64_t dim) {
    return IotaOp::create(builder, loc,
                          tensorType(like).clone(builder.getI32Type()), dim);
  }
  /// Index along the last dimension of `like`, in `element`; `offset` is the
  /// rank.scalar of that dimension's first element, or null.
  Value lastIndex(Value like, Type element, Attribute offset) {
    RankedTensorType type = tensorType(like).clone(element);
    auto iota = IotaOp::create(builder, loc, type, type.getRank() - 1);
    if (offset) {
      SmallVector<Attribute> offsets(type.getRank(), offset);
      iota->setAttr("offsets", builder.getArrayAttr(offsets));
    }
    return iota;
  }

private:
  OpBuilder &builder;
  Location loc;
};

} // namespace

static int64_t lastDim(Value x) { return tensorType(x).getRank() - 1; }

/// All dimensions but the last.
static SmallVector<int64_t> leadingDims(Value x) {
  return llvm::to_vector(llvm::seq<int64_t>(0, tensorType(x).getRank() - 1));
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

SmallVector<Value> SoftmaxOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getOperand());
  int64_t dim = lastDim(x);
  Value max = p.reduce(ReductionKind::max, x, dim);
  Value e = p.exp(p.sub(x, p.restore(max, x, dim)));
  Value y = p.div(e, p.restore(p.sum(e, dim), x, dim));
  return {p.cast(y, getResult())};
}

SmallVector<Value> SoftmaxGradOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value y = p.widen(getResultValue()), dy = p.widen(getGradient());
  int64_t dim = lastDim(y);
  Value inner = p.sum(p.mul(y, dy), dim);
  Value dx = p.mul(y, p.sub(dy, p.restore(inner, y, dim)));
  return {p.cast(dx, getResult())};
}

//===----------------------------------------------------------------------===//
// Layer norm and RMS norm
//===----------------------------------------------------------------------===//

/// (x - mean) * inverse deviation over `dims`, and the inverse deviation.
static std::pair<Value, Value>
standardise(Primitives &p, Value x, ArrayRef<int64_t> dims, double epsilon) {
  Value centred = p.sub(x, p.restore(p.mean(x, dims), x, dims));
  Value variance = p.mean(p.mul(centred, centred), dims);
  Value inverse = p.rsqrt(p.add(variance, p.number(epsilon, variance)));
  return {p.mul(centred, p.restore(inverse, x, dims)), inverse};
}

/// inverse * (g - mean(g) - xhat * mean(g * xhat)): the gradient through
/// standardise, of g, the gradient of xhat.
static Value standardiseGradient(Primitives &p, Value g, Value xhat,
                                 Value inverse, ArrayRef<int64_t> dims) {
  Value mean = p.restore(p.mean(g, dims), g, dims);
  Value slope = p.restore(p.mean(p.mul(g, xhat), dims), g, dims);
  Value centred = p.sub(p.sub(g, mean), p.mul(xhat, slope));
  return p.mul(centred, p.restore(inverse, g, dims));
}

SmallVector<Value> LayerNormOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getOperand());
  auto [xhat, inverse] =
      standardise(p, x, lastDim(x), getEpsilon().convertToDouble());
  Value y = p.add(p.mul(xhat, p.cast(getScale(), x)), p.cast(getShift(), x));
  return {p.cast(y, getResult())};
}

SmallVector<Value> LayerNormGradOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getOperand()), dy = p.widen(getGradient());
  int64_t dim = lastDim(x);
  auto [xhat, inverse] = standardise(p, x, dim, getEpsilon().convertToDouble());
  Value g = p.mul(dy, p.cast(getScale(), x));
  Value dx = standardiseGradient(p, g, xhat, inverse, dim);
  Value dscale = p.sum(p.mul(dy, xhat), leadingDims(x));
  Value dshift = p.sum(dy, leadingDims(x));
  return {p.cast(dx, getOperandGradient()), p.cast(dscale, getScaleGradient()),
          p.cast(dshift, getShiftGradient())};
}

/// 1 / sqrt(mean(x^2) + epsilon), per row.
static Value inverseRms(Primitives &p, Value x, double epsilon) {
  Value square = p.mean(p.mul(x, x), lastDim(x));
  return p.rsqrt(p.add(square, p.number(epsilon, square)));
}

SmallVector<Value> RmsNormOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getOperand());
  Value inverse = inverseRms(p, x, getEpsilon().convertToDouble());
  Value xhat = p.mul(x, p.restore(inverse, x, lastDim(x)));
  return {p.cast(p.mul(xhat, p.cast(getScale(), x)), getResult())};
}

SmallVector<Value> RmsNormGradOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getOperand()), dy = p.widen(getGradient());
  int64_t dim = lastDim(x);
  Value inverse = inverseRms(p, x, getEpsilon().convertToDouble());
  Value inverses = p.restore(inverse, x, dim);
  Value xhat = p.mul(x, inverses);
  Value g = p.mul(dy, p.cast(getScale(), x));
  Value slope = p.restore(p.mean(p.mul(g, xhat), dim), x, dim);
  Value dx = p.mul(p.sub(g, p.mul(xhat, slope)), inverses);
  Value dscale = p.sum(p.mul(dy, xhat), leadingDims(x));
  return {p.cast(dx, getOperandGradient()), p.cast(dscale, getScaleGradient())};
}

//===----------------------------------------------------------------------===//
// Batch norm: [groups, samples..., features], reduced over the middle
//===----------------------------------------------------------------------===//

/// Shape with the batch cut into groups: [groups, over * inner, features].
static SmallVector<int64_t> groupedShape(Value x,
                                         std::optional<uint64_t> over) {
  ArrayRef<int64_t> shape = tensorType(x).getShape();
  int64_t size = over ? static_cast<int64_t>(*over) : shape[0];
  int64_t groups = size ? shape[0] / size : 1, inner = size;
  for (int64_t extent : shape.drop_front().drop_back())
    inner *= extent;
  return {groups, inner, shape.back()};
}

SmallVector<Value> BatchNormOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x =
      p.widen(p.reshape(getOperand(), groupedShape(getOperand(), getOver())));
  Value mean = p.mean(x, 1);
  Value centred = p.sub(x, p.restore(mean, x, 1));
  Value variance = p.mean(p.mul(centred, centred), 1);
  double epsilon = getEpsilon().convertToDouble();
  Value inverse = p.rsqrt(p.add(variance, p.number(epsilon, variance)));
  Value xhat = p.mul(centred, p.restore(inverse, x, 1));
  Value y = p.add(p.mul(xhat, p.cast(getScale(), x)), p.cast(getShift(), x));
  y = p.reshape(p.cast(y, getResult()), tensorType(getResult()).getShape());
  return {y, p.cast(p.mean(mean, 0), getMean()),
          p.cast(p.mean(variance, 0), getVariance())};
}

SmallVector<Value> BatchNormGradOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  SmallVector<int64_t> shape = groupedShape(getOperand(), getOver());
  Value x = p.widen(p.reshape(getOperand(), shape));
  Value dy = p.widen(p.reshape(getGradient(), shape));
  auto [xhat, inverse] = standardise(p, x, 1, getEpsilon().convertToDouble());
  Value g = p.mul(dy, p.cast(getScale(), x));
  Value dx = standardiseGradient(p, g, xhat, inverse, 1);
  dx = p.reshape(p.cast(dx, getOperandGradient()),
                 tensorType(getOperand()).getShape());
  Value dscale = p.sum(p.mul(dy, xhat), {0, 1}), dshift = p.sum(dy, {0, 1});
  return {dx, p.cast(dscale, getScaleGradient()),
          p.cast(dshift, getShiftGradient())};
}

//===----------------------------------------------------------------------===//
// Cross-entropy
//===----------------------------------------------------------------------===//

/// The offset of the op's class dimension, null where it has no `offsets`.
static Attribute classOffset(Operation *op) {
  auto offsets = op->getAttrOfType<ArrayAttr>("offsets");
  return offsets && !offsets.empty() ? *(offsets.end() - 1) : Attribute();
}

/// Classes of the whole op: a shard knows them by `global_shape` only.
static std::optional<int64_t> globalClasses(Operation *op, Value logits) {
  if (auto shape = op->getAttrOfType<DenseI64ArrayAttr>("global_shape"))
    return shape.asArrayRef().back();
  if (classOffset(op))
    return std::nullopt;
  return tensorType(logits).getDimSize(lastDim(logits));
}

/// 1 where class index == label.
static Value labelMask(Primitives &p, Value logits, Value labels,
                       Attribute offset) {
  Type element = tensorType(labels).getElementType();
  Value index = p.lastIndex(logits, element, offset);
  Value label = p.restore(labels, logits, lastDim(logits));
  return p.compare(Predicate::eq, index, label);
}

SmallVector<Value> CrossEntropyOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getLogits());
  int64_t dim = lastDim(x);
  Value max = p.reduce(ReductionKind::max, x, dim);
  Value e = p.exp(p.sub(x, p.restore(max, x, dim)));
  Value lse = p.add(p.log(p.sum(e, dim)), max);
  Value mask = labelMask(p, x, getLabels(), classOffset(*this));
  Value zero = p.number(0, x);
  Value picked = p.sum(p.select(mask, x, zero), dim);
  // Only a label inside [0, classes) counts; others are ignored.
  Value count = p.number(tensorType(x).getDimSize(dim), getLabels());
  Value none = p.number(0, getLabels());
  Value loss = p.sub(lse, picked);
  loss = p.select(p.compare(Predicate::ge, getLabels(), none), loss, zero);
  loss = p.select(p.compare(Predicate::lt, getLabels(), count), loss, zero);
  return {p.cast(loss, getLoss()), p.cast(lse, getLogSumExp())};
}

SmallVector<Value> CrossEntropyGradOp::expand(OpBuilder &builder) {
  Primitives p(builder, *this);
  Value x = p.widen(getLogits());
  int64_t dim = lastDim(x);
  Value lse = p.restore(p.cast(getLogSumExp(), x), x, dim);
  Value mask = labelMask(p, x, getLabels(), classOffset(*this));
  Value zero = p.number(0, x), one = p.number(1, x);
  Value probability = p.exp(p.sub(x, lse));
  Value error = p.sub(probability, p.select(mask, one, zero));
  Value gradient = p.restore(p.cast(getGradient(), x), x, dim);
  Value dx = p.mul(error, gradient);
  // Ignored rows have no gradient, whatever is fed in.
  Value label = p.restore(getLabels(), x, dim);
  Value none = p.number(0, getLabels());
  dx = p.select(p.compare(Predicate::lt, label, none), zero, dx);
  if (std::optional<int64_t> classes = globalClasses(*this, x)) {
    Value count = p.number(*classes, getLabels());
    dx = p.select(p.compare(Predicate::ge, label, count), zero, dx);
  }
  return {p.cast(dx, getResult())};
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

namespace {
/// Names of attention's dimensions in einsums.
constexpr StringRef kQuery = "batch sequence heads group head";
constexpr StringRef kKey = "batch keys heads head";
constexpr StringRef kValue = "batch keys heads value";
constexpr StringRef kResult = "batch sequence heads group value";
constexpr StringRef kScores = "batch heads group sequence keys";
constexpr StringRef kRows = "batch heads group sequence";
/// Below any score; exp of it is replaced by 0.
constexpr double kUnseen = -1e30;

/// q k^T scale + bias as [batch, kv_heads, group, sequence, keys], and which of
/// them are seen.
template <typename OpTy> class Scores {
public:
  Scores(Primitives &p, OpTy op) : p(p) {
    Value product =
        p.einsum({kQuery, kKey, kScores}, op.getQuery(), op.getKey());
    double scale = op.getScale().convertToDouble();
    scores = p.mul(product, p.number(scale, product));
    if (op.getBias())
      scores = p.add(scores, op.getBias());
    setSeen(op.getCausal(), op.getWindow().value_or(0));
  }
  /// `x` where the key is seen, else `other`.
  Value whereSeen(Value x, double other) {
    return seen ? p.select(seen, x, p.number(other, x)) : x;
  }
  /// exp(scores - rows), 0 where the key is not seen.
  Value expMinus(Value rows) {
    Value difference = p.sub(scores, p.restore(rows, scores, keys));
    return whereSeen(p.exp(whereSeen(difference, 0)), 0);
  }

  static constexpr int64_t keys = 4;
  Value scores;

private:
  void setSeen(bool causal, int64_t window) {
    if (!causal && window == 0)
      return;
    Value query = p.index(scores, 3), key = p.index(scores, keys);
    if (causal)
      seen = p.compare(Predicate::le, key, query);
    if (window == 0)
      return;
    Value distance = p.sub(query, key);
    Value near =
        p.compare(Predicate::lt, distance, p.number(double(window), distance));
    seen = seen ? p.select(seen, near, seen) : near;
  }

  Primitives &p;
  Value seen;
};
} // namespace

SmallVector<Value> whale::expandAttention(OpBuilder &builder, AttentionOp op) {
  Primitives p(builder, op);
  Scores<AttentionOp> scores(p, op);
  constexpr int64_t keys = scores.keys;
  Value max = p.reduce(ReductionKind::max,
                       scores.whereSeen(scores.scores, kUnseen), keys);
  Value e = scores.expMinus(max);
  Value sum = p.sum(e, keys);
  Value share = p.div(e, p.restore(sum, e, keys));
  Value result = p.einsum({kScores, kValue, kResult}, share, op.getValue());
  return {result, p.add(p.log(sum), max)};
}

SmallVector<Value> whale::expandAttention(OpBuilder &builder,
                                          AttentionGradOp op) {
  Primitives p(builder, op);
  Scores<AttentionGradOp> scores(p, op);
  Value share = scores.expMinus(op.getLogSumExp()), dy = op.getGradient();
  Value dValue = p.einsum({kScores, kResult, kValue}, share, dy);
  Value dShare = p.einsum({kResult, kValue, kScores}, dy, op.getValue());
  // sum over keys of share * dShare, by the result: softmax's gradient.
  Value slope = p.einsum({kResult, kResult, kRows}, dy, op.getResultValue());
  Value dScores =
      p.mul(share, p.sub(dShare, p.restore(slope, dShare, scores.keys)));
  Value scaled =
      p.mul(dScores, p.number(op.getScale().convertToDouble(), dScores));
  SmallVector<Value> gradients = {
      p.einsum({kScores, kKey, kQuery}, scaled, op.getKey()),
      p.einsum({kScores, kQuery, kKey}, scaled, op.getQuery()), dValue};
  if (op.getBiasGradient())
    gradients.push_back(p.sum(dScores, {0}));
  return gradients;
}
