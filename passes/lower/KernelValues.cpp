//===- KernelValues.cpp - values and memory of a kernel -------------------===//

#include "passes/lower/KernelEmitter.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

//===----------------------------------------------------------------------===//
// Small pieces
//===----------------------------------------------------------------------===//

Value KernelEmitter::integer(int64_t value, unsigned bits) {
  return arith::ConstantOp::create(
      builder, loc,
      builder.getIntegerAttr(builder.getIntegerType(bits), value));
}

Value KernelEmitter::address(Value pointer, Value index, Type stored) {
  return LLVM::GEPOp::create(builder, loc, pointer.getType(), stored, pointer,
                             ArrayRef<LLVM::GEPArg>{index},
                             LLVM::GEPNoWrapFlags::inbounds);
}

/// Loads and widens: bf16 by its bits, i1 from a byte.
Value KernelEmitter::loadElement(Value pointer, Value index, Type element) {
  Type stored = element;
  if (element.isBF16())
    stored = builder.getI16Type();
  else if (element.isInteger(1))
    stored = builder.getI8Type();
  Value raw = LLVM::LoadOp::create(builder, loc, stored,
                                   address(pointer, index, stored));
  if (element.isBF16()) {
    Value wide =
        arith::ExtUIOp::create(builder, loc, builder.getI32Type(), raw);
    Value bits = arith::ShLIOp::create(builder, loc, wide, integer(16, 32));
    return arith::BitcastOp::create(builder, loc, builder.getF32Type(), bits);
  }
  if (element.isF16())
    return arith::ExtFOp::create(builder, loc, builder.getF32Type(), raw);
  if (element.isInteger(1))
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, raw,
                                 integer(0, 8));
  return raw;
}

/// f32 to the bits of bf16: to nearest, ties to even; NaN stays NaN.
static Value roundToBf16(OpBuilder &b, Location loc, Value value) {
  auto constant = [&](int64_t number) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(number));
  };
  Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), value);
  Value high = arith::ShRUIOp::create(b, loc, bits, constant(16));
  Value odd = arith::AndIOp::create(b, loc, high, constant(1));
  Value bias = arith::AddIOp::create(b, loc, odd, constant(0x7fff));
  Value sum = arith::AddIOp::create(b, loc, bits, bias);
  Value rounded = arith::ShRUIOp::create(b, loc, sum, constant(16));
  Value isNan =
      arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, value, value);
  Value result =
      arith::SelectOp::create(b, loc, isNan, constant(0x7fc0), rounded);
  return arith::TruncIOp::create(b, loc, b.getI16Type(), result);
}

void KernelEmitter::storeElement(Value value, Value pointer, Value index,
                                 Type element) {
  if (element.isBF16())
    value = roundToBf16(builder, loc, value);
  else if (element.isF16())
    value = arith::TruncFOp::create(builder, loc, element, value);
  else if (element.isInteger(1))
    value = arith::ExtUIOp::create(builder, loc, builder.getI8Type(), value);
  LLVM::StoreOp::create(builder, loc, value,
                        address(pointer, index, value.getType()));
}

/// sum of induction variable * stride over the groups.
Value KernelEmitter::indexOf(ArrayRef<int64_t> strides, int64_t base) {
  Value index = integer(base);
  for (auto [group, variable] : llvm::zip(expression.groups, induction)) {
    int64_t stride = group.last < strides.size() ? strides[group.last] : 0;
    if (!variable || stride == 0)
      continue;
    Value term = stride == 1 ? variable
                             : Value(arith::MulIOp::create(
                                   builder, loc, variable, integer(stride)));
    index = arith::AddIOp::create(builder, loc, index, term);
  }
  return index;
}

/// Row-major index in the row.
Value KernelEmitter::rowIndex() {
  Value index = integer(0);
  for (auto [group, variable] : llvm::zip(expression.groups, induction)) {
    if (!group.inner)
      continue;
    Value scaled =
        arith::MulIOp::create(builder, loc, index, integer(group.extent));
    index = arith::AddIOp::create(builder, loc, scaled, variable);
  }
  return index;
}

Value KernelEmitter::scratchPointer(int64_t offset) {
  return address(pointers.back(), integer(offset), builder.getI8Type());
}

Value KernelEmitter::scalar(int index) {
  Value pointer = address(scalarPointer, integer(index), builder.getI64Type());
  return LLVM::LoadOp::create(builder, loc, builder.getI64Type(), pointer);
}

Value KernelEmitter::combine(ReductionKind kind, Value a, Value b,
                             bool reassociate) {
  bool isFloat = isa<FloatType>(a.getType());
  bool isBool = a.getType().isInteger(1);
  auto flags =
      reassociate ? arith::FastMathFlags::reassoc : arith::FastMathFlags::none;
  switch (kind) {
  case ReductionKind::sum:
    if (isFloat)
      return arith::AddFOp::create(builder, loc, a, b, flags);
    if (isBool)
      return arith::OrIOp::create(builder, loc, a, b);
    return arith::AddIOp::create(builder, loc, a, b);
  case ReductionKind::max:
    if (isFloat)
      return arith::MaximumFOp::create(builder, loc, a, b);
    if (isBool)
      return arith::OrIOp::create(builder, loc, a, b);
    return arith::MaxSIOp::create(builder, loc, a, b);
  case ReductionKind::min:
    if (isFloat)
      return arith::MinimumFOp::create(builder, loc, a, b);
    if (isBool)
      return arith::AndIOp::create(builder, loc, a, b);
    return arith::MinSIOp::create(builder, loc, a, b);
  }
  return Value();
}

Value KernelEmitter::neutral(ReductionKind kind, Type type) {
  Attribute value;
  if (auto floating = dyn_cast<FloatType>(type)) {
    double number = kind == ReductionKind::sum ? 0
                    : kind == ReductionKind::max
                        ? -std::numeric_limits<double>::infinity()
                        : std::numeric_limits<double>::infinity();
    value = builder.getFloatAttr(floating, number);
  } else {
    unsigned bits = type.getIntOrFloatBitWidth();
    APInt number = kind == ReductionKind::sum || bits == 1
                       ? APInt(bits, kind == ReductionKind::min)
                   : kind == ReductionKind::max
                       ? APInt::getSignedMinValue(bits)
                       : APInt::getSignedMaxValue(bits);
    value = builder.getIntegerAttr(type, number);
  }
  return arith::ConstantOp::create(builder, loc, cast<TypedAttr>(value));
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

/// A value at the place of its level: before all loops, before the row's
/// current pass, or here.
Value KernelEmitter::eval(unsigned index) {
  if (memo[index])
    return memo[index];
  const Node &node = expression.nodes[index];
  OpBuilder::InsertionGuard guard(builder);
  if (node.level == Level::Kernel && kernelPoint)
    builder.setInsertionPoint(kernelPoint);
  else if (node.level != Level::Element && rowPoint)
    builder.setInsertionPoint(rowPoint);
  return memo[index] = compute(node);
}

Value KernelEmitter::compute(const Node &node) {
  Type element = node.value ? tensorType(node.value).getElementType() : Type();
  switch (node.kind) {
  case Node::Load:
    return loadElement(pointers[argumentOf(node.value)],
                       indexOf(node.strides, node.base), element);
  case Node::Constant:
    return constant(cast<ConstantOp>(node.op).getValue(), widened(element));
  case Node::Iota:
    return iota(node);
  case Node::StepTerm: {
    Value step = scalar(node.scalar);
    Type type = widened(element);
    if (isa<FloatType>(type))
      return arith::SIToFPOp::create(builder, loc, type, step);
    if (type.isInteger(64))
      return step;
    return arith::TruncIOp::create(builder, loc, type, step);
  }
  case Node::Dropout:
    return dropout(node);
  case Node::Add: {
    Value sum = eval(node.operands[0]), value = eval(node.operands[1]);
    return combine(cast<rank::AccumulateOp>(node.op).getReduction(), sum, value,
                   false);
  }
  case Node::RowReduce:
    llvm_unreachable("row reductions are set by their pass");
  case Node::Compute:
    break;
  }
  SmallVector<Value> operands;
  for (unsigned operand : node.operands)
    operands.push_back(eval(operand));
  return cast<ScalarOpInterface>(node.op).emitScalar(builder, operands);
}

Value KernelEmitter::constant(Attribute value, Type element) {
  TypedAttr attr;
  if (auto floating = dyn_cast<FloatType>(element)) {
    auto number = dyn_cast<FloatAttr>(value);
    double real = number ? number.getValueAsDouble()
                         : double(cast<IntegerAttr>(value).getInt());
    attr = builder.getFloatAttr(floating, real);
  } else {
    auto number = dyn_cast<IntegerAttr>(value);
    int64_t whole = number ? number.getInt()
                           : int64_t(cast<FloatAttr>(value).getValueAsDouble());
    unsigned bits = element.getIntOrFloatBitWidth();
    attr = builder.getIntegerAttr(element, APInt(64, whole).sextOrTrunc(bits));
  }
  return arith::ConstantOp::create(builder, loc, attr);
}

Value KernelEmitter::iota(const Node &node) {
  Value index = integer(0);
  for (auto [group, variable] : llvm::zip(expression.groups, induction))
    if (int(group.last) == node.dim && variable)
      index = variable;
  if (node.base != 0)
    index = arith::AddIOp::create(builder, loc, index, integer(node.base));
  if (node.scalar >= 0)
    index = arith::AddIOp::create(builder, loc, index, scalar(node.scalar));
  Type type = widened(tensorType(node.value).getElementType());
  if (isa<FloatType>(type))
    return arith::SIToFPOp::create(builder, loc, type, index);
  if (type.isInteger(64))
    return index;
  return arith::TruncIOp::create(builder, loc, type, index);
}

/// Word 0 of the Philox4x32-10 block of an element (runtime/format/Random.h).
Value KernelEmitter::philox(Value index, Value key, Value path) {
  Type i32 = builder.getI32Type(), i64 = builder.getI64Type();
  auto low = [&](Value wide) -> Value {
    return arith::TruncIOp::create(builder, loc, i32, wide);
  };
  auto high = [&](Value wide) -> Value {
    return low(arith::ShRUIOp::create(builder, loc, wide, integer(32)));
  };
  auto product = [&](int64_t factor, Value word) -> Value {
    Value wide = arith::ExtUIOp::create(builder, loc, i64, word);
    return arith::MulIOp::create(builder, loc, wide, integer(factor));
  };
  auto exclusiveOr = [&](Value a, Value b) -> Value {
    return arith::XOrIOp::create(builder, loc, a, b);
  };
  Value c[] = {low(index), high(index), low(path), high(path)};
  Value k[] = {low(key), high(key)};
  for (int round = 0; round < 10; ++round) {
    Value p0 = product(0xD2511F53, c[0]), p1 = product(0xCD9E8D57, c[2]);
    Value next[] = {exclusiveOr(exclusiveOr(high(p1), c[1]), k[0]), low(p1),
                    exclusiveOr(exclusiveOr(high(p0), c[3]), k[1]), low(p0)};
    std::copy(next, next + 4, c);
    k[0] = arith::AddIOp::create(builder, loc, k[0],
                                 integer(int32_t(0x9E3779B9), 32));
    k[1] = arith::AddIOp::create(builder, loc, k[1],
                                 integer(int32_t(0xBB67AE85), 32));
  }
  return c[0];
}

Value KernelEmitter::dropout(const Node &node) {
  auto op = cast<DropoutOp>(node.op);
  double rate = op.getRate().convertToDouble();
  Value index = arith::AddIOp::create(builder, loc, indexOf(node.strides),
                                      scalar(node.scalar));
  Value word = philox(index, scalar(node.scalar + 1), scalar(node.scalar + 2));
  auto threshold = static_cast<uint32_t>(rate * 0x1p32);
  Value keep = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::uge,
                                     word, integer(int32_t(threshold), 32));
  Value x = eval(node.operands[0]);
  Value share = arith::ConstantOp::create(
      builder, loc, builder.getFloatAttr(x.getType(), 1 - rate));
  Value scaled = arith::DivFOp::create(builder, loc, x, share);
  Value zero =
      arith::ConstantOp::create(builder, loc, builder.getZeroAttr(x.getType()));
  return arith::SelectOp::create(builder, loc, keep, scaled, zero);
}
