//===- Splits.cpp - which axis cuts which loop ----------------------------===//

#include "passes/plan/Splits.h"

#include "compiler/support/PathPattern.h"
#include "passes/plan/FlatStep.h"
#include "passes/plan/Optimizers.h"
#include "passes/plan/Stages.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;
using planner::Axis;
using planner::AxisKind;

//===----------------------------------------------------------------------===//
// What an axis wants of an op
//===----------------------------------------------------------------------===//

namespace {

/// A mesh axis and the loop, or tensor dimension, that it cuts.
struct Cut {
  unsigned axis, loop;
  /// A replica axis, and the loop is not the batch.
  bool colocated = false;
};

/// Chooses loops for axes. One for each module, as names are.
class Chooser {
public:
  Chooser(ModuleDefOp module, const planner::NormalForm &form);

  /// The loop of `op` that the axis cuts, by names alone.
  std::optional<unsigned> wanted(Operation *op, unsigned axis);
  /// The loop that splits on the devices of a replica axis cut.
  std::optional<unsigned> colocated(Operation *op, unsigned axis);
  /// Whether `op` can be cut there as it stands.
  bool canCut(Operation *op, unsigned loop) const;
  ArrayRef<Axis> axesOf(Operation *op) const {
    return form.stages[graphOf(op)].axes;
  }
  DimensionNames names;

private:
  using Patterns = std::vector<PathPattern>;
  /// Patterns of one axis, and of each of the splits on its devices.
  struct Scopes {
    Patterns axis;
    std::vector<Patterns> colocated;
  };
  static Patterns parse(ArrayRef<std::string> paths);
  /// The first of `dims` that the op has; backward ops as their forward op.
  std::optional<unsigned> firstOf(Operation *op, unsigned index,
                                  ArrayRef<std::string> dims);
  /// Into how many pieces the first `axes` axes cut a loop.
  int64_t piecesOf(Operation *op, unsigned loop, unsigned axes);

  const planner::NormalForm &form;
  /// Per stage and axis.
  std::vector<std::vector<Scopes>> scopes;
  /// Own or chosen name by forward path and axis, for the backward part.
  llvm::StringMap<std::string> chosen;
};

} // namespace

Chooser::Chooser(ModuleDefOp module, const planner::NormalForm &form)
    : names(module), form(form) {
  for (const planner::StageForm &stage : form.stages) {
    auto &axes = scopes.emplace_back();
    for (const Axis &axis : stage.axes) {
      axes.push_back({parse(axis.paths), {}});
      for (const planner::ColocatedSplit &split : axis.colocated)
        axes.back().colocated.push_back(parse(split.paths));
    }
  }
}

Chooser::Patterns Chooser::parse(ArrayRef<std::string> paths) {
  // Patterns were checked when the strategy was read.
  Diagnostics ignored;
  Patterns list;
  for (const std::string &text : paths)
    if (auto pattern = PathPattern::parse(text, Place(), ignored))
      list.push_back(*pattern);
  return list;
}

static bool covers(ArrayRef<PathPattern> list, Operation *op) {
  auto origin = op->getAttrOfType<StringAttr>(originAttr);
  StringRef path = basePath(origin ? origin.getValue() : pathOf(op));
  return list.empty() || llvm::any_of(list, [&](const PathPattern &pattern) {
           return pattern.covers(path);
         });
}

std::optional<unsigned> Chooser::wanted(Operation *op, unsigned index) {
  const Axis &axis = axesOf(op)[index];
  if (axis.size <= 1 || !isa<IterationSpaceOpInterface>(op) ||
      !covers(scopes[graphOf(op)][index].axis, op))
    return std::nullopt;
  if (axis.kind == AxisKind::Replica)
    return names.findLoop(op, "batch");
  return firstOf(op, index, axis.dims);
}

std::optional<unsigned> Chooser::colocated(Operation *op, unsigned index) {
  const Axis &axis = axesOf(op)[index];
  if (axis.size <= 1 || !isa<IterationSpaceOpInterface>(op))
    return std::nullopt;
  for (auto [split, patterns] :
       llvm::zip_equal(axis.colocated, scopes[graphOf(op)][index].colocated))
    if (covers(patterns, op))
      if (auto loop = firstOf(op, index, split.dims);
          loop && loop != names.findLoop(op, "batch"))
        return loop;
  return std::nullopt;
}

std::optional<unsigned> Chooser::firstOf(Operation *op, unsigned index,
                                         ArrayRef<std::string> dims) {
  int64_t size = axesOf(op)[index].size;
  std::string key = (basePath(pathOf(op)) + "#" + Twine(index)).str();
  if (auto it = chosen.find(key); it != chosen.end())
    if (auto loop = names.findLoop(op, it->second))
      return loop;
  for (const std::string &dim : dims)
    if (auto loop = names.findLoop(op, dim)) {
      // With several dims an op whose own is too short for the axis is
      // repeated, as the cost model has it; a single one is an error later.
      if (dims.size() > 1 && names.spaceOf(op).loops[*loop].extent <
                                 piecesOf(op, *loop, index) * size)
        return std::nullopt;
      if (phaseOf(op) == Phase::Forward)
        chosen.try_emplace(key, names.loopNames(op, *loop).front().str());
      return loop;
    }
  return std::nullopt;
}

int64_t Chooser::piecesOf(Operation *op, unsigned loop, unsigned axes) {
  int64_t pieces = 1;
  for (unsigned axis = 0; axis < axes; ++axis) {
    std::optional<unsigned> own = colocated(op, axis);
    if ((own ? own : wanted(op, axis)) == loop)
      pieces *= axesOf(op)[axis].size;
  }
  return pieces;
}

/// Whether `loop` is the outermost of every tensor dimension that it is in, so
/// that a part of it is a part of the tensor.
static bool isOutermost(const IterationSpace &space, unsigned loop) {
  for (const auto *list : {&space.operands, &space.results})
    for (const Access &access : *list)
      for (const auto &loops : access.dims)
        if (llvm::is_contained(loops, loop) && loops.front() != loop)
          return false;
  return true;
}

bool Chooser::canCut(Operation *op, unsigned loop) const {
  const IterationSpace &space = names.spaceOf(op);
  LoopKind kind = space.loops[loop].kind;
  return (kind == LoopKind::Parallel || kind == LoopKind::Indexed) &&
         isOutermost(space, loop);
}

//===----------------------------------------------------------------------===//
// Expansion
//===----------------------------------------------------------------------===//

/// Micro-batches cut the batch as a replica axis does.
static LogicalResult checkBatchCoupling(Operation *op, Chooser &chooser,
                                        const planner::NormalForm &form,
                                        bool &expand) {
  std::optional<unsigned> batch = chooser.names.findLoop(op, "batch");
  if (form.microBatches == 1 || !batch || phaseOf(op) == Phase::Update ||
      chooser.names.spaceOf(op).loops[*batch].kind != LoopKind::Whole)
    return success();
  if (auto over = op->getAttrOfType<IntegerAttr>("over")) {
    expand = true;
    return success();
  }
  return op->emitOpError("couples all samples of the batch, which ")
         << form.microBatches
         << " micro-batches cut; 'over' names smaller sets";
}

LogicalResult plan::expandForSplits(ModuleDefOp module,
                                    const planner::NormalForm &form) {
  Chooser chooser(module, form);
  SmallVector<Operation *> expanded;
  for (Operation &op : blockOf(module)) {
    if (!isa<IterationSpaceOpInterface>(op))
      continue;
    bool expand = false;
    if (failed(checkBatchCoupling(&op, chooser, form, expand)))
      return failure();
    for (unsigned axis = 0; axis < chooser.axesOf(&op).size(); ++axis)
      for (auto loop :
           {chooser.wanted(&op, axis), chooser.colocated(&op, axis)})
        expand |= loop && chooser.names.spaceOf(&op).loops[*loop].kind ==
                              LoopKind::Whole;
    if (expand && isa<ExpandableOpInterface>(op))
      expanded.push_back(&op);
  }
  for (Operation *op : expanded)
    expandInPlace(op, [&](OpBuilder &builder) {
      return cast<ExpandableOpInterface>(op).expand(builder);
    });
  return success();
}

//===----------------------------------------------------------------------===//
// Placing
//===----------------------------------------------------------------------===//

namespace {

class Splitter {
public:
  Splitter(ModuleDefOp module, const planner::NormalForm &form)
      : module(module), chooser(module, form) {}

  void run();

private:
  void byNames(Operation *op);
  void byFirstUser(Operation *op);
  void slot(VariableOp op);
  void shard(VariableOp parameter);
  void update(Operation *op);
  void set(Operation *op, ArrayRef<Cut> cuts);
  static StringRef parameterOf(Operation *op) {
    auto attr = op->getAttrOfType<StringAttr>(parameterAttr);
    return attr ? attr.getValue() : StringRef();
  }

  ModuleDefOp module;
  Chooser chooser;
  llvm::DenseMap<Operation *, SmallVector<Cut>> cuts;
  /// Cuts of a parameter's update, the optimizer's shards among them.
  llvm::StringMap<std::pair<VariableOp, SmallVector<Cut>>> parameters;
  /// Cuts of the values of update ops, by tensor dimension.
  llvm::DenseMap<Value, SmallVector<Cut>> placed;
};

} // namespace

void Splitter::set(Operation *op, ArrayRef<Cut> list) {
  SmallVector<Cut> sorted(list);
  llvm::sort(sorted,
             [](const Cut &a, const Cut &b) { return a.axis < b.axis; });
  Builder builder(op->getContext());
  SmallVector<Attribute> pairs, colocated;
  for (const Cut &cut : sorted)
    (cut.colocated ? colocated : pairs)
        .push_back(builder.getI64ArrayAttr({cut.axis, cut.loop}));
  if (!pairs.empty())
    op->setAttr(splitAttr, builder.getArrayAttr(pairs));
  if (!colocated.empty())
    op->setAttr(colocatedAttr, builder.getArrayAttr(colocated));
  cuts[op] = sorted;
}

void Splitter::byNames(Operation *op) {
  SmallVector<Cut> list;
  for (unsigned axis = 0; axis < chooser.axesOf(op).size(); ++axis) {
    std::optional<unsigned> own = chooser.colocated(op, axis);
    if (own && chooser.canCut(op, *own)) {
      list.push_back({axis, *own, /*colocated=*/true});
      continue;
    }
    if (auto loop = chooser.wanted(op, axis))
      if (chooser.canCut(op, *loop))
        list.push_back({axis, *loop});
  }
  set(op, list);
}

/// Variables, also as they are read in another precision, and inputs.
static bool isSource(Operation *op) {
  if (isa<CastOp>(op) && phaseOf(op) == Phase::Prologue)
    op = op->getOperand(0).getDefiningOp();
  return isa<VariableOp, InputOp>(op);
}

/// A source is cut as its first user wants it. A cast is an op of its own, cut
/// over the replicas where that user is; a variable just lies so.
void Splitter::byFirstUser(Operation *op) {
  OpOperand *first = nullptr;
  for (OpOperand &use : op->getResult(0).getUses())
    if (isa<IterationSpaceOpInterface>(use.getOwner()) &&
        phaseOf(use.getOwner()) != Phase::Update &&
        graphOf(use.getOwner()) == graphOf(op) &&
        (!first || use.getOwner()->isBeforeInBlock(first->getOwner())))
      first = &use;
  if (!first)
    return set(op, {});
  Operation *user = first->getOwner();
  if (!cuts.contains(user))
    isSource(user) ? byFirstUser(user) : byNames(user);
  const Access &access =
      chooser.names.spaceOf(user).operands[first->getOperandNumber()];
  SmallVector<Cut> list;
  for (const Cut &cut : cuts[user])
    if (auto dim = access.dimOf(cut.loop))
      list.push_back({cut.axis, *dim, cut.colocated && isa<CastOp>(op)});
  set(op, list);
}

/// The dimension of a variable along which one more axis shards its optimizer
/// state: the largest that no axis cuts yet, else the one with most rows in a
/// shard of those that outer axes cut for the state alone, whose shards an axis
/// within them may cut again. It has a row for each shard.
static std::optional<unsigned> dimToShard(ArrayRef<int64_t> shape,
                                          ArrayRef<Cut> variable,
                                          ArrayRef<Cut> state,
                                          ArrayRef<Axis> axes, int64_t size) {
  auto cutBy = [](ArrayRef<Cut> list, unsigned dim) {
    return llvm::any_of(list, [=](const Cut &cut) { return cut.loop == dim; });
  };
  auto rowsOf = [&](unsigned dim) {
    int64_t rows = shape[dim];
    for (const Cut &cut : state)
      if (cut.loop == dim)
        rows /= axes[cut.axis].size;
    return rows;
  };
  auto largest = [&](bool again) {
    std::optional<unsigned> best;
    for (unsigned dim = 0; dim < shape.size(); ++dim)
      if (!cutBy(variable, dim) && cutBy(state, dim) == again &&
          rowsOf(dim) >= size && (!best || rowsOf(dim) > rowsOf(*best)))
        best = dim;
    return best;
  };
  std::optional<unsigned> fresh = largest(false);
  return fresh ? fresh : largest(true);
}

/// Adds the axes that shard the optimizer.
void Splitter::shard(VariableOp op) {
  SmallVector<Cut> own = cuts[op], state;
  ArrayRef<int64_t> shape = tensorType(op.getResult()).getShape();
  ArrayRef<Axis> axes = chooser.axesOf(op);
  for (auto [index, axis] : llvm::enumerate(axes)) {
    bool cuts = llvm::any_of(
        own, [index = index](const Cut &cut) { return cut.axis == index; });
    if (axis.kind != AxisKind::Replica || axis.size <= 1 || cuts ||
        axis.shard != planner::Shard::Optimizer)
      continue;
    if (auto dim = dimToShard(shape, own, state, axes, axis.size))
      state.push_back({static_cast<unsigned>(index), *dim});
  }
  own.append(state);
  parameters[variablePath(op)] = {op, own};
}

/// Slots have the parameter's shape, or (Adafactor) a run of its dimensions.
void Splitter::slot(VariableOp op) {
  auto &[parameter, list] = parameters[parameterOf(op)];
  ArrayRef<int64_t> shape = tensorType(parameter.getResult()).getShape();
  unsigned rank = tensorType(op.getResult()).getRank(), first = 0;
  if (variablePath(op).ends_with("#column"))
    first = factorCut(shape);
  SmallVector<Cut> own;
  for (const Cut &cut : list)
    if (cut.loop >= first && cut.loop < first + rank)
      own.push_back({cut.axis, cut.loop - first});
  set(op, own);
  placed[op.getResult()] = own;
}

/// Update ops follow their operands' cuts; what comes from elsewhere with the
/// parameter's shape (its gradient, itself) is cut as its update.
void Splitter::update(Operation *op) {
  auto it = parameters.find(parameterOf(op));
  if (it == parameters.end() || !isa<IterationSpaceOpInterface>(op))
    return byNames(op);
  auto &[parameter, own] = it->second;
  const IterationSpace &space = chooser.names.spaceOf(op);
  SmallVector<Cut> list;
  auto include = [&](const Cut &cut) {
    for (const Cut &other : list)
      if (other.axis == cut.axis)
        return;
    list.push_back(cut);
  };
  for (auto [operand, access] :
       llvm::zip_equal(op->getOperands(), space.operands)) {
    auto known = placed.find(operand);
    ArrayRef<Cut> source;
    if (known != placed.end())
      source = known->second;
    else if (tensorType(operand).getShape() ==
             tensorType(parameter.getResult()).getShape())
      source = own;
    for (const Cut &cut : source)
      if (!access.dims[cut.loop].empty())
        include({cut.axis, access.dims[cut.loop].front()});
  }
  set(op, list);
  for (auto [result, access] :
       llvm::zip_equal(op->getResults(), space.results)) {
    auto &dims = placed[result];
    for (const Cut &cut : list)
      if (auto dim = access.dimOf(cut.loop))
        dims.push_back({cut.axis, *dim});
  }
}

void Splitter::run() {
  Block &block = blockOf(module);
  SmallVector<Operation *> updates, slots;
  for (Operation &op : block.without_terminator()) {
    if (auto variable = dyn_cast<VariableOp>(op);
        variable && variable.getKind() == VariableKind::slot)
      slots.push_back(&op);
    else if (phaseOf(&op) == Phase::Update)
      updates.push_back(&op);
    else if (isSource(&op) && !cuts.contains(&op))
      byFirstUser(&op);
    else if (isa<IterationSpaceOpInterface>(op) && !cuts.contains(&op))
      byNames(&op);
  }
  llvm::StringMap<Operation *> variables;
  for (VariableOp op : block.getOps<VariableOp>()) {
    variables[variablePath(op)] = op;
    if (op.getKind() != VariableKind::slot)
      shard(op);
  }
  for (Operation *op : slots)
    slot(cast<VariableOp>(op));
  for (Operation *op : updates) {
    auto assign = dyn_cast<AssignOp>(op);
    if (!assign) {
      update(op);
      continue;
    }
    // The new value goes where the variable is.
    if (auto it = variables.find(assign.getName()); it != variables.end())
      set(op, SmallVector<Cut>(cuts[it->second]));
  }
}

void plan::assignSplits(ModuleDefOp module, const planner::NormalForm &form) {
  Splitter(module, form).run();
}
