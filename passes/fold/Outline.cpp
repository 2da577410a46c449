//===- Outline.cpp - a chain of blocks becomes module and instance --------===//

#include "passes/fold/Outline.h"

#include "passes/fold/FlatNames.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace whale;
using namespace whale::fold;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

static std::string nameOf(Operation *op) {
  auto name = op->getAttrOfType<StringAttr>("name");
  return name && !isa<AssignOp>(op) ? name.getValue().str() : "";
}

ChainNames fold::nameChain(const Sequence &sequence, const Chain &chain,
                           std::set<std::string> &taken) {
  ChainNames names;
  std::set<std::string> local, before;
  for (auto [a, b] : llvm::zip_equal(chain.own[0], chain.own[1])) {
    VariableOp first = sequence.variable(a).op,
               second = sequence.variable(b).op;
    LocalName name = localName(first.getName().str(), second.getName().str());
    names.variables.push_back(uniqueName(local, name.local));
    before.insert(name.chain);
  }
  for (size_t i = 0; i < chain.period; ++i) {
    std::string first = nameOf(sequence.op(chain.begin + i));
    std::string second = nameOf(sequence.op(chain.begin + chain.period + i));
    names.ops.push_back(
        first.empty() ? "" : uniqueName(local, localName(first, second).local));
  }
  bool agree = before.size() == 1 && !before.begin()->empty();
  names.chain = uniqueChainName(taken, agree ? *before.begin() : "layers");
  return names;
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

namespace {
class BlockBuilder {
public:
  BlockBuilder(const Sequence &sequence, const Chain &chain,
               const ChainNames &names, ModuleDefOp module)
      : sequence(sequence), chain(chain), names(names), module(module),
        builder(module.getBody()) {}

  void run() {
    for (auto [index, number] : llvm::enumerate(chain.own[0])) {
      VariableOp op = sequence.variable(number).op;
      auto copy = cast<VariableOp>(builder.clone(*op));
      copy.setName(names.variables[index]);
      own.push_back(copy.getResult());
    }
    for (unsigned op = 0; op < chain.period; ++op)
      copyOp(op);
    SmallVector<Value> results;
    for (const Chain::CarriedValue &value : chain.carried)
      results.push_back(copies[value.op]->getResult(value.result));
    ReturnOp::create(builder, module.getLoc(), results);
  }

private:
  void copyOp(unsigned index) {
    Operation *op = sequence.op(chain.begin + index);
    SmallVector<Value> operands;
    for (unsigned i = 0; i < op->getNumOperands(); ++i)
      operands.push_back(operandOf(index, i, op->getOperand(i)));
    Operation *copy = op->clone();
    copy->setOperands(operands);
    if (auto assign = dyn_cast<AssignOp>(copy))
      assign.setName(names.variables[chain.slots[index].back().index]);
    else if (!names.ops[index].empty())
      copy->setAttr("name", builder.getStringAttr(names.ops[index]));
    copies.push_back(builder.insert(copy));
  }

  Value operandOf(unsigned op, unsigned operand, Value flat) {
    const Slot &slot = chain.slots[op][operand];
    switch (slot.kind) {
    case Slot::Internal:
      return copies[slot.index]->getResult(slot.result);
    case Slot::Carried:
      return module.getArgument(slot.index);
    case Slot::Common:
      return module.getArgument(chain.carried.size() + slot.index);
    case Slot::Own:
      return own[slot.index];
    case Slot::Constant:
      break;
    }
    Value &copy = constants[flat];
    if (!copy) {
      Operation *leaf = builder.clone(*flat.getDefiningOp());
      leaf->removeDiscardableAttr("name");
      copy = leaf->getResult(0);
    }
    return copy;
  }

  const Sequence &sequence;
  const Chain &chain;
  const ChainNames &names;
  ModuleDefOp module;
  OpBuilder builder;
  SmallVector<Value> own;
  std::vector<Operation *> copies;
  llvm::DenseMap<Value, Value> constants;
};
} // namespace

/// The values that the first block reads from outside, as they are now.
static SmallVector<Value> outsideOf(const Sequence &sequence,
                                    const Chain &chain) {
  SmallVector<Value> values;
  auto read = [&](Place place) {
    values.push_back(
        sequence.op(chain.begin + place.op)->getOperand(place.operand));
  };
  for (const Chain::CarriedValue &value : chain.carried)
    read(value.place);
  for (const auto &[source, place] : chain.common)
    read(place);
  return values;
}

ModuleDefOp fold::buildBlock(const Sequence &sequence, const Chain &chain,
                             const ChainNames &names) {
  Operation *first = sequence.op(chain.begin);

  SmallVector<Value> outside = outsideOf(sequence, chain);
  ValueRange operands(outside);
  Builder types(first->getContext());
  auto type = types.getFunctionType(
      operands.getTypes(),
      operands.take_front(chain.carried.size()).getTypes());
  OpBuilder builder(first->getParentOfType<ModuleDefOp>());
  auto module = ModuleDefOp::create(builder, first->getLoc(), "block", type,
                                    ArrayAttr(), ArrayAttr());
  Block &body = module.getBody().emplaceBlock();
  for (Value operand : operands)
    body.addArgument(operand.getType(), operand.getLoc());
  BlockBuilder(sequence, chain, names, module).run();
  return module;
}

//===----------------------------------------------------------------------===//
// The instance
//===----------------------------------------------------------------------===//

/// Erases the blocks' ops and the leaves that nobody uses then.
static void eraseBlocks(const Sequence &sequence, const Chain &chain) {
  llvm::SetVector<Operation *> leaves;
  for (size_t i = chain.end(); i-- > chain.begin;) {
    Operation *op = sequence.op(i);
    for (Value operand : op->getOperands())
      if (Operation *leaf = operand.getDefiningOp();
          leaf && (isa<VariableOp>(leaf) || isConstantLeaf(leaf)))
        leaves.insert(leaf);
    op->erase();
  }
  for (const std::vector<unsigned> &numbers : chain.own)
    for (unsigned number : numbers)
      leaves.insert(sequence.variable(number).op);
  for (Operation *leaf : leaves)
    if (leaf->use_empty())
      leaf->erase();
}

void fold::replaceBlocks(const Sequence &sequence, const Chain &chain,
                         const ChainNames &names, ModuleDefOp module) {
  Operation *first = sequence.op(chain.begin);
  OpBuilder builder(first);
  SmallVector<Value> operands = outsideOf(sequence, chain);
  // Leaves may be written anywhere; they have no operands of their own.
  for (Value operand : operands)
    if (Operation *op = operand.getDefiningOp();
        op && op->getBlock() == first->getBlock() && first->isBeforeInBlock(op))
      op->moveBefore(first);
  auto instance = InstanceOp::create(
      builder, first->getLoc(), module.getResultTypes(),
      FlatSymbolRefAttr::get(module), builder.getStringAttr(names.chain),
      operands, builder.getI64IntegerAttr(chain.blocks), /*shared=*/UnitAttr());
  size_t last = chain.end() - chain.period;
  for (auto [index, value] : llvm::enumerate(chain.carried))
    sequence.op(last + value.op)
        ->getResult(value.result)
        .replaceAllUsesWith(instance.getResult(index));
  eraseBlocks(sequence, chain);
}
