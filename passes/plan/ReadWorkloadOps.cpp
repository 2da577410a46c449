//===- ReadWorkloadOps.cpp - one op as the planner sees it ----------------===//

#include "passes/plan/ReadWorkloadOps.h"

#include "dialects/whale/Routing.h"
#include "passes/plan/Recompute.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

/// What efficiencies are looked up by; no rule about splitting depends on it.
static workload::OpKind kindOf(Operation *op) {
  using Kind = workload::OpKind;
  if (isa<EinsumOp, ExpertMatmulOp, ExpertOuterOp>(op))
    return Kind::Contraction;
  if (isa<Conv2dOp, Conv2dInputGradOp, Conv2dFilterGradOp>(op))
    return Kind::Convolution;
  if (isa<AttentionOp, AttentionGradOp>(op))
    return Kind::Attention;
  if (isa<ScalarOpInterface, DropoutOp, ConstantOp, IotaOp, BroadcastOp,
          RotaryOp>(op))
    return Kind::Elementwise;
  if (isa<ReduceOp, ExpandableOpInterface>(op))
    return Kind::Reduction;
  if (isa<EmbeddingOp, CollectOp>(op))
    return Kind::Gather;
  if (isa<ScatterAddOp, DispatchOp>(op))
    return Kind::Scatter;
  if (isa<ReshapeOp, TransposeOp, SliceOp, PadOp, ConcatOp>(op))
    return Kind::Movement;
  return Kind::Other;
}

bool plan::isFusable(Operation *op, bool asProducer) {
  if (isa<ScalarOpInterface, DropoutOp, ConstantOp, IotaOp, BroadcastOp>(op))
    return true;
  return !asProducer && isa<ReduceOp, ExpandableOpInterface>(op);
}

int64_t plan::elementBytes(Value value) {
  unsigned bits = tensorType(value).getElementType().getIntOrFloatBitWidth();
  return std::max(bits / 8, 1u);
}

workload::Access plan::readAccess(const Access &access, uint32_t value) {
  workload::Access result;
  result.value = value;
  for (const auto &loops : access.dims)
    result.dims.emplace_back(loops.begin(), loops.end());
  return result;
}

/// Reductions along loops that the op needs whole, counted in its expansion.
static uint32_t countExpansionReductions(Operation *op,
                                         const IterationSpace &space) {
  auto expandable = dyn_cast<ExpandableOpInterface>(op);
  bool whole = llvm::any_of(space.loops, [](const LoopDim &loop) {
    return loop.kind == LoopKind::Whole;
  });
  if (!expandable || !whole)
    return 0;
  OpBuilder builder(op);
  Operation *before = op->getPrevNode();
  expandable.expand(builder);
  uint32_t count = 0;
  while (op->getPrevNode() != before) {
    Operation *fresh = op->getPrevNode();
    if (auto reduce = dyn_cast<ReduceOp>(fresh))
      if (tensorType(reduce.getOperand()).getRank() ==
          tensorType(op->getOperand(0)).getRank())
        count += llvm::any_of(reduce.getDims(), [&](int64_t dim) {
          const auto &loops = space.operands[0].dims[dim];
          return !loops.empty() &&
                 space.loops[loops.front()].kind == LoopKind::Whole;
        });
    fresh->erase();
  }
  return count;
}

static workload::LoopDim readLoop(Operation *op, unsigned index,
                                  const DimensionNames &names) {
  const LoopDim &loop = names.spaceOf(op).loops[index];
  workload::LoopDim result;
  for (StringRef name : names.loopNames(op, index)) {
    if (result.name.empty())
      result.name = name.str();
    else
      result.aliases.push_back(name.str());
  }
  result.extent = loop.extent;
  result.kind = static_cast<workload::LoopKind>(loop.kind);
  result.reduction = static_cast<workload::Reduction>(loop.reduction);
  result.multiple = loop.multiple;
  return result;
}

static workload::Linearity linearityOf(Linearity linearity) {
  switch (linearity) {
  case Linearity::Joint:
    return workload::Linearity::Joint;
  case Linearity::First:
    return workload::Linearity::First;
  case Linearity::Each:
    return workload::Linearity::Each;
  case Linearity::None:
  // The planner has no word for it and sums before such an op.
  case Linearity::Last:
    return workload::Linearity::None;
  }
  llvm_unreachable("all cases return");
}

// The enums are the same lists.
static_assert(static_cast<int>(LoopKind::Whole) ==
              static_cast<int>(workload::LoopKind::Whole));
static_assert(static_cast<int>(ReductionKind::min) ==
              static_cast<int>(workload::Reduction::Min));

/// What routers that choose groups first say of the experts of a row; an
/// attribute that is not of that form says nothing.
static void readGroupLimit(Operation *op, workload::Op &result) {
  auto limit = op->getAttrOfType<DenseI64ArrayAttr>(groupLimitAttrName);
  int32_t experts = result.routingLoop();
  if (!limit || limit.size() != 2 || experts < 0)
    return;
  int64_t chosen = limit[0], groups = limit[1];
  if (chosen >= 1 && groups > chosen &&
      result.loops[experts].extent % groups == 0)
    result.groupsChosen = chosen, result.groups = groups;
}

workload::Op plan::readOp(Operation *op, const DimensionNames &names) {
  const IterationSpace &space = names.spaceOf(op);
  workload::Op result;
  result.kind = kindOf(op);
  for (unsigned loop = 0; loop < space.loops.size(); ++loop)
    result.loops.push_back(readLoop(op, loop, names));
  result.flopsPerPoint = space.flopsPerPoint;
  result.usedNumerator = space.usedNumerator;
  result.usedDenominator = space.usedDenominator;
  result.linearity = linearityOf(space.linearity);
  result.cheap = isCheap(op);
  result.random = isa<DropoutOp>(op);
  result.expansionReductions = countExpansionReductions(op, space);
  readGroupLimit(op, result);
  return result;
}
