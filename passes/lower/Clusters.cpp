//===- Clusters.cpp - which ops become one kernel -------------------------===//

#include "passes/lower/Clusters.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

/// Members that a cluster may have: bounds the size of a kernel's text.
static constexpr size_t kMaxMembers = 192;
/// Values of the domain's size that a cluster may read from memory: each lives
/// until the kernel runs (a sum over the steps of a recurrence would keep all).
static constexpr size_t kMaxInputs = 8;
/// Elements of a row that a kernel keeps in cache over its passes (256 KiB of
/// f32); a vector longer than this is summed in blocks instead.
static constexpr int64_t kMaxSingleRow = 65536;

//===----------------------------------------------------------------------===//
// Phases and kinds of ops
//===----------------------------------------------------------------------===//

static constexpr StringRef kPhaseNames[] = {"prologue", "forward", "backward",
                                            "update"};

StringRef lower::nameOf(Phase phase) {
  return kPhaseNames[static_cast<unsigned>(phase)];
}

Phase lower::phaseOf(Operation *op) {
  if (auto accumulate = dyn_cast<rank::AccumulateOp>(op))
    if (Operation *source = accumulate.getOperand().getDefiningOp())
      return phaseOf(source);
  auto name = op->getAttrOfType<StringAttr>("phase");
  for (unsigned i = 0; name && i < kNumPhases; ++i)
    if (kPhaseNames[i] == name.getValue())
      return static_cast<Phase>(i);
  return Phase::Forward;
}

bool lower::isFusible(Operation *op) {
  return isa<ScalarOpInterface, ReduceOp, DropoutOp, BroadcastOp, IotaOp,
             SliceOp, ConstantOp, StepNumberOp, rank::AccumulateOp>(op) &&
         llvm::none_of(op->getResults(), isAccumulator);
}

bool lower::isVirtual(Operation *op) {
  if (isa<ConstantOp, IotaOp, BroadcastOp, SliceOp, StepNumberOp>(op))
    return true;
  if (!isa<CastOp>(op))
    return false;
  Operation *source = op->getOperand(0).getDefiningOp();
  return !source || !isFusible(source) || isVirtual(source);
}

ArrayRef<int64_t> lower::domainOf(Operation *op) {
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return tensorType(reduce.getOperand()).getShape();
  return tensorType(op->getResult(0)).getShape();
}

bool lower::reducesTrailing(ReduceOp op) {
  int64_t first = domainOf(op).size() - op.getDims().size();
  for (auto [index, dim] : llvm::enumerate(op.getDims()))
    if (dim != first + static_cast<int64_t>(index))
      return false;
  if (op.getDims().empty())
    return false;
  // A single row is worth it only where it stays in cache.
  return first > 0 ||
         tensorType(op.getOperand()).getNumElements() <= kMaxSingleRow;
}

ReduceForm lower::reduceForm(ReduceOp op, unsigned rowDims) {
  bool row =
      reducesTrailing(op) && (rowDims == 0 || op.getDims().size() == rowDims);
  return row ? ReduceForm::Row : ReduceForm::Accumulate;
}

//===----------------------------------------------------------------------===//
// Index maps
//===----------------------------------------------------------------------===//

IndexMap lower::identityMap(unsigned rank) {
  IndexMap map;
  for (unsigned dim = 0; dim < rank; ++dim)
    map.add(dim);
  return map;
}

IndexMap lower::alignMap(ArrayRef<int64_t> shape, ArrayRef<int64_t> domain,
                         const IndexMap &map) {
  IndexMap aligned;
  size_t skip = domain.size() - shape.size();
  for (auto [index, extent] : llvm::enumerate(shape)) {
    if (extent == domain[skip + index])
      aligned.add(map.dims[skip + index], map.offsets[skip + index]);
    else
      aligned.add(-1);
  }
  return aligned;
}

IndexMap lower::operandMap(Operation *op, unsigned index, const IndexMap &map) {
  if (auto broadcast = dyn_cast<BroadcastOp>(op)) {
    IndexMap inner;
    for (int64_t dim : broadcast.getDims())
      inner.add(map.dims[dim], map.offsets[dim]);
    return inner;
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    IndexMap inner = map;
    inner.offsets[slice.getDim()] += slice.getStart();
    return inner;
  }
  return alignMap(tensorType(op->getOperand(index)).getShape(), domainOf(op),
                  map);
}

void lower::forEachLeaf(Operation *op, const IndexMap &map,
                        function_ref<void(Value, const IndexMap &)> visit) {
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i) {
    IndexMap inner = operandMap(op, i, map);
    Value operand = op->getOperand(i);
    Operation *source = operand.getDefiningOp();
    if (source && isVirtual(source))
      forEachLeaf(source, inner, visit);
    else
      visit(operand, inner);
  }
}

//===----------------------------------------------------------------------===//
// Formation
//===----------------------------------------------------------------------===//

/// Whether something else than kernels reads a virtual op's value.
static bool needsBuffer(Operation *op) {
  return llvm::any_of(op->getUsers(),
                      [](Operation *user) { return !isFusible(user); });
}

Clusters::Clusters(ArrayRef<Operation *> ops,
                   function_ref<bool(Operation *)> isLeft)
    : order(ops) {
  for (auto [index, op] : llvm::enumerate(ops))
    indexOf[op] = index;
  for (Operation *op : ops)
    if (isFusible(op) && !isLeft(op) && (!isVirtual(op) || needsBuffer(op)))
      place(op);
  for (auto &cluster : owned)
    if (!cluster->ops.empty())
      result.push_back(cluster.get());
  llvm::sort(result,
             [](Cluster *a, Cluster *b) { return a->position < b->position; });
}

unsigned Clusters::positionOf(Operation *op) const {
  if (Cluster *cluster = of(op))
    return cluster->position;
  return indexOf.lookup(op);
}

/// Clusters of the producers, latest first, then those of siblings.
void Clusters::candidates(Operation *op, Set &found) const {
  Phase phase = phaseOf(op);
  auto add = [&](Cluster *cluster) {
    if (cluster && !cluster->ops.empty() && cluster->phase == phase &&
        !isVirtual(cluster->ops.front()) && !llvm::is_contained(found, cluster))
      found.push_back(cluster);
  };
  ArrayRef<int64_t> domain = domainOf(op);
  IndexMap map = identityMap(domain.size());
  forEachLeaf(op, map, [&](Value leaf, const IndexMap &) {
    if (Operation *source = leaf.getDefiningOp())
      add(of(source));
  });
  llvm::sort(found,
             [](Cluster *a, Cluster *b) { return a->position > b->position; });
  forEachLeaf(op, map, [&](Value leaf, const IndexMap &inner) {
    if (inner == map && leaf.getDefiningOp())
      add(lastReader.lookup(leaf));
  });
}

/// Whether `value`, a member's result, is one value per row.
bool Clusters::isRowLevel(Value value, ArrayRef<int64_t> domain,
                          unsigned rowDims) const {
  return rowDims > 0 &&
         tensorType(value).getShape() == domain.drop_back(rowDims);
}

bool Clusters::checkOperand(Value value, const IndexMap &map, const Set &merged,
                            ArrayRef<int64_t> domain, unsigned rowDims) const {
  Operation *source = value.getDefiningOp();
  Cluster *cluster = source ? of(source) : nullptr;
  if (!cluster || !llvm::is_contained(merged, cluster))
    return true;
  ArrayRef<int64_t> runs = domainOf(source);
  if (auto reduce = dyn_cast<ReduceOp>(source)) {
    // What ends in memory is not complete before the kernel is.
    if (runs != domain || reduceForm(reduce, rowDims) != ReduceForm::Row)
      return false;
    return map == identityMap(domain.size() - rowDims);
  }
  if (runs == domain)
    return map == identityMap(domain.size());
  return isRowLevel(value, domain, rowDims) &&
         map == identityMap(domain.size() - rowDims);
}

/// Whether `op` can read the members of `merged` that it uses.
bool Clusters::fits(Operation *op, const Set &merged, ArrayRef<int64_t> domain,
                    unsigned rowDims) const {
  IndexMap map = identityMap(domainOf(op).size());
  bool good = true;
  forEachLeaf(op, map, [&](Value leaf, const IndexMap &inner) {
    good &= checkOperand(leaf, inner, merged, domain, rowDims);
  });
  return good;
}

/// Users of an op's results, seen through virtual ops.
void Clusters::collectUsers(Operation *op,
                            SmallVectorImpl<Operation *> &users) const {
  for (Operation *user : op->getUsers()) {
    if (!isVirtual(user) || of(user))
      users.push_back(user);
    if (isVirtual(user))
      collectUsers(user, users);
  }
}

/// First place of a user outside; order.size() when there is none yet.
unsigned Clusters::latestOf(const Set &merged, Operation *op) const {
  unsigned latest = order.size(), now = indexOf.lookup(op);
  SmallVector<Operation *> users;
  for (Cluster *cluster : merged)
    for (Operation *member : cluster->ops)
      collectUsers(member, users);
  for (Operation *user : users) {
    Cluster *cluster = of(user);
    if (user == op || (cluster && llvm::is_contained(merged, cluster)))
      continue;
    // A fusible op that is not placed yet comes later and will look itself.
    if (indexOf.lookup(user) < now)
      latest = std::min(latest, positionOf(user));
  }
  return latest;
}

/// Last place of a definition outside, plus one.
unsigned Clusters::earliestOf(const Set &merged, Operation *op) const {
  unsigned earliest = 0;
  auto visit = [&](Value leaf, const IndexMap &) {
    Operation *source = leaf.getDefiningOp();
    Cluster *cluster = source ? of(source) : nullptr;
    if (source && !(cluster && llvm::is_contained(merged, cluster)))
      earliest = std::max(earliest, positionOf(source) + 1);
  };
  for (Cluster *cluster : merged)
    for (Operation *member : cluster->ops)
      forEachLeaf(member, identityMap(domainOf(member).size()), visit);
  // Members of the set are no outside; `op` reads them freely.
  forEachLeaf(op, identityMap(domainOf(op).size()), visit);
  return earliest;
}

std::optional<unsigned> Clusters::positionFor(Operation *op,
                                              const Set &merged) const {
  unsigned latest = latestOf(merged, op), earliest = earliestOf(merged, op);
  std::optional<unsigned> best;
  auto consider = [&](unsigned index) {
    if (index < latest && index >= earliest && (!best || index > *best))
      best = index;
  };
  consider(indexOf.lookup(op));
  for (Cluster *cluster : merged)
    for (Operation *member : cluster->ops)
      consider(indexOf.lookup(member));
  return best;
}

/// Joins a domain and row dimensions with those of another part; false where
/// they do not go together. `inner` is per row of the other, or the reverse.
static bool joinDomains(SmallVectorImpl<int64_t> &domain, unsigned &rowDims,
                        ArrayRef<int64_t> other, unsigned otherRows) {
  if (ArrayRef<int64_t>(domain) == other) {
    if (rowDims && otherRows && rowDims != otherRows)
      return false;
    rowDims = std::max(rowDims, otherRows);
    return true;
  }
  if (rowDims && !otherRows &&
      ArrayRef<int64_t>(domain).drop_back(rowDims) == other)
    return true;
  if (otherRows && !rowDims &&
      other.drop_back(otherRows) == ArrayRef<int64_t>(domain)) {
    domain.assign(other.begin(), other.end());
    rowDims = otherRows;
    return true;
  }
  return false;
}

/// Common domain and row dimensions of `op` and a set.
bool Clusters::joinAll(Operation *op, const Set &set, Merged &merged) const {
  ArrayRef<int64_t> own = domainOf(op);
  merged.domain.assign(own.begin(), own.end());
  auto reduce = dyn_cast<ReduceOp>(op);
  if (reduce && reducesTrailing(reduce))
    merged.rowDims = reduce.getDims().size();
  // A reduction whose own form does not suit may still end in memory: over
  // other dimensions of the domain, or over the values of all rows.
  for (Cluster *cluster : set)
    if (merged.rowDims && cluster->rowDims &&
        ((cluster->rowDims != merged.rowDims &&
          own == ArrayRef(cluster->domain)) ||
         cluster->outer() == own))
      merged.rowDims = 0;
  return llvm::all_of(set, [&](Cluster *cluster) {
    return joinDomains(merged.domain, merged.rowDims, cluster->domain,
                       cluster->rowDims);
  });
}

/// Whether `op` and a set would read more large values than is good.
bool Clusters::readsTooMuch(Operation *op, const Set &set,
                            ArrayRef<int64_t> domain) const {
  if (set.empty())
    return false;
  int64_t size = 1;
  for (int64_t extent : domain)
    size *= extent;
  llvm::SmallDenseSet<Value, 16> inputs;
  auto visit = [&](Value leaf, const IndexMap &) {
    Operation *source = leaf.getDefiningOp();
    Cluster *cluster = source ? of(source) : nullptr;
    if (tensorType(leaf).getNumElements() == size &&
        !(cluster && llvm::is_contained(set, cluster)))
      inputs.insert(leaf);
  };
  for (Cluster *cluster : set)
    for (Operation *member : cluster->ops)
      forEachLeaf(member, identityMap(domainOf(member).size()), visit);
  size_t before = inputs.size();
  forEachLeaf(op, identityMap(domainOf(op).size()), visit);
  return inputs.size() > kMaxInputs && inputs.size() > before;
}

std::optional<Clusters::Merged> Clusters::plan(Operation *op,
                                               const Set &set) const {
  Merged merged;
  size_t members = 1;
  for (Cluster *cluster : set)
    members += cluster->ops.size();
  if (members > kMaxMembers || !joinAll(op, set, merged) ||
      !fits(op, set, merged.domain, merged.rowDims) ||
      readsTooMuch(op, set, merged.domain))
    return std::nullopt;
  // Members must still read each other under the common row dimensions.
  for (Cluster *cluster : set)
    if (cluster->rowDims != merged.rowDims || cluster->domain != merged.domain)
      for (Operation *member : cluster->ops)
        if (!fits(member, set, merged.domain, merged.rowDims))
          return std::nullopt;
  std::optional<unsigned> position = positionFor(op, set);
  if (!position)
    return std::nullopt;
  merged.position = *position;
  return merged;
}

void Clusters::merge(Operation *op, const Set &set, const Merged &merged) {
  Cluster *target = nullptr;
  if (set.empty()) {
    owned.push_back(std::make_unique<Cluster>());
    target = owned.back().get();
    target->phase = phaseOf(op);
  } else {
    target = set.front();
  }
  for (Cluster *cluster : llvm::drop_begin(set, set.empty() ? 0 : 1)) {
    for (Operation *member : cluster->ops)
      clusterOf[member] = target;
    llvm::append_range(target->ops, cluster->ops);
    cluster->ops.clear();
  }
  target->ops.push_back(op);
  clusterOf[op] = target;
  llvm::sort(target->ops, [&](Operation *a, Operation *b) {
    return indexOf.lookup(a) < indexOf.lookup(b);
  });
  target->domain = merged.domain;
  target->rowDims = merged.rowDims;
  target->position = merged.position;
  for (Operation *member : target->ops)
    forEachLeaf(
        member, identityMap(domainOf(member).size()),
        [&](Value leaf, const IndexMap &) { lastReader[leaf] = target; });
}

void Clusters::place(Operation *op) {
  // Virtual ops with a buffer stay alone: kernels do not read them there.
  Set found, accepted;
  if (!isVirtual(op))
    candidates(op, found);
  // All together first, then one after another.
  std::optional<Merged> merged = plan(op, found);
  if (merged)
    return merge(op, found, *merged);
  for (Cluster *candidate : found) {
    accepted.push_back(candidate);
    if (!plan(op, accepted))
      accepted.pop_back();
  }
  merge(op, accepted, *plan(op, accepted));
}
