//===- Emitter.cpp - writes ops of the flat step --------------------------===//

#include "passes/plan/Emitter.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

void Emitter::tag(Operation *op) {
  setPath(op, base + "." + std::to_string(ordinal++));
  setPhase(op, phase);
  setGraph(op, graph);
  if (parameter)
    op->setAttr(parameterAttr, parameter);
}

Value Emitter::sum(Value a, ArrayRef<int64_t> dims) {
  SmallVector<int64_t> shape;
  for (auto [index, extent] : llvm::enumerate(tensorType(a).getShape()))
    if (!llvm::is_contained(dims, static_cast<int64_t>(index)))
      shape.push_back(extent);
  return create<ReduceOp>(tensorType(a).clone(shape), ReductionKind::sum, a,
                          dims);
}

Value Emitter::sum(Value a) {
  if (tensorType(a).getRank() == 0)
    return a;
  return sum(a,
             llvm::to_vector(llvm::seq<int64_t>(0, tensorType(a).getRank())));
}

Value Emitter::broadcast(Value a, ArrayRef<int64_t> shape,
                         ArrayRef<int64_t> dims) {
  return create<BroadcastOp>(tensorType(a).clone(shape), a, dims);
}

Value Emitter::cast(Value a, Type element) {
  if (tensorType(a).getElementType() == element)
    return a;
  return create<CastOp>(tensorType(a).clone(element), a);
}

Value Emitter::select(Value condition, Value a, Value b) {
  return create<SelectOp>(condition, a, b);
}

Value Emitter::less(Value a, Value b) {
  return create<CompareOp>(Predicate::lt, a, b);
}

Value Emitter::constant(Type type, double number) {
  return create<ConstantOp>(type, builder.getF64FloatAttr(number));
}

Value Emitter::like(Value value, double number) {
  return constant(RankedTensorType::get({}, tensorType(value).getElementType()),
                  number);
}

Value Emitter::slot(const Twine &path, RankedTensorType type) {
  std::string text = path.str();
  StringRef name = StringRef(text).rsplit('/').second;
  if (name.empty())
    name = text;
  InitAttr zero = InitAttr::get(builder.getContext(), InitKind::constant,
                                APFloat(0.0), APFloat(0.0));
  auto op = make<VariableOp>(type, name, VariableKind::slot, zero, StringAttr(),
                             StringAttr(), false);
  setPath(op, text);
  setPhase(op, Phase::Prologue);
  op->setAttr(variablePathAttr, builder.getStringAttr(text));
  return op.getResult();
}

void Emitter::assign(StringRef path, Value value) {
  auto op = make<AssignOp>(path, value);
  setPath(op, path + "#assign");
}
