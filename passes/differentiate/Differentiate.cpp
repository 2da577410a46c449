//===- Differentiate.cpp - modules get their backward parts ---------------===//
//
// Reverse mode, module by module. Within a module the ops are visited in
// reverse; each value's gradient is the sum of what its users gave. What turns
// out to be unused (gradients of inputs) is removed again at the end, so rules
// need not ask what is wanted. Linear in the ops of the definitions, not of the
// instances.
//
//===----------------------------------------------------------------------===//

#include "passes/differentiate/Influence.h"
#include "passes/differentiate/Passes.h"

#include "dialects/whale/OpNames.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/StringMap.h"

namespace whale {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "passes/differentiate/Passes.h.inc"
} // namespace whale

using namespace mlir;
using namespace whale;

namespace {
/// The backward part of one module while it is built. Callees are done.
class BackwardBuilder {
public:
  BackwardBuilder(ModuleDefOp module, const Influence &influence)
      : module(module), influence(influence), names(module),
        builder(module.getContext()) {}

  /// Builds the region; a module that has nothing to give gets none.
  LogicalResult run();

private:
  void createRegion();
  LogicalResult visit(Operation *op);
  LogicalResult visitCompute(Operation *op);
  void visitLoss(LossOp loss);
  void visitVariable(VariableOp variable);
  void visitInstance(InstanceOp instance);
  void finish();

  /// Operands of `instance` that take a gradient and whose module gives one.
  SmallVector<int64_t> gradientOperands(InstanceOp instance,
                                        BackwardOp backward);
  /// Gradients of the real results, zeros where no loss depends on one.
  SmallVector<Value> resultGradients(InstanceOp instance);
  LogicalResult reportFirstOrder(Operation *op);

  /// Adds `gradient` to what `value` has.
  void accumulate(Value value, Value gradient);
  /// Names the ops that were built since `before` after forward `name`.
  void nameSince(Operation *before, const Twine &name);
  Operation *last() { return block->empty() ? nullptr : &block->back(); }

  ModuleDefOp module;
  const Influence &influence;
  OpNames names;
  OpBuilder builder;
  BackwardOp backward;
  Block *block = nullptr;
  llvm::DenseMap<Value, Value> gradients;
};
} // namespace

void BackwardBuilder::createRegion() {
  Block &body = module.getBody().front();
  builder.setInsertionPoint(body.getTerminator());
  backward = BackwardOp::create(builder, module.getLoc(), ArrayRef<int64_t>());
  block = &backward.getBody().emplaceBlock();
  builder.setInsertionPointToStart(block);
  for (Value result : body.getTerminator()->getOperands()) {
    if (!isDifferentiable(result))
      continue;
    Value gradient = block->addArgument(result.getType(), module.getLoc());
    if (influence.lossOf(result) && influence.isVaried(result))
      accumulate(result, gradient);
  }
}

void BackwardBuilder::nameSince(Operation *before, const Twine &name) {
  StringAttr attribute = builder.getStringAttr(name);
  auto it = before ? std::next(Block::iterator(before)) : block->begin();
  for (Operation &op : llvm::make_range(it, block->end()))
    if (!isa<InstanceBackwardOp>(op) && !op.hasAttr("name"))
      op.setAttr("name", attribute);
}

void BackwardBuilder::accumulate(Value value, Value gradient) {
  Value &sum = gradients[value];
  if (!sum) {
    sum = gradient;
    return;
  }
  Operation *before = last();
  sum = AddOp::create(builder, value.getLoc(), sum, gradient);
  nameSince(before, names.of(value) + "#sum");
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

LogicalResult BackwardBuilder::visit(Operation *op) {
  if (op->getNumRegions() != 0)
    return op->emitError("'") << op->getName()
                              << "' scopes must be taken out before modules "
                                 "are differentiated";
  if (auto loss = dyn_cast<LossOp>(op))
    visitLoss(loss);
  else if (auto variable = dyn_cast<VariableOp>(op))
    visitVariable(variable);
  else if (auto instance = dyn_cast<InstanceOp>(op))
    visitInstance(instance);
  else
    return visitCompute(op);
  return success();
}

void BackwardBuilder::visitLoss(LossOp loss) {
  if (!influence.isVaried(loss.getSum()))
    return;
  Operation *before = last();
  Value weight = ConstantOp::create(
      builder, loss.getLoc(), loss.getSum().getType(),
      builder.getF64FloatAttr(loss.getWeight().convertToDouble()));
  Value seed = DivOp::create(builder, loss.getLoc(), weight, loss.getCount());
  nameSince(before, loss.getName() + "#d");
  accumulate(loss.getSum(), seed);
}

void BackwardBuilder::visitVariable(VariableOp variable) {
  Value gradient = gradients.lookup(variable);
  if (gradient && isTrainable(variable))
    GradientOp::create(builder, variable.getLoc(), variable, gradient);
}

LogicalResult BackwardBuilder::reportFirstOrder(Operation *op) {
  LossOp loss;
  for (Value result : op->getResults())
    if (!loss)
      loss = influence.lossOf(result);
  InFlightDiagnostic error = op->emitError("'")
                             << op->getName() << "' has no gradient here";
  if (loss) {
    error << ", but loss '" << loss.getName() << "' depends on it";
    error.attachNote(loss.getLoc()) << "the loss is here";
  }
  error.attachNote() << "'whale.stop_gradient' on its operands cuts the path";
  return error;
}

LogicalResult BackwardBuilder::visitCompute(Operation *op) {
  SmallVector<Value> results;
  for (Value result : op->getResults())
    results.push_back(gradients.lookup(result));
  bool reached = llvm::any_of(results, [](Value v) { return bool(v); });
  bool wanted = llvm::any_of(op->getOperands(), [&](Value operand) {
    return influence.isVaried(operand);
  });
  if (!reached || !wanted)
    return success();
  auto rule = dyn_cast<DifferentiableOpInterface>(op);
  if (!rule)
    return reportFirstOrder(op);
  Operation *before = last();
  FailureOr<SmallVector<Value>> operands = rule.buildGradient(builder, results);
  if (failed(operands))
    return reportFirstOrder(op);
  nameSince(before, names.of(op) + "#d");
  for (auto [operand, gradient] : llvm::zip(op->getOperands(), *operands))
    if (gradient && influence.isVaried(operand))
      accumulate(operand, gradient);
  return success();
}

//===----------------------------------------------------------------------===//
// Instances
//===----------------------------------------------------------------------===//

SmallVector<int64_t> BackwardBuilder::gradientOperands(InstanceOp instance,
                                                       BackwardOp backward) {
  SmallVector<int64_t> indices;
  for (int64_t index : backward.getArgumentIndices())
    if (influence.isVaried(instance.getOperand(index)))
      indices.push_back(index);
  return indices;
}

SmallVector<Value> BackwardBuilder::resultGradients(InstanceOp instance) {
  SmallVector<Value> results;
  for (Value result : instance.getResults()) {
    if (!isDifferentiable(result))
      continue;
    Value gradient = gradients.lookup(result);
    if (!gradient)
      gradient =
          ConstantOp::create(builder, instance.getLoc(), result.getType(),
                             builder.getF64FloatAttr(0.0));
    results.push_back(gradient);
  }
  return results;
}

/// Whether something happens in `backward` even if all its arguments are 0:
/// a loss inside the module or below it.
static bool isSeeded(BackwardOp backward, const Influence &influence) {
  return influence.ownsLoss(backward->getParentOfType<ModuleDefOp>());
}

void BackwardBuilder::visitInstance(InstanceOp instance) {
  BackwardOp callee = influence.calleeOf(instance).getBackward();
  if (!callee)
    return;
  bool reached = llvm::any_of(instance.getResults(), [&](Value result) {
    return bool(gradients.lookup(result));
  });
  if (!reached && !isSeeded(callee, influence))
    return;
  SmallVector<int64_t> indices = gradientOperands(instance, callee);
  Operation *before = last();
  SmallVector<Value> results = resultGradients(instance);
  SmallVector<Type> types;
  for (int64_t index : indices)
    types.push_back(instance.getOperand(index).getType());
  auto op = InstanceBackwardOp::create(builder, instance.getLoc(), types,
                                       instance.getNameAttr(), results,
                                       builder.getDenseI64ArrayAttr(indices));
  nameSince(before, instance.getName() + "#d");
  for (auto [index, gradient] : llvm::zip(indices, op.getResults()))
    accumulate(instance.getOperand(index), gradient);
}

//===----------------------------------------------------------------------===//
// The region
//===----------------------------------------------------------------------===//

/// Removes pure ops without uses.
static void removeDead(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (op.use_empty() && isMemoryEffectFree(&op) &&
        !op.hasTrait<OpTrait::IsTerminator>())
      op.erase();
}

/// Makes names unique: the second op named `a#d` becomes `a#d.1`.
static void numberNames(Block &block) {
  llvm::StringMap<unsigned> seen;
  for (Operation &op : block) {
    if (isa<InstanceBackwardOp>(op))
      continue;
    auto name = op.getAttrOfType<StringAttr>("name");
    if (!name)
      continue;
    if (unsigned count = seen[name.getValue()]++)
      op.setAttr("name", StringAttr::get(op.getContext(),
                                         name.getValue() + "." + Twine(count)));
  }
}

void BackwardBuilder::finish() {
  SmallVector<int64_t> indices;
  SmallVector<Value> results;
  for (BlockArgument argument : module.getBody().front().getArguments())
    if (Value gradient = gradients.lookup(argument)) {
      indices.push_back(argument.getArgNumber());
      results.push_back(gradient);
    }
  YieldOp::create(builder, module.getLoc(), results);
  backward.setArgumentIndices(indices);
  removeDead(*block);
  numberNames(*block);
  bool empty = llvm::hasSingleElement(*block) && indices.empty();
  if (empty)
    backward.erase();
}

LogicalResult BackwardBuilder::run() {
  Block &body = module.getBody().front();
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  for (Operation *op : ops)
    if (auto dropout = dyn_cast<DropoutOp>(op); dropout && !dropout.getKey())
      dropout.setKey(names.of(op));
  createRegion();
  for (Operation *op : llvm::reverse(ops))
    if (failed(visit(op)))
      return failure();
  finish();
  return success();
}

namespace {
struct Differentiate : whale::impl::DifferentiateBase<Differentiate> {
  void runOnOperation() final {
    ModelOp model = getOperation();
    if (ModuleDefOp main = model.getMain(); main && main.getBackward())
      return;
    auto scans = model.walk([](ScanOp scan) {
      scan.emitError("'whale.scan' must be unrolled before modules are "
                     "differentiated")
              .attachNote()
          << "'--whale-unroll-scan' does this";
      return WalkResult::interrupt();
    });
    if (scans.wasInterrupted())
      return signalPassFailure();
    Influence influence(model);
    if (!influence.hasLoss()) {
      model.emitError("model '@")
          << model.getSymName() << "' has no 'whale.loss'";
      return signalPassFailure();
    }
    for (ModuleDefOp module : calleesFirst(model))
      if (failed(BackwardBuilder(module, influence).run()))
        return signalPassFailure();
  }
};
} // namespace
