//===- Influence.cpp - which values gradients flow through ----------------===//

#include "passes/differentiate/Influence.h"

using namespace mlir;
using namespace whale;

bool whale::isDifferentiable(Value value) {
  return isa<FloatType>(tensorType(value).getElementType());
}

bool whale::isTrainable(VariableOp variable) {
  return variable.getKind() == VariableKind::parameter &&
         !variable.getFrozen() && isDifferentiable(variable.getResult());
}

//===----------------------------------------------------------------------===//
// Order
//===----------------------------------------------------------------------===//

static void visitCallees(ModuleDefOp module, const SymbolTable &symbols,
                         DenseSet<Operation *> &done,
                         SmallVectorImpl<ModuleDefOp> &order) {
  if (!done.insert(module).second)
    return;
  for (auto instance : module.getBody().getOps<InstanceOp>())
    if (auto callee = symbols.lookup<ModuleDefOp>(instance.getCallee()))
      visitCallees(callee, symbols, done, order);
  order.push_back(module);
}

SmallVector<ModuleDefOp> whale::calleesFirst(ModelOp model) {
  // The verifier has refused cycles, so the depth is that of the model.
  SymbolTable symbols(model);
  DenseSet<Operation *> done;
  SmallVector<ModuleDefOp> order;
  for (auto module : model.getBody().front().getOps<ModuleDefOp>())
    visitCallees(module, symbols, done, order);
  return order;
}

//===----------------------------------------------------------------------===//
// Influence
//===----------------------------------------------------------------------===//

Influence::Influence(ModelOp model) : symbols(model) {
  SmallVector<ModuleDefOp> order = calleesFirst(model);
  for (ModuleDefOp module : order)
    collect(module);
  for (ModuleDefOp module : llvm::reverse(order)) {
    spreadVaried(module);
    spreadLosses(module);
  }
}

ModuleDefOp Influence::calleeOf(InstanceOp instance) const {
  return symbols.lookup<ModuleDefOp>(instance.getCallee());
}

bool Influence::ownsLoss(ModuleDefOp module) const {
  return bool(facts.find(module)->second.ownLoss);
}

bool Influence::hasLoss() const {
  return llvm::any_of(facts, [](auto &entry) { return entry.second.ownLoss; });
}

void Influence::collect(ModuleDefOp module) {
  Facts own;
  own.resultLosses.resize(module.getResultTypes().size());
  for (Operation &op : module.getBody().front()) {
    if (auto variable = dyn_cast<VariableOp>(op))
      own.trainable |= isTrainable(variable);
    LossOp loss = dyn_cast<LossOp>(op);
    if (auto instance = dyn_cast<InstanceOp>(op)) {
      const Facts &callee = facts[calleeOf(instance)];
      own.trainable |= callee.trainable;
      loss = callee.ownLoss;
    }
    if (loss && !own.ownLoss)
      own.ownLoss = loss;
  }
  facts[module] = own;
}

void Influence::spreadVaried(ModuleDefOp module) {
  for (Operation &op : module.getBody().front()) {
    bool source = false;
    if (auto variable = dyn_cast<VariableOp>(op))
      source = isTrainable(variable);
    if (auto instance = dyn_cast<InstanceOp>(op))
      source = facts[calleeOf(instance)].trainable;
    if (!source && llvm::none_of(op.getOperands(), [&](Value operand) {
          return varied.contains(operand);
        }))
      continue;
    for (Value result : op.getResults())
      if (isDifferentiable(result))
        varied.insert(result);
    if (auto instance = dyn_cast<InstanceOp>(op))
      enterVaried(instance);
  }
}

void Influence::enterVaried(InstanceOp instance) {
  Block &body = calleeOf(instance).getBody().front();
  auto mark = [&](unsigned index, Value from) {
    if (varied.contains(from))
      varied.insert(body.getArgument(index));
  };
  for (auto [index, operand] : llvm::enumerate(instance.getOperands()))
    mark(index, operand);
  // In a chain the results of one instance are operands of the next.
  if (instance.getRepeat().value_or(1) > 1)
    for (auto [index, result] : llvm::enumerate(instance.getResults()))
      mark(index, result);
}

void Influence::markLoss(Value value, LossOp loss) {
  if (isDifferentiable(value))
    losses.try_emplace(value, loss);
}

LossOp Influence::lossOfResults(Operation *op) const {
  for (Value result : op->getResults())
    if (LossOp loss = losses.lookup(result))
      return loss;
  return {};
}

void Influence::spreadLosses(ModuleDefOp module) {
  const Facts &own = facts[module];
  for (Operation &op : llvm::reverse(module.getBody().front())) {
    if (isa<ReturnOp>(op)) {
      for (auto [operand, loss] : llvm::zip(op.getOperands(), own.resultLosses))
        if (loss)
          markLoss(operand, loss);
      continue;
    }
    LossOp loss = lossOfResults(&op);
    if (auto self = dyn_cast<LossOp>(op)) {
      markLoss(self.getSum(), self);
      continue;
    }
    if (auto instance = dyn_cast<InstanceOp>(op)) {
      enterLosses(instance);
      if (!loss)
        loss = facts[calleeOf(instance)].ownLoss;
    }
    if (loss)
      for (Value operand : op.getOperands())
        markLoss(operand, loss);
  }
}

void Influence::enterLosses(InstanceOp instance) {
  Facts &callee = facts[calleeOf(instance)];
  bool chain = instance.getRepeat().value_or(1) > 1;
  LossOp any = lossOfResults(instance);
  if (chain && !any)
    any = callee.ownLoss;
  for (auto [index, result] : llvm::enumerate(instance.getResults())) {
    LossOp loss = losses.lookup(result);
    if (chain && !loss)
      loss = any;
    if (loss && !callee.resultLosses[index])
      callee.resultLosses[index] = loss;
  }
}
