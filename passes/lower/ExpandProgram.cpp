//===- ExpandProgram.cpp - fused ops of a program in primitives -----------===//

#include "dialects/whale/RotaryScaling.h"
#include "passes/lower/LowerProgram.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::lower;

/// Gives `phase` and `path` of `source` to the ops in [begin, end).
static void label(Operation *source, Block::iterator begin,
                  Block::iterator end) {
  for (Operation &op : llvm::make_range(begin, end))
    for (StringRef name : {"phase", "path"})
      if (Attribute attr = source->getAttr(name))
        op.setAttr(name, attr);
}

/// Moves per-result attributes of interest to the op that makes the value.
static void replace(Operation *op, ValueRange values) {
  if (Attribute of = op->getAttr("gradient_of"))
    if (Operation *made = values.front().getDefiningOp())
      made->setAttr("gradient_of", of);
  op->replaceAllUsesWith(values);
  op->erase();
}

namespace {

/// Rotary embedding on [..., 2, h]: y = x cos + partner sin sign, where the
/// partner is the other half. Cosines and sines are tables [sequence, h] made
/// once per step in f64, shared by all ops of equal angles.
class RotaryExpansion {
public:
  RotaryExpansion(rank::ProgramOp program)
      : body(program.getBody().front()), builder(program.getContext()) {}

  void expand(RotaryOp op);

private:
  using Tables = std::pair<Value, Value>;
  Tables tablesFor(RotaryOp op, Type element);
  Value frequencies(RotaryOp op, RankedTensorType type);
  Value times(Value value, double factor);
  Value plus(Value value, double term);
  Value constant(double value, Type element);

  Block &body;
  OpBuilder builder;
  Location loc = builder.getUnknownLoc();
  llvm::MapVector<std::pair<Attribute, Type>, Tables> made;
};

} // namespace

Value RotaryExpansion::constant(double value, Type element) {
  return ConstantOp::create(builder, loc, RankedTensorType::get({}, element),
                            builder.getF64FloatAttr(value));
}

Value RotaryExpansion::times(Value value, double factor) {
  Type element = tensorType(value).getElementType();
  return MulOp::create(builder, loc, value, constant(factor, element));
}

Value RotaryExpansion::plus(Value value, double term) {
  Type element = tensorType(value).getElementType();
  return AddOp::create(builder, loc, value, constant(term, element));
}

/// Of each pair, along dimension 1 of `type`.
Value RotaryExpansion::frequencies(RotaryOp op, RankedTensorType type) {
  double theta = op.getTheta().convertToDouble();
  int64_t half = type.getShape()[1];
  Value index = IotaOp::create(builder, loc, type, 1);
  Value frequency = ExpOp::create(
      builder, loc, type, times(index, -std::log(theta) / double(half)));
  std::optional<RotaryScalingAttr> scaling = op.getScaling();
  if (!scaling)
    return frequency;
  RotaryRamp ramp = rampOf(*scaling, theta, half);
  double least = 1 / scaling->getFactor().convertToDouble();
  if (ramp.slope == 0)
    return times(frequency, least);
  Value keep = plus(times(ramp.overFrequency ? frequency : index, ramp.slope),
                    ramp.offset);
  keep = MaxOp::create(builder, loc, keep, constant(0, type.getElementType()));
  keep = MinOp::create(builder, loc, keep, constant(1, type.getElementType()));
  return MulOp::create(builder, loc, frequency,
                       plus(times(keep, 1 - least), least));
}

RotaryExpansion::Tables RotaryExpansion::tablesFor(RotaryOp op, Type element) {
  ArrayRef<int64_t> shape = tensorType(op.getOperand()).getShape();
  int64_t half = shape.back() / 2;
  auto offsets = op->getAttrOfType<ArrayAttr>("offsets");
  Attribute offset = offsets ? offsets[1] : builder.getUnitAttr();
  Attribute scaling = op.getScalingAttr();
  Attribute key = builder.getArrayAttr(
      {op.getThetaAttr(), scaling ? scaling : builder.getUnitAttr(), offset,
       builder.getI64IntegerAttr(shape[1]), builder.getI64IntegerAttr(half)});
  auto [it, inserted] = made.insert({{key, element}, {}});
  if (!inserted)
    return it->second;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&body);
  Operation *before = body.empty() ? nullptr : &body.front();
  auto wide = RankedTensorType::get({shape[1], half}, builder.getF64Type());
  auto position = IotaOp::create(builder, loc, wide, 0);
  if (offsets)
    position->setAttr("offsets", builder.getArrayAttr({offset, offset}));
  Value angle = MulOp::create(builder, loc, position, frequencies(op, wide));
  Value cosine = CosOp::create(builder, loc, wide, angle);
  Value sine = SinOp::create(builder, loc, wide, angle);
  if (op.getScaling() &&
      op.getScaling()->getMagnitude().convertToDouble() != 1) {
    double magnitude = op.getScaling()->getMagnitude().convertToDouble();
    cosine = times(cosine, magnitude);
    sine = times(sine, magnitude);
  }
  if (!element.isF64()) {
    cosine = CastOp::create(builder, loc, wide.clone(element), cosine);
    sine = CastOp::create(builder, loc, wide.clone(element), sine);
  }
  for (Operation &made :
       llvm::make_range(body.begin(), Block::iterator(before)))
    made.setAttr("phase", builder.getStringAttr("prologue"));
  return it->second = {cosine, sine};
}

void RotaryExpansion::expand(RotaryOp op) {
  loc = op.getLoc();
  RankedTensorType type = tensorType(op.getOperand());
  Type element = type.getElementType();
  Type wide = element.isF64() ? element : Type(builder.getF32Type());
  Tables tables = tablesFor(op, wide);
  SmallVector<int64_t> shape(type.getShape().drop_back());
  int64_t half = type.getShape().back() / 2, rank = shape.size() + 2;
  shape.append({2, half});
  builder.setInsertionPoint(op);
  Block::iterator before = op->getIterator();
  bool first = before == body.begin();
  if (!first)
    --before;
  RankedTensorType full = type.clone(shape);
  Value x = ReshapeOp::create(builder, loc, full, op.getOperand());
  SmallVector<int64_t> halfShape(shape);
  halfShape[rank - 2] = 1;
  auto part = [&](int64_t start) -> Value {
    return SliceOp::create(builder, loc, type.clone(halfShape), x, rank - 2,
                           start);
  };
  Type i32 = builder.getI32Type();
  Value side = IotaOp::create(builder, loc, full.clone(i32), rank - 2);
  Value zero = ConstantOp::create(builder, loc, RankedTensorType::get({}, i32),
                                  builder.getI64IntegerAttr(0));
  Value low = CompareOp::create(builder, loc, Predicate::eq, side, zero);
  Value partner = SelectOp::create(builder, loc, low, part(1), part(0));
  auto widen = [&](Value v) -> Value {
    return element == wide
               ? v
               : Value(CastOp::create(builder, loc, full.clone(wide), v));
  };
  double sign = op.getInverse() ? -1 : 1;
  Value turn = SelectOp::create(builder, loc, low, constant(-sign, wide),
                                constant(sign, wide));
  auto table = [&](Value v) -> Value {
    return BroadcastOp::create(builder, loc, full.clone(wide), v,
                               ArrayRef<int64_t>{1, rank - 1});
  };
  Value straight = MulOp::create(builder, loc, widen(x), table(tables.first));
  Value crossed =
      MulOp::create(builder, loc, widen(partner), table(tables.second));
  Value turned = MulOp::create(builder, loc, crossed, turn);
  Value y = AddOp::create(builder, loc, straight, turned);
  if (element != wide)
    y = CastOp::create(builder, loc, full, y);
  y = ReshapeOp::create(builder, loc, type, y);
  label(op, first ? body.begin() : std::next(before), op->getIterator());
  replace(op, y);
}

/// Erases ops without effect whose results nobody reads, last first. Variables
/// stay: they may be written only.
static void eraseDead(Block &body) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (op.use_empty() && isMemoryEffectFree(&op) && op.getNumResults() > 0 &&
        !isa<rank::VariableOp>(op))
      op.erase();
}

void lower::expandProgram(rank::ProgramOp program) {
  Block &body = program.getBody().front();
  RotaryExpansion rotary(program);
  OpBuilder builder(program.getContext());
  for (Operation &op : llvm::make_early_inc_range(body)) {
    if (auto turned = dyn_cast<RotaryOp>(op)) {
      rotary.expand(turned);
      continue;
    }
    auto expandable = dyn_cast<ExpandableOpInterface>(op);
    if (!expandable)
      continue;
    builder.setInsertionPoint(&op);
    Operation *previous = op.getPrevNode();
    SmallVector<Value> values = expandable.expand(builder);
    Block::iterator begin =
        previous ? std::next(previous->getIterator()) : body.begin();
    label(&op, begin, op.getIterator());
    replace(&op, values);
  }
  eraseDead(body);
}
