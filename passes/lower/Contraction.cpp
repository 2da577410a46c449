//===- Contraction.cpp - an einsum as one batched matrix product ----------===//

#include "passes/lower/Contraction.h"

using namespace llvm;
using namespace whale;
using namespace whale::lower;

namespace {

constexpr int kLhs = 0, kRhs = 1, kResult = 2;

/// A loop dimension with its stride in the three tensors; -1 = not there.
struct Dim {
  int64_t extent = 1;
  int64_t stride[3] = {-1, -1, -1};
  bool in(int tensor) const { return stride[tensor] >= 0; }
};

/// A run of dimensions, outermost first, walked with one stride in `a` and `b`.
using Run = SmallVector<const Dim *, 4>;

class Analysis {
public:
  Analysis(const Equation &equation, ArrayRef<int64_t> lhs,
           ArrayRef<int64_t> rhs, ArrayRef<int64_t> result)
      : names{equation.lhs, equation.rhs, equation.result},
        extents{lhs, rhs, result} {}

  Contraction run();

private:
  void setDims();
  bool tryProduct(format::ContractT &contract, bool swapped);
  std::optional<int64_t> contractedStride(int tensor, const Run &k) const;
  Run chooseRun(ArrayRef<const Dim *> dims, int operand, bool unitOperand,
                bool unitResult) const;
  void canonicalise(int tensor);
  SmallVector<const Dim *> select(bool lhs, bool rhs, bool result) const;

  ArrayRef<std::string> names[3];
  ArrayRef<int64_t> extents[3];
  StorageOrder orders[3];
  std::vector<std::pair<std::string, Dim>> dims;
};

} // namespace

/// Loop dimensions, result's first, with strides under the storage orders.
void Analysis::setDims() {
  dims.clear();
  for (int tensor : {kResult, kLhs, kRhs}) {
    ArrayRef<int64_t> shape = extents[tensor];
    int64_t stride = 1;
    for (size_t i = shape.size(); i-- > 0;) {
      unsigned dim = orders[tensor].empty() ? i : orders[tensor][i];
      const std::string &name = names[tensor][dim];
      auto found = find_if(dims, [&](auto &d) { return d.first == name; });
      if (found == dims.end()) {
        dims.push_back({name, Dim()});
        found = std::prev(dims.end());
        found->second.extent = shape[dim];
      }
      found->second.stride[tensor] = stride;
      stride *= shape[dim];
    }
  }
}

/// Dimensions above extent 1 that are in exactly these tensors.
SmallVector<const Dim *> Analysis::select(bool lhs, bool rhs,
                                          bool result) const {
  SmallVector<const Dim *> selected;
  for (const auto &[name, dim] : dims)
    if (dim.extent != 1 && dim.in(kLhs) == lhs && dim.in(kRhs) == rhs &&
        dim.in(kResult) == result)
      selected.push_back(&dim);
  return selected;
}

/// Whether outer and inner walk as one dimension in a tensor.
static bool merges(const Dim &outer, const Dim &inner, int tensor) {
  return outer.stride[tensor] == inner.stride[tensor] * inner.extent;
}

/// The longest run (by elements) of dims that merge in `operand` and the
/// result, ending at the unit stride where that is asked for.
Run Analysis::chooseRun(ArrayRef<const Dim *> group, int operand,
                        bool unitOperand, bool unitResult) const {
  SmallVector<const Dim *> sorted(group);
  llvm::sort(sorted, [](const Dim *a, const Dim *b) {
    return a->stride[kResult] > b->stride[kResult];
  });
  Run best;
  int64_t bestSize = 0;
  for (size_t last = 0; last < sorted.size(); ++last) {
    const Dim *inner = sorted[last];
    if ((unitOperand && inner->stride[operand] != 1) ||
        (unitResult && inner->stride[kResult] != 1))
      continue;
    Run run = {inner};
    int64_t size = inner->extent;
    for (size_t i = last; i-- > 0;) {
      if (!merges(*sorted[i], *run.front(), operand) ||
          !merges(*sorted[i], *run.front(), kResult))
        break;
      run.insert(run.begin(), sorted[i]);
      size *= sorted[i]->extent;
    }
    if (size > bestSize) {
      best = run;
      bestSize = size;
    }
  }
  return best;
}

/// Stride of the contracted run in an operand, none where it does not merge.
std::optional<int64_t> Analysis::contractedStride(int tensor,
                                                  const Run &k) const {
  for (size_t i = 0; i + 1 < k.size(); ++i)
    if (!merges(*k[i], *k[i + 1], tensor))
      return std::nullopt;
  return k.empty() ? 1 : k.back()->stride[tensor];
}

static int64_t sizeOf(ArrayRef<const Dim *> run) {
  int64_t size = 1;
  for (const Dim *dim : run)
    size *= dim->extent;
  return size;
}

/// Row strides of the three matrices from the strides of their runs.
static void setLeading(format::ContractT &c, const Run &m, const Run &n,
                       const Run &k, int a, int b, int64_t strideA,
                       int64_t strideB) {
  auto stride = [](const Run &run, int tensor, int64_t fallback) {
    return run.empty() ? fallback : run.back()->stride[tensor];
  };
  c.m = sizeOf(m);
  c.n = sizeOf(n);
  c.k = sizeOf(k);
  c.lda = c.transA ? strideA : stride(m, a, c.k);
  c.ldb = c.transB ? stride(n, b, c.k) : k.empty() ? c.n : strideB;
  c.ldc = stride(m, kResult, c.n);
}

/// Tries the product with A = lhs (or rhs, swapped) as the tensors are stored.
bool Analysis::tryProduct(format::ContractT &c, bool swapped) {
  int a = swapped ? kRhs : kLhs, b = swapped ? kLhs : kRhs;
  Run k;
  append_range(k, select(true, true, false));
  llvm::sort(k, [&](const Dim *x, const Dim *y) {
    return x->stride[b] > y->stride[b];
  });
  std::optional<int64_t> strideA = contractedStride(a, k),
                         strideB = contractedStride(b, k);
  if (!strideA || !strideB)
    return false;
  SmallVector<const Dim *> onlyA = select(!swapped, swapped, true),
                           onlyB = select(swapped, !swapped, true);
  // A unit stride must be somewhere in each matrix: in k, or in the other.
  c.transA = *strideA != 1;
  c.transB = *strideB == 1 && !k.empty();
  Run n = chooseRun(onlyB, b, !c.transB, true);
  Run m = chooseRun(onlyA, a, c.transA, false);
  // Rows of the result need a unit stride, unless it is a single element.
  if ((c.transA && m.empty() && !onlyA.empty()) ||
      (n.empty() && !(onlyA.empty() && onlyB.empty())))
    return false;
  setLeading(c, m, n, k, a, b, *strideA, *strideB);
  c.batch.clear();
  for (const auto &[name, dim] : dims)
    if (dim.extent != 1 && !is_contained(m, &dim) && !is_contained(n, &dim) &&
        !is_contained(k, &dim))
      c.batch.emplace_back(dim.extent, std::max<int64_t>(dim.stride[a], 0),
                           std::max<int64_t>(dim.stride[b], 0),
                           dim.stride[kResult]);
  llvm::sort(c.batch, [](const format::BatchDim &x, const format::BatchDim &y) {
    return x.strideC() > y.strideC();
  });
  return true;
}

/// Gives a tensor the order batch, own, contracted (the result: batch, lhs,
/// rhs), each group in the order of the result or of the rhs.
void Analysis::canonicalise(int tensor) {
  auto rankOf = [&](unsigned index) {
    const std::string &name = names[tensor][index];
    auto found = find_if(dims, [&](auto &d) { return d.first == name; });
    const Dim &dim = found->second;
    int group = dim.in(kLhs) && dim.in(kRhs) ? (dim.in(kResult) ? 0 : 2)
                : tensor == kResult          ? (dim.in(kLhs) ? 1 : 2)
                                             : 1;
    int reference = dim.in(kResult) ? kResult : kRhs;
    size_t place =
        llvm::find(names[reference], name) - names[reference].begin();
    return std::make_pair(group, place);
  };
  StorageOrder order;
  for (unsigned i = 0; i < names[tensor].size(); ++i)
    order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&](unsigned x, unsigned y) { return rankOf(x) < rankOf(y); });
  orders[tensor] = order;
}

Contraction Analysis::run() {
  Contraction found;
  // Fewest and smallest copies first: none, the smaller operand, the larger,
  // both, and the result with them.
  auto size = [&](int tensor) {
    int64_t elements = 1;
    for (int64_t extent : extents[tensor])
      elements *= extent;
    return elements;
  };
  int small = size(kLhs) < size(kRhs) ? kLhs : kRhs, large = 1 - small;
  SmallVector<SmallVector<int, 3>> attempts = {
      {},           {small},          {large},          {kResult},
      {kLhs, kRhs}, {small, kResult}, {large, kResult}, {kLhs, kRhs, kResult}};
  for (ArrayRef<int> copies : attempts) {
    for (StorageOrder &order : orders)
      order.clear();
    setDims();
    for (int tensor : copies)
      canonicalise(tensor);
    setDims();
    for (bool swapped : {false, true}) {
      if (!tryProduct(found.contract, swapped))
        continue;
      found.swapped = swapped;
      found.lhs = orders[kLhs];
      found.rhs = orders[kRhs];
      found.result = orders[kResult];
      return found;
    }
  }
  llvm_unreachable("canonical orders always give a product");
}

Contraction lower::analyseContraction(const Equation &equation,
                                      ArrayRef<int64_t> lhs,
                                      ArrayRef<int64_t> rhs,
                                      ArrayRef<int64_t> result) {
  return Analysis(equation, lhs, rhs, result).run();
}
