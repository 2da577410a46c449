//===- Sequence.cpp - a module's ops as a sequence of tokens --------------===//

#include "passes/fold/Sequence.h"

using namespace mlir;
using namespace whale;
using namespace whale::fold;

bool fold::isConstantLeaf(Operation *op) {
  return op->getNumOperands() == 0 && isa<IterationSpaceOpInterface>(op);
}

static bool mayFold(Operation *op) {
  return isa<IterationSpaceOpInterface, AssignOp>(op) && !op->getNumRegions();
}

Sequence::Sequence(ModuleDefOp module) {
  module->getParentOp()->walk([&](VariableOp op) {
    if (op.getTied())
      tieTargets[op.getTied()->str()] = true;
  });
  for (Operation &op : module.getBody().front())
    if (!isa<VariableOp>(op) && !isConstantLeaf(&op))
      addOp(&op);
}

/// Everything that an op is but for its name and its operands' origin. Types
/// and attributes are unique in their context, so addresses stand for them.
unsigned Sequence::tokenOf(Operation *op) {
  std::vector<const void *> key = {op->getName().getAsOpaquePointer()};
  if (!mayFold(op) && !isa<VariableOp>(op))
    key.push_back(op);
  for (NamedAttribute attribute : op->getAttrDictionary()) {
    StringRef name = attribute.getName();
    if (name == "name" || (name == "key" && isa<DropoutOp>(op)))
      continue;
    key.push_back(attribute.getName().getAsOpaquePointer());
    key.push_back(attribute.getValue().getAsOpaquePointer());
  }
  for (TypeRange types :
       {TypeRange(op->getOperandTypes()), TypeRange(op->getResultTypes())}) {
    key.push_back(nullptr);
    for (Type type : types)
      key.push_back(type.getAsOpaquePointer());
  }
  return interned.try_emplace(std::move(key), interned.size()).first->second;
}

bool Sequence::isFree(VariableOp op) const {
  return !op.getTied() && !tieTargets.count(op.getName().str()) &&
         !op->hasAttr("variable_path");
}

unsigned Sequence::numberOf(VariableOp op) {
  auto [it, inserted] =
      variableNumbers.try_emplace(op.getName().str(), variables.size());
  if (inserted)
    variables.push_back({op, tokenOf(op), ~0u, 0, isFree(op)});
  return it->second;
}

Source Sequence::sourceOf(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return {Source::Argument, argument.getArgNumber()};
  Operation *op = value.getDefiningOp();
  if (auto variable = dyn_cast<VariableOp>(op))
    return {Source::Variable, numberOf(variable)};
  if (isConstantLeaf(op))
    return {Source::Constant, tokenOf(op)};
  return {Source::Op, positions.lookup(op),
          cast<OpResult>(value).getResultNumber()};
}

void Sequence::use(const Source &source, unsigned position) {
  if (source.kind == Source::Op)
    lastUsers[source.id][source.result] = position;
  if (source.kind != Source::Variable)
    return;
  VariableUse &variable = variables[source.id];
  variable.first = std::min(variable.first, position);
  variable.last = position;
}

void Sequence::addOp(Operation *op) {
  unsigned position = ops.size();
  ops.push_back(op);
  tokens.push_back(tokenOf(op));
  positions[op] = position;
  lastUsers.emplace_back(op->getNumResults(), 0);
  SmallVector<Source, 3> sources;
  for (Value operand : op->getOperands())
    sources.push_back(sourceOf(operand));
  if (auto assign = dyn_cast<AssignOp>(op)) {
    auto it = variableNumbers.find(assign.getName().str());
    // A variable that nobody has read so far is found by its name.
    if (it == variableNumbers.end())
      for (auto variable : op->getBlock()->getOps<VariableOp>())
        if (variable.getName() == assign.getName())
          numberOf(variable);
    it = variableNumbers.find(assign.getName().str());
    if (it != variableNumbers.end())
      sources.push_back({Source::Variable, it->second});
  }
  for (const Source &source : sources)
    use(source, position);
  allSources.push_back(std::move(sources));
  // What regions of scopes and backward parts read.
  Block *block = op->getBlock();
  for (Region &region : op->getRegions())
    region.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (operand.getParentBlock() == block)
          use(sourceOf(operand), position);
    });
}
