//===- IterationSpace.cpp - iteration spaces of the whale ops -------------===//

#include "dialects/whale/Whale.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace whale;

//===----------------------------------------------------------------------===//
// The structs
//===----------------------------------------------------------------------===//

std::optional<unsigned> Access::dimOf(unsigned loop) const {
  for (auto [index, loops] : llvm::enumerate(dims))
    if (!loops.empty() && loops.front() == loop)
      return index;
  return std::nullopt;
}

bool Access::uses(unsigned loop) const {
  return llvm::any_of(dims,
                      [&](const auto &l) { return llvm::is_contained(l, loop); });
}

int64_t IterationSpace::flops() const {
  // 128 bits hold the product of the checked extents and a small factor; the
  // fraction is applied before saturating.
  __int128 points = flopsPerPoint;
  for (const LoopDim &loop : loops) {
    points *= loop.extent;
    if (points > static_cast<__int128>(INT64_MAX) * usedDenominator)
      return INT64_MAX;
  }
  points = points * usedNumerator / usedDenominator;
  return points > INT64_MAX ? INT64_MAX : static_cast<int64_t>(points);
}

unsigned SpaceBuilder::loop(int64_t extent, LoopKind kind, StringRef name) {
  LoopDim dim;
  dim.name = name.str();
  dim.extent = extent;
  dim.kind = kind;
  space.loops.push_back(dim);
  return space.loops.size() - 1;
}

static Access makeAccess(ArrayRef<unsigned> dims) {
  Access access;
  for (unsigned dim : dims) {
    access.dims.emplace_back();
    if (dim != SpaceBuilder::Whole)
      access.dims.back().push_back(dim);
  }
  return access;
}

SpaceBuilder &SpaceBuilder::operand(ArrayRef<unsigned> dims) {
  space.operands.push_back(makeAccess(dims));
  return *this;
}

SpaceBuilder &SpaceBuilder::result(ArrayRef<unsigned> dims) {
  space.results.push_back(makeAccess(dims));
  return *this;
}

SpaceBuilder &SpaceBuilder::flops(int64_t perPoint) {
  space.flopsPerPoint = perPoint;
  return *this;
}

SpaceBuilder &SpaceBuilder::linear(Linearity linearity) {
  space.linearity = linearity;
  return *this;
}

//===----------------------------------------------------------------------===//
// Helpers
//===----------------------------------------------------------------------===//

static ArrayRef<int64_t> shapeOf(Value value) {
  return tensorType(value).getShape();
}

/// One parallel loop per dimension of `value`.
static SmallVector<unsigned> loopsOf(SpaceBuilder &builder, Value value,
                                     LoopKind kind = LoopKind::Parallel) {
  SmallVector<unsigned> loops;
  for (int64_t extent : shapeOf(value))
    loops.push_back(builder.loop(extent, kind));
  return loops;
}

/// Access of `value` broadcast at the right into `loops`.
static SmallVector<unsigned> broadcastAccess(Value value,
                                             ArrayRef<unsigned> loops,
                                             ArrayRef<int64_t> extents) {
  ArrayRef<int64_t> shape = shapeOf(value);
  size_t skip = loops.size() - shape.size();
  SmallVector<unsigned> access;
  for (auto [index, extent] : llvm::enumerate(shape))
    access.push_back(extent == extents[skip + index] ? loops[skip + index]
                                                     : SpaceBuilder::Whole);
  return access;
}

static bool isFloatCast(Operation *op) {
  auto cast = dyn_cast<CastOp>(op);
  return cast && isa<FloatType>(tensorType(cast.getOperand()).getElementType()) &&
         isa<FloatType>(tensorType(cast.getResult()).getElementType());
}

IterationSpace whale::elementwiseSpace(Operation *op, LoopKind kind) {
  SpaceBuilder builder;
  Value result = op->getResult(0);
  SmallVector<unsigned> loops = loopsOf(builder, result, kind);
  for (Value operand : op->getOperands())
    builder.operand(broadcastAccess(operand, loops, shapeOf(result)));
  builder.result(loops);
  if (auto scalar = dyn_cast<ScalarOpInterface>(op))
    builder.flops(scalar.getScalarFlops());
  if (isa<AddOp, SubOp, NegOp>(op) || isFloatCast(op))
    builder.linear(Linearity::Joint);
  else if (isa<MulOp>(op))
    builder.linear(Linearity::Each);
  else if (isa<DivOp>(op))
    builder.linear(Linearity::First);
  return builder.take();
}

/// Rows and one whole last dimension; `rowTensors` carry all dims.
static SmallVector<unsigned> rowLoops(SpaceBuilder &builder, Value value) {
  SmallVector<unsigned> loops;
  ArrayRef<int64_t> shape = shapeOf(value);
  for (int64_t extent : shape.drop_back())
    loops.push_back(builder.loop(extent));
  loops.push_back(builder.loop(shape.back(), LoopKind::Whole));
  return loops;
}

//===----------------------------------------------------------------------===//
// Contraction, reduction, shapes
//===----------------------------------------------------------------------===//

IterationSpace EinsumOp::getIterationSpace() {
  SpaceBuilder builder;
  std::optional<Equation> equation = parseEquation(getEquation());
  llvm::StringMap<unsigned> loops;
  auto access = [&](ArrayRef<std::string> names, Value value) {
    SmallVector<unsigned> dims;
    for (auto [name, extent] : llvm::zip(names, shapeOf(value))) {
      auto [it, inserted] = loops.try_emplace(name, 0);
      if (inserted)
        it->second = builder.loop(extent, LoopKind::Parallel, name);
      dims.push_back(it->second);
    }
    return dims;
  };
  // Result dimensions come first, so that loop order is that of the result.
  SmallVector<unsigned> result = access(equation->result, getResult());
  builder.operand(access(equation->lhs, getLhs()));
  builder.operand(access(equation->rhs, getRhs()));
  builder.result(result).flops(2).linear(Linearity::Each);
  return builder.take();
}

IterationSpace ReduceOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getOperand()), kept;
  for (auto [index, loop] : llvm::enumerate(loops)) {
    if (llvm::is_contained(getDims(), static_cast<int64_t>(index)))
      builder.space.loops[loop].reduction = getKind();
    else
      kept.push_back(loop);
  }
  if (getKind() == ReductionKind::sum)
    builder.linear(Linearity::Joint);
  return builder.operand(loops).result(kept).take();
}

IterationSpace RoundSumOp::getIterationSpace() {
  return elementwiseSpace(getOperation());
}

IterationSpace ConstantOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getResult());
  return builder.result(loops).flops(0).take();
}

IterationSpace IotaOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getResult());
  builder.space.loops[loops[getDim()]].kind = LoopKind::Indexed;
  return builder.result(loops).flops(0).take();
}

IterationSpace StepNumberOp::getIterationSpace() {
  return SpaceBuilder().result({}).flops(0).take();
}

IterationSpace BroadcastOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getResult()), operand;
  for (int64_t dim : getDims())
    operand.push_back(loops[dim]);
  builder.linear(Linearity::Joint);
  return builder.operand(operand).result(loops).flops(0).take();
}

namespace {
/// Walks two row-major shapes side by side and finds their common factors,
/// outermost first: [8, 6] and [4, 12] are [4, 2, 6] and [4, 2, 6].
class ReshapeFactors {
public:
  ReshapeFactors(ArrayRef<int64_t> from, ArrayRef<int64_t> to)
      : shapes{from, to} {
    accesses[0].dims.resize(from.size());
    accesses[1].dims.resize(to.size());
  }

  IterationSpace build() {
    for (;;) {
      bool more[2] = {advance(0), advance(1)};
      if (!more[0] && !more[1])
        break;
      int64_t factor = std::min(rest[0], rest[1]);
      if (rest[0] % factor || rest[1] % factor)
        return whole();
      unsigned loop = builder.loop(factor);
      for (int side : {0, 1}) {
        accesses[side].dims[at[side]].push_back(loop);
        rest[side] /= factor;
      }
    }
    builder.space.operands.push_back(accesses[0]);
    builder.space.results.push_back(accesses[1]);
    return builder.linear(Linearity::Joint).flops(0).take();
  }

private:
  /// Goes to the next dimension with something left; false at the end.
  bool advance(int side) {
    while (rest[side] == 1 && next[side] < shapes[side].size()) {
      at[side] = next[side]++;
      rest[side] = shapes[side][at[side]];
    }
    return rest[side] != 1;
  }

  /// Shapes without common factors are reshaped as a whole.
  IterationSpace whole() {
    SpaceBuilder plain;
    SmallVector<unsigned> from(shapes[0].size(), SpaceBuilder::Whole);
    SmallVector<unsigned> to(shapes[1].size(), SpaceBuilder::Whole);
    plain.operand(from).result(to).linear(Linearity::Joint).flops(0);
    return plain.take();
  }

  ArrayRef<int64_t> shapes[2];
  Access accesses[2];
  SpaceBuilder builder;
  size_t next[2] = {0, 0}, at[2] = {0, 0};
  int64_t rest[2] = {1, 1};
};
} // namespace

IterationSpace ReshapeOp::getIterationSpace() {
  return ReshapeFactors(shapeOf(getOperand()), shapeOf(getResult())).build();
}

IterationSpace TransposeOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getOperand()), result;
  for (int64_t dim : getPermutation())
    result.push_back(loops[dim]);
  builder.linear(Linearity::Joint);
  return builder.operand(loops).result(result).flops(0).take();
}

/// All dimensions parallel but `dim`, whose extents may differ.
static IterationSpace alongDimSpace(Operation *op, int64_t dim) {
  SpaceBuilder builder;
  Value result = op->getResult(0);
  SmallVector<unsigned> loops = loopsOf(builder, result);
  builder.space.loops[loops[dim]].kind = LoopKind::Whole;
  SmallVector<unsigned> operand(loops);
  operand[dim] = SpaceBuilder::Whole;
  for (size_t i = 0; i < op->getNumOperands(); ++i)
    builder.operand(operand);
  builder.linear(Linearity::Joint);
  return builder.result(loops).flops(0).take();
}

IterationSpace SliceOp::getIterationSpace() {
  return alongDimSpace(getOperation(), getDim());
}
IterationSpace PadOp::getIterationSpace() {
  return alongDimSpace(getOperation(), getDim());
}
IterationSpace ConcatOp::getIterationSpace() {
  return alongDimSpace(getOperation(), getDim());
}

//===----------------------------------------------------------------------===//
// Gather and scatter
//===----------------------------------------------------------------------===//

IterationSpace EmbeddingOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> indices = loopsOf(builder, getIndices());
  SmallVector<unsigned> table, result(indices);
  table.push_back(builder.loop(shapeOf(getTable())[0], LoopKind::Indexed,
                               "vocabulary"));
  for (int64_t extent : shapeOf(getTable()).drop_front()) {
    table.push_back(builder.loop(extent));
    result.push_back(table.back());
  }
  builder.operand(table).operand(indices).result(result);
  builder.linear(Linearity::First);
  // A gather moves each element once: no work per vocabulary entry.
  builder.space.usedDenominator = shapeOf(getTable())[0];
  return builder.flops(1).take();
}

IterationSpace ScatterAddOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> indices = loopsOf(builder, getIndices());
  SmallVector<unsigned> updates(indices), result;
  result.push_back(builder.loop(shapeOf(getResult())[0], LoopKind::Indexed,
                                "vocabulary"));
  for (int64_t extent : shapeOf(getResult()).drop_front()) {
    result.push_back(builder.loop(extent));
    updates.push_back(result.back());
  }
  builder.operand(indices).operand(updates).result(result);
  builder.linear(Linearity::Last);
  builder.space.usedDenominator = shapeOf(getResult())[0];
  return builder.flops(1).take();
}

//===----------------------------------------------------------------------===//
// Softmax, norms, cross-entropy
//===----------------------------------------------------------------------===//

IterationSpace SoftmaxOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getOperand());
  return builder.operand(loops).result(loops).flops(5).take();
}

IterationSpace SoftmaxGradOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getGradient());
  return builder.operand(loops).operand(loops).result(loops).flops(4).take();
}

IterationSpace LayerNormOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getOperand());
  builder.operand(loops).operand(loops.back()).operand(loops.back());
  return builder.result(loops).flops(8).take();
}

IterationSpace LayerNormGradOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getOperand());
  builder.operand(loops).operand(loops.back()).operand(loops);
  builder.result(loops).result(loops.back()).result(loops.back());
  return builder.flops(16).take();
}

IterationSpace RmsNormOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getOperand());
  builder.operand(loops).operand(loops.back());
  return builder.result(loops).flops(4).take();
}

IterationSpace RmsNormGradOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getOperand());
  builder.operand(loops).operand(loops.back()).operand(loops);
  return builder.result(loops).result(loops.back()).flops(10).take();
}

/// Leading dimensions reduce into statistics; only the feature dim is free.
static SmallVector<unsigned> batchNormLoops(SpaceBuilder &builder, Value value) {
  SmallVector<unsigned> loops;
  ArrayRef<int64_t> shape = shapeOf(value);
  for (int64_t extent : shape.drop_back())
    loops.push_back(builder.loop(extent, LoopKind::Whole));
  loops.push_back(builder.loop(shape.back()));
  return loops;
}

IterationSpace BatchNormOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = batchNormLoops(builder, getOperand());
  unsigned feature = loops.back();
  builder.operand(loops).operand(feature).operand(feature);
  builder.result(loops).result(feature).result(feature);
  return builder.flops(8).take();
}

IterationSpace BatchNormGradOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = batchNormLoops(builder, getOperand());
  unsigned feature = loops.back();
  builder.operand(loops).operand(feature).operand(loops);
  builder.result(loops).result(feature).result(feature);
  return builder.flops(16).take();
}

IterationSpace CrossEntropyOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getLogits());
  ArrayRef<unsigned> rows = ArrayRef(loops).drop_back();
  builder.operand(loops).operand(rows).result(rows).result(rows);
  return builder.flops(5).take();
}

IterationSpace CrossEntropyGradOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getLogits());
  builder.space.loops[loops.back()].kind = LoopKind::Indexed;
  ArrayRef<unsigned> rows = ArrayRef(loops).drop_back();
  builder.operand(loops).operand(rows).operand(rows).operand(rows);
  return builder.result(loops).flops(4).take();
}

//===----------------------------------------------------------------------===//
// Attention and positions
//===----------------------------------------------------------------------===//

namespace {
/// Loops of attention, in the order of the query's dimensions and the keys.
struct AttentionLoops {
  unsigned batch, sequence, kvHeads, group, head, keys;
  /// Of the value's and the result's last dimension: `head`, or none where it
  /// has another extent.
  unsigned width;
  SmallVector<unsigned> query() const {
    return {batch, sequence, kvHeads, group, head};
  }
  SmallVector<unsigned> key() const { return {batch, keys, kvHeads, head}; }
  SmallVector<unsigned> value() const { return {batch, keys, kvHeads, width}; }
  SmallVector<unsigned> result() const {
    return {batch, sequence, kvHeads, group, width};
  }
  SmallVector<unsigned> rows() const {
    return {batch, kvHeads, group, sequence};
  }
  SmallVector<unsigned> bias() const {
    return {kvHeads, group, sequence, keys};
  }
};
} // namespace

static AttentionLoops attentionLoops(SpaceBuilder &builder, Value query,
                                     Value key, Value value) {
  ArrayRef<int64_t> q = shapeOf(query);
  AttentionLoops loops;
  loops.batch = builder.loop(q[0]);
  // A shard of the queries needs its offset for masks.
  loops.sequence = builder.loop(q[1], LoopKind::Indexed);
  loops.kvHeads = builder.loop(q[2], LoopKind::Parallel, "heads");
  loops.group = builder.loop(q[3], LoopKind::Parallel, "group");
  loops.head = builder.loop(q[4], LoopKind::Whole);
  loops.keys = builder.loop(shapeOf(key)[1], LoopKind::Whole);
  loops.width = shapeOf(value)[3] == q[4] ? loops.head : SpaceBuilder::Whole;
  return loops;
}

/// FLOPs of products over the query's head (scores and their gradients) and
/// over the value's, 2 a point each. Points count the query's head only: where
/// the value's differs, the work is a fraction of them.
static void setProducts(IterationSpace &space, int64_t head, int64_t width,
                        int64_t overHead, int64_t overWidth) {
  space.flopsPerPoint = 2 * (overHead + overWidth);
  if (head == width)
    return;
  space.flopsPerPoint = 2 * (overHead * head + overWidth * width);
  space.usedDenominator = head;
}

/// Share of (query, key) pairs that a causal mask and a window leave.
static void setMaskShare(IterationSpace &space, int64_t queries, int64_t keys,
                         bool causal, std::optional<int64_t> window) {
  if (!causal)
    return;
  int64_t seen = 0, reach = window.value_or(keys);
  // Queries i < reach see i + 1 keys, the others `reach` (queries == keys).
  int64_t ramp = std::min(queries, reach);
  seen = ramp * (ramp + 1) / 2 + (queries - ramp) * reach;
  space.usedNumerator *= seen;
  space.usedDenominator *= queries * keys;
}

IterationSpace AttentionOp::getIterationSpace() {
  SpaceBuilder builder;
  AttentionLoops loops =
      attentionLoops(builder, getQuery(), getKey(), getValue());
  builder.operand(loops.query()).operand(loops.key()).operand(loops.value());
  if (getBias())
    builder.operand(loops.bias());
  builder.result(loops.result()).result(loops.rows());
  // Scores; the weighted sum of values.
  setProducts(builder.space, shapeOf(getQuery())[4], shapeOf(getValue())[3], 1,
              1);
  setMaskShare(builder.space, shapeOf(getQuery())[1], shapeOf(getKey())[1],
               getCausal(), getWindow());
  return builder.take();
}

IterationSpace AttentionGradOp::getIterationSpace() {
  SpaceBuilder builder;
  AttentionLoops loops =
      attentionLoops(builder, getQuery(), getKey(), getValue());
  builder.operand(loops.query()).operand(loops.key()).operand(loops.value());
  builder.operand(loops.result()).operand(loops.rows()).operand(loops.result());
  if (getBias())
    builder.operand(loops.bias());
  builder.result(loops.query()).result(loops.key()).result(loops.value());
  if (getBiasGradient())
    builder.result(loops.bias());
  // Scores again, dQ and dK; dV and dP.
  setProducts(builder.space, shapeOf(getQuery())[4], shapeOf(getValue())[3], 3,
              2);
  setMaskShare(builder.space, shapeOf(getQuery())[1], shapeOf(getKey())[1],
               getCausal(), getWindow());
  return builder.take();
}

IterationSpace RotaryOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = loopsOf(builder, getOperand());
  builder.space.loops[loops[1]].kind = LoopKind::Indexed;
  builder.space.loops[loops.back()].kind = LoopKind::Whole;
  return builder.operand(loops).result(loops).flops(3).take();
}

//===----------------------------------------------------------------------===//
// Convolution and pooling
//===----------------------------------------------------------------------===//

namespace {
struct ConvLoops {
  unsigned batch, in, out, kh, kw;
};
} // namespace

/// Spatial dimensions are windows: kept whole.
static ConvLoops convLoops(SpaceBuilder &builder, Value image, Value filter) {
  ArrayRef<int64_t> f = shapeOf(filter);
  ConvLoops loops;
  loops.batch = builder.loop(shapeOf(image)[0]);
  loops.in = builder.loop(f[2], LoopKind::Parallel, "in");
  loops.out = builder.loop(f[3], LoopKind::Parallel, "out");
  loops.kh = builder.loop(f[0], LoopKind::Whole);
  loops.kw = builder.loop(f[1], LoopKind::Whole);
  return loops;
}

/// Output positions count as loops for the FLOPs, but are not split.
static IterationSpace finishConv(SpaceBuilder &builder, Value output) {
  builder.flops(2 * shapeOf(output)[1] * shapeOf(output)[2]);
  return builder.take();
}

static constexpr unsigned W = SpaceBuilder::Whole;

IterationSpace Conv2dOp::getIterationSpace() {
  SpaceBuilder builder;
  ConvLoops l = convLoops(builder, getInput(), getFilter());
  builder.operand({l.batch, W, W, l.in}).operand({l.kh, l.kw, l.in, l.out});
  builder.result({l.batch, W, W, l.out});
  return finishConv(builder, getResult());
}

IterationSpace Conv2dInputGradOp::getIterationSpace() {
  SpaceBuilder builder;
  ConvLoops l = convLoops(builder, getGradient(), getFilter());
  builder.operand({l.batch, W, W, l.out}).operand({l.kh, l.kw, l.in, l.out});
  builder.result({l.batch, W, W, l.in});
  return finishConv(builder, getGradient());
}

IterationSpace Conv2dFilterGradOp::getIterationSpace() {
  SpaceBuilder builder;
  ConvLoops l = convLoops(builder, getInput(), getResult());
  builder.operand({l.batch, W, W, l.in}).operand({l.batch, W, W, l.out});
  builder.result({l.kh, l.kw, l.in, l.out});
  return finishConv(builder, getGradient());
}

static IterationSpace poolSpace(Operation *op, ArrayRef<int64_t> window) {
  SpaceBuilder builder;
  ArrayRef<int64_t> shape = shapeOf(op->getResult(0));
  unsigned batch = builder.loop(shape[0]), channel = builder.loop(shape[3]);
  for (size_t i = 0; i < op->getNumOperands(); ++i)
    builder.operand({batch, W, W, channel});
  builder.result({batch, W, W, channel});
  builder.flops(shape[1] * shape[2] * window[0] * window[1]);
  return builder.take();
}

IterationSpace PoolOp::getIterationSpace() {
  return poolSpace(getOperation(), getWindow());
}
IterationSpace PoolGradOp::getIterationSpace() {
  return poolSpace(getOperation(), getWindow());
}

//===----------------------------------------------------------------------===//
// Mixture of experts
//===----------------------------------------------------------------------===//

IterationSpace TopKOp::getIterationSpace() {
  SpaceBuilder builder;
  SmallVector<unsigned> loops = rowLoops(builder, getOperand());
  SmallVector<unsigned> kept(loops);
  kept.back() = W;
  builder.operand(loops).result(kept).result(kept);
  return builder.flops(getK()).take();
}

/// Batch, sequence and choices of an index tensor, then experts: a shard gives
/// zeros for rows of others' experts.
static SmallVector<unsigned> expertLoops(SpaceBuilder &builder, Value experts,
                                         int64_t numExperts) {
  SmallVector<unsigned> loops = loopsOf(builder, experts);
  loops.push_back(builder.loop(numExperts, LoopKind::Indexed, "experts"));
  return loops;
}

IterationSpace ExpertMatmulOp::getIterationSpace() {
  SpaceBuilder builder;
  ArrayRef<int64_t> w = shapeOf(getWeights());
  SmallVector<unsigned> l = expertLoops(builder, getExperts(), w[0]);
  unsigned first = builder.loop(w[1], LoopKind::Parallel, "in");
  unsigned second = builder.loop(w[2], LoopKind::Parallel, "out");
  unsigned in = getTransposed() ? second : first;
  unsigned out = getTransposed() ? first : second;
  builder.operand({l[0], l[1], l[2], in}).operand({l[3], first, second});
  builder.operand({l[0], l[1], l[2]}).result({l[0], l[1], l[2], out});
  // Each row meets one expert only.
  builder.space.usedDenominator = w[0];
  return builder.flops(2).take();
}

IterationSpace ExpertOuterOp::getIterationSpace() {
  SpaceBuilder builder;
  ArrayRef<int64_t> w = shapeOf(getResult());
  SmallVector<unsigned> l = expertLoops(builder, getExperts(), w[0]);
  unsigned in = builder.loop(w[1], LoopKind::Parallel, "in");
  unsigned out = builder.loop(w[2], LoopKind::Parallel, "out");
  builder.operand({l[0], l[1], l[2], in}).operand({l[0], l[1], l[2], out});
  builder.operand({l[0], l[1], l[2]}).result({l[3], in, out});
  builder.space.usedDenominator = w[0];
  return builder.flops(2).take();
}

IterationSpace ExpertSlotOp::getIterationSpace() {
  SpaceBuilder builder;
  ArrayRef<int64_t> shape = shapeOf(getExperts());
  unsigned batch = builder.loop(shape[0]);
  builder.space.loops[batch].multiple = getOver();
  builder.operand({batch, W, W}).result({batch, W, W});
  return builder.flops(shape[1] * shape[2]).take();
}

/// `buffers` [groups, experts, capacity, features] beside [batch, ...] tensors.
static void dispatchAccess(SpaceBuilder &builder, Value buffers, Value rows,
                           Access &bufferAccess, Access &rowAccess,
                           Access &indexAccess) {
  ArrayRef<int64_t> b = shapeOf(buffers), r = shapeOf(rows);
  unsigned group = builder.loop(b[0]);
  unsigned inGroup = builder.loop(r[0] / b[0], LoopKind::Whole);
  unsigned feature = builder.loop(b[3]);
  bufferAccess.dims = {{group}, {}, {}, {feature}};
  rowAccess.dims = {{group, inGroup}, {}, {}, {feature}};
  indexAccess.dims = {{group, inGroup}, {}, {}};
}

IterationSpace DispatchOp::getIterationSpace() {
  SpaceBuilder builder;
  Access buffers, rows, index;
  dispatchAccess(builder, getResult(), getRows(), buffers, rows, index);
  builder.space.operands = {rows, index, index};
  builder.space.results = {buffers};
  return builder.flops(0).take();
}

IterationSpace CollectOp::getIterationSpace() {
  SpaceBuilder builder;
  Access buffers, rows, index;
  dispatchAccess(builder, getBuffers(), getResult(), buffers, rows, index);
  builder.space.operands = {buffers, index, index};
  builder.space.results = {rows};
  return builder.flops(0).take();
}
