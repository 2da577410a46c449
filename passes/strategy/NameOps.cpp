//===- NameOps.cpp - identity of ops --------------------------------------===//

#include "passes/strategy/NameOps.h"

#include "dialects/whale/OpNames.h"

using namespace mlir;
using namespace whale;

/// Ops that hold or end others instead of computing.
static bool isStructure(Operation *op) {
  return op->getNumRegions() || op->hasTrait<OpTrait::IsTerminator>() ||
         isa<GradientOp, DefaultStrategyOp>(op);
}

static void nameOpsOf(ModuleDefOp module) {
  OpNames names(module);
  module.walk([&](Operation *op) {
    if (!isStructure(op) && !op->hasAttr("name"))
      op->setAttr("name", StringAttr::get(op->getContext(), names.of(op)));
  });
  module.walk([&](DropoutOp op) {
    if (!op.getKey())
      op.setKey(names.of(op.getOperation()));
  });
}

void whale::nameOps(ModelOp model) {
  for (ModuleDefOp module : model.getBody().front().getOps<ModuleDefOp>())
    nameOpsOf(module);
}
