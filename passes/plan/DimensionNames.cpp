//===- DimensionNames.cpp - what split(dim) may call a loop ---------------===//

#include "passes/plan/DimensionNames.h"

#include "passes/plan/FlatStep.h"

#include "mlir/IR/Iterators.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

//===----------------------------------------------------------------------===//
// Sets
//===----------------------------------------------------------------------===//

unsigned DimensionNames::intern(StringRef name) {
  auto [it, inserted] = identifiers.try_emplace(name, names.size());
  if (inserted) {
    names.push_back(it->first());
    declared.push_back(false);
  }
  return it->second;
}

bool DimensionNames::add(NameSet &set, unsigned name) {
  auto it = llvm::lower_bound(set, name);
  if (it != set.end() && *it == name)
    return false;
  set.insert(it, name);
  changed = true;
  return true;
}

void DimensionNames::addAll(NameSet &set, const NameSet &other,
                            bool declaredOnly) {
  for (unsigned name : NameSet(other))
    if (!declaredOnly || declared[name])
      add(set, name);
}

SmallVector<DimensionNames::NameSet, 4> &DimensionNames::dimsOf(Value value) {
  auto &sets = dims[value];
  sets.resize(tensorType(value).getRank());
  return sets;
}

void DimensionNames::copyDims(Value from, Value to) {
  auto source = dimsOf(from);
  for (auto [own, other] : llvm::zip_equal(dimsOf(to), source))
    addAll(own, other);
}

//===----------------------------------------------------------------------===//
// From operands to results
//===----------------------------------------------------------------------===//

/// The variable that `value` reads, perhaps in another precision.
static VariableOp variableOf(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto cast = dyn_cast_or_null<CastOp>(op))
    op = cast.getOperand().getDefiningOp();
  return dyn_cast_or_null<VariableOp>(op);
}

static bool isBackward(Operation *op) {
  return isa_and_nonnull<BackwardOp>(op->getParentOp()) ||
         phaseOf(op) == Phase::Backward;
}

void DimensionNames::addAliases(EinsumOp op, OpNames &own) {
  if (isBackward(op))
    return;
  for (auto [operand, access] :
       llvm::zip_equal(op->getOperands(), own.space.operands)) {
    if (!variableOf(operand))
      continue;
    for (const auto &loops : access.dims) {
      bool kept = own.space.results[0].uses(loops.front());
      add(own.loops[loops.front()], intern(kept ? "columns" : "rows"));
    }
  }
}

void DimensionNames::visitCompute(Operation *op) {
  auto [it, inserted] = ops.try_emplace(op);
  OpNames &own = it->second;
  if (inserted) {
    own.space = cast<IterationSpaceOpInterface>(op).getIterationSpace();
    own.loops.resize(own.space.loops.size());
    for (auto [loop, set] : llvm::zip_equal(own.space.loops, own.loops))
      if (!loop.name.empty())
        add(set, intern(loop.name));
    if (auto einsum = dyn_cast<EinsumOp>(op))
      addAliases(einsum, own);
  }
  for (auto [operand, access] :
       llvm::zip_equal(op->getOperands(), own.space.operands)) {
    auto source = dimsOf(operand);
    for (auto [set, loops] : llvm::zip_equal(source, access.dims))
      if (!loops.empty())
        addAll(own.loops[loops.front()], set,
               !own.space.loops[loops.front()].name.empty());
  }
  for (auto [result, access] :
       llvm::zip_equal(op->getResults(), own.space.results))
    for (auto [set, loops] : llvm::zip_equal(dimsOf(result), access.dims))
      if (!loops.empty())
        addAll(set, own.loops[loops.front()]);
}

/// Instances and backward regions: names cross the boundaries of modules.
void DimensionNames::visitStructure(Operation *op) {
  if (auto input = dyn_cast<InputOp>(op)) {
    for (auto [set, name] :
         llvm::zip_equal(dimsOf(input.getResult()), input.getDims())) {
      unsigned id = intern(cast<StringAttr>(name).getValue());
      declared[id] = true;
      add(set, id);
    }
  } else if (auto instance = dyn_cast<InstanceOp>(op)) {
    ModuleDefOp callee = calleeOf(instance.getCallee());
    Block &body = blockOf(callee);
    for (auto [operand, argument] :
         llvm::zip_equal(instance.getOperands(), body.getArguments()))
      copyDims(operand, argument);
    for (auto [value, result] : llvm::zip_equal(
             body.getTerminator()->getOperands(), instance.getResults()))
      copyDims(value, result);
  } else if (auto scan = dyn_cast<ScanOp>(op)) {
    visitScan(scan);
  } else if (auto backward = dyn_cast<BackwardOp>(op)) {
    auto module = backward->getParentOfType<ModuleDefOp>();
    auto arguments = backward.getBody().front().getArguments();
    size_t next = 0;
    for (Value value : blockOf(module).getTerminator()->getOperands())
      if (isa<FloatType>(tensorType(value).getElementType()))
        copyDims(value, arguments[next++]);
  } else if (auto backwardOf = dyn_cast<InstanceBackwardOp>(op)) {
    auto module = backwardOf->getParentOfType<ModuleDefOp>();
    for (auto instance : blockOf(module).getOps<InstanceOp>())
      if (instance.getName() == backwardOf.getName())
        for (auto [index, result] : llvm::zip_equal(
                 backwardOf.getOperandIndices(), backwardOf.getResults()))
          copyDims(instance.getOperand(index), result);
  }
}

/// States and slices go into the cell, states and outputs come out of it; a
/// slice or an output lacks the dimension along which the scan goes.
void DimensionNames::visitScan(ScanOp scan) {
  Block &body = blockOf(calleeOf(scan.getCallee()));
  size_t states = scan.getStates().size(), along = scan.getDim();
  auto pass = [&](Value from, Value to, bool sliced, bool stacked) {
    auto source = dimsOf(from);
    if (sliced)
      source.erase(source.begin() + along);
    if (stacked)
      source.insert(source.begin() + along, NameSet());
    for (auto [own, other] : llvm::zip_equal(dimsOf(to), source))
      addAll(own, other);
  };
  for (auto [index, operand] : llvm::enumerate(scan.getOperands()))
    pass(operand, body.getArgument(index), index >= states, false);
  for (auto [index, value] :
       llvm::enumerate(body.getTerminator()->getOperands()))
    pass(value, scan.getResult(index), false, index >= states);
}

void DimensionNames::visitForward(Operation *op) {
  if (isa<IterationSpaceOpInterface>(op))
    visitCompute(op);
  else
    visitStructure(op);
}

//===----------------------------------------------------------------------===//
// From users to values
//===----------------------------------------------------------------------===//

/// Names that own-named loops of forward readers give a variable.
void DimensionNames::nameVariable(VariableOp op) {
  auto &sets = dimsOf(op.getResult());
  SmallVector<OpOperand *> uses;
  for (OpOperand &use : op.getResult().getUses())
    uses.push_back(&use);
  for (OpOperand &use : op.getResult().getUses())
    if (isa<CastOp>(use.getOwner()))
      for (OpOperand &inner : use.getOwner()->getResult(0).getUses())
        uses.push_back(&inner);
  for (OpOperand *use : uses) {
    auto it = ops.find(use->getOwner());
    if (it == ops.end() || isBackward(use->getOwner()))
      continue;
    const IterationSpace &space = it->second.space;
    const Access &access = space.operands[use->getOperandNumber()];
    for (auto [set, loops] : llvm::zip_equal(sets, access.dims))
      if (!loops.empty() && !space.loops[loops.front()].name.empty())
        add(set, intern(space.loops[loops.front()].name));
  }
}

/// The argument of a module as which an instance or a scan passes a value on,
/// all dimensions alike.
Value DimensionNames::argumentOf(OpOperand &use) const {
  Operation *user = use.getOwner();
  unsigned index = use.getOperandNumber();
  if (auto instance = dyn_cast<InstanceOp>(user))
    return blockOf(calleeOf(instance.getCallee())).getArgument(index);
  if (auto scan = dyn_cast<ScanOp>(user))
    if (index < scan.getStates().size())
      return blockOf(calleeOf(scan.getCallee())).getArgument(index);
  return Value();
}

/// Dimensions without names take those of the loops that use them, or the
/// inputs' names of the module's argument that they become.
void DimensionNames::fillFromUsers(Value value) {
  SmallVector<NameSet, 4> sets = dimsOf(value);
  for (unsigned dim = 0; dim < sets.size(); ++dim) {
    if (!sets[dim].empty())
      continue;
    NameSet found;
    for (OpOperand &use : value.getUses()) {
      if (Value argument = argumentOf(use)) {
        addAll(found, dimsOf(argument)[dim], /*declaredOnly=*/true);
        continue;
      }
      auto it = ops.find(use.getOwner());
      if (it == ops.end())
        continue;
      const auto &loops =
          it->second.space.operands[use.getOperandNumber()].dims[dim];
      if (!loops.empty())
        addAll(found, it->second.loops[loops.front()]);
    }
    addAll(dimsOf(value)[dim], found);
  }
}

void DimensionNames::visitBackward(Operation *op) {
  if (auto variable = dyn_cast<VariableOp>(op))
    nameVariable(variable);
  for (Value result : op->getResults())
    fillFromUsers(result);
  auto it = ops.find(op);
  if (it == ops.end())
    return;
  OpNames &own = it->second;
  for (auto [result, access] :
       llvm::zip_equal(op->getResults(), own.space.results)) {
    auto sets = dimsOf(result);
    for (auto [set, loops] : llvm::zip_equal(sets, access.dims))
      if (!loops.empty() && own.loops[loops.front()].empty())
        addAll(own.loops[loops.front()], set);
  }
}

//===----------------------------------------------------------------------===//
// Fixed point
//===----------------------------------------------------------------------===//

ModuleDefOp DimensionNames::calleeOf(StringRef name) const {
  return ModelOp(model).lookupSymbol<ModuleDefOp>(name);
}

void DimensionNames::solve(ArrayRef<ModuleDefOp> modules) {
  // Sets grow only, so that this ends; the bound is for bugs.
  for (int round = 0; round < 32; ++round) {
    changed = false;
    for (ModuleDefOp module : modules)
      module.walk<WalkOrder::PreOrder>(
          [&](Operation *op) { visitForward(op); });
    for (ModuleDefOp module : modules) {
      module.walk<WalkOrder::PostOrder, ReverseIterator>(
          [&](Operation *op) { visitBackward(op); });
      for (BlockArgument argument : blockOf(module).getArguments())
        fillFromUsers(argument);
    }
    if (!changed)
      return;
  }
}

DimensionNames::DimensionNames(ModuleDefOp module)
    : model(module->getParentOfType<ModelOp>()) {
  solve(module);
}

DimensionNames::DimensionNames(ModelOp model) : model(model) {
  solve(llvm::to_vector(model.getBody().front().getOps<ModuleDefOp>()));
}

//===----------------------------------------------------------------------===//
// Questions
//===----------------------------------------------------------------------===//

std::optional<unsigned> DimensionNames::findLoop(Operation *op,
                                                 StringRef name) const {
  auto it = ops.find(op);
  auto id = identifiers.find(name);
  if (it == ops.end() || id == identifiers.end())
    return std::nullopt;
  for (auto [index, loop] : llvm::enumerate(it->second.space.loops))
    if (loop.name == name)
      return index;
  for (auto [index, set] : llvm::enumerate(it->second.loops))
    if (llvm::is_contained(set, id->second))
      return index;
  return std::nullopt;
}

SmallVector<StringRef> DimensionNames::loopNames(Operation *op,
                                                 unsigned loop) const {
  SmallVector<StringRef> result;
  const OpNames &own = ops.at(op);
  StringRef first = own.space.loops[loop].name;
  if (!first.empty())
    result.push_back(first);
  for (unsigned id : own.loops[loop])
    if (names[id] != first)
      result.push_back(names[id]);
  return result;
}

SmallVector<StringRef> DimensionNames::dimNames(Value value,
                                                unsigned dim) const {
  SmallVector<StringRef> result;
  if (auto it = dims.find(value); it != dims.end())
    for (unsigned id : it->second[dim])
      result.push_back(names[id]);
  return result;
}

bool DimensionNames::hasName(Value value, unsigned dim, StringRef name) const {
  return llvm::is_contained(dimNames(value, dim), name);
}
