//===- Experts.cpp - mixtures of experts without capacity -----------------===//

#include "compiler/importers/Experts.h"

#include "dialects/whale/Routing.h"

using namespace mlir;
using namespace whale;
using namespace whale::importers;

static Shape shapeOf(Value value) { return tensorType(value).getShape(); }

/// Smaller than any score.
static constexpr double neverChosen = -1e30;

//===----------------------------------------------------------------------===//
// Routing
//===----------------------------------------------------------------------===//

/// 1 where one of `numbers` [..., choices] is the place, [..., extent], times
/// the choices.
static Value marks(ModuleBuilder &m, StringRef name, Value numbers,
                   int64_t extent, Type element) {
  auto named = [&](StringRef suffix) { return (name + suffix).str(); };
  SmallVector<int64_t> wide(shapeOf(numbers)), dims;
  for (size_t dim = 0; dim < wide.size(); ++dim)
    dims.push_back(dim);
  wide.push_back(extent);
  Value place = m.iota(named(".place"), m.owner().integers({extent}), 0);
  Value repeated = m.broadcast(named(".repeated"), numbers, dims, wide);
  Value is = m.compare(named(".is"), Predicate::eq, repeated, place);
  return m.cast(named(".count"), is, element);
}

/// Scores of experts outside the best groups become too small to be chosen.
static Value limitGroups(ModuleBuilder &m, Value scores, const Experts &spec) {
  Shape shape = shapeOf(scores);
  SmallVector<int64_t> grouped = {shape[0], shape[1], spec.groups,
                                  spec.count / spec.groups};
  Value parts = m.reshape("router.groups", scores, grouped);
  Value best = m.topK("router.group_best", parts, spec.groupTop).first;
  Value quality = m.sum("router.group_quality", best, {3});
  Value chosen = m.topK("router.group_top", quality, spec.groupsChosen).second;
  Value open = m.sum("router.group_open",
                     marks(m, "router.group_chosen", chosen, spec.groups,
                           tensorType(scores).getElementType()),
                     {2});
  open = m.broadcast("router.group_wide", open, {0, 1, 2}, grouped);
  open = m.compare("router.is_open", Predicate::gt,
                   m.reshape("router.open", open, shape),
                   m.constant("router.half", 0.5));
  return m.select("router.limited", open, scores,
                  m.constant("router.closed", neverChosen));
}

/// The best of `scores` and their values. With a correction they are chosen by
/// score + correction and valued by the score.
static std::pair<Value, Value> choose(ModuleBuilder &m, Value scores,
                                      const Experts &spec) {
  Value correction;
  if (spec.correction) {
    correction = m.frozen("router.correction", {spec.count}, constant(0));
    scores = m.add("router.corrected", scores, correction);
  }
  if (spec.groups > 1)
    scores = limitGroups(m, scores, spec);
  auto [values, numbers] = m.topK("router.top", scores, spec.chosen);
  if (!correction)
    return {values, numbers};
  Value table =
      m.reshape("router.correction_table", correction, {spec.count, 1});
  Value taken = m.embedding("router.correction_taken", table, numbers);
  taken = m.reshape("router.correction_chosen", taken, shapeOf(values));
  return {m.binary<SubOp>("router.value", values, taken), numbers};
}

/// The router's experts are named `candidates`, so that `split(experts)` cuts
/// the experts and leaves the small router alone.
Route importers::route(ModuleBuilder &m, Value x, const Experts &spec) {
  Route result;
  result.logits = linear(m, "router", x, {"candidates", spec.count, spec.init});
  Value scores = result.logits;
  if (spec.score == Score::Softmax)
    scores = result.probability = m.softmax("router.probability", scores);
  if (spec.score == Score::Sigmoid)
    scores = m.unary<SigmoidOp>("router.sigmoid", scores);
  std::tie(result.values, result.numbers) = choose(m, scores, spec);
  return result;
}

/// From the chosen's values to what their outputs are multiplied with.
static Value weightsOf(ModuleBuilder &m, Value values, const Experts &spec) {
  if (spec.score == Score::SoftmaxOfChosen)
    values = m.softmax("router.share", values);
  if (spec.normalised) {
    Value sum = m.sum("router.chosen_sum", values, {2});
    sum = m.broadcast("router.chosen_total", sum, {0, 1}, shapeOf(values));
    values = m.binary<DivOp>("router.share", values, sum);
  }
  return spec.scaling == 1 ? values
                           : m.scale("router.scaled", values, spec.scaling);
}

//===----------------------------------------------------------------------===//
// The experts
//===----------------------------------------------------------------------===//

Value importers::applyExperts(ModuleBuilder &m, Value x, const Route &route,
                              const Experts &spec) {
  Value weights = weightsOf(m, route.values, spec);
  int64_t hidden = shapeOf(x).back();
  SmallVector<int64_t> wide(shapeOf(route.numbers));
  wide.push_back(hidden);
  Value rows = m.broadcast("rows", x, {0, 1, 3}, wide);
  if (spec.weighInput)
    rows = m.mul("rows.weighed", rows,
                 m.broadcast("rows.weight", weights, {0, 1, 2}, wide));
  SmallVector<int64_t> up = {spec.count, hidden, spec.ffn};
  auto product = [&](const char *name, const char *weight) {
    return m.expertMatmul(name, rows, m.variable(weight, up, spec.init),
                          route.numbers);
  };
  const char *outer = spec.gated ? "gate" : "up";
  Value inner = product(outer, spec.gated ? "gate.weight" : "up.weight");
  if (spec.groups > spec.groupsChosen)
    inner.getDefiningOp()->setAttr(
        groupLimitAttrName,
        DenseI64ArrayAttr::get(inner.getContext(),
                               {spec.groupsChosen, spec.groups}));
  inner = activate(m, "activation", inner, spec.activation);
  if (spec.gated)
    inner = m.mul("gated", inner, product("up", "up.weight"));
  Value down =
      m.variable("down.weight", {spec.count, spec.ffn, hidden}, spec.init);
  Value outputs = m.expertMatmul("down", inner, down, route.numbers);
  if (spec.weighInput)
    return m.sum("combine", outputs, {2});
  return m.einsum("combine",
                  "batch sequence choices hidden, batch sequence choices"
                  " -> batch sequence hidden",
                  outputs, weights);
}

//===----------------------------------------------------------------------===//
// Balance loss
//===----------------------------------------------------------------------===//

void importers::addBalance(ModuleBuilder &m, const Route &route,
                           const Experts &spec, MutableArrayRef<Value> sums) {
  Shape shape = shapeOf(route.numbers);
  int64_t groups = shape[0] / spec.groupSamples;
  Value probability = route.probability;
  if (!probability)
    probability = m.softmax("router.probability", route.logits);
  Value hits = marks(m, "chosen", route.numbers, spec.count,
                     tensorType(probability).getElementType());
  hits =
      m.reshape("chosen.groups", hits,
                {groups, spec.groupSamples, shape[1], spec.chosen, spec.count});
  probability = m.reshape("probability.groups", probability,
                          {groups, spec.groupSamples, shape[1], spec.count});
  Value choices = m.sum("chosen.sum", hits, {1, 2, 3});
  Value probabilities = m.sum("probability.sum", probability, {1, 2});
  sums[0] = m.add("balance.chosen", sums[0], choices);
  sums[1] = m.add("balance.probability", sums[1], probabilities);
}

void importers::balanceLoss(ModuleBuilder &m, ArrayRef<Value> sums,
                            const Experts &spec, int64_t layers,
                            int64_t sequence) {
  double rows = double(layers) * double(spec.groupSamples) * double(sequence);
  Value product = m.mul("balance.product", sums[0], sums[1]);
  Value sum = m.sum("balance.sum", product, {0, 1});
  sum = m.scale("balance.scaled", sum, double(spec.count) / (rows * rows));
  m.loss("balance", sum,
         m.constant("balance.groups", double(shapeOf(sums[0])[0])),
         spec.balanceWeight);
}
