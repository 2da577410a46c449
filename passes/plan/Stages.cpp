//===- Stages.cpp - the TaskGraph of each op ------------------------------===//

#include "passes/plan/Stages.h"

#include "compiler/support/PathPattern.h"
#include "passes/strategy/Places.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringMap.h"

#include <map>
#include <tuple>

using namespace mlir;
using namespace whale;
using namespace whale::plan;

namespace {

class StageAssigner {
public:
  StageAssigner(ModuleDefOp module, const planner::NormalForm &form)
      : module(module), form(form) {}

  LogicalResult run();

private:
  static constexpr int64_t unknown = -1;

  LogicalResult readPatterns();
  int64_t byPattern(StringRef path) const;
  /// By its path, else by its item.
  int64_t byPattern(Operation *op) const {
    int64_t stage = byPattern(basePath(pathOf(op)));
    return stage == unknown ? byPattern(itemOf(op)) : stage;
  }
  int64_t stageOf(Operation *op) const { return stages.lookup(op); }
  /// Latest (forward) or earliest (backward) stage of the operands' producers.
  int64_t byProducers(Operation *op) const;
  int64_t byFirstUser(Operation *op) const;
  bool sumsWithin(Operation *op) const;
  void assignForward();
  void assignBackward();
  void assignVariables();
  LogicalResult checkOrder();
  LogicalResult checkEmpty();

  ModuleDefOp module;
  const planner::NormalForm &form;
  std::vector<std::vector<PathPattern>> patterns;
  llvm::DenseMap<Operation *, int64_t> stages;
  llvm::StringMap<int64_t> byPath;
};

} // namespace

LogicalResult StageAssigner::readPatterns() {
  Diagnostics diagnostics;
  for (const planner::StageForm &stage : form.stages) {
    auto &list = patterns.emplace_back();
    for (const std::string &text : stage.paths)
      if (auto pattern = PathPattern::parse(text, Place(), diagnostics))
        list.push_back(*pattern);
  }
  return report(diagnostics, module.getLoc());
}

int64_t StageAssigner::byPattern(StringRef path) const {
  for (auto [index, list] : llvm::enumerate(patterns))
    for (const PathPattern &pattern : list)
      if (pattern.covers(path))
        return index;
  return unknown;
}

int64_t StageAssigner::byProducers(Operation *op) const {
  bool backward = phaseOf(op) == Phase::Backward;
  int64_t stage = unknown;
  for (Value operand : op->getOperands()) {
    Operation *producer = operand.getDefiningOp();
    if (isa<VariableOp>(producer) ||
        (backward && phaseOf(producer) != Phase::Backward))
      continue;
    int64_t other = stageOf(producer);
    if (other == unknown)
      continue;
    if (stage == unknown)
      stage = other;
    stage = backward ? std::min(stage, other) : std::max(stage, other);
  }
  return stage;
}

int64_t StageAssigner::byFirstUser(Operation *op) const {
  Operation *first = nullptr;
  for (Operation *user : op->getUsers())
    if (stageOf(user) != unknown && (!first || user->isBeforeInBlock(first)))
      first = user;
  return first ? stageOf(first) : unknown;
}

/// Whether a gradient is summed of which the op's own item gives a part: of an
/// item that stages share, the sum is sent and not its parts.
bool StageAssigner::sumsWithin(Operation *op) const {
  return pathOf(op).rsplit('#').second.starts_with("sum") &&
         llvm::any_of(op->getOperands(), [&](Value operand) {
           Operation *producer = operand.getDefiningOp();
           return phaseOf(producer) == Phase::Backward &&
                  itemOf(producer) == itemOf(op);
         });
}

void StageAssigner::assignForward() {
  SmallVector<Operation *> open;
  for (Operation &op : blockOf(module).without_terminator()) {
    stages[&op] = unknown;
    if (isa<VariableOp>(op) || phaseOf(&op) == Phase::Backward)
      continue;
    int64_t stage = byPattern(&op);
    // A count is the loss's business: nothing of it is needed elsewhere.
    if (stage == unknown && phaseOf(&op) != Phase::Prologue)
      stage = byProducers(&op);
    stages[&op] = stage;
    if (stage == unknown)
      open.push_back(&op);
    else if (phaseOf(&op) == Phase::Forward)
      byPath[pathOf(&op)] = stage;
  }
  for (Operation *op : llvm::reverse(open)) {
    stages[op] = byFirstUser(op);
    if (phaseOf(op) == Phase::Forward && stages[op] != unknown)
      byPath[pathOf(op)] = stages[op];
  }
}

void StageAssigner::assignBackward() {
  SmallVector<Operation *> open;
  for (Operation &op : blockOf(module).without_terminator()) {
    if (phaseOf(&op) != Phase::Backward)
      continue;
    auto it = byPath.find(basePath(pathOf(&op)));
    int64_t stage = it != byPath.end() ? it->second : unknown;
    if (sumsWithin(&op))
      stage = byProducers(&op);
    if (stage == unknown)
      stage = byPattern(&op);
    if (stage == unknown)
      stage = byProducers(&op);
    stages[&op] = stage;
    if (stage == unknown)
      open.push_back(&op);
  }
  for (Operation *op : llvm::reverse(open))
    stages[op] = byFirstUser(op);
}

void StageAssigner::assignVariables() {
  for (VariableOp op : blockOf(module).getOps<VariableOp>()) {
    int64_t stage = byFirstUser(op);
    stages[op] = stage != unknown ? stage : byPattern(op);
  }
}

LogicalResult StageAssigner::checkOrder() {
  for (Operation &op : blockOf(module).without_terminator()) {
    if (phaseOf(&op) != Phase::Forward)
      continue;
    for (Value operand : op.getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (phaseOf(producer) != Phase::Forward ||
          stageOf(producer) <= stageOf(&op))
        continue;
      InFlightDiagnostic error = op.emitOpError("'")
                                 << pathOf(&op) << "' of stage " << stageOf(&op)
                                 << " uses a value of stage "
                                 << stageOf(producer) << ", which comes later";
      error.attachNote(producer->getLoc())
          << "'" << pathOf(producer) << "' is here";
      return error;
    }
  }
  return success();
}

LogicalResult StageAssigner::checkEmpty() {
  SmallVector<bool> used(form.stages.size());
  for (auto [op, stage] : stages)
    if (phaseOf(op) == Phase::Forward && !isa<InputOp>(op))
      used[stage] = true;
  for (auto [index, seen] : llvm::enumerate(used))
    if (!seen)
      return module.emitOpError("has nothing for stage ")
             << index << " of the plan, which holds '"
             << llvm::join(form.stages[index].paths, "', '") << "'";
  return success();
}

LogicalResult StageAssigner::run() {
  if (failed(readPatterns()))
    return failure();
  if (form.stages.size() == 1) {
    for (Operation &op : blockOf(module).without_terminator())
      setGraph(&op, 0);
    return success();
  }
  assignForward();
  assignBackward();
  assignVariables();
  for (auto &entry : stages)
    entry.second = std::max<int64_t>(entry.second, 0);
  for (Operation &op : blockOf(module).without_terminator())
    setGraph(&op, stageOf(&op));
  if (failed(checkEmpty()))
    return failure();
  return checkOrder();
}

LogicalResult plan::assignGraphs(ModuleDefOp module,
                                 const planner::NormalForm &form) {
  return StageAssigner(module, form).run();
}

//===----------------------------------------------------------------------===//
// Sources
//===----------------------------------------------------------------------===//

/// The phase that a copy for a user in `phase` has: an input is read once a
/// micro-batch, and its value kept for the backward part.
static Phase copyPhase(Operation *source, Phase phase) {
  if (isa<InputOp>(source) && phase == Phase::Backward)
    return Phase::Forward;
  return phase;
}

static void localize(Operation *source) {
  using Key = std::pair<Phase, int64_t>;
  std::map<Key, Operation *> copies;
  copies[{phaseOf(source), graphOf(source)}] = source;
  SmallVector<OpOperand *> uses;
  for (OpOperand &use : source->getResult(0).getUses())
    uses.push_back(&use);
  llvm::sort(uses, [](OpOperand *a, OpOperand *b) {
    if (a->getOwner() != b->getOwner())
      return a->getOwner()->isBeforeInBlock(b->getOwner());
    return a->getOperandNumber() < b->getOperandNumber();
  });
  for (OpOperand *use : uses) {
    Operation *user = use->getOwner();
    Key key = {copyPhase(source, phaseOf(user)), graphOf(user)};
    Operation *&copy = copies[key];
    if (!copy) {
      OpBuilder builder(user);
      // An input for a backward user is read in the forward part.
      if (key.first == phaseOf(source))
        builder.setInsertionPointAfter(source);
      copy = builder.clone(*source);
      setPath(copy, pathOf(source) + "#" + nameOf(key.first) + "." +
                        Twine(key.second));
      setPhase(copy, key.first);
      setGraph(copy, key.second);
    }
    use->set(copy->getResult(0));
  }
}

void plan::localizeSources(ModuleDefOp module) {
  SmallVector<Operation *> sources;
  for (Operation &op : blockOf(module))
    if (isa<InputOp, ConstantOp, IotaOp, StepNumberOp>(op))
      sources.push_back(&op);
  for (Operation *op : sources)
    localize(op);
}
