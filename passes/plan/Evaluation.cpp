//===- Evaluation.cpp - the forward part without training -----------------===//

#include "passes/plan/Evaluation.h"

#include "passes/plan/Emitter.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

/// The variable that an elementwise function of `value` is assigned to.
static StringRef assignedVariable(Value value) {
  SetVector<Operation *> work;
  work.insert(value.getUsers().begin(), value.getUsers().end());
  for (size_t i = 0; i < work.size(); ++i) {
    if (auto assign = dyn_cast<AssignOp>(work[i]))
      return assign.getName();
    if (isa<ScalarOpInterface>(work[i]))
      work.insert(work[i]->user_begin(), work[i]->user_end());
  }
  return "";
}

static void useRunningStatistics(BatchNormOp op,
                                 const llvm::StringMap<Value> &variables) {
  Value mean = variables.lookup(assignedVariable(op.getMean()));
  Value variance = variables.lookup(assignedVariable(op.getVariance()));
  if (!mean || !variance)
    return;
  OpBuilder builder(op);
  Emitter emit(builder, op.getLoc(), pathOf(op).str(), Phase::Forward,
               graphOf(op));
  double epsilon = op.getEpsilon().convertToDouble();
  Value factor =
      emit.mul(emit.unary<RsqrtOp>(emit.add(variance, epsilon)), op.getScale());
  Value centred = emit.sub(op.getOperand(), mean);
  Value result = emit.add(emit.mul(centred, factor), op.getShift());
  for (Operation *fresh = factor.getDefiningOp(); fresh != op;
       fresh = fresh->getNextNode())
    fresh->setAttr(itemAttr, op->getAttr(itemAttr));
  op.getResult().replaceAllUsesWith(result);
}

void plan::toEvaluation(ModuleDefOp module) {
  Block &block = blockOf(module);
  llvm::StringMap<Value> variables;
  for (VariableOp op : block.getOps<VariableOp>())
    variables[variablePath(op)] = op.getResult();
  for (BatchNormOp op : llvm::to_vector(block.getOps<BatchNormOp>()))
    useRunningStatistics(op, variables);
  for (DropoutOp op : llvm::to_vector(block.getOps<DropoutOp>())) {
    op.replaceAllUsesWith(op.getOperand());
    op.erase();
  }
  for (AssignOp op : llvm::to_vector(block.getOps<AssignOp>()))
    op.erase();
  eraseDeadOps(module);
}
