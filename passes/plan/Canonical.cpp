//===- Canonical.cpp - sums whose order does not matter -------------------===//

#include "passes/plan/Canonical.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

static LogicalResult checkElements(Operation *op) {
  for (Value result : op->getResults()) {
    Type element = tensorType(result).getElementType();
    if (isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32)
      return op->emitOpError("has elements of ")
             << element << "; canonical mode computes in f32 or f64";
  }
  return success();
}

static void expandFused(Operation *op) {
  if (auto forward = dyn_cast<AttentionOp>(op))
    return expandInPlace(op, [&](OpBuilder &builder) {
      return expandAttention(builder, forward);
    });
  if (auto backward = dyn_cast<AttentionGradOp>(op))
    return expandInPlace(op, [&](OpBuilder &builder) {
      return expandAttention(builder, backward);
    });
  if (auto expandable = dyn_cast<ExpandableOpInterface>(op))
    expandInPlace(
        op, [&](OpBuilder &builder) { return expandable.expand(builder); });
}

/// Terms of one element of the result of an op that adds up reals: 1 where
/// there is nothing to add, for contractions too. None for other ops.
static std::optional<int64_t> termsOf(Operation *op) {
  auto spaced = dyn_cast<IterationSpaceOpInterface>(op);
  if (!spaced || op->getNumResults() != 1 ||
      !isa<FloatType>(tensorType(op->getResult(0)).getElementType()))
    return std::nullopt;
  IterationSpace space = spaced.getIterationSpace();
  bool sums = isa<EinsumOp>(op);
  int64_t terms = 1;
  for (auto [index, loop] : llvm::enumerate(space.loops)) {
    if (space.results[0].uses(index) || loop.reduction != ReductionKind::sum)
      continue;
    sums |= loop.kind == LoopKind::Parallel || loop.kind == LoopKind::Indexed;
    if (llvm::MulOverflow(terms, loop.extent, terms))
      terms = INT64_MAX;
  }
  return sums ? std::optional(terms) : std::nullopt;
}

/// The op's result becomes an accumulator that is rounded for its users.
static void accumulate(Operation *op) {
  OpBuilder builder(op->getContext());
  builder.setInsertionPointAfter(op);
  Value sum = op->getResult(0);
  RankedTensorType type = tensorType(sum);
  sum.setType(type.clone(AccumulatorType::get(op->getContext())));
  auto round = RoundSumOp::create(builder, op->getLoc(), type, sum);
  sum.replaceAllUsesExcept(round.getResult(), round);
  round->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  setPath(round, pathOf(op) + ".round");
}

LogicalResult plan::makeCanonical(ModuleDefOp module) {
  Block &block = blockOf(module);
  for (Operation &op : block.without_terminator())
    if (failed(checkElements(&op)))
      return failure();
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator()))
    expandFused(&op);
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator())) {
    std::optional<int64_t> terms = termsOf(&op);
    if (!terms)
      continue;
    if (*terms > kMaxTerms)
      return op.emitOpError("adds up ")
             << *terms << " terms, an accumulator takes at most " << kMaxTerms;
    accumulate(&op);
  }
  Builder builder(module.getContext());
  module->setAttr(canonicalAttr, builder.getUnitAttr());
  return success();
}
