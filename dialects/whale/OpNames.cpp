//===- OpNames.cpp - the names of a module's ops --------------------------===//

#include "dialects/whale/OpNames.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace whale;

OpNames::OpNames(ModuleDefOp module) {
  llvm::StringMap<unsigned> ordinals;
  module.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) {
    StringRef mnemonic = op->getName().stripDialect();
    unsigned ordinal = ordinals[mnemonic]++;
    if (auto name = op->getAttrOfType<StringAttr>("name"))
      names[op] = name.getValue().str();
    else
      names[op] = (mnemonic + "." + Twine(ordinal)).str();
  });
}

StringRef OpNames::of(Operation *op) const {
  auto it = names.find(op);
  assert(it != names.end() && "op is not in the module");
  return it->second;
}

std::string OpNames::of(Value value) const {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return "arg" + std::to_string(argument.getArgNumber());
  return of(value.getDefiningOp()).str();
}
