//===- Assignment.cpp - which axis cuts which loop of each op -------------===//
//
// 1. Explicit: the `split` attribute. Replica axes cut the batch loop together
//    (in update they cut state evenly: ZeRO), but for those that `colocated`
//    gives another loop.
// 2. Sink: an op all of whose users want a result dimension cut is cut there
//    too, unless it says otherwise; so that constants, masks and broadcasts are
//    not made whole and then sliced.
// 3. Follow: an update op without own cuts takes those of its operands.
// Placements follow from the access maps alone; a result that lacks a cut loop
// is a partial result.
//
//===----------------------------------------------------------------------===//

#include "passes/partition/Assignment.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace whale;
using namespace whale::partition;

std::optional<Phase> partition::phaseOf(Operation *op) {
  auto attr = op->getAttrOfType<StringAttr>("phase");
  if (!attr)
    return std::nullopt;
  return llvm::StringSwitch<std::optional<Phase>>(attr.getValue())
      .Case("prologue", Phase::Prologue)
      .Case("forward", Phase::Forward)
      .Case("backward", Phase::Backward)
      .Case("update", Phase::Update)
      .Default(std::nullopt);
}

StringRef partition::nameOf(Phase phase) {
  static constexpr StringRef names[] = {"prologue", "forward", "backward",
                                        "update"};
  return names[static_cast<unsigned>(phase)];
}

const Placement &Assignment::produced(Value value) const {
  auto result = cast<OpResult>(value);
  return of(result.getOwner()).results[result.getResultNumber()];
}

ArrayRef<Transfer> Assignment::transfers(Value value) const {
  auto found = byValue.find(value);
  return found == byValue.end() ? ArrayRef<Transfer>() : found->second;
}

bool Assignment::isMadeAnywhere(Operation *op) {
  return op->getNumOperands() == 0 && !isa<VariableOp>(op);
}

//===----------------------------------------------------------------------===//
// Builder
//===----------------------------------------------------------------------===//

namespace whale::partition {

class AssignmentBuilder {
public:
  AssignmentBuilder(ModuleDefOp step, ArrayRef<Mesh> meshes)
      : step(step), isCanonical(step->hasAttr("canonical")) {
    result.meshes = meshes;
  }

  FailureOr<Assignment> run() {
    for (Operation &op : step.getBody().front().without_terminator())
      if (failed(readExplicit(&op)))
        return failure();
    moveSums();
    for (Operation &op :
         llvm::reverse(step.getBody().front().without_terminator()))
      sink(&op);
    for (Operation &op : step.getBody().front().without_terminator())
      if (failed(place(&op)))
        return failure();
    for (Operation &op : step.getBody().front().without_terminator())
      findTransfers(&op);
    return std::move(result);
  }

private:
  const Mesh &meshOf(const OpPlacement &placement) const {
    return result.meshes[placement.graph];
  }

  LogicalResult readExplicit(Operation *op);
  LogicalResult readCuts(Operation *op, OpPlacement &placement, StringRef name);
  LogicalResult cutLoop(Operation *op, OpPlacement &placement, int64_t axis,
                        int64_t loop, bool colocated);
  void join(OpPlacement &placement, unsigned axis);
  void findBatch(Operation *op, OpPlacement &placement);
  bool canDelay(Operation *op, const llvm::DenseSet<Operation *> &delayed);
  void moveSums();
  void sink(Operation *op);
  void follow(Operation *op, OpPlacement &placement);
  LogicalResult place(Operation *op);
  LogicalResult placeVariable(VariableOp op, OpPlacement &placement);
  LogicalResult placeCompute(Operation *op, OpPlacement &placement);
  LogicalResult checkCuts(Operation *op, const OpPlacement &placement);
  FailureOr<Placement> cutsOf(Operation *op, const OpPlacement &placement,
                              const Access &access);
  void passPartials(Operation *op, OpPlacement &placement);
  void findTransfers(Operation *op);
  void addTransfer(Value value, const OpPlacement &user, Placement target);
  /// Cuts that the op at `use` wants of its operand, from its loops alone.
  std::optional<SmallVector<DimCut, 4>> wanted(OpOperand &use) const;

  ModuleDefOp step;
  /// All sums of reals are accumulators.
  const bool isCanonical;
  Assignment result;
  /// Values that have a batch dimension, and which it is.
  llvm::DenseMap<Value, unsigned> batchDims;
};

} // namespace whale::partition

//===----------------------------------------------------------------------===//
// Explicit cuts
//===----------------------------------------------------------------------===//

/// The outermost loop that is more than one iteration; none for a whole dim.
static std::optional<unsigned> outermost(const IterationSpace &space,
                                         ArrayRef<unsigned> loops) {
  for (unsigned loop : loops)
    if (space.loops[loop].extent > 1)
      return loop;
  return std::nullopt;
}

LogicalResult AssignmentBuilder::cutLoop(Operation *op, OpPlacement &placement,
                                         int64_t axis, int64_t loop,
                                         bool colocated) {
  const Mesh &mesh = meshOf(placement);
  if (axis < 0 || axis >= int64_t(mesh.axisCount()) || loop < 0 ||
      loop >= int64_t(placement.loops.size()))
    return op->emitOpError("'split' names axis ")
           << axis << " and loop " << loop << ", which do not exist";
  bool replica = mesh.axis(axis).kind == planner::AxisKind::Replica;
  // Replica axes cut the batch, which findBatch sees to.
  if (mesh.axisSize(axis) <= 1)
    return success();
  if (!replica || colocated || placement.phase == Phase::Update)
    placement.loops[loop].axes.push_back(axis);
  if (replica && colocated)
    join(placement, axis);
  return success();
}

/// Leaves the batch of an op whole over a replica axis.
void AssignmentBuilder::join(OpPlacement &placement, unsigned axis) {
  const Mesh &mesh = meshOf(placement);
  for (DimCut &cut : placement.loops) {
    if (!cut.batch)
      continue;
    cut.joined |= 1u << axis;
    // Where nothing cuts it any more, it is no cut.
    cut.batch = cut.batchAxes(mesh) || mesh.microBatches() > 1;
    cut.joined = cut.batch ? cut.joined : 0;
  }
}

/// Finds the op's batch loop: the one that an operand's batch dimension maps
/// to, or that an einsum calls so; and the results' batch dimensions.
void AssignmentBuilder::findBatch(Operation *op, OpPlacement &placement) {
  if (auto input = dyn_cast<InputOp>(op)) {
    batchDims[input.getResult()] = 0;
    return;
  }
  if (placement.phase == Phase::Update || placement.loops.empty())
    return;
  std::optional<unsigned> batch;
  for (auto [index, loop] : llvm::enumerate(placement.space.loops))
    if (loop.name == "batch")
      batch = index;
  for (auto [operand, access] :
       llvm::zip_equal(op->getOperands(), placement.space.operands)) {
    auto found = batchDims.find(operand);
    if (found != batchDims.end() && !batch)
      batch = outermost(placement.space, access.dims[found->second]);
  }
  if (!batch)
    return;
  LoopKind kind = placement.space.loops[*batch].kind;
  if (kind != LoopKind::Parallel && kind != LoopKind::Indexed)
    return;
  const Mesh &mesh = meshOf(placement);
  placement.loops[*batch].batch =
      mesh.replicaMask() != 0 || mesh.microBatches() > 1;
  for (auto [value, access] :
       llvm::zip_equal(op->getResults(), placement.space.results))
    for (auto [dim, loops] : llvm::enumerate(access.dims))
      if (outermost(placement.space, loops) == batch)
        batchDims[value] = dim;
}

LogicalResult AssignmentBuilder::readExplicit(Operation *op) {
  OpPlacement &placement = result.ops[op];
  std::optional<Phase> phase = phaseOf(op);
  auto graph = op->getAttrOfType<IntegerAttr>("graph");
  if (!phase || !graph)
    return op->emitOpError("has no 'phase' or no 'graph'; partitioning takes "
                           "the flat step of --whale-apply-plan");
  // A loss is read once, after the micro-batches.
  placement.phase = isa<LossOp>(op) ? Phase::Update : *phase;
  placement.graph = graph.getInt();
  if (placement.graph >= result.meshes.size())
    return op->emitOpError("belongs to TaskGraph ")
           << placement.graph << " of " << result.meshes.size();
  auto spaced = dyn_cast<IterationSpaceOpInterface>(op);
  if (!spaced) {
    findBatch(op, placement);
    return success();
  }
  placement.space = spaced.getIterationSpace();
  for (const LoopDim &loop : placement.space.loops) {
    placement.loops.emplace_back();
    placement.loops.back().basis = loop.extent;
  }
  findBatch(op, placement);
  if (failed(readCuts(op, placement, "split")) ||
      failed(readCuts(op, placement, "colocated")))
    return failure();
  for (DimCut &cut : placement.loops)
    llvm::sort(cut.axes);
  return success();
}

LogicalResult AssignmentBuilder::readCuts(Operation *op, OpPlacement &placement,
                                          StringRef name) {
  auto cuts = op->getAttrOfType<ArrayAttr>(name);
  for (Attribute entry : cuts ? cuts.getValue() : ArrayRef<Attribute>()) {
    auto pair = dyn_cast<ArrayAttr>(entry);
    bool numbers = pair && pair.size() == 2 && isa<IntegerAttr>(pair[0]) &&
                   isa<IntegerAttr>(pair[1]);
    if (!numbers)
      return op->emitOpError("'")
             << name << "' holds " << entry << ", expected pairs";
    if (failed(cutLoop(op, placement, cast<IntegerAttr>(pair[0]).getInt(),
                       cast<IntegerAttr>(pair[1]).getInt(),
                       name == "colocated")))
      return failure();
  }
  return success();
}

/// Whether an op gives the same after the micro-batches are summed: linear and
/// of the backward part, or any where nothing is summed but accumulators;
/// without a batch dimension, read by the update only (or by ops that are
/// delayed too). Casts stay: sums want the wide type.
bool AssignmentBuilder::canDelay(Operation *op,
                                 const llvm::DenseSet<Operation *> &delayed) {
  const OpPlacement &placement = result.ops[op];
  if (rhythmOf(placement.phase) == Rhythm::Step || op->use_empty() ||
      Assignment::isMadeAnywhere(op))
    return false;
  if (!isCanonical && (placement.phase == Phase::Forward || isa<CastOp>(op) ||
                       placement.space.linearity == Linearity::None))
    return false;
  bool batch = llvm::any_of(placement.loops,
                            [](const DimCut &cut) { return cut.batch; }) ||
               llvm::any_of(op->getOperands(), [&](Value operand) {
                 return batchDims.contains(operand);
               });
  return !batch && llvm::all_of(op->getUsers(), [&](Operation *user) {
    return delayed.contains(user) ||
           result.ops[user].phase == Phase::Update;
  });
}

/// Gradients that several meshes contribute to are added once per step, after
/// the micro-batches, not in each of them; accumulators are rounded then; and
/// so is what follows from either.
void AssignmentBuilder::moveSums() {
  llvm::DenseSet<Operation *> candidates, delayed;
  auto ops = step.getBody().front().without_terminator();
  for (Operation &op : llvm::reverse(ops))
    if (canDelay(&op, candidates))
      candidates.insert(&op);
  for (Operation &op : ops) {
    if (!candidates.contains(&op))
      continue;
    unsigned graph = result.ops[&op].graph;
    bool follows = llvm::any_of(op.getOperands(), [&](Value operand) {
      Operation *producer = operand.getDefiningOp();
      return delayed.contains(producer) ||
             (isa<AddOp>(op) && result.ops[producer].graph != graph);
    });
    if (!follows && !isa<RoundSumOp>(op))
      continue;
    delayed.insert(&op);
    result.ops[&op].phase = Phase::Update;
  }
}

//===----------------------------------------------------------------------===//
// Sink and follow
//===----------------------------------------------------------------------===//

std::optional<SmallVector<DimCut, 4>>
AssignmentBuilder::wanted(OpOperand &use) const {
  auto found = result.ops.find(use.getOwner());
  if (found == result.ops.end() || found->second.loops.empty())
    return std::nullopt;
  const OpPlacement &user = found->second;
  SmallVector<DimCut, 4> cuts;
  for (ArrayRef<unsigned> loops :
       user.space.operands[use.getOperandNumber()].dims) {
    std::optional<unsigned> loop = outermost(user.space, loops);
    cuts.push_back(loop ? user.loops[*loop] : DimCut());
  }
  return cuts;
}

void AssignmentBuilder::sink(Operation *op) {
  OpPlacement &placement = result.ops[op];
  if (op->getNumResults() != 1 || placement.loops.empty() || op->use_empty())
    return;
  const Access &access = placement.space.results[0];
  for (auto [dim, loops] : llvm::enumerate(access.dims)) {
    std::optional<unsigned> loop = outermost(placement.space, loops);
    if (!loop || !placement.loops[*loop].empty())
      continue;
    LoopKind kind = placement.space.loops[*loop].kind;
    if (kind != LoopKind::Parallel && kind != LoopKind::Indexed)
      continue;
    std::optional<DimCut> common;
    bool agree = true;
    for (OpOperand &use : op->getUses()) {
      const OpPlacement &user = result.ops[use.getOwner()];
      auto cuts = wanted(use);
      if (!cuts || user.graph != placement.graph ||
          rhythmOf(user.phase) != rhythmOf(placement.phase) ||
          (common && !(*common == (*cuts)[dim]))) {
        agree = false;
        break;
      }
      common = (*cuts)[dim];
    }
    if (!agree || !common || common->empty() ||
        common->basis != placement.loops[*loop].basis)
      continue;
    const Mesh &mesh = meshOf(placement);
    bool taken = llvm::any_of(placement.loops, [&](const DimCut &cut) {
      return (cut.batch && common->batch) ||
             (cut.axisMask(mesh) & common->axisMask(mesh));
    });
    if (!taken)
      placement.loops[*loop] = *common;
  }
}

void AssignmentBuilder::follow(Operation *op, OpPlacement &placement) {
  SmallVector<unsigned> used;
  for (const DimCut &cut : placement.loops)
    used.append(cut.axes.begin(), cut.axes.end());
  for (OpOperand &operand : op->getOpOperands()) {
    Operation *producer = operand.get().getDefiningOp();
    const Placement &have = result.produced(operand.get());
    if (have.graph != placement.graph || Assignment::isMadeAnywhere(producer))
      continue;
    const Access &access = placement.space.operands[operand.getOperandNumber()];
    for (auto [dim, loops] : llvm::enumerate(access.dims)) {
      std::optional<unsigned> loop = outermost(placement.space, loops);
      const DimCut &cut = have.dims[dim];
      if (!loop || cut.batch || cut.axes.empty() ||
          cut.basis != placement.loops[*loop].basis ||
          !placement.loops[*loop].axes.empty())
        continue;
      LoopKind kind = placement.space.loops[*loop].kind;
      if (kind != LoopKind::Parallel && kind != LoopKind::Indexed)
        continue;
      bool free = llvm::none_of(
          cut.axes, [&](unsigned axis) { return llvm::is_contained(used, axis); });
      if (!free)
        continue;
      placement.loops[*loop].axes = cut.axes;
      used.append(cut.axes.begin(), cut.axes.end());
    }
  }
}

//===----------------------------------------------------------------------===//
// Placements
//===----------------------------------------------------------------------===//

FailureOr<Placement> AssignmentBuilder::cutsOf(Operation *op,
                                               const OpPlacement &placement,
                                               const Access &access) {
  Placement cuts = Placement::replicated(
      placement.graph, rhythmOf(placement.phase), access.dims.size());
  for (auto [dim, loops] : llvm::enumerate(access.dims)) {
    std::optional<unsigned> first = outermost(placement.space, loops);
    for (unsigned loop : loops)
      if (loop != first && !placement.loops[loop].empty())
        return op->emitOpError("cannot be cut along an inner factor of a "
                               "reshaped dimension");
    if (first)
      cuts.dims[dim] = placement.loops[*first];
  }
  return cuts;
}

LogicalResult AssignmentBuilder::checkCuts(Operation *op,
                                           const OpPlacement &placement) {
  const Mesh &mesh = meshOf(placement);
  for (auto [loop, cut] : llvm::zip_equal(placement.space.loops,
                                          placement.loops)) {
    int64_t pieces = 1;
    for (unsigned axis : cut.axes)
      pieces *= mesh.axisSize(axis);
    if (pieces > loop.extent)
      return op->emitOpError("dimension '")
             << loop.name << "' of size " << loop.extent
             << " cannot be split " << pieces << " ways by axis '"
             << mesh.axis(cut.axes.back()).name << "'";
    if (!cut.batch)
      continue;
    if (mesh.globalBatch() % loop.extent && loop.extent % mesh.globalBatch())
      return op->emitOpError("batch dimension of size ")
             << loop.extent << " does not fit a global batch of "
             << mesh.globalBatch();
    for (size_t position = 0; position < mesh.ranks().size(); ++position) {
      Samples samples = mesh.samples(position, cut.joined);
      Range range = rhythmOf(placement.phase) == Rhythm::Micro ? samples.micro
                                                               : samples.share;
      int64_t group =
          std::max<int64_t>(loop.multiple, mesh.globalBatch() / loop.extent);
      if (range.count < 1 || range.count % group || range.begin % group)
        return op->emitOpError("needs batches cut at multiples of ")
               << group << " samples, but rank " << mesh.ranks()[position]
               << " has samples " << range.begin << " to " << range.end();
    }
  }
  return success();
}

/// Lets partial sums through linear ops: their result is partial instead.
void AssignmentBuilder::passPartials(Operation *op, OpPlacement &placement) {
  Linearity linearity = placement.space.linearity;
  if (linearity == Linearity::None)
    return;
  SmallVector<unsigned> partial;
  for (auto [index, operand] : llvm::enumerate(op->getOperands())) {
    const Placement &have = result.produced(operand);
    // Micro-batch sums end where a value leaves the micro rhythm.
    bool crosses = have.rhythm != rhythmOf(placement.phase);
    if (have.graph == placement.graph && !crosses && have.isPartial() &&
        have.reduction == ReductionKind::sum)
      partial.push_back(index);
  }
  if (partial.empty())
    return;
  const Placement &have = result.produced(op->getOperand(partial[0]));
  unsigned last = op->getNumOperands() - 1;
  bool allowed = false;
  if (linearity == Linearity::Joint)
    allowed = partial.size() == op->getNumOperands() &&
              llvm::all_of(partial, [&](unsigned index) {
                const Placement &other = result.produced(op->getOperand(index));
                return other.partial == have.partial &&
                       other.partialMicro == have.partialMicro;
              });
  else
    allowed = partial.size() == 1 &&
              (linearity == Linearity::Each ||
               partial[0] == (linearity == Linearity::First ? 0 : last));
  // Summing before is cheaper where the op makes the value larger, and for
  // contractions, whose operand is used more than once as a rule.
  int64_t before = tensorType(op->getOperand(partial[0])).getNumElements();
  int64_t after = tensorType(op->getResult(0)).getNumElements();
  bool grows = after > before || isa<EinsumOp>(op);
  if (!allowed || (grows && !have.partialMicro))
    return;
  // An axis that the op itself cuts cannot also carry a partial sum.
  for (const DimCut &cut : placement.loops)
    if (have.partial & cut.axisMask(meshOf(placement)))
      return;
  for (unsigned index : partial) {
    placement.operands[index].partial = have.partial;
    placement.operands[index].partialMicro = have.partialMicro;
  }
  for (Placement &value : placement.results) {
    value.partial |= have.partial;
    value.partialMicro |= have.partialMicro;
  }
}

/// Whether parts of `value` combine to the same bits in any order.
static bool isExact(const Placement &parts, Value value) {
  return parts.reduction != ReductionKind::sum ||
         !isa<FloatType>(tensorType(value).getElementType());
}

LogicalResult AssignmentBuilder::placeCompute(Operation *op,
                                              OpPlacement &placement) {
  const Mesh &mesh = meshOf(placement);
  if (placement.phase == Phase::Update)
    follow(op, placement);
  if (failed(checkCuts(op, placement)))
    return failure();
  for (const Access &access : placement.space.operands) {
    FailureOr<Placement> cuts = cutsOf(op, placement, access);
    if (failed(cuts))
      return failure();
    placement.operands.push_back(*cuts);
  }
  for (auto [value, access] :
       llvm::zip_equal(op->getResults(), placement.space.results)) {
    FailureOr<Placement> cuts = cutsOf(op, placement, access);
    if (failed(cuts))
      return failure();
    for (auto [index, cut] : llvm::enumerate(placement.loops)) {
      if (cut.empty() || access.uses(index))
        continue;
      if (cut.batch) {
        cuts->partial |= cut.batchAxes(mesh);
        cuts->partialMicro =
            cuts->rhythm == Rhythm::Micro && mesh.microBatches() > 1;
      }
      for (unsigned axis : cut.axes)
        cuts->partial |= 1u << axis;
      cuts->reduction = placement.space.loops[index].reduction;
    }
    if (isCanonical && cuts->isPartial() && !isExact(*cuts, value))
      return op->emitOpError("gives partial sums of ")
             << tensorType(value).getElementType()
             << ", whose order would matter; canonical mode adds accumulators";
    placement.results.push_back(*cuts);
  }
  passPartials(op, placement);
  return success();
}

LogicalResult AssignmentBuilder::placeVariable(VariableOp op,
                                               OpPlacement &placement) {
  Placement storage = Placement::replicated(
      placement.graph, Rhythm::Step, tensorType(op.getResult()).getRank());
  // Stored as its first reader of the micro-batches wants it, else as the
  // first reader at all (optimizer slots). A reader's batch cut does not count.
  OpOperand *chosen = nullptr;
  auto isUpdate = [&](OpOperand &use) {
    return result.ops[use.getOwner()].phase == Phase::Update;
  };
  for (OpOperand &use : op.getResult().getUses()) {
    if (result.ops[use.getOwner()].graph != placement.graph || !wanted(use))
      continue;
    bool better = !chosen || isUpdate(use) < isUpdate(*chosen) ||
                  (isUpdate(use) == isUpdate(*chosen) &&
                   use.getOwner()->isBeforeInBlock(chosen->getOwner()));
    if (better)
      chosen = &use;
  }
  if (chosen)
    for (auto [own, cut] : llvm::zip_equal(storage.dims, *wanted(*chosen)))
      if (!cut.batch)
        own = cut;
  placement.results = {storage};
  return success();
}

LogicalResult AssignmentBuilder::place(Operation *op) {
  OpPlacement &placement = result.ops[op];
  if (auto variable = dyn_cast<VariableOp>(op))
    return placeVariable(variable, placement);
  if (!placement.loops.empty() || isa<IterationSpaceOpInterface>(op))
    return placeCompute(op, placement);
  // Inputs are read where and as they are used; losses and assigns take whole
  // values (an assign takes the variable's placement: RoleBuilder).
  for (Value operand : op->getOperands())
    placement.operands.push_back(Placement::replicated(
        placement.graph, Rhythm::Step, tensorType(operand).getRank()));
  for (Value value : op->getResults())
    placement.results.push_back(Placement::replicated(
        placement.graph, rhythmOf(placement.phase), tensorType(value).getRank()));
  return success();
}

//===----------------------------------------------------------------------===//
// Transfers
//===----------------------------------------------------------------------===//

void AssignmentBuilder::addTransfer(Value value, const OpPlacement &user,
                                    Placement target) {
  const Placement &have = result.produced(value);
  Phase produced = result.ops[value.getDefiningOp()].phase;
  Transfer transfer;
  transfer.value = value;
  transfer.from = have.graph;
  transfer.to = user.graph;
  // A per-micro-batch value that is read once per step is summed first.
  bool once = have.rhythm == Rhythm::Step || rhythmOf(user.phase) == Rhythm::Step;
  transfer.phase = have.rhythm == Rhythm::Step ? produced
                   : once                      ? Phase::Update
                                               : produced;
  transfer.source = have;
  transfer.source.partial = 0;
  transfer.source.partialMicro = false;
  transfer.source.rhythm = once ? Rhythm::Step : Rhythm::Micro;
  target.partial = 0;
  target.partialMicro = false;
  target.rhythm = transfer.source.rhythm;
  for (auto [from, to] : llvm::zip_equal(transfer.source.dims, target.dims))
    if (to.batch && !from.batch)
      to = DimCut();
  transfer.target = target;
  SmallVector<Transfer, 1> &known = result.byValue[value];
  for (const Transfer &other : known)
    if (other.to == transfer.to && other.phase == transfer.phase)
      return;
  transfer.tag = result.transferList.size();
  known.push_back(transfer);
  result.transferList.push_back(transfer);
}

void AssignmentBuilder::findTransfers(Operation *op) {
  const OpPlacement &placement = result.ops[op];
  for (auto [index, operand] : llvm::enumerate(op->getOperands())) {
    Operation *producer = operand.getDefiningOp();
    if (Assignment::isMadeAnywhere(producer) ||
        result.ops[producer].graph == placement.graph)
      continue;
    addTransfer(operand, placement, placement.operands[index]);
  }
}

FailureOr<Assignment> Assignment::create(ModuleDefOp step,
                                         ArrayRef<Mesh> meshes) {
  return AssignmentBuilder(step, meshes).run();
}
