//===- GradientsElementwise.cpp - gradients of the elementwise ops --------===//
//
// Reverse-mode rules: from the gradient of the result to those of the operands
// (notation: x operand, y result, g gradient of y). Formulas are those of any
// calculus text; where a choice was free (ties, corners) the op's description
// in WhaleElementwise.td says which one holds.
//
//===----------------------------------------------------------------------===//

#include "dialects/whale/PrimitiveBuilder.h"

using namespace mlir;
using namespace whale;

using Gradients = FailureOr<SmallVector<Value>>;

static Gradients none(Operation *op) {
  return SmallVector<Value>(op->getNumOperands());
}

static Gradients one(Value gradient) { return SmallVector<Value>{gradient}; }

static bool isReal(Value value) {
  return isa<FloatType>(tensorType(value).getElementType());
}

//===----------------------------------------------------------------------===//
// Unary
//===----------------------------------------------------------------------===//

Gradients NegOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(PrimitiveBuilder(builder, *this).unary<NegOp>(gradients[0]));
}

Gradients AbsOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  return one(b.mul(gradients[0], b.unary<SignOp>(getOperand())));
}

Gradients ExpOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(PrimitiveBuilder(builder, *this).mul(gradients[0], getResult()));
}

Gradients LogOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(PrimitiveBuilder(builder, *this).div(gradients[0], getOperand()));
}

Gradients SqrtOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  return one(b.div(b.mul(gradients[0], 0.5), getResult()));
}

Gradients RsqrtOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // -g y^3 / 2
  PrimitiveBuilder b(builder, *this);
  Value cube = b.mul(b.mul(getResult(), getResult()), getResult());
  return one(b.mul(b.mul(gradients[0], cube), -0.5));
}

Gradients ReciprocalOp::buildGradient(OpBuilder &builder,
                                      ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value square = b.mul(getResult(), getResult());
  return one(b.unary<NegOp>(b.mul(gradients[0], square)));
}

Gradients TanhOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value square = b.mul(getResult(), getResult());
  return one(b.mul(gradients[0], b.sub(b.scalar(1.0, square), square)));
}

Gradients SigmoidOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value rest = b.sub(b.scalar(1.0, getResult()), getResult());
  return one(b.mul(gradients[0], b.mul(getResult(), rest)));
}

Gradients ErfOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // 2 / sqrt(pi) * exp(-x^2)
  constexpr double twoOverSqrtPi = 1.1283791670955126;
  PrimitiveBuilder b(builder, *this);
  Value square = b.mul(getOperand(), getOperand());
  Value bell = b.unary<ExpOp>(b.unary<NegOp>(square));
  return one(b.mul(gradients[0], b.mul(bell, twoOverSqrtPi)));
}

Gradients SinOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  return one(b.mul(gradients[0], b.unary<CosOp>(getOperand())));
}

Gradients CosOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value sine = b.unary<SinOp>(getOperand());
  return one(b.unary<NegOp>(b.mul(gradients[0], sine)));
}

Gradients ReluOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value positive =
      b.compare(Predicate::gt, getOperand(), b.scalar(0.0, getOperand()));
  return one(b.mask(positive, gradients[0]));
}

// Steps: the gradient is 0 almost everywhere, so nothing flows.
Gradients SignOp::buildGradient(OpBuilder &, ValueRange) { return none(*this); }
Gradients FloorOp::buildGradient(OpBuilder &, ValueRange) {
  return none(*this);
}
Gradients StopGradientOp::buildGradient(OpBuilder &, ValueRange) {
  return none(*this);
}

Gradients CastOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  if (!isReal(getOperand()))
    return none(*this);
  return one(
      CastOp::create(builder, getLoc(), getOperand().getType(), gradients[0]));
}

Gradients DropoutOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(DropoutOp::create(builder, getLoc(), gradients[0].getType(),
                               gradients[0], getRateAttr(), getKeyAttr()));
}

//===----------------------------------------------------------------------===//
// silu and gelu
//===----------------------------------------------------------------------===//

Gradients SiluOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(SiluGradOp::create(builder, getLoc(), gradients[0].getType(),
                                getOperand(), gradients[0]));
}

Gradients SiluGradOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // silu''(x) = s (1 - s) (2 + x (1 - 2 s)), s = sigmoid(x)
  PrimitiveBuilder b(builder, *this);
  Value x = getOperand();
  Value s = b.unary<SigmoidOp>(x);
  Value slope = b.mul(s, b.sub(b.scalar(1.0, s), s));
  Value inner = b.mul(x, b.add(b.mul(s, -2.0), 1.0));
  Value second = b.mul(slope, b.add(inner, 2.0));
  Value first =
      SiluGradOp::create(builder, getLoc(), x.getType(), x, gradients[0]);
  return SmallVector<Value>{b.mul(gradients[0], b.mul(getGradient(), second)),
                            first};
}

Gradients GeluOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return one(GeluGradOp::create(builder, getLoc(), gradients[0].getType(),
                                getOperand(), gradients[0], getTanh()));
}

/// (2 - x^2) * phi(x), phi the normal density.
static Value geluSecond(PrimitiveBuilder &b, Value x) {
  constexpr double oneOverSqrtTwoPi = 0.3989422804014327;
  Value square = b.mul(x, x);
  Value density = b.mul(b.unary<ExpOp>(b.mul(square, -0.5)), oneOverSqrtTwoPi);
  return b.mul(density, b.sub(b.scalar(2.0, x), square));
}

/// With u = c (x + a x^3) and t = tanh(u):
/// (1 - t^2) (u' + x u'' / 2 - x t u'^2).
static Value geluTanhSecond(PrimitiveBuilder &b, Value x) {
  constexpr double c = 0.7978845608028654, a = 0.044715;
  Value square = b.mul(x, x);
  Value u = b.mul(b.mul(x, b.add(b.mul(square, a), 1.0)), c);
  Value t = b.unary<TanhOp>(u);
  Value slope = b.mul(b.add(b.mul(square, 3.0 * a), 1.0), c);
  Value halfCurve = b.mul(square, 3.0 * a * c);
  Value turn = b.mul(b.mul(x, t), b.mul(slope, slope));
  Value outer = b.sub(b.scalar(1.0, t), b.mul(t, t));
  return b.mul(outer, b.sub(b.add(slope, halfCurve), turn));
}

Gradients GeluGradOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value x = getOperand();
  Value second = getTanh() ? geluTanhSecond(b, x) : geluSecond(b, x);
  Value first = GeluGradOp::create(builder, getLoc(), x.getType(), x,
                                   gradients[0], getTanh());
  return SmallVector<Value>{b.mul(gradients[0], b.mul(getGradient(), second)),
                            first};
}

//===----------------------------------------------------------------------===//
// Binary
//===----------------------------------------------------------------------===//

/// Gradients of two operands, summed back over what was broadcast.
static Gradients both(PrimitiveBuilder &b, Operation *op, Value lhs,
                      Value rhs) {
  return SmallVector<Value>{b.sumToShape(lhs, tensorType(op->getOperand(0))),
                            b.sumToShape(rhs, tensorType(op->getOperand(1)))};
}

Gradients AddOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  return both(b, *this, gradients[0], gradients[0]);
}

Gradients SubOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  return both(b, *this, gradients[0], b.unary<NegOp>(gradients[0]));
}

Gradients MulOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  return both(b, *this, b.mul(gradients[0], getRhs()),
              b.mul(gradients[0], getLhs()));
}

Gradients DivOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // g / x1 and -g y / x1
  PrimitiveBuilder b(builder, *this);
  Value share = b.div(gradients[0], getRhs());
  return both(b, *this, share, b.unary<NegOp>(b.mul(share, getResult())));
}

/// Of max and min: to the side that the result was taken from.
static Gradients pick(Operation *op, OpBuilder &builder, Value gradient,
                      Predicate takesLhs) {
  PrimitiveBuilder b(builder, op);
  Value left = b.compare(takesLhs, op->getOperand(0), op->getOperand(1));
  Value zero = b.scalar(0.0, gradient);
  return both(b, op, b.select(left, gradient, zero),
              b.select(left, zero, gradient));
}

Gradients MaxOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return pick(*this, builder, gradients[0], Predicate::ge);
}

Gradients MinOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  return pick(*this, builder, gradients[0], Predicate::le);
}

Gradients PowOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  // g p x^(p - 1) and g y log(x)
  PrimitiveBuilder b(builder, *this);
  Value lower =
      PowOp::create(builder, getLoc(), getLhs(), b.add(getRhs(), -1.0));
  Value base = b.mul(gradients[0], b.mul(getRhs(), lower));
  Value power =
      b.mul(gradients[0], b.mul(getResult(), b.unary<LogOp>(getLhs())));
  return both(b, *this, base, power);
}

Gradients SelectOp::buildGradient(OpBuilder &builder, ValueRange gradients) {
  PrimitiveBuilder b(builder, *this);
  Value zero = b.scalar(0.0, gradients[0]);
  Value lhs = b.select(getCondition(), gradients[0], zero);
  Value rhs = b.select(getCondition(), zero, gradients[0]);
  return SmallVector<Value>{Value(), b.sumToShape(lhs, tensorType(getLhs())),
                            b.sumToShape(rhs, tensorType(getRhs()))};
}
