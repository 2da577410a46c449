//===- RoleBuilder.cpp - writes the program of one role -------------------===//
//
// Walks the flat step once. Each value has versions, one per placement in which
// it is on this mesh; an op asks for the version that it needs, and what is
// missing is made from an existing one by the shortest of: sum partials
// (all-reduce, or reduce-scatter where the result is cut over the same axis),
// move a cut from one dimension to another (all-to-all), gather, slice.
//
//===----------------------------------------------------------------------===//

#include "passes/partition/RoleBuilder.h"

using namespace mlir;
using namespace whale;
using namespace whale::partition;

namespace {

struct Version {
  Placement placement;
  Phase phase;
  Value value;
};

class RoleBuilder {
public:
  RoleBuilder(OpBuilder &builder, const Assignment &assignment, Role &role)
      : builder(builder), assignment(assignment), role(role),
        mesh(assignment.mesh(role.graph)) {}

  LogicalResult build(ModuleDefOp step);

private:
  size_t first() const { return role.positions.front(); }

  // Types and scalars.
  /// Type of the rank's box of a tensor of `shape` (of `type`'s own shape).
  RankedTensorType shaped(Type type, const Placement &placement,
                          ArrayRef<int64_t> shape) const;
  RankedTensorType localType(Type type, const Placement &placement) const {
    return shaped(type, placement, cast<RankedTensorType>(type).getShape());
  }
  ArrayAttr boxOffsets(const Placement &placement, ArrayRef<int64_t> shape,
                       const Placement *inside = nullptr);
  ArrayAttr loopOffsets(const OpPlacement &placement);
  rank::ScalarAttr scalarOf(function_ref<int64_t(size_t)> value,
                            int64_t microStride, StringRef name);
  void label(Operation *op, Phase phase, Operation *source);

  // Versions of values.
  FailureOr<Value> get(Value value, const Placement &wanted, Phase phase,
                       Operation *user);
  FailureOr<Version> baseOf(Value value, const Placement &wanted, Phase phase,
                            Operation *user);
  Version makeAnywhere(Operation *op, const Placement &wanted, Phase phase);
  Version remember(Value value, Version version);

  // Conversions: one step each, from a version to one nearer the goal.
  FailureOr<Version> toRhythm(Version have, const Placement &wanted,
                              Operation *user);
  Version sumPartials(Version have, const Placement &wanted, Phase phase,
                      ArrayRef<int64_t> shape, Operation *source);
  Version moveCut(Version have, const Placement &wanted, Phase phase,
                  ArrayRef<int64_t> shape, Operation *source);
  std::optional<unsigned> movesTo(const Placement &have,
                                  const Placement &wanted, unsigned from,
                                  AxisMask mask);
  Version allToAll(Version have, const Placement &wanted, unsigned from,
                   unsigned to, AxisMask mask, Phase phase,
                   ArrayRef<int64_t> shape, Operation *source);
  Version gather(Version have, const Placement &wanted, Phase phase,
                 ArrayRef<int64_t> shape, Operation *source);
  Version slice(Version have, const Placement &wanted, Phase phase,
                ArrayRef<int64_t> shape, Operation *source);
  Version allGather(Version have, unsigned dim, AxisMask mask, DimCut rest,
                    Phase phase, ArrayRef<int64_t> shape, Operation *source);
  SmallVector<int64_t> memberCounts(const Placement &placement, unsigned dim,
                                    AxisMask mask, ArrayRef<int64_t> shape);

  // Ops.
  LogicalResult emit(Operation *op);
  LogicalResult emitCompute(Operation *op, const OpPlacement &placement);
  void emitVariable(VariableOp op);
  LogicalResult emitAssign(AssignOp op);
  LogicalResult emitLoss(LossOp op);
  LogicalResult emitSends(Operation *op);
  FailureOr<Version> receive(const Transfer &transfer);

  OpBuilder &builder;
  const Assignment &assignment;
  Role &role;
  const Mesh &mesh;
  llvm::DenseMap<Value, SmallVector<Version, 2>> versions;
  llvm::StringMap<Placement> variables;
};

} // namespace

//===----------------------------------------------------------------------===//
// Types, scalars, labels
//===----------------------------------------------------------------------===//

/// Takes off what a local op has no use for.
static void forgetPlan(Operation *op) {
  for (StringRef name : {"split", "colocated", "graph"})
    op->removeAttr(name);
}

RankedTensorType RoleBuilder::shaped(Type type, const Placement &placement,
                                     ArrayRef<int64_t> shape) const {
  SmallVector<int64_t> local;
  for (const Range &range : boxOf(mesh, first(), placement, shape))
    local.push_back(range.count);
  return cast<RankedTensorType>(type).clone(local);
}

rank::ScalarAttr RoleBuilder::scalarOf(function_ref<int64_t(size_t)> value,
                                       int64_t microStride, StringRef name) {
  SmallVector<int64_t> values;
  for (size_t position : role.positions)
    values.push_back(value(position));
  return role.scalar(builder.getContext(), values, microStride, name);
}

/// Offsets of the rank's box under `placement`, relative to its box under
/// `inside` (or to the whole).
ArrayAttr RoleBuilder::boxOffsets(const Placement &placement,
                                  ArrayRef<int64_t> shape,
                                  const Placement *inside) {
  SmallVector<Attribute> offsets;
  for (auto [dim, extent] : llvm::enumerate(shape)) {
    auto begin = [&, dim = dim](size_t position) {
      int64_t at = boxOf(mesh, position, placement, shape)[dim].begin;
      return inside ? at - boxOf(mesh, position, *inside, shape)[dim].begin : at;
    };
    int64_t stride = microStrideOf(mesh, first(), placement, dim, extent);
    if (inside)
      stride -= microStrideOf(mesh, first(), *inside, dim, extent);
    offsets.push_back(scalarOf(begin, stride, "offset"));
  }
  return builder.getArrayAttr(offsets);
}

/// Offset of each loop of an op, in iterations.
ArrayAttr RoleBuilder::loopOffsets(const OpPlacement &placement) {
  Placement loops = Placement::replicated(
      role.graph, rhythmOf(placement.phase), placement.loops.size());
  SmallVector<int64_t> extents;
  for (auto [index, cut] : llvm::enumerate(placement.loops)) {
    loops.dims[index] = cut;
    extents.push_back(placement.space.loops[index].extent);
  }
  return boxOffsets(loops, extents);
}

void RoleBuilder::label(Operation *op, Phase phase, Operation *source) {
  op->setAttr("phase", builder.getStringAttr(nameOf(phase)));
  if (auto path = source->getAttr("path"))
    op->setAttr("path", path);
}

//===----------------------------------------------------------------------===//
// Versions
//===----------------------------------------------------------------------===//

Version RoleBuilder::remember(Value value, Version version) {
  versions[value].push_back(version);
  return version;
}

/// Constants, counters and inputs are made where and as they are wanted.
Version RoleBuilder::makeAnywhere(Operation *op, const Placement &wanted,
                                  Phase phase) {
  Placement placement = wanted;
  placement.partial = 0;
  placement.partialMicro = false;
  Value result = op->getResult(0);
  if (auto input = dyn_cast<InputOp>(op)) {
    // Of its batch a rank reads its own share; others' come from them.
    if (mesh.colocatedMask())
      placement.dims[0] = {tensorType(result).getDimSize(0), true, 0, {}};
    // Rows of an input are read whole.
    for (DimCut &cut : MutableArrayRef(placement.dims).drop_front())
      cut = DimCut();
    RankedTensorType type = localType(result.getType(), placement);
    auto offsets = boxOffsets(placement, tensorType(result).getShape());
    auto local = rank::InputOp::create(
        builder, op->getLoc(), type, input.getName(),
        cast<rank::ScalarAttr>(offsets[0]), mesh.globalBatch(),
        input.getRangeAttr());
    label(local, phase, op);
    return remember(result, {placement, phase, local.getResult()});
  }
  Operation *local = builder.clone(*op);
  forgetPlan(local);
  local->getResult(0).setType(localType(result.getType(), placement));
  local->setAttr("offsets",
                 boxOffsets(placement, tensorType(result).getShape()));
  label(local, phase, op);
  return remember(result, {placement, phase, local->getResult(0)});
}

/// An existing version to start from, made or received if there is none.
FailureOr<Version> RoleBuilder::baseOf(Value value, const Placement &wanted,
                                       Phase phase, Operation *user) {
  Operation *producer = value.getDefiningOp();
  SmallVector<Version, 2> &known = versions[value];
  // Whole values first (nothing left to sum), of the wanted rhythm.
  const Version *best = nullptr;
  auto score = [&](const Version &version) {
    return 4 * !version.placement.isPartial() +
           2 * (version.placement.rhythm == wanted.rhythm) +
           version.placement.sameCuts(wanted);
  };
  for (const Version &version : known)
    if (version.phase <= phase && (!best || score(version) > score(*best)))
      best = &version;
  bool anywhere = Assignment::isMadeAnywhere(producer);
  if (best && !(anywhere && isa<InputOp>(producer) &&
                best->placement.rhythm != wanted.rhythm))
    return *best;
  if (anywhere)
    return makeAnywhere(producer, wanted, phase);
  for (const Transfer &transfer : assignment.transfers(value))
    if (transfer.to == role.graph && transfer.phase <= phase &&
        versions[value].empty())
      return receive(transfer);
  user->emitOpError("needs a value before it is there: phases are in the "
                    "wrong order")
          .attachNote(producer->getLoc())
      << "it is made here";
  return failure();
}

FailureOr<Version> RoleBuilder::toRhythm(Version have, const Placement &wanted,
                                         Operation *user) {
  bool batch = llvm::any_of(have.placement.dims,
                            [](const DimCut &cut) { return cut.batch; });
  if (have.placement.rhythm == wanted.rhythm)
    return have;
  Version result = have;
  result.placement.rhythm = wanted.rhythm;
  if (batch && mesh.microBatches() > 1) {
    user->emitOpError("takes a value of the whole batch, which with ")
        << mesh.microBatches() << " micro-batches is never there at once";
    return failure();
  }
  if (wanted.rhythm == Rhythm::Micro)
    return result;
  // Parts of micro-batches are summed; a value that is the same in each of
  // them is kept by taking the largest.
  bool sum = have.placement.partialMicro || mesh.microBatches() == 1;
  auto accumulate = rank::AccumulateOp::create(
      builder, user->getLoc(), have.value.getType(), have.value,
      sum ? ReductionKind::sum : ReductionKind::max);
  label(accumulate, have.phase, user);
  result.placement.partialMicro = false;
  result.phase = have.phase;
  result.value = accumulate.getResult();
  return result;
}

FailureOr<Value> RoleBuilder::get(Value value, const Placement &wanted,
                                  Phase phase, Operation *user) {
  for (const Version &version : versions[value])
    if (version.placement == wanted && version.phase <= phase)
      return version.value;
  FailureOr<Version> base = baseOf(value, wanted, phase, user);
  if (failed(base))
    return failure();
  Operation *source = value.getDefiningOp();
  ArrayRef<int64_t> shape = tensorType(value).getShape();
  bool accumulated = base->placement.rhythm == Rhythm::Micro &&
                     wanted.rhythm == Rhythm::Step;
  FailureOr<Version> have = toRhythm(*base, wanted, user);
  if (failed(have))
    return failure();
  if (accumulated)
    remember(value, *have);
  if (have->placement.partialMicro && !wanted.partialMicro) {
    InFlightDiagnostic diagnostic = user->emitOpError(
        "needs a sum over the whole batch within the step, which with ");
    diagnostic << mesh.microBatches() << " micro-batches is never there";
    diagnostic.attachNote(source->getLoc()) << "the sum is made here";
    return failure();
  }
  // What is made once per step is converted once per step.
  Phase at = phase;
  if (wanted.rhythm == Rhythm::Micro && base->placement.rhythm == Rhythm::Step)
    at = base->phase;
  Placement goal = wanted;
  if (at != phase && llvm::any_of(wanted.dims, [](const DimCut &cut) {
        return cut.batch;
      }))
    at = phase;
  Version result = sumPartials(*have, goal, at, shape, source);
  result = moveCut(result, goal, at, shape, source);
  result = gather(result, goal, at, shape, source);
  result = slice(result, goal, at, shape, source);
  result.placement = wanted;
  return remember(value, result).value;
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

SmallVector<int64_t> RoleBuilder::memberCounts(const Placement &placement,
                                               unsigned dim, AxisMask mask,
                                               ArrayRef<int64_t> shape) {
  SmallVector<int64_t> counts;
  for (size_t member : mesh.members(first(), mask))
    counts.push_back(boxOf(mesh, member, placement, shape)[dim].count);
  return counts;
}

Version RoleBuilder::sumPartials(Version have, const Placement &wanted,
                                 Phase phase, ArrayRef<int64_t> shape,
                                 Operation *source) {
  AxisMask rest = have.placement.partial & ~wanted.partial;
  if (!rest)
    return have;
  // Axes that cut one dimension may be summed and cut at the same time.
  unsigned scatterDim = 0;
  AxisMask scattered = 0;
  for (auto [dim, cuts] :
       llvm::enumerate(llvm::zip_equal(have.placement.dims, wanted.dims))) {
    auto [from, to] = cuts;
    AxisMask mask = to.axisMask(mesh) & ~from.axisMask(mesh);
    if (mask && !(mask & ~rest) && to.without(mask, mesh) == from)
      scatterDim = dim, scattered = mask;
  }
  rest &= ~scattered;
  Version result = have;
  if (rest) {
    auto reduce = rank::AllReduceOp::create(
        builder, source->getLoc(), result.value.getType(),
        have.placement.reduction, result.value, role.group(mesh, rest));
    label(reduce, phase, source);
    result = {result.placement, phase, reduce.getResult()};
    result.placement.partial &= ~rest;
  }
  if (!scattered)
    return result;
  result.placement.partial &= ~scattered;
  result.placement.dims[scatterDim] = wanted.dims[scatterDim];
  auto scatter = rank::ReduceScatterOp::create(
      builder, source->getLoc(),
      shaped(result.value.getType(), result.placement, shape),
      have.placement.reduction, result.value, scatterDim,
      memberCounts(result.placement, scatterDim, scattered, shape),
      role.group(mesh, scattered));
  label(scatter, phase, source);
  result.phase = phase;
  result.value = scatter.getResult();
  return result;
}

/// The dimension whose innermost cut, by the axes of `mask`, is innermost in
/// dimension `from` now.
std::optional<unsigned> RoleBuilder::movesTo(const Placement &have,
                                             const Placement &wanted,
                                             unsigned from, AxisMask mask) {
  if (!mask || have.dims[from].without(mask, mesh) != wanted.dims[from])
    return std::nullopt;
  for (unsigned to = 0; to < wanted.dims.size(); ++to)
    if (to != from && (wanted.dims[to].axisMask(mesh) & mask) == mask &&
        wanted.dims[to].without(mask, mesh) == have.dims[to])
      return to;
  return std::nullopt;
}

/// The same axes at the end of dimension i of one and j of the other.
Version RoleBuilder::moveCut(Version have, const Placement &wanted, Phase phase,
                             ArrayRef<int64_t> shape, Operation *source) {
  for (unsigned from = 0; from < wanted.dims.size(); ++from) {
    AxisMask mask = have.placement.dims[from].axisMask(mesh) &
                    ~wanted.dims[from].axisMask(mesh);
    if (auto to = movesTo(have.placement, wanted, from, mask))
      have = allToAll(have, wanted, from, *to, mask, phase, shape, source);
  }
  return have;
}

Version RoleBuilder::allToAll(Version have, const Placement &wanted,
                              unsigned from, unsigned to, AxisMask mask,
                              Phase phase, ArrayRef<int64_t> shape,
                              Operation *source) {
  Placement goal = have.placement;
  goal.dims[from] = wanted.dims[from];
  goal.dims[to] = wanted.dims[to];
  auto exchange = rank::AllToAllOp::create(
      builder, source->getLoc(), shaped(have.value.getType(), goal, shape),
      have.value, from, memberCounts(have.placement, from, mask, shape), to,
      memberCounts(goal, to, mask, shape), role.group(mesh, mask));
  label(exchange, phase, source);
  return {goal, phase, exchange.getResult()};
}

Version RoleBuilder::allGather(Version have, unsigned dim, AxisMask mask,
                               DimCut rest, Phase phase,
                               ArrayRef<int64_t> shape, Operation *source) {
  Placement goal = have.placement;
  goal.dims[dim] = rest;
  auto gathered = rank::AllGatherOp::create(
      builder, source->getLoc(), shaped(have.value.getType(), goal, shape),
      have.value, dim,
      memberCounts(have.placement, dim, mask, shape), role.group(mesh, mask));
  label(gathered, phase, source);
  return {goal, phase, gathered.getResult()};
}

/// Undoes the cuts that are not the beginning of the wanted ones, innermost
/// first, so that each gathering joins neighbours.
Version RoleBuilder::gather(Version have, const Placement &wanted, Phase phase,
                            ArrayRef<int64_t> shape, Operation *source) {
  for (size_t dim = 0; dim < wanted.dims.size(); ++dim) {
    const DimCut &goal = wanted.dims[dim];
    while (!have.placement.dims[dim].isPrefixOf(goal, mesh)) {
      const DimCut &cut = have.placement.dims[dim];
      AxisMask mask = cut.gatheredFirst(goal, mesh);
      // What is cut by micro-batches only cannot be put together.
      DimCut rest = cut.without(mask, mesh).value_or(DimCut());
      have = allGather(have, dim, mask, mask ? rest : DimCut(), phase, shape,
                       source);
    }
  }
  return have;
}

Version RoleBuilder::slice(Version have, const Placement &wanted, Phase phase,
                           ArrayRef<int64_t> shape, Operation *source) {
  if (have.placement.dims == wanted.dims)
    return have;
  Placement goal = have.placement;
  goal.dims = wanted.dims;
  goal.rhythm = wanted.rhythm;
  auto cut = rank::SliceOp::create(
      builder, source->getLoc(), shaped(have.value.getType(), goal, shape),
      have.value, boxOffsets(goal, shape, &have.placement));
  label(cut, phase, source);
  return {goal, phase, cut.getResult()};
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

LogicalResult RoleBuilder::emitSends(Operation *op) {
  for (Value value : op->getResults()) {
    for (const Transfer &transfer : assignment.transfers(value)) {
      if (transfer.from != role.graph)
        continue;
      FailureOr<Value> local = get(value, transfer.source, transfer.phase, op);
      if (failed(local))
        return failure();
      const Mesh &target = assignment.mesh(transfer.to);
      ArrayRef<int64_t> shape = tensorType(value).getShape();
      std::vector<Piece> pieces = exchange(transfer, mesh, target);
      // Message k of the first position has its twin in the other positions.
      std::vector<std::vector<const Piece *>> byPosition;
      for (size_t position : role.positions) {
        byPosition.emplace_back();
        for (const Piece &piece : pieces)
          if (piece.source == position)
            byPosition.back().push_back(&piece);
      }
      auto container = boxOf(mesh, first(), transfer.source, shape);
      for (size_t k = 0; k < byPosition.front().size(); ++k) {
        SmallVector<int64_t> ranks, extents;
        for (const auto &row : byPosition)
          ranks.push_back(target.ranks()[row[k]->target]);
        SmallVector<Attribute> offsets;
        for (const Range &range :
             relativeTo(byPosition.front()[k]->box, container)) {
          offsets.push_back(rank::ScalarAttr::get(builder.getContext(),
                                                  range.begin, {}));
          extents.push_back(range.count);
        }
        auto type = cast<RankedTensorType>(local->getType());
        Value part = *local;
        if (type.getShape() != ArrayRef<int64_t>(extents)) {
          auto cut = rank::SliceOp::create(builder, op->getLoc(),
                                           type.clone(extents), part,
                                           builder.getArrayAttr(offsets));
          label(cut, transfer.phase, op);
          part = cut.getResult();
        }
        auto send = rank::SendOp::create(builder, op->getLoc(), part,
                                         role.peer(ranks), transfer.tag);
        label(send, transfer.phase, op);
      }
    }
  }
  return success();
}

FailureOr<Version> RoleBuilder::receive(const Transfer &transfer) {
  Operation *source = transfer.value.getDefiningOp();
  const Mesh &from = assignment.mesh(transfer.from);
  RankedTensorType whole = tensorType(transfer.value);
  std::vector<Piece> pieces = exchange(transfer, from, mesh);
  std::vector<std::vector<const Piece *>> byPosition;
  for (size_t position : role.positions) {
    byPosition.emplace_back();
    for (const Piece &piece : pieces)
      if (piece.target == position)
        byPosition.back().push_back(&piece);
  }
  SmallVector<Value> parts;
  SmallVector<Attribute> offsets;
  auto container = boxOf(mesh, first(), transfer.target, whole.getShape());
  for (size_t k = 0; k < byPosition.front().size(); ++k) {
    SmallVector<int64_t> ranks, begins, extents;
    for (const auto &row : byPosition)
      ranks.push_back(from.ranks()[row[k]->source]);
    for (const Range &range :
         relativeTo(byPosition.front()[k]->box, container)) {
      begins.push_back(range.begin);
      extents.push_back(range.count);
    }
    auto part = rank::ReceiveOp::create(builder, source->getLoc(),
                                        whole.clone(extents), role.peer(ranks),
                                        transfer.tag);
    label(part, transfer.phase, source);
    parts.push_back(part.getResult());
    offsets.push_back(builder.getDenseI64ArrayAttr(begins));
  }
  Value result = parts.front();
  if (parts.size() > 1) {
    SmallVector<int64_t> extents;
    for (const Range &range : container)
      extents.push_back(range.count);
    auto assembled = rank::AssembleOp::create(
        builder, source->getLoc(), whole.clone(extents), parts,
        builder.getArrayAttr(offsets));
    label(assembled, transfer.phase, source);
    result = assembled.getResult();
  }
  return remember(transfer.value, {transfer.target, transfer.phase, result});
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

void RoleBuilder::emitVariable(VariableOp op) {
  const Placement &storage = assignment.of(op).results[0];
  StringRef path = op->getAttrOfType<StringAttr>("variable_path").getValue();
  ArrayRef<int64_t> shape = tensorType(op.getResult()).getShape();
  auto local = rank::VariableOp::create(
      builder, op.getLoc(), localType(op.getResult().getType(), storage), path,
      op.getKind(), op.getInit(), shape, boxOffsets(storage, shape));
  label(local, Phase::Prologue, op);
  remember(op.getResult(), {storage, Phase::Prologue, local.getResult()});
  variables.try_emplace(path, storage);
}

LogicalResult RoleBuilder::emitAssign(AssignOp op) {
  auto storage = variables.find(op.getName());
  if (storage == variables.end())
    return op.emitOpError("assigns variable '")
           << op.getName() << "', which its TaskGraph does not hold";
  Phase phase = assignment.of(op).phase;
  FailureOr<Value> value = get(op.getValue(), storage->second, phase, op);
  if (failed(value))
    return failure();
  auto local =
      rank::AssignOp::create(builder, op.getLoc(), op.getName(), *value);
  label(local, phase, op);
  return success();
}

LogicalResult RoleBuilder::emitLoss(LossOp op) {
  Placement scalar = Placement::replicated(role.graph, Rhythm::Step, 0);
  FailureOr<Value> sum = get(op.getSum(), scalar, Phase::Update, op);
  FailureOr<Value> count = get(op.getCount(), scalar, Phase::Update, op);
  if (failed(sum) || failed(count))
    return failure();
  auto metric = rank::MetricOp::create(builder, op.getLoc(), op.getName(), *sum,
                                       *count, op.getWeight());
  label(metric, Phase::Update, op);
  // All ranks of the stage hold equal copies; the first one reports.
  metric->setAttr("leader", scalarOf([](size_t position) {
                    return position == 0 ? 0 : 1;
                  }, 0, "leader"));
  return success();
}

/// Whether a local op must know where its shard begins.
static bool readsIndices(const IterationSpace &space) {
  return llvm::any_of(space.loops, [](const LoopDim &loop) {
    return loop.kind == LoopKind::Indexed;
  });
}

LogicalResult RoleBuilder::emitCompute(Operation *op,
                                       const OpPlacement &placement) {
  SmallVector<Value> operands;
  for (auto [operand, wanted] :
       llvm::zip_equal(op->getOperands(), placement.operands)) {
    FailureOr<Value> local = get(operand, wanted, placement.phase, op);
    if (failed(local))
      return failure();
    operands.push_back(*local);
  }
  Operation *local = builder.clone(*op);
  local->setOperands(operands);
  forgetPlan(local);
  for (auto [index, wanted] : llvm::enumerate(placement.results)) {
    Value own = local->getResult(index);
    own.setType(localType(own.getType(), wanted));
    remember(op->getResult(index), {wanted, placement.phase, own});
  }
  if (readsIndices(placement.space))
    local->setAttr("offsets", loopOffsets(placement));
  if (isa<DropoutOp>(op))
    local->setAttr("global_shape", builder.getDenseI64ArrayAttr(
                                       tensorType(op->getResult(0)).getShape()));
  // moveSums may have changed it.
  label(local, placement.phase, op);
  return success();
}

LogicalResult RoleBuilder::emit(Operation *op) {
  const OpPlacement &placement = assignment.of(op);
  if (placement.graph != role.graph || Assignment::isMadeAnywhere(op))
    return success();
  if (auto variable = dyn_cast<VariableOp>(op))
    emitVariable(variable);
  else if (auto assign = dyn_cast<AssignOp>(op))
    return emitAssign(assign);
  else if (auto loss = dyn_cast<LossOp>(op))
    return emitLoss(loss);
  else if (failed(emitCompute(op, placement)))
    return failure();
  return emitSends(op);
}

LogicalResult RoleBuilder::build(ModuleDefOp step) {
  for (Operation &op : step.getBody().front().without_terminator())
    if (failed(emit(&op)))
      return failure();
  return success();
}

FailureOr<rank::ProgramOp>
partition::buildProgram(OpBuilder &builder, ModuleDefOp step, StringRef entry,
                        const Assignment &assignment, Role &role) {
  OpBuilder::InsertionGuard guard(builder);
  std::string name = "role" + std::to_string(role.index) + "_" + entry.str();
  auto program = rank::ProgramOp::create(builder, step.getLoc(), name);
  program->setAttr("role", builder.getI64IntegerAttr(role.index));
  program->setAttr("entry", builder.getStringAttr(entry));
  builder.setInsertionPointToStart(&program.getBody().emplaceBlock());
  if (failed(RoleBuilder(builder, assignment, role).build(step)))
    return failure();
  return program;
}
