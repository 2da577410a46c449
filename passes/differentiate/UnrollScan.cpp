//===- UnrollScan.cpp - scans become one shared instance per step ---------===//

#include "passes/differentiate/Passes.h"

namespace whale {
#define GEN_PASS_DEF_UNROLLSCAN
#include "passes/differentiate/Passes.h.inc"
} // namespace whale

using namespace mlir;
using namespace whale;

namespace {
/// Unrolls one scan; every new op is named after the scan and the step.
class Unroller {
public:
  explicit Unroller(ScanOp scan) : scan(scan), builder(scan) {
    steps = tensorType(scan.getSequences().front()).getDimSize(scan.getDim());
  }

  void run();

private:
  Value sliceAt(Value sequence, int64_t step, const Twine &name);
  /// Puts back the dimension of extent 1 that the slice lost.
  Value stackable(Value output, const Twine &name);
  InstanceOp instanceAt(int64_t step, ValueRange states);
  Value stack(ArrayRef<Value> pieces, unsigned output);

  template <typename OpTy> Value named(OpTy op, const Twine &name) {
    op->setAttr("name", builder.getStringAttr(scan.getName() + name));
    return op.getResult();
  }

  ScanOp scan;
  OpBuilder builder;
  int64_t steps;
};
} // namespace

Value Unroller::sliceAt(Value sequence, int64_t step, const Twine &name) {
  RankedTensorType type = tensorType(sequence);
  SmallVector<int64_t> shape(type.getShape());
  shape[scan.getDim()] = 1;
  Value slice = named(SliceOp::create(builder, scan.getLoc(), type.clone(shape),
                                      sequence, scan.getDim(), step),
                      name);
  shape.erase(shape.begin() + scan.getDim());
  return named(
      ReshapeOp::create(builder, scan.getLoc(), type.clone(shape), slice),
      name + ".drop");
}

Value Unroller::stackable(Value output, const Twine &name) {
  RankedTensorType type = tensorType(output);
  SmallVector<int64_t> shape(type.getShape());
  shape.insert(shape.begin() + scan.getDim(), 1);
  return named(
      ReshapeOp::create(builder, scan.getLoc(), type.clone(shape), output),
      name);
}

InstanceOp Unroller::instanceAt(int64_t step, ValueRange states) {
  std::string suffix = ".t" + std::to_string(step);
  SmallVector<Value> operands(states);
  for (auto [index, sequence] : llvm::enumerate(scan.getSequences()))
    operands.push_back(
        sliceAt(sequence, step, suffix + ".slice" + Twine(index)));
  auto callee = SymbolTable::lookupNearestSymbolFrom<ModuleDefOp>(
      scan, scan.getCalleeAttr());
  StringAttr shared = scan.getNameAttr();
  auto instance = InstanceOp::create(
      builder, scan.getLoc(), callee.getResultTypes(), scan.getCalleeAttr(),
      builder.getStringAttr(shared.getValue() + suffix), operands,
      /*repeat=*/IntegerAttr(), /*shared=*/builder.getUnitAttr());
  instance->setAttr("scan", shared);
  instance->setAttr("shared_as", shared);
  return instance;
}

Value Unroller::stack(ArrayRef<Value> pieces, unsigned output) {
  std::string name = ".stack" + std::to_string(output);
  SmallVector<Value> wide;
  for (auto [step, piece] : llvm::enumerate(pieces))
    wide.push_back(stackable(piece, ".t" + std::to_string(step) + name));
  Type type = scan.getResult(scan.getStates().size() + output).getType();
  return named(
      ConcatOp::create(builder, scan.getLoc(), type, wide, scan.getDim()),
      name);
}

void Unroller::run() {
  size_t stateCount = scan.getStates().size();
  size_t outputCount = scan.getNumResults() - stateCount;
  SmallVector<Value> states(scan.getStates());
  SmallVector<SmallVector<Value>> outputs(outputCount,
                                          SmallVector<Value>(steps));
  for (int64_t turn = 0; turn < steps; ++turn) {
    int64_t step = scan.getReverse() ? steps - 1 - turn : turn;
    InstanceOp instance = instanceAt(step, states);
    ValueRange results = instance.getResults();
    llvm::copy(results.take_front(stateCount), states.begin());
    for (size_t i = 0; i < outputCount; ++i)
      outputs[i][step] = results[stateCount + i];
  }
  for (size_t i = 0; i < outputCount; ++i)
    states.push_back(stack(outputs[i], i));
  scan.replaceAllUsesWith(states);
  scan.erase();
}

namespace {
struct UnrollScan : whale::impl::UnrollScanBase<UnrollScan> {
  void runOnOperation() final {
    SmallVector<ScanOp> scans;
    getOperation().walk([&](ScanOp scan) { scans.push_back(scan); });
    for (ScanOp scan : scans)
      Unroller(scan).run();
  }
};
} // namespace
