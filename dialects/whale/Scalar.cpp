//===- Scalar.cpp - scalar bodies of the elementwise ops ------------------===//
//
// One element of each op in arith and math; bf16 and f16 were widened to f32
// by the caller. CPU and GPU emitters share these bodies.
//
//===----------------------------------------------------------------------===//

#include "dialects/whale/Whale.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <numbers>

using namespace mlir;
using namespace whale;

namespace {

/// Short names for the ops that the bodies are made of.
class Body {
public:
  Body(OpBuilder &builder, Location loc, Type type)
      : builder(builder), loc(loc), type(type) {}

  Value number(double value) {
    return arith::ConstantOp::create(builder, loc,
                                     builder.getFloatAttr(type, value));
  }
  Value zero() {
    return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  }
  Value add(Value a, Value b) {
    return arith::AddFOp::create(builder, loc, a, b);
  }
  Value sub(Value a, Value b) {
    return arith::SubFOp::create(builder, loc, a, b);
  }
  Value mul(Value a, Value b) {
    return arith::MulFOp::create(builder, loc, a, b);
  }
  Value div(Value a, Value b) {
    return arith::DivFOp::create(builder, loc, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    return arith::SelectOp::create(builder, loc, condition, a, b);
  }
  Value compare(arith::CmpFPredicate predicate, Value a, Value b) {
    return arith::CmpFOp::create(builder, loc, predicate, a, b);
  }
  template <typename OpTy> Value unary(Value x) {
    return OpTy::create(builder, loc, x);
  }
  Value exp(Value x) { return unary<math::ExpOp>(x); }
  Value negate(Value x) { return unary<arith::NegFOp>(x); }

  Value sigmoid(Value x) {
    return div(number(1), add(number(1), exp(negate(x))));
  }

  /// sqrt(2/pi) (x + 0.044715 x^3).
  Value geluInner(Value x) {
    Value cube = mul(mul(mul(x, x), x), number(kGeluCubic));
    return mul(number(kGeluScale), add(x, cube));
  }
  /// The normal distribution function Phi(x).
  Value normalCdf(Value x) {
    Value scaled = mul(x, number(1 / std::numbers::sqrt2));
    return mul(number(0.5), add(number(1), unary<math::ErfOp>(scaled)));
  }
  /// 0.5 (1 + tanh(geluInner)).
  Value tanhCdf(Value x) {
    return mul(number(0.5), add(number(1), unary<math::TanhOp>(geluInner(x))));
  }
  Value geluSlope(Value x) {
    double density = 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;
    Value power = exp(mul(number(-0.5), mul(x, x)));
    return add(normalCdf(x), mul(mul(x, number(density)), power));
  }
  Value geluTanhSlope(Value x) {
    Value t = unary<math::TanhOp>(geluInner(x));
    Value inner = mul(number(kGeluScale),
                      add(number(1), mul(number(3 * kGeluCubic), mul(x, x))));
    Value rise = mul(sub(number(1), mul(t, t)), inner);
    return mul(number(0.5), add(add(number(1), t), mul(x, rise)));
  }

  /// Hendrycks and Gimpel 2016, equation of the tanh approximation.
  static constexpr double kGeluCubic = 0.044715;
  static constexpr double kGeluScale = 0.79788456080286535588; // sqrt(2/pi)

private:
  OpBuilder &builder;
  Location loc;
  Type type;
};

} // namespace

static Body bodyOf(OpBuilder &builder, Operation *op, ValueRange operands) {
  return Body(builder, op->getLoc(), operands.back().getType());
}

//===----------------------------------------------------------------------===//
// Unary
//===----------------------------------------------------------------------===//

/// Ops that are one op of arith or math.
#define WHALE_UNARY(OP, TARGET)                                                \
  Value OP::emitScalar(OpBuilder &builder, ValueRange x) {                     \
    return TARGET::create(builder, getLoc(), x[0]);                            \
  }
WHALE_UNARY(NegOp, arith::NegFOp)
WHALE_UNARY(AbsOp, math::AbsFOp)
WHALE_UNARY(ExpOp, math::ExpOp)
WHALE_UNARY(LogOp, math::LogOp)
WHALE_UNARY(SqrtOp, math::SqrtOp)
WHALE_UNARY(TanhOp, math::TanhOp)
WHALE_UNARY(ErfOp, math::ErfOp)
WHALE_UNARY(SinOp, math::SinOp)
WHALE_UNARY(CosOp, math::CosOp)
WHALE_UNARY(FloorOp, math::FloorOp)
#undef WHALE_UNARY

Value StopGradientOp::emitScalar(OpBuilder &, ValueRange x) { return x[0]; }

// An exact root and quotient: hardware estimates differ between machines.
Value RsqrtOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  return body.div(body.number(1), body.unary<math::SqrtOp>(x[0]));
}

Value ReciprocalOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  return body.div(body.number(1), x[0]);
}

Value SigmoidOp::emitScalar(OpBuilder &builder, ValueRange x) {
  return bodyOf(builder, *this, x).sigmoid(x[0]);
}

Value SignOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  Value zero = body.number(0);
  Value above = body.compare(arith::CmpFPredicate::OGT, x[0], zero);
  Value below = body.compare(arith::CmpFPredicate::OLT, x[0], zero);
  Value rest = body.select(below, body.number(-1), zero);
  return body.select(above, body.number(1), rest);
}

// NaN passes: it is not below 0.
Value ReluOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  Value zero = body.number(0);
  Value below = body.compare(arith::CmpFPredicate::OLT, x[0], zero);
  return body.select(below, zero, x[0]);
}

Value SiluOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  return body.mul(x[0], body.sigmoid(x[0]));
}

// silu' = s (1 + x (1 - s)) with s = sigmoid(x).
Value SiluGradOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  Value one = body.number(1), s = body.sigmoid(x[0]);
  Value slope = body.mul(s, body.add(one, body.mul(x[0], body.sub(one, s))));
  return body.mul(x[1], slope);
}

Value GeluOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  return body.mul(x[0], getTanh() ? body.tanhCdf(x[0]) : body.normalCdf(x[0]));
}

Value GeluGradOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Body body = bodyOf(builder, *this, x);
  return body.mul(x[1],
                  getTanh() ? body.geluTanhSlope(x[0]) : body.geluSlope(x[0]));
}

//===----------------------------------------------------------------------===//
// Binary, by element type
//===----------------------------------------------------------------------===//

/// FLOAT for floating point, BOOL for i1, INT for the other integers.
#define WHALE_BINARY(OP, FLOAT, BOOL, INT)                                     \
  Value OP::emitScalar(OpBuilder &builder, ValueRange x) {                     \
    if (isa<FloatType>(x[0].getType()))                                        \
      return FLOAT::create(builder, getLoc(), x[0], x[1]);                     \
    if (x[0].getType().isInteger(1))                                           \
      return BOOL::create(builder, getLoc(), x[0], x[1]);                      \
    return INT::create(builder, getLoc(), x[0], x[1]);                         \
  }
WHALE_BINARY(AddOp, arith::AddFOp, arith::OrIOp, arith::AddIOp)
WHALE_BINARY(SubOp, arith::SubFOp, arith::XOrIOp, arith::SubIOp)
WHALE_BINARY(MulOp, arith::MulFOp, arith::AndIOp, arith::MulIOp)
WHALE_BINARY(DivOp, arith::DivFOp, arith::AndIOp, arith::DivSIOp)
WHALE_BINARY(MaxOp, arith::MaximumFOp, arith::MaxUIOp, arith::MaxSIOp)
WHALE_BINARY(MinOp, arith::MinimumFOp, arith::MinUIOp, arith::MinSIOp)
WHALE_BINARY(PowOp, math::PowFOp, arith::OrIOp, math::IPowIOp)
#undef WHALE_BINARY

Value CompareOp::emitScalar(OpBuilder &builder, ValueRange x) {
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  // In the order of Predicate: eq, ne, lt, le, gt, ge.
  static constexpr F floats[] = {F::OEQ, F::UNE, F::OLT,
                                 F::OLE, F::OGT, F::OGE};
  static constexpr I integers[] = {I::eq,  I::ne,  I::slt,
                                   I::sle, I::sgt, I::sge};
  static constexpr I booleans[] = {I::eq,  I::ne,  I::ult,
                                   I::ule, I::ugt, I::uge};
  auto index = static_cast<unsigned>(getPredicate());
  Type type = x[0].getType();
  if (isa<FloatType>(type))
    return arith::CmpFOp::create(builder, getLoc(), floats[index], x[0], x[1]);
  I predicate = type.isInteger(1) ? booleans[index] : integers[index];
  return arith::CmpIOp::create(builder, getLoc(), predicate, x[0], x[1]);
}

Value SelectOp::emitScalar(OpBuilder &builder, ValueRange x) {
  return arith::SelectOp::create(builder, getLoc(), x[0], x[1], x[2]);
}

//===----------------------------------------------------------------------===//
// Cast
//===----------------------------------------------------------------------===//

static Value castToFloat(OpBuilder &builder, Location loc, Value x,
                         FloatType to) {
  auto from = dyn_cast<FloatType>(x.getType());
  if (!from)
    return x.getType().isInteger(1)
               ? Value(arith::UIToFPOp::create(builder, loc, to, x))
               : Value(arith::SIToFPOp::create(builder, loc, to, x));
  if (from.getWidth() < to.getWidth())
    return arith::ExtFOp::create(builder, loc, to, x);
  return arith::TruncFOp::create(builder, loc, to, x);
}

static Value castToInteger(OpBuilder &builder, Location loc, Value x,
                           IntegerType to) {
  if (to.getWidth() == 1) {
    Value zero = arith::ConstantOp::create(builder, loc,
                                           builder.getZeroAttr(x.getType()));
    if (isa<FloatType>(x.getType()))
      return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNE, x,
                                   zero);
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, x,
                                 zero);
  }
  auto from = dyn_cast<IntegerType>(x.getType());
  if (!from)
    return arith::FPToSIOp::create(builder, loc, to, x);
  if (from.getWidth() > to.getWidth())
    return arith::TruncIOp::create(builder, loc, to, x);
  if (from.getWidth() == 1)
    return arith::ExtUIOp::create(builder, loc, to, x);
  return arith::ExtSIOp::create(builder, loc, to, x);
}

Value CastOp::emitScalar(OpBuilder &builder, ValueRange x) {
  Type to = getElementTypeOrSelf(getType());
  if (to.isBF16() || to.isF16())
    to = builder.getF32Type();
  if (to == x[0].getType())
    return x[0];
  if (auto type = dyn_cast<FloatType>(to))
    return castToFloat(builder, getLoc(), x[0], type);
  return castToInteger(builder, getLoc(), x[0], cast<IntegerType>(to));
}
