//===- Training.cpp - from gradients to the update ------------------------===//

#include "passes/plan/Training.h"

#include "passes/plan/Optimizers.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

#include <map>

using namespace mlir;
using namespace whale;
using namespace whale::plan;

//===----------------------------------------------------------------------===//
// Counts
//===----------------------------------------------------------------------===//

/// Ops that `value` depends on, in block order. Error where one is no function
/// of inputs and constants.
static LogicalResult countSlice(LossOp loss, Value value,
                                SetVector<Operation *> &slice) {
  SmallVector<Operation *> work = {value.getDefiningOp()};
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    if (slice.contains(op) ||
        (phaseOf(op) == Phase::Prologue && !isa<VariableOp>(op)))
      continue;
    if (isa<VariableOp, DropoutOp, StepNumberOp>(op)) {
      InFlightDiagnostic diagnostic =
          loss.emitOpError("count depends on more than inputs and constants");
      diagnostic.attachNote(op->getLoc()) << "this value changes between steps";
      return failure();
    }
    slice.insert(op);
    for (Value operand : op->getOperands())
      work.push_back(operand.getDefiningOp());
  }
  return success();
}

LogicalResult plan::hoistCounts(ModuleDefOp step) {
  Block &block = blockOf(step);
  OpBuilder builder(step.getContext());
  // After the variables, which stand first.
  auto position =
      llvm::find_if(block, [](Operation &op) { return !isa<VariableOp>(op); });
  builder.setInsertionPoint(&block, position);
  IRMapping mapping;
  for (LossOp loss : llvm::to_vector(block.getOps<LossOp>())) {
    Operation *count = loss.getCount().getDefiningOp();
    // A count that an earlier loss has too is there already.
    if (phaseOf(count) == Phase::Prologue && !isa<VariableOp>(count))
      continue;
    SetVector<Operation *> slice;
    if (failed(countSlice(loss, loss.getCount(), slice)))
      return failure();
    auto ops = slice.takeVector();
    llvm::sort(
        ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    for (Operation *op : ops) {
      if (mapping.contains(op->getResult(0)))
        continue;
      Operation *copy = builder.clone(*op, mapping);
      setPath(copy, pathOf(op) + "#count");
      setPhase(copy, Phase::Prologue);
    }
    loss.getCount().replaceAllUsesWith(mapping.lookup(loss.getCount()));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Gradients
//===----------------------------------------------------------------------===//

namespace {

/// One trained variable.
struct Trained {
  VariableOp variable;
  /// Sum over the uses; the seeds are divided by the counts.
  Value gradient;
};

class TrainingBuilder {
public:
  TrainingBuilder(ModuleDefOp step, const TrainingSpec &spec, bool inModelOrder)
      : step(step), spec(spec), inModelOrder(inModelOrder),
        updates(step.getContext()), slots(step.getContext()) {
    updates.setInsertionPoint(blockOf(step).getTerminator());
    Block &block = blockOf(step);
    auto position = llvm::find_if(
        block, [](Operation &op) { return !isa<VariableOp>(op); });
    slots.setInsertionPoint(&block, position);
  }
  void run();

private:
  void sumGradients();
  Value sumInGraph(VariableOp variable, ArrayRef<GradientOp> ops);
  Value clipFactor();
  const UpdateScalars &scalarsOf(const Optimizer &optimizer, int64_t graph,
                                 Type element);
  /// Which terms are added first: those of a TaskGraph, or no special ones.
  int64_t sumOf(Operation *op) const { return inModelOrder ? 0 : graphOf(op); }
  Emitter emitter(Twine base, int64_t graph, Location loc) {
    return Emitter(updates, loc, base.str(), Phase::Update, graph);
  }

  ModuleDefOp step;
  const TrainingSpec &spec;
  const bool inModelOrder;
  OpBuilder updates, slots;
  SmallVector<Trained> trained;
  /// By TaskGraph and optimizer (position in the spec; -1 = the default one).
  std::map<std::pair<int64_t, int64_t>, UpdateScalars> scalars;
};

} // namespace

/// Sum of the gradients that one TaskGraph gives, in phase backward (or of all,
/// in the order of the model). Each partial sum stands where its last operand
/// is made.
Value TrainingBuilder::sumInGraph(VariableOp variable,
                                  ArrayRef<GradientOp> ops) {
  Value sum;
  for (auto [index, use] : llvm::enumerate(ops)) {
    GradientOp op = use;
    OpBuilder builder(op);
    std::string base = (variablePath(variable) + "#gradient." +
                        Twine(graphOf(op)) + "." + Twine(index))
                           .str();
    Emitter emit(builder, op.getLoc(), base, Phase::Backward, graphOf(op));
    Value value = emit.cast(op.getValue(),
                            tensorType(variable.getResult()).getElementType());
    sum = sum ? emit.add(sum, value) : value;
  }
  return sum;
}

void TrainingBuilder::sumGradients() {
  llvm::MapVector<Operation *, std::map<int64_t, SmallVector<GradientOp>>> uses;
  for (VariableOp variable : blockOf(step).getOps<VariableOp>())
    uses[variable];
  for (GradientOp op : blockOf(step).getOps<GradientOp>())
    uses[op.getVariable().getDefiningOp()][sumOf(op)].push_back(op);
  for (auto &[op, byGraph] : uses) {
    auto variable = cast<VariableOp>(op);
    if (byGraph.empty() || variable.getFrozen())
      continue;
    Emitter emit = emitter(variablePath(variable) + "#gradient",
                           graphOf(variable), variable.getLoc());
    emit.setParameter(variable->getAttrOfType<StringAttr>(variablePathAttr));
    Value sum;
    for (auto &[key, ops] : byGraph) {
      Value part = sumInGraph(variable, ops);
      sum = sum ? emit.add(sum, part) : part;
    }
    trained.push_back({variable, sum});
  }
  for (GradientOp op : llvm::to_vector(blockOf(step).getOps<GradientOp>()))
    op.erase();
}

/// min(1, limit / (norm + 1e-6)).
Value TrainingBuilder::clipFactor() {
  std::map<int64_t, Value> byGraph;
  for (Trained &one : trained) {
    StringRef path = variablePath(one.variable);
    int64_t graph = graphOf(one.variable);
    Emitter emit = emitter(path + "#norm", graph, one.variable.getLoc());
    emit.setParameter(
        one.variable->getAttrOfType<StringAttr>(variablePathAttr));
    Value squares = emit.sum(emit.square(one.gradient));
    auto [it, inserted] = byGraph.try_emplace(sumOf(one.variable), squares);
    if (!inserted)
      it->second = emit.add(it->second, squares);
  }
  if (byGraph.empty())
    return Value();
  Emitter emit = emitter("clip", 0, step.getLoc());
  Value total;
  for (auto &[graph, squares] : byGraph)
    total = total ? emit.add(total, squares) : squares;
  Value norm = emit.add(emit.unary<SqrtOp>(total), 1e-6);
  return emit.min(emit.div(spec.clipNorm, norm), 1.0);
}

const UpdateScalars &TrainingBuilder::scalarsOf(const Optimizer &optimizer,
                                                int64_t graph, Type element) {
  int64_t group = -1;
  for (auto [index, candidate] : llvm::enumerate(spec.groups))
    if (&candidate.optimizer == &optimizer)
      group = index;
  auto [it, inserted] = scalars.try_emplace({graph, group});
  if (inserted) {
    Emitter emit =
        emitter("learning_rate." + Twine(graph) + "." + Twine(group + 1), graph,
                step.getLoc());
    it->second = buildUpdateScalars(emit, spec.schedule, optimizer, element);
  }
  return it->second;
}

void TrainingBuilder::run() {
  sumGradients();
  Value factor = spec.clipNorm > 0 ? clipFactor() : Value();
  for (Trained &one : trained) {
    StringRef path = variablePath(one.variable);
    int64_t graph = graphOf(one.variable);
    const Optimizer &optimizer = spec.optimizerOf(path);
    const UpdateScalars &shared =
        scalarsOf(optimizer, graph,
                  tensorType(one.variable.getResult()).getElementType());
    Emitter emit = emitter(path + "#update", graph, one.variable.getLoc());
    Emitter slotEmitter(slots, one.variable.getLoc(), "", Phase::Prologue,
                        graph);
    auto parameter = one.variable->getAttrOfType<StringAttr>(variablePathAttr);
    emit.setParameter(parameter);
    slotEmitter.setParameter(parameter);
    Value gradient = one.gradient;
    if (factor)
      gradient = emit.mul(gradient, factor);
    buildUpdate(emit, slotEmitter, optimizer, shared,
                {path.str(), one.variable.getResult(), gradient});
  }
}

void plan::buildTraining(ModuleDefOp step, const TrainingSpec &spec,
                         bool inModelOrder) {
  TrainingBuilder(step, spec, inModelOrder).run();
}

//===----------------------------------------------------------------------===//
// Statistics
//===----------------------------------------------------------------------===//

void plan::moveStatistics(ModuleDefOp step) {
  Block &block = blockOf(step);
  SmallVector<Operation *> moved;
  SmallPtrSet<Operation *, 8> inUpdate;
  auto consider = [&](Operation *op) {
    if (!op || isa<VariableOp>(op) || inUpdate.contains(op))
      return;
    bool tail = isa<ScalarOpInterface>(op) || isa<ConstantOp>(op);
    for (Operation *user : op->getUsers())
      tail &= inUpdate.contains(user);
    if (tail && inUpdate.insert(op).second)
      moved.push_back(op);
  };
  for (AssignOp assign : block.getOps<AssignOp>())
    if (inUpdate.insert(assign).second)
      moved.push_back(assign);
  for (size_t i = 0; i < moved.size(); ++i)
    for (Value operand : moved[i]->getOperands())
      consider(operand.getDefiningOp());
  llvm::sort(moved,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  for (Operation *op : moved) {
    op->moveBefore(block.getTerminator());
    setPhase(op, Phase::Update);
  }
}
