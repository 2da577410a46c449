//===- Attention.cpp - attention with its projections ---------------------===//

#include "compiler/importers/Attention.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

static int64_t lastExtent(Value value) {
  return tensorType(value).getShape().back();
}

static std::string with(StringRef name, StringRef suffix) {
  return (name + suffix).str();
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

/// Scores are finite, so that a fully masked row would not give NaN.
static constexpr double maskedScore = -1e30;

Value importers::causalMask(ModuleBuilder &module, int64_t sequence,
                            std::optional<int64_t> window) {
  RankedTensorType type = module.owner().integers({sequence, sequence});
  Value row = module.iota("query.position", type, 0);
  Value column = module.iota("key.position", type, 1);
  Value seen = module.compare("causal", Predicate::ge, row, column);
  if (!window)
    return seen;
  Value distance = module.binary<SubOp>("distance", row, column);
  Value near = module.compare("near", Predicate::lt, distance,
                              module.integer("window", *window));
  return module.select("causal.near", seen, near, seen);
}

/// 2^(-8 (i + 1) / n) for the i-th of n heads, n a power of two. Other numbers
/// take those of the next lower power n, then every other one of 2 n (the
/// authors' code).
static Value slopes(ModuleBuilder &module, int64_t heads) {
  int64_t power = 1;
  while (2 * power <= heads)
    power *= 2;
  RankedTensorType type = module.owner().real({heads});
  Value head = module.iota("head.number", type, 0);
  auto series = [&](StringRef name, double first, double step) {
    double start = -8 * std::log(2.0) * first / double(power);
    double slope = -8 * std::log(2.0) * step / double(power);
    Value exponent = module.scale(with(name, ".exponent"), head, slope);
    exponent = module.add(with(name, ".shifted"), exponent,
                          module.constant(with(name, ".start"), start));
    return module.unary<ExpOp>(name, exponent);
  };
  Value main = series("slope", 1, 1);
  if (power == heads)
    return main;
  // Head power + j: 2^(-8 (2 j + 1) / (2 n)).
  Value rest = series("slope.rest", 0.5 - double(power), 1);
  Value isMain = module.compare("slope.main", Predicate::lt, head,
                                module.constant("slope.power", double(power)));
  return module.select("slope.joined", isMain, main, rest);
}

Value importers::linearBias(ModuleBuilder &module, int64_t heads,
                            int64_t sequence) {
  RankedTensorType type = module.owner().real({sequence, sequence});
  Value row = module.iota("query.position", type, 0);
  Value column = module.iota("key.position", type, 1);
  Value distance = module.binary<SubOp>("distance", column, row);
  SmallVector<int64_t> shape = {heads, 1, sequence, sequence};
  distance = module.broadcast("distance.heads", distance, {2, 3}, shape);
  Value slope =
      module.broadcast("slope.heads", slopes(module, heads), {0}, shape);
  return module.mul("linear_bias", slope, distance);
}

/// softmax(q k^T * scale + bias) v in primitive ops, with dropout of the
/// probabilities and a cap of the scores, which the fused op does not have.
static Value attendByHand(ModuleBuilder &module, Value query, Value key,
                          Value value, const Attention &spec) {
  Value scores = module.einsum("scores",
                               "batch sequence heads group head, "
                               "batch keys heads head "
                               "-> batch heads group sequence keys",
                               query, key);
  scores = module.scale("scores.scaled", scores, spec.scale);
  if (spec.scoreCap > 0) {
    scores = module.scale("scores.narrow", scores, 1 / spec.scoreCap);
    scores = module.unary<TanhOp>("scores.tanh", scores);
    scores = module.scale("scores.capped", scores, spec.scoreCap);
  }
  if (spec.mask.bias)
    scores = module.add("scores.biased", scores, spec.mask.bias);
  if (spec.mask.causal) {
    Value seen =
        causalMask(module, tensorType(query).getDimSize(1), spec.mask.window);
    scores = module.select("scores.masked", seen, scores,
                           module.constant("masked", maskedScore));
  }
  Value weights = module.softmax("probabilities", scores);
  weights = module.dropout("probabilities.dropout", weights, spec.dropout);
  return module.einsum("attention",
                       "batch heads group sequence keys, "
                       "batch keys heads head "
                       "-> batch sequence heads group head",
                       weights, value);
}

/// Attention of q, k and v, and the projection of its result.
static Value attendAndProject(ModuleBuilder &module, Value query, Value key,
                              Value value, const Attention &spec,
                              int64_t hidden) {
  bool isFused = spec.dropout == 0 && spec.scoreCap == 0;
  Value result = isFused ? module.attention("attention", query, key, value,
                                            spec.scale, spec.mask)
                         : attendByHand(module, query, key, value, spec);
  result = project(module, "out",
                   "batch sequence heads group head, "
                   "heads group head hidden -> batch sequence hidden",
                   result, {spec.heads, spec.group, lastExtent(value), hidden},
                   spec.out, "o");
  if (!spec.outBias)
    return result;
  Value bias = module.variable("out.bias", {hidden}, importers::constant(0));
  return module.add("out.biased", result, bias);
}

//===----------------------------------------------------------------------===//
// Grouped-query attention
//===----------------------------------------------------------------------===//

/// k or v: [batch, keys, heads, head].
static Value projectKeys(ModuleBuilder &module, StringRef name, Value memory,
                         const Attention &spec) {
  Value result = project(
      module, name,
      "batch keys hidden, hidden heads head -> batch keys heads head", memory,
      {lastExtent(memory), spec.heads, spec.head}, spec.keyValue);
  if (!spec.bias)
    return result;
  Value bias = module.variable(with(name, ".bias"), {spec.heads, spec.head},
                               importers::constant(0));
  return module.add(with(name, ".biased"), result, bias);
}

static Value projectQuery(ModuleBuilder &module, Value operand,
                          const Attention &spec) {
  SmallVector<int64_t> shape = {lastExtent(operand), spec.heads, spec.group,
                                spec.head};
  Value result = project(module, "q",
                         "batch sequence hidden, hidden heads group head"
                         " -> batch sequence heads group head",
                         operand, shape, spec.query);
  if (!spec.bias)
    return result;
  Value bias = module.variable("q.bias", Shape(shape).drop_front(),
                               importers::constant(0));
  return module.add("q.biased", result, bias);
}

static Value normalizeHeads(ModuleBuilder &module, StringRef name, Value value,
                            const Attention &spec) {
  if (spec.headNorm == HeadNorm::Trained)
    return normalize(module, with(name, "_norm"), value,
                     {NormKind::Rms, spec.headNormEpsilon});
  Value ones = module.constant(with(name, "_norm.ones"), 1, {spec.head});
  return module.rmsNorm(with(name, "_norm"), value, ones, spec.headNormEpsilon);
}

/// Turns the first elements of each head by their position.
static Value turn(ModuleBuilder &module, StringRef name, Value value,
                  const Attention &spec) {
  std::string turnedName = with(name, ".rotary");
  int64_t rank = tensorType(value).getRank();
  int64_t turned = spec.rotaryDims, rest = spec.head - turned;
  if (turned == 0 || rest == 0)
    return module.rotary(turnedName, value, *spec.rotary);
  Value first = module.slice(with(name, ".first"), value, rank - 1, 0, turned);
  first = module.rotary(turnedName, first, *spec.rotary);
  Value last = module.slice(with(name, ".last"), value, rank - 1, turned, rest);
  return module.concat(with(name, ".joined"), {first, last}, rank - 1);
}

Value importers::attend(ModuleBuilder &module, Value operand, Value memory,
                        const Attention &spec) {
  Value query = projectQuery(module, operand, spec);
  Value key = projectKeys(module, "k", memory, spec);
  Value value = projectKeys(module, "v", memory, spec);
  if (spec.headNorm == HeadNorm::Trained) {
    query = normalizeHeads(module, "q", query, spec);
    key = normalizeHeads(module, "k", key, spec);
  }
  if (spec.rotary) {
    query = turn(module, "q", query, spec);
    key = turn(module, "k", key, spec);
  }
  if (spec.headNorm == HeadNorm::Plain) {
    query = normalizeHeads(module, "q", query, spec);
    key = normalizeHeads(module, "k", key, spec);
  }
  return attendAndProject(module, query, key, value, spec, lastExtent(operand));
}

//===----------------------------------------------------------------------===//
// Latent attention
//===----------------------------------------------------------------------===//

/// [batch, sequence, heads, 1, plain + rotary]. The weight's columns are two
/// variables, so that nothing has to be cut apart.
static Value latentQuery(ModuleBuilder &module, Value operand,
                         const Attention &spec, const Latent &latent) {
  std::string from = "hidden";
  if (latent.queryRank) {
    from = "latent";
    operand = linear(module, "q_down", operand,
                     {"latent", *latent.queryRank, spec.query});
    operand = normalize(module, "q_norm", operand, latent.norm);
  }
  std::string equation = "batch sequence " + from + ", " + from +
                         " heads group head"
                         " -> batch sequence heads group head";
  int64_t rank = lastExtent(operand);
  Value plain = project(module, "q_plain", equation, operand,
                        {rank, spec.heads, 1, latent.plain}, spec.query);
  Value turned = project(module, "q_rotary", equation, operand,
                         {rank, spec.heads, 1, latent.rotary}, spec.query);
  turned = module.rotary("q_rotary.rotary", turned, *spec.rotary);
  return module.concat("q", {plain, turned}, 4);
}

Value importers::attendLatent(ModuleBuilder &module, Value operand,
                              const Attention &spec, const Latent &latent) {
  Value query = latentQuery(module, operand, spec, latent);
  int64_t hidden = lastExtent(operand), rank = latent.keyValueRank;
  Value shared =
      linear(module, "kv_down", operand, {"latent", rank, spec.keyValue});
  shared = normalize(module, "kv_norm", shared, latent.norm);
  const char *up =
      "batch keys latent, latent heads head -> batch keys heads head";
  Value plain = project(module, "k_up", up, shared,
                        {rank, spec.heads, latent.plain}, spec.keyValue);
  Value value = project(module, "v_up", up, shared,
                        {rank, spec.heads, latent.value}, spec.keyValue);
  Value turned = project(module, "k_rotary",
                         "batch keys hidden, hidden head -> batch keys head",
                         operand, {hidden, latent.rotary}, spec.keyValue);
  turned = module.rotary("k_rotary.rotary", turned, *spec.rotary);
  SmallVector<int64_t> shape(tensorType(plain).getShape());
  shape.back() = latent.rotary;
  turned = module.broadcast("k_rotary.heads", turned, {0, 1, 3}, shape);
  Value key = module.concat("k", {plain, turned}, 3);
  return attendAndProject(module, query, key, value, spec, hidden);
}
