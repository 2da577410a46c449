//===- GlobalBatch.cpp - another batch for a model ------------------------===//

#include "passes/plan/GlobalBatch.h"

#include "passes/plan/DimensionNames.h"
#include "passes/plan/FlatStep.h"

#include "mlir/IR/Verifier.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

int64_t plan::globalBatchOf(ModelOp model) {
  int64_t batch = 0;
  model.walk(
      [&](InputOp op) { batch = tensorType(op.getResult()).getDimSize(0); });
  return batch;
}

namespace {

class Rebatcher {
public:
  Rebatcher(ModelOp model, int64_t from, int64_t to)
      : model(model), names(model), from(from), to(to) {}

  LogicalResult run();

private:
  LogicalResult rescale(Value value);
  void rescaleCount(LossOp loss);
  void retype(ModuleDefOp module);

  ModelOp model;
  DimensionNames names;
  int64_t from, to;
};

} // namespace

LogicalResult Rebatcher::rescale(Value value) {
  if (value.getDefiningOp<VariableOp>())
    return success();
  SmallVector<int64_t> shape(tensorType(value).getShape());
  for (auto [dim, extent] : llvm::enumerate(shape)) {
    // An extent of 1 under a larger batch repeats.
    if (!names.hasName(value, dim, "batch") || (extent == 1 && from != 1))
      continue;
    if (extent * to % from)
      return emitError(value.getLoc())
             << "dimension " << dim << " of extent " << extent
             << " does not scale from a batch of " << from << " to " << to;
    extent = extent * to / from;
  }
  value.setType(tensorType(value).clone(shape));
  return success();
}

void Rebatcher::rescaleCount(LossOp loss) {
  auto constant = loss.getCount().getDefiningOp<ConstantOp>();
  if (!constant)
    return;
  auto number = dyn_cast<FloatAttr>(constant.getValue());
  double value = number ? number.getValueAsDouble() : 0.0;
  if (!number || value == 1.0 || std::fmod(value, double(from)) != 0.0)
    return;
  constant.setValueAttr(
      Builder(model.getContext()).getF64FloatAttr(value / from * to));
}

void Rebatcher::retype(ModuleDefOp module) {
  Block &block = blockOf(module);
  module.setFunctionTypeAttr(TypeAttr::get(
      FunctionType::get(model.getContext(), block.getArgumentTypes(),
                        block.getTerminator()->getOperandTypes())));
}

LogicalResult Rebatcher::run() {
  LogicalResult result = success();
  model.walk([&](Operation *op) {
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (BlockArgument argument : block.getArguments())
          if (failed(rescale(argument)))
            result = failure();
    for (Value value : op->getResults())
      if (failed(rescale(value)))
        result = failure();
  });
  if (failed(result))
    return failure();
  model.walk([&](LossOp loss) { rescaleCount(loss); });
  model.walk([&](ModuleDefOp module) { retype(module); });
  return mlir::verify(model);
}

LogicalResult plan::setGlobalBatch(ModelOp model, int64_t batch) {
  int64_t from = globalBatchOf(model);
  if (batch < 1)
    return model.emitOpError("cannot have a batch of ") << batch;
  if (from == 0 || from == batch)
    return success();
  return Rebatcher(model, from, batch).run();
}
