//===- ModelVerify.cpp - what the ops of one module owe each other --------===//
//
// Rules, each an error with both places:
//  - `@main` has no arguments; inputs are read only by modules that no instance
//    names (`@main`, and `@step` and `@eval` of a flat step);
//  - names are unique in a module, because a path is built from them. Only a
//    variable may be read several times, then at one type, and `shared`
//    instances of one name stand for one set of variables, so of one module;
//  - `whale.assign` names a variable of its module, of its type, once;
//  - scopes yield their results, a backward part the gradients that it lists.
// Ops of a flat step have paths, which take the place of names.
//
//===----------------------------------------------------------------------===//

#include "dialects/whale/Verify.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace whale;

namespace {
class ModuleVerifier {
public:
  explicit ModuleVerifier(ModuleDefOp module) : module(module) {}
  LogicalResult run();

private:
  LogicalResult addVariable(VariableOp op);
  LogicalResult addInstance(InstanceOp op);
  LogicalResult addSegment(Operation *op, StringRef name);
  LogicalResult checkChains();
  LogicalResult checkAssign(AssignOp op);

  /// Reports `message` at `op` with `first` as the other place.
  static LogicalResult clash(Operation *op, Operation *first,
                             const Twine &message);

  ModuleDefOp module;
  llvm::StringMap<Operation *> named;
  llvm::StringMap<VariableOp> variables;
  llvm::StringMap<AssignOp> assigns;
  SmallVector<InstanceOp> chains;
};
} // namespace

/// What identifies a variable in its module.
static StringRef keyOf(VariableOp op) {
  if (auto path = op->getAttrOfType<StringAttr>("variable_path"))
    return path.getValue();
  return op.getName();
}

LogicalResult ModuleVerifier::clash(Operation *op, Operation *first,
                                    const Twine &message) {
  InFlightDiagnostic diagnostic = op->emitOpError(message);
  diagnostic.attachNote(first->getLoc()) << "the first is here";
  return diagnostic;
}

LogicalResult ModuleVerifier::addVariable(VariableOp op) {
  auto [it, inserted] = variables.try_emplace(keyOf(op), op);
  if (!inserted) {
    if (it->second.getType() == op.getType())
      return success();
    std::string message;
    llvm::raw_string_ostream(message)
        << "name '" << op.getName() << "' is '" << op.getType()
        << "', but the module has it as '" << it->second.getType() << "'";
    return clash(op, it->second, message);
  }
  return op->hasAttr("variable_path") ? success()
                                      : addSegment(op, op.getName());
}

LogicalResult ModuleVerifier::addSegment(Operation *op, StringRef name) {
  auto [it, inserted] = named.try_emplace(name, op);
  if (inserted)
    return success();
  return clash(op, it->second,
               "name '" + name + "' is taken in module '@" +
                   module.getSymName() + "'");
}

LogicalResult ModuleVerifier::addInstance(InstanceOp op) {
  if (op.getRepeat())
    chains.push_back(op);
  auto it = named.find(op.getName());
  auto first =
      it == named.end() ? InstanceOp() : dyn_cast<InstanceOp>(it->second);
  if (!op.getShared() || !first || !first.getShared())
    return addSegment(op, op.getName());
  if (op.getCallee() == first.getCallee())
    return success();
  return clash(op, first,
               "shares its variables as '" + op.getName() +
                   "' with an instance of module '@" + first.getCallee() +
                   "', but is one of '@" + op.getCallee() + "'");
}

/// A chain takes the names `name.0` to `name.(n-1)` too.
LogicalResult ModuleVerifier::checkChains() {
  llvm::StringMap<InstanceOp> byName;
  for (InstanceOp chain : chains)
    byName.try_emplace(chain.getName(), chain);
  WalkResult result = module.walk([&](InstanceOp op) {
    auto [base, number] = op.getName().rsplit('.');
    uint64_t index;
    auto it = byName.find(base);
    // "layers.01" is another name than that of any step.
    bool isStep = it != byName.end() && !number.getAsInteger(10, index) &&
                  number == std::to_string(index) &&
                  index < uint64_t(*it->second.getRepeat());
    if (!isStep)
      return WalkResult::advance();
    (void)clash(op, it->second,
                "name '" + op.getName() + "' is taken by a step of chain '" +
                    base + "'");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult ModuleVerifier::checkAssign(AssignOp op) {
  auto [it, inserted] = assigns.try_emplace(op.getName(), op);
  if (!inserted)
    return clash(op, it->second,
                 "variable '" + op.getName() + "' is assigned twice");
  auto variable = variables.find(op.getName());
  if (variable == variables.end())
    return op.emitOpError("names no variable of module '@")
           << module.getSymName() << "': '" << op.getName() << "'";
  if (variable->second.getType() == op.getValue().getType())
    return success();
  InFlightDiagnostic diagnostic = op.emitOpError("value is ")
                                  << op.getValue().getType()
                                  << ", but variable '" << op.getName()
                                  << "' is " << variable->second.getType();
  diagnostic.attachNote(variable->second.getLoc()) << "the variable is here";
  return diagnostic;
}

LogicalResult ModuleVerifier::run() {
  WalkResult names = module.getBody().walk<WalkOrder::PreOrder>(
      [&](Operation *op) -> WalkResult {
        if (auto variable = dyn_cast<VariableOp>(op))
          return addVariable(variable);
        if (auto instance = dyn_cast<InstanceOp>(op))
          return addInstance(instance);
        auto name = op->getAttrOfType<StringAttr>("name");
        // These name what they refer to; ops with a path need no name.
        if (!name || isa<AssignOp, InstanceBackwardOp>(op) ||
            op->hasAttr("path"))
          return success();
        return addSegment(op, name.getValue());
      });
  if (names.wasInterrupted() || failed(checkChains()))
    return failure();
  // Variables may be read after the assign, so assigns come last.
  WalkResult written =
      module.walk([&](AssignOp op) -> WalkResult { return checkAssign(op); });
  return failure(written.wasInterrupted());
}

/// Modules that are instantiated have no inputs of their own.
static LogicalResult verifyInputs(ModelOp model) {
  llvm::StringMap<Operation *> users;
  model.walk([&](Operation *op) {
    if (auto instance = dyn_cast<InstanceOp>(op))
      users.try_emplace(instance.getCallee(), op);
    else if (auto scan = dyn_cast<ScanOp>(op))
      users.try_emplace(scan.getCallee(), op);
  });
  WalkResult result = model.walk([&](InputOp op) {
    StringRef name = op->getParentOfType<ModuleDefOp>().getSymName();
    auto user = users.find(name);
    if (user == users.end())
      return WalkResult::advance();
    InFlightDiagnostic diagnostic =
        op.emitOpError("is in module '@")
        << name << "', which is instantiated; inputs belong to '@main' and are "
        << "passed as operands";
    diagnostic.attachNote(user->second->getLoc()) << "the instance is here";
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

static LogicalResult verifyScope(Operation *scope) {
  Operation *yield = scope->getRegion(0).front().getTerminator();
  if (yield->getNumOperands() != scope->getNumResults())
    return scope->emitOpError("yields ")
           << yield->getNumOperands() << " values, but has "
           << scope->getNumResults() << " results";
  for (auto [index, found, expected] :
       llvm::enumerate(yield->getOperandTypes(), scope->getResultTypes()))
    if (found != expected)
      return scope->emitOpError("yields ")
             << found << " as result " << index << ", which is " << expected;
  return success();
}

static LogicalResult verifyBackward(BackwardOp op) {
  auto module = op->getParentOfType<ModuleDefOp>();
  Operation *yield = op.getBody().front().getTerminator();
  ArrayRef<int64_t> indices = op.getArgumentIndices();
  if (module.getBackward() != op)
    return op.emitOpError("is the second of module '@")
           << module.getSymName() << "'";
  if (yield->getNumOperands() != indices.size())
    return op.emitOpError("yields ")
           << yield->getNumOperands() << " values for " << indices.size()
           << " arguments";
  for (auto [index, found] : llvm::zip(indices, yield->getOperandTypes())) {
    ArrayRef<Type> types = module.getArgumentTypes();
    if (index < 0 || index >= int64_t(types.size()))
      return op.emitOpError("gives argument ")
             << index << " a gradient, but module '@" << module.getSymName()
             << "' has " << types.size() << " arguments";
    if (found != types[index])
      return op.emitOpError("gives argument ")
             << index << " a gradient of " << found << ", but it is "
             << types[index];
  }
  return success();
}

/// Regions end in what their op promises.
static LogicalResult verifyYields(ModelOp model) {
  WalkResult result = model.walk([&](Operation *op) -> WalkResult {
    if (auto backward = dyn_cast<BackwardOp>(op))
      return verifyBackward(backward);
    bool isScope = isa<ReplicaOp, SplitOp, StageOp, PipelineOp, ClusterOp>(op);
    return isScope ? verifyScope(op) : success();
  });
  return failure(result.wasInterrupted());
}

/// Sums are left unrounded in the flat step of canonical mode only, whose ops
/// have phases.
static LogicalResult verifyAccumulators(ModelOp model) {
  WalkResult result = model.walk([&](Operation *op) -> WalkResult {
    if (op->hasAttr("phase") || llvm::none_of(op->getResults(), isAccumulator))
      return WalkResult::advance();
    return op->emitOpError("gives accumulators, which are not for models: "
                           "canonical mode makes them");
  });
  return failure(result.wasInterrupted());
}

LogicalResult whale::verifyModules(ModelOp model) {
  if (ModuleDefOp main = model.getMain();
      main && !main.getArgumentTypes().empty())
    return main.emitOpError("'@main' has ")
           << main.getArgumentTypes().size()
           << " arguments, expected none: it reads inputs";
  for (ModuleDefOp module : model.getBody().front().getOps<ModuleDefOp>())
    if (failed(ModuleVerifier(module).run()))
      return failure();
  if (failed(verifyInputs(model)) || failed(verifyAccumulators(model)))
    return failure();
  return verifyYields(model);
}
