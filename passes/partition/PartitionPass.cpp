//===- PartitionPass.cpp - --whale-partition ------------------------------===//

#include "passes/partition/Partition.h"
#include "passes/partition/Passes.h"

#include "compiler/support/Json.h"
#include "mlir/Pass/Pass.h"

namespace whale {
#define GEN_PASS_DEF_WHALEPARTITION
#define GEN_PASS_REGISTRATION
#include "passes/partition/Passes.h.inc"
} // namespace whale

using namespace mlir;
using namespace whale;

/// The normal form of a model's `strategy` attribute.
static FailureOr<planner::NormalForm> formOf(ModelOp model) {
  auto text = model->getAttrOfType<StringAttr>("strategy");
  if (!text)
    return model.emitOpError("has no attribute 'strategy'");
  Diagnostics diagnostics;
  std::optional<planner::NormalForm> form;
  if (auto json = json::parse(text.getValue().str(), "strategy", diagnostics))
    if (auto tree = planner::readStrategy(*json, diagnostics))
      if (planner::check(*tree, diagnostics))
        form = planner::normalize(*tree, diagnostics);
  if (!form)
    return model.emitOpError("attribute 'strategy': ") << diagnostics.str();
  return *form;
}

namespace {
struct PartitionPass : whale::impl::WhalePartitionBase<PartitionPass> {
  void runOnOperation() override {
    auto models = llvm::to_vector(getOperation().getOps<ModelOp>());
    for (ModelOp model : models) {
      FailureOr<planner::NormalForm> form = formOf(model);
      if (failed(form))
        return signalPassFailure();
      FailureOr<partition::Partitioned> result =
          partition::partitionModel(model, *form);
      if (failed(result))
        return signalPassFailure();
      getOperation()->setAttr(
          "rank.table", partition::toAttribute(&getContext(), result->table));
      getOperation().getBody()->getOperations().splice(
          getOperation().getBody()->end(),
          result->programs->getBody()->getOperations());
      model.erase();
    }
  }
};
} // namespace

void whale::registerWhalePartitionPasses() {
  registerPartitionPasses();
}
