//===- Recompute.cpp - residuals computed again ---------------------------===//

#include "passes/plan/Recompute.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;
using planner::Recompute;

bool plan::isCheap(Operation *op) {
  return isa<ScalarOpInterface, DropoutOp, SoftmaxOp, LayerNormOp, RmsNormOp,
             ReduceOp, BroadcastOp, ReshapeOp, TransposeOp, SliceOp, PadOp,
             ConcatOp, ConstantOp, IotaOp, RotaryOp>(op);
}

//===----------------------------------------------------------------------===//
// Clones
//===----------------------------------------------------------------------===//

namespace {

class Recomputer {
public:
  Recomputer(ModuleDefOp step, const planner::NormalForm &form)
      : step(step), form(form) {}

  void run();

private:
  Recompute modeOf(Operation *op) const {
    return form.stages[graphOf(op)].recomputeOf(
        positions.lookup({graphOf(op), itemOf(op)}));
  }
  void findPositions();
  void decide(Operation *op);
  bool keptAnyway(Value operand, Operation *user) const;
  bool isRepeatedFor(Operation *op, Operation *user) const;
  Value again(Value value, Operation *user);

  ModuleDefOp step;
  const planner::NormalForm &form;
  /// Of an item among those of its stage.
  DenseMap<std::pair<int64_t, StringRef>, int64_t> positions;
  /// Forward values that a backward op of an item uses, with the item's name:
  /// of the item itself or its arguments.
  DenseSet<std::pair<Value, StringRef>> residuals;
  /// Forward ops that are repeated if needed.
  DenseSet<Operation *> repeated;
  IRMapping clones;
};

} // namespace

/// A stage that begins inside of an item repeats its own part of it.
bool Recomputer::isRepeatedFor(Operation *op, Operation *user) const {
  return repeated.contains(op) && itemOf(op) == itemOf(user) &&
         graphOf(op) == graphOf(user);
}

/// Whether the backward part of the user's item has `operand` at hand: a
/// variable or other value of the step, a residual of the item, or something of
/// it that is repeated itself.
bool Recomputer::keptAnyway(Value operand, Operation *user) const {
  Operation *producer = operand.getDefiningOp();
  return phaseOf(producer) == Phase::Prologue ||
         residuals.contains({operand, itemOf(user)}) ||
         isRepeatedFor(producer, user);
}

void Recomputer::findPositions() {
  SmallVector<int64_t> counts(form.stages.size());
  for (Operation &op : blockOf(step).without_terminator())
    if (phaseOf(&op) == Phase::Forward && !itemOf(&op).empty() &&
        positions.try_emplace({graphOf(&op), itemOf(&op)}, counts[graphOf(&op)])
            .second)
      ++counts[graphOf(&op)];
}

void Recomputer::decide(Operation *op) {
  if (!isMemoryEffectFree(op) || isa<InputOp>(op))
    return;
  auto operandsRepeat = [&](Value operand) {
    return repeated.contains(operand.getDefiningOp());
  };
  bool repeat = isa<ConstantOp, IotaOp, BroadcastOp>(op) &&
                llvm::all_of(op->getOperands(), operandsRepeat);
  if (modeOf(op) == Recompute::Full)
    repeat = true;
  if (modeOf(op) == Recompute::Selective && isCheap(op))
    repeat |= llvm::all_of(op->getOperands(),
                           [&](Value operand) { return keptAnyway(operand, op); });
  if (repeat)
    repeated.insert(op);
}

/// `value` as `user` shall see it: itself, or a clone before `user`.
Value Recomputer::again(Value value, Operation *user) {
  Operation *op = value.getDefiningOp();
  if (!isRepeatedFor(op, user))
    return value;
  if (Value clone = clones.lookupOrNull(value))
    return clone;
  for (Value operand : op->getOperands())
    if (Value fresh = again(operand, user); fresh != operand)
      clones.map(operand, fresh);
  OpBuilder builder(user);
  Operation *copy = builder.clone(*op, clones);
  setPath(copy, pathOf(op) + "#recompute");
  setPhase(copy, Phase::Backward);
  return clones.lookup(value);
}

void Recomputer::run() {
  findPositions();
  auto ops = llvm::to_vector(llvm::make_pointer_range(blockOf(step)));
  for (Operation *op : ops)
    if (phaseOf(op) == Phase::Backward)
      for (Value operand : op->getOperands())
        residuals.insert({operand, itemOf(op)});
  for (Operation *op : ops)
    if (phaseOf(op) == Phase::Forward)
      decide(op);
  for (Operation *op : ops)
    if (phaseOf(op) == Phase::Backward)
      for (OpOperand &operand : op->getOpOperands())
        operand.set(again(operand.get(), op));
}

void plan::applyRecompute(ModuleDefOp step, const planner::NormalForm &form) {
  Recomputer(step, form).run();
}
