//===- Precision.cpp - element types of a flat step -----------------------===//

#include "passes/plan/Precision.h"

#include <map>

using namespace mlir;
using namespace whale;
using namespace whale::plan;

namespace {

/// How a real value may be changed.
enum class Rank {
  /// bfloat16.
  Narrow,
  /// float32, until it meets a narrow value.
  Weak,
  /// float32, and so is what it meets.
  Strong,
};

class Narrower {
public:
  explicit Narrower(ModuleDefOp module)
      : module(module), f32(Float32Type::get(module.getContext())),
        bf16(BFloat16Type::get(module.getContext())) {}

  void run();

private:
  void visit(Operation *op);
  void keep(Operation *op);
  void mixed(Operation *op);
  void uniform(Operation *op);
  void setOperand(OpOperand &operand, Type element);
  void setResults(Operation *op, Rank rank);
  bool isReal(Value value) const {
    Type element = tensorType(value).getElementType();
    return element == f32 || element == bf16;
  }

  ModuleDefOp module;
  Type f32, bf16;
  llvm::DenseMap<Value, Rank> ranks;
  /// Casts by value, bfloat16 or not, and phase.
  std::map<std::tuple<void *, bool, Phase>, Value> casts;
  llvm::DenseMap<Value, unsigned> ordinals;
};

} // namespace

/// Ops with statistics among their operands or results: whether operand
/// (result) `index` is one.
static bool isStatisticOperand(Operation *op, unsigned index) {
  if (isa<LayerNormOp, RmsNormOp, BatchNormOp>(op))
    return index >= 1;
  if (isa<LayerNormGradOp, RmsNormGradOp, BatchNormGradOp>(op))
    return index == 1;
  if (isa<CrossEntropyGradOp>(op))
    return index >= 2;
  return isa<AttentionGradOp>(op) && index == 4;
}

static bool isStatisticResult(Operation *op, unsigned index) {
  if (isa<CrossEntropyOp>(op))
    return true;
  return index >= 1 && isa<LayerNormGradOp, RmsNormGradOp, BatchNormGradOp,
                           BatchNormOp, AttentionOp>(op);
}

/// Ops whose real operands and results have one type that follows the operands.
static bool isUniform(Operation *op) {
  return isa<ScalarOpInterface, DropoutOp, ReduceOp, BroadcastOp, ReshapeOp,
             TransposeOp, SliceOp, PadOp, ConcatOp, ConstantOp, IotaOp, TopKOp>(
      op);
}

void Narrower::setOperand(OpOperand &operand, Type element) {
  Value value = operand.get();
  if (!isReal(value) || tensorType(value).getElementType() == element)
    return;
  Operation *user = operand.getOwner();
  bool once = isa<VariableOp>(value.getDefiningOp());
  Phase phase = once ? Phase::Prologue : phaseOf(user);
  Value &cast = casts[{value.getAsOpaquePointer(), element == bf16, phase}];
  if (!cast) {
    OpBuilder builder(user);
    if (once)
      builder.setInsertionPoint(&*llvm::find_if(
          blockOf(module), [](Operation &op) { return !isa<VariableOp>(op); }));
    auto op = CastOp::create(builder, user->getLoc(),
                             tensorType(value).clone(element), value);
    op->setDiscardableAttrs(user->getDiscardableAttrDictionary());
    op->removeAttr(variablePathAttr);
    StringRef path = pathOf(value.getDefiningOp());
    unsigned ordinal = ordinals[value]++;
    setPath(op, path + (once ? "#cast" : "#cast." + Twine(ordinal)));
    setPhase(op, phase);
    cast = op.getResult();
    ranks[cast] = element == bf16 ? Rank::Narrow : Rank::Strong;
  }
  operand.set(cast);
}

void Narrower::setResults(Operation *op, Rank rank) {
  Type element = rank == Rank::Narrow ? bf16 : f32;
  for (Value result : op->getResults())
    if (isReal(result)) {
      result.setType(tensorType(result).clone(element));
      ranks[result] = rank;
    }
}

/// Variables, inputs, counts and updates stay float32.
void Narrower::keep(Operation *op) {
  for (OpOperand &operand : op->getOpOperands())
    setOperand(operand, f32);
  Rank rank = isa<InputOp, VariableOp>(op) ? Rank::Strong : Rank::Weak;
  for (Value result : op->getResults())
    ranks[result] = rank;
}

/// bfloat16 but for statistics.
void Narrower::mixed(Operation *op) {
  for (OpOperand &operand : op->getOpOperands())
    setOperand(operand,
               isStatisticOperand(op, operand.getOperandNumber()) ? f32 : bf16);
  for (auto [index, result] : llvm::enumerate(op->getResults())) {
    if (!isReal(result))
      continue;
    bool statistic = isStatisticResult(op, index);
    result.setType(tensorType(result).clone(statistic ? f32 : bf16));
    ranks[result] = !statistic                ? Rank::Narrow
                    : isa<CrossEntropyOp>(op) ? Rank::Strong
                                              : Rank::Weak;
  }
}

void Narrower::uniform(Operation *op) {
  bool narrow = false, strong = false;
  for (Value operand : op->getOperands())
    if (isReal(operand)) {
      // A variable or an input is what the others make of it.
      bool source = isa<VariableOp, InputOp>(operand.getDefiningOp());
      Rank rank = source ? Rank::Narrow : ranks.lookup(operand);
      narrow |= rank == Rank::Narrow;
      strong |= rank == Rank::Strong;
    }
  auto reduce = dyn_cast<ReduceOp>(op);
  bool sum = reduce && reduce.getKind() == ReductionKind::sum;
  bool scalar = tensorType(op->getResult(0)).getRank() == 0;
  Rank rank = Rank::Weak;
  if (strong || (sum && scalar))
    rank = Rank::Strong;
  else if (narrow && !sum)
    rank = Rank::Narrow;
  for (OpOperand &operand : op->getOpOperands())
    setOperand(operand, rank == Rank::Narrow ? bf16 : f32);
  setResults(op, rank);
}

void Narrower::visit(Operation *op) {
  Phase phase = phaseOf(op);
  if (phase == Phase::Prologue || phase == Phase::Update ||
      !isa<IterationSpaceOpInterface>(op))
    keep(op);
  else if (isUniform(op))
    uniform(op);
  else
    mixed(op);
}

void Narrower::run() {
  for (Operation *op : llvm::to_vector(
           llvm::make_pointer_range(blockOf(module).without_terminator())))
    visit(op);
}

void plan::toBfloat16(ModuleDefOp module) { Narrower(module).run(); }

void plan::toFloat64(ModuleDefOp module) {
  Type f64 = Float64Type::get(module.getContext());
  for (Operation &op : blockOf(module))
    for (Value result : op.getResults())
      if (tensorType(result).getElementType().isF32())
        result.setType(tensorType(result).clone(f64));
  // Casts that now change nothing.
  for (CastOp cast : llvm::to_vector(blockOf(module).getOps<CastOp>()))
    if (cast.getType() == cast.getOperand().getType()) {
      cast.replaceAllUsesWith(cast.getOperand());
      cast.erase();
    }
}
