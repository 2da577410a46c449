//===- FlatStep.cpp - attributes of the flat step -------------------------===//

#include "passes/plan/FlatStep.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

static constexpr llvm::StringLiteral phaseNames[] = {"prologue", "forward",
                                                     "backward", "update"};

StringRef plan::nameOf(Phase phase) {
  return phaseNames[static_cast<size_t>(phase)];
}

static StringRef text(Operation *op, StringRef key) {
  auto attr = op->getAttrOfType<StringAttr>(key);
  return attr ? attr.getValue() : StringRef();
}

Phase plan::phaseOf(Operation *op) {
  return llvm::StringSwitch<Phase>(text(op, phaseAttr))
      .Case("prologue", Phase::Prologue)
      .Case("backward", Phase::Backward)
      .Case("update", Phase::Update)
      .Default(Phase::Forward);
}

void plan::setPhase(Operation *op, Phase phase) {
  op->setAttr(phaseAttr, StringAttr::get(op->getContext(), nameOf(phase)));
}

StringRef plan::pathOf(Operation *op) { return text(op, pathAttr); }

void plan::setPath(Operation *op, const Twine &path) {
  op->setAttr(pathAttr, StringAttr::get(op->getContext(), path));
}

int64_t plan::graphOf(Operation *op) {
  auto attr = op->getAttrOfType<IntegerAttr>(graphAttr);
  return attr ? attr.getInt() : 0;
}

void plan::setGraph(Operation *op, int64_t graph) {
  op->setAttr(graphAttr, Builder(op->getContext()).getI64IntegerAttr(graph));
}

StringRef plan::itemOf(Operation *op) { return text(op, itemAttr); }

StringRef plan::basePath(StringRef path) { return path.split('#').first; }

StringRef plan::variablePath(VariableOp op) {
  return text(op, variablePathAttr);
}

void plan::eraseDeadOps(ModuleDefOp module) {
  for (Operation &op :
       llvm::make_early_inc_range(llvm::reverse(blockOf(module))))
    if (isMemoryEffectFree(&op) && op.use_empty() && !isa<VariableOp>(op) &&
        !op.hasTrait<OpTrait::IsTerminator>())
      op.erase();
}

void plan::expandInPlace(Operation *op,
                         function_ref<SmallVector<Value>(OpBuilder &)> expand) {
  OpBuilder builder(op);
  Operation *before = op->getPrevNode();
  op->replaceAllUsesWith(expand(builder));
  unsigned ordinal = 0;
  for (Operation *fresh = before ? before->getNextNode()
                                 : &op->getBlock()->front();
       fresh != op; fresh = fresh->getNextNode()) {
    for (NamedAttribute attr : op->getDiscardableAttrs())
      fresh->setAttr(attr.getName(), attr.getValue());
    if (!fresh->hasAttr(originAttr))
      fresh->setAttr(originAttr, op->getAttr(pathAttr));
    setPath(fresh, pathOf(op) + "." + Twine(ordinal++));
  }
  op->erase();
}
