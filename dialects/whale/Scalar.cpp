//===- Scalar.cpp - scalar bodies of the elementwise ops ------------ ===//

#include "dialects/whale/Whale.h"

using namespace mlir;
using namespace whale;

Value AbsOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value AddOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value CastOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value CompareOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value CosOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value DivOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value ErfOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value ExpOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value FloorOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value GeluGradOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value GeluOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value LogOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value MaxOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value MinOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value MulOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value NegOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value PowOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value ReciprocalOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value ReluOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value RsqrtOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SelectOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SigmoidOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SignOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SiluGradOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SiluOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SinOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SqrtOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value StopGradientOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value SubOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
Value TanhOp::emitScalar(OpBuilder &, ValueRange) { return {}; }
