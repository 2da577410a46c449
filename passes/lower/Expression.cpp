//===- Expression.cpp - what a cluster computes, as a graph ---------------===//

#include "passes/lower/Expression.h"
#include "runtime/format/Random.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

/// A value that costs more than this is kept for later passes over the row
/// instead of being computed again.
static constexpr unsigned kKeepCost = 4;
/// A transcendental, in units of a load or an addition.
static constexpr unsigned kTranscendentalCost = 16;

Type lower::widened(Type element) {
  if (element.isBF16() || element.isF16())
    return Float32Type::get(element.getContext());
  return element;
}

format::ScalarT lower::scalarOf(rank::ScalarAttr attr) {
  using format::TermKind;
  // In the order of rank.scalar's kinds.
  static constexpr TermKind kinds[] = {TermKind::Step, TermKind::MicroBatch,
                                       TermKind::RankScalar};
  format::ScalarT scalar;
  scalar.constant = attr.getConstant();
  ArrayRef<int64_t> terms = attr.getTerms();
  for (size_t i = 0; i + 2 < terms.size(); i += 3)
    scalar.terms.emplace_back(kinds[terms[i]], terms[i + 1], terms[i + 2]);
  return scalar;
}

/// into += factor * from.
static void addScaled(format::ScalarT &into, const format::ScalarT &from,
                      int64_t factor) {
  into.constant += factor * from.constant;
  for (const format::Term &term : from.terms) {
    auto same = llvm::find_if(into.terms, [&](const format::Term &t) {
      return t.kind() == term.kind() && t.index() == term.index();
    });
    int64_t coefficient = factor * term.coefficient();
    if (same == into.terms.end())
      into.terms.emplace_back(term.kind(), term.index(), coefficient);
    else
      *same = format::Term(term.kind(), term.index(),
                           same->coefficient() + coefficient);
  }
}

static SmallVector<int64_t, 6> rowMajor(ArrayRef<int64_t> shape) {
  SmallVector<int64_t, 6> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

Expression::Expression(const Cluster &cluster, const Clusters &clusters)
    : cluster(cluster), clusters(clusters) {
  buildRoots();
  setGroups();
  setLevels();
  keepForLaterPasses();
}

Level Expression::levelOf(ArrayRef<int64_t> strides) const {
  Level level = Level::Kernel;
  for (auto [dim, stride] : llvm::enumerate(strides)) {
    if (stride == 0 || cluster.domain[dim] == 1)
      continue;
    if (dim >= innerStart)
      return Level::Element;
    level = Level::Row;
  }
  return level;
}

SmallVector<int64_t, 6> Expression::stridesOf(ArrayRef<int64_t> shape,
                                              const IndexMap &map,
                                              int64_t *base) const {
  SmallVector<int64_t, 6> own = rowMajor(shape), strides(cluster.domain.size());
  for (auto [dim, target] : llvm::enumerate(map.dims)) {
    if (target >= 0)
      strides[target] += own[dim];
    if (base)
      *base += own[dim] * map.offsets[dim];
  }
  return strides;
}

int Expression::scalarIndex(format::ScalarT scalar) {
  scalars.push_back(std::move(scalar));
  return scalars.size() - 1;
}

unsigned Expression::build(Value value, const IndexMap &map) {
  std::vector<int64_t> place(map.dims.begin(), map.dims.end());
  place.insert(place.end(), map.offsets.begin(), map.offsets.end());
  auto key = std::make_pair(value.getAsOpaquePointer(), std::move(place));
  auto found = memo.find(key);
  if (found != memo.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  bool inside =
      op && isFusible(op) && (isVirtual(op) || clusters.of(op) == &cluster);
  unsigned node = inside ? buildOp(op, value, map) : buildLoad(value, map);
  memo[key] = node;
  return node;
}

unsigned Expression::buildLoad(Value value, const IndexMap &map) {
  Node node;
  node.kind = Node::Load;
  node.value = value;
  node.strides = stridesOf(tensorType(value).getShape(), map, &node.base);
  nodes.push_back(node);
  return nodes.size() - 1;
}

/// Merges neighbouring dimensions that every access walks through evenly.
void Expression::setGroups() {
  SmallVector<const SmallVector<int64_t, 6> *> accesses;
  llvm::DenseSet<unsigned> indexed;
  for (const Node &node : nodes) {
    if (!node.strides.empty())
      accesses.push_back(&node.strides);
    if (node.kind == Node::Iota && node.dim >= 0)
      indexed.insert(node.dim);
  }
  for (const Root &root : roots)
    if (root.level == Level::Element)
      accesses.push_back(&root.strides);
  for (unsigned dim = 0; dim < cluster.domain.size(); ++dim) {
    int64_t extent = cluster.domain[dim];
    if (extent == 1)
      continue;
    bool inner = dim >= cluster.outerRank();
    bool joins = !groups.empty() && groups.back().inner == inner &&
                 !indexed.contains(dim) &&
                 !indexed.contains(groups.back().last);
    for (const auto *strides : accesses)
      joins =
          joins && (*strides)[groups.back().last] == (*strides)[dim] * extent;
    if (!joins)
      groups.push_back(Group{1, dim, inner, {}});
    groups.back().extent *= extent;
    groups.back().last = dim;
    groups.back().dims.push_back(dim);
  }
  // Without rows the innermost loop is the last group.
  innerStart = cluster.outerRank();
  if (cluster.rowDims == 0 && !groups.empty()) {
    groups.back().inner = true;
    innerStart = groups.back().dims.front();
  }
}

void Expression::setLevels() {
  for (Node &node : nodes) {
    setLevel(node);
    passes = std::max(passes, node.pass + 1);
  }
}

/// Level, pass and cost, of the strides and the operands.
void Expression::setLevel(Node &node) {
  bool costly = isa_and_nonnull<ExpOp, LogOp, TanhOp, ErfOp, SigmoidOp, GeluOp,
                                GeluGradOp, SiluOp, SiluGradOp, SinOp, CosOp,
                                PowOp, DropoutOp>(node.op);
  node.cost = costly ? kTranscendentalCost : 1;
  node.level = levelOf(node.strides);
  if (node.kind == Node::Iota && node.dim >= 0)
    node.level = unsigned(node.dim) < innerStart ? Level::Row : Level::Element;
  for (unsigned operand : node.operands) {
    const Node &source = nodes[operand];
    node.level = std::max(node.level, source.level);
    node.pass = std::max(node.pass, source.pass);
    if (source.level == Level::Element)
      node.cost = std::min(node.cost + source.cost, 1000u);
  }
  if (node.kind == Node::RowReduce) {
    node.level = Level::Row;
    node.cost = 0;
    node.pass += 1;
  }
}

void Expression::setDropout(Node &node, Operation *op, const IndexMap &map) {
  auto dropout = cast<DropoutOp>(op);
  auto shape = op->getAttrOfType<DenseI64ArrayAttr>("global_shape");
  ArrayRef<int64_t> global =
      shape ? shape.asArrayRef() : tensorType(dropout.getResult()).getShape();
  node.kind = Node::Dropout;
  node.strides = stridesOf(global, map);
  format::ScalarT base;
  if (auto offsets = op->getAttrOfType<ArrayAttr>("offsets"))
    for (auto [offset, stride] : llvm::zip(offsets, rowMajor(global)))
      addScaled(base, scalarOf(cast<rank::ScalarAttr>(offset)), stride);
  // Three scalars: index of the box's first element, key, path (Random.h).
  node.scalar = scalarIndex(std::move(base));
  format::ScalarT key, path;
  key.terms.emplace_back(format::TermKind::Seed, 0, 1);
  key.terms.emplace_back(format::TermKind::Step, 0,
                         static_cast<int64_t>(0x9E3779B97F4A7C15ull));
  scalarIndex(std::move(key));
  auto named = op->getAttrOfType<StringAttr>("path");
  StringRef name = dropout.getKey() ? *dropout.getKey()
                   : named          ? named.getValue()
                                    : StringRef();
  path.constant = static_cast<int64_t>(
      format::pathHash(std::string_view(name.data(), name.size())));
  scalarIndex(std::move(path));
}

unsigned Expression::buildOp(Operation *op, Value value, const IndexMap &map) {
  if (isa<BroadcastOp, SliceOp>(op))
    return build(op->getOperand(0), operandMap(op, 0, map));
  Node node;
  node.op = op;
  node.value = value;
  if (auto reduce = dyn_cast<ReduceOp>(op)) {
    node.kind = Node::RowReduce;
    node.operands.push_back(
        build(reduce.getOperand(), identityMap(cluster.domain.size())));
    nodes.push_back(node);
    rowReduces.push_back(nodes.size() - 1);
    return nodes.size() - 1;
  }
  if (isa<DropoutOp>(op))
    setDropout(node, op, map);
  else if (isa<ConstantOp>(op))
    node.kind = Node::Constant;
  else if (isa<StepNumberOp>(op)) {
    format::ScalarT step;
    step.terms.emplace_back(format::TermKind::Step, 0, 1);
    node.kind = Node::StepTerm;
    node.scalar = scalarIndex(std::move(step));
  } else if (auto iota = dyn_cast<IotaOp>(op)) {
    node.kind = Node::Iota;
    node.dim = map.dims[iota.getDim()];
    node.base = map.offsets[iota.getDim()];
    if (auto offsets = op->getAttrOfType<ArrayAttr>("offsets"))
      node.scalar =
          scalarIndex(scalarOf(cast<rank::ScalarAttr>(offsets[iota.getDim()])));
  } else if (isa<rank::AccumulateOp>(op)) {
    // The old value comes from the accumulator itself.
    node.kind = Node::Add;
    node.operands.push_back(buildLoad(value, map));
  }
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
    node.operands.push_back(build(op->getOperand(i), operandMap(op, i, map)));
  nodes.push_back(node);
  return nodes.size() - 1;
}

//===----------------------------------------------------------------------===//
// Roots
//===----------------------------------------------------------------------===//

/// Whether anything but this cluster's members reads `value`.
static bool isRead(Value value, const Cluster &cluster,
                   const Clusters &clusters) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) {
    if (isFusible(user) && isVirtual(user) &&
        isRead(user->getResult(0), cluster, clusters))
      return true;
    if (isFusible(user) && isVirtual(user))
      return clusters.of(user) != nullptr;
    return clusters.of(user) != &cluster;
  });
}

SmallVector<Value> lower::outputsOf(const Cluster &cluster,
                                    const Clusters &clusters) {
  SmallVector<Value> outputs;
  for (Operation *op : cluster.ops)
    if (isa<rank::AccumulateOp>(op) || isVirtual(op) ||
        op->hasAttr("gradient_of") ||
        isRead(op->getResult(0), cluster, clusters))
      outputs.push_back(op->getResult(0));
  return outputs;
}

void Expression::buildRoots() {
  for (Value value : outputsOf(cluster, clusters)) {
    Operation *op = value.getDefiningOp();
    ArrayRef<int64_t> runs = domainOf(op), shape = tensorType(value).getShape();
    bool element = runs == ArrayRef(cluster.domain);
    IndexMap map = identityMap(runs.size());
    Root root;
    root.value = value;
    root.level = element ? Level::Element : Level::Row;
    auto reduce = dyn_cast<ReduceOp>(op);
    bool row = reduce && element &&
               reduceForm(reduce, cluster.rowDims) == ReduceForm::Row;
    if (reduce && !row) {
      root.kind = Root::Accumulate;
      root.reduction = reduce.getKind();
      root.node = build(reduce.getOperand(), map);
      IndexMap kept;
      for (unsigned dim = 0; dim < runs.size(); ++dim)
        if (!llvm::is_contained(reduce.getDims(), int64_t(dim)))
          kept.add(dim);
      root.strides = stridesOf(shape, kept);
    } else {
      if (row) {
        root.level = Level::Row;
        map = identityMap(cluster.outerRank());
      }
      root.node = build(value, map);
      root.strides = stridesOf(shape, map);
    }
    roots.push_back(root);
  }
}

//===----------------------------------------------------------------------===//
// Values for later passes
//===----------------------------------------------------------------------===//

/// Walks what pass `pass` needs of `index`; keeps costly values of earlier
/// passes.
void Expression::visitPass(unsigned index, unsigned pass,
                           SmallVectorImpl<char> &seen) {
  Node &node = nodes[index];
  if (node.level != Level::Element || seen[index])
    return;
  seen[index] = 1;
  if (node.slot >= 0 || node.reload >= 0)
    if (node.pass < pass)
      return;
  if (node.pass < pass && node.cost > kKeepCost && node.kind != Node::Load) {
    for (auto [i, root] : llvm::enumerate(roots)) {
      Type element = tensorType(root.value).getElementType();
      if (root.kind == Root::Store && root.node == index &&
          (element.isF32() || element.isF64()))
        node.reload = i;
    }
    if (node.reload < 0) {
      node.slot = slots.size();
      slots.push_back(widened(tensorType(node.value).getElementType()));
    }
    return;
  }
  for (unsigned operand : node.operands)
    visitPass(operand, pass, seen);
}

void Expression::keepForLaterPasses() {
  for (unsigned pass = passes; pass-- > 1;) {
    SmallVector<char> seen(nodes.size());
    for (const Root &root : roots)
      if (root.level == Level::Element && nodes[root.node].pass == pass)
        visitPass(root.node, pass, seen);
    for (unsigned reduce : rowReduces)
      if (nodes[nodes[reduce].operands[0]].pass == pass)
        visitPass(nodes[reduce].operands[0], pass, seen);
    // What is kept is computed in its own pass, which is earlier.
    for (unsigned i = 0; i < nodes.size(); ++i)
      if (nodes[i].slot >= 0 && nodes[i].pass == pass)
        visitPass(i, pass, seen);
  }
}

bool Expression::readsOnlyUpTo(Value value, unsigned pass) const {
  // Which loads of `value` are reached in passes after `pass`.
  for (unsigned later = pass + 1; later < passes; ++later) {
    SmallVector<unsigned> work;
    for (const Root &root : roots)
      if (root.level == Level::Element && nodes[root.node].pass == later)
        work.push_back(root.node);
    for (unsigned reduce : rowReduces)
      if (nodes[nodes[reduce].operands[0]].pass == later)
        work.push_back(nodes[reduce].operands[0]);
    for (unsigned i = 0; i < nodes.size(); ++i)
      if (nodes[i].slot >= 0 && nodes[i].pass == later)
        work.push_back(i);
    while (!work.empty()) {
      const Node &node = nodes[work.pop_back_val()];
      if (node.level != Level::Element)
        continue;
      if (node.kind == Node::Load && node.value == value)
        return false;
      if ((node.slot >= 0 || node.reload >= 0) && node.pass < later)
        continue;
      llvm::append_range(work, node.operands);
    }
  }
  return true;
}

SmallVector<InPlaceChoice> lower::inPlaceChoices(const Cluster &cluster,
                                                 const Clusters &clusters) {
  Expression expression(cluster, clusters);
  SmallVector<int64_t, 6> identity = rowMajor(cluster.domain);
  SmallVector<InPlaceChoice> choices;
  for (const Root &root : expression.roots) {
    if (root.kind != Root::Store || root.level != Level::Element ||
        isa<rank::AccumulateOp>(root.value.getDefiningOp()))
      continue;
    llvm::SetVector<Value> inputs;
    llvm::DenseSet<Value> shifted;
    for (const Node &node : expression.nodes) {
      if (node.kind != Node::Load)
        continue;
      inputs.insert(node.value);
      if (node.base != 0)
        shifted.insert(node.value);
      for (auto [dim, extent] : llvm::enumerate(cluster.domain))
        if (extent > 1 && node.strides[dim] != identity[dim])
          shifted.insert(node.value);
    }
    for (Value input : inputs)
      if (!shifted.contains(input) && input.getType() == root.value.getType() &&
          expression.readsOnlyUpTo(input, expression.nodes[root.node].pass))
        choices.push_back({root.value, input});
  }
  return choices;
}
