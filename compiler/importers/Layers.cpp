//===- Layers.cpp - what transformer families have in common --------------===//

#include "compiler/importers/Layers.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

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
// Activations and norms
//===----------------------------------------------------------------------===//

namespace {
struct ActivationName {
  std::string_view name;
  Activation kind;
};
} // namespace

/// Hugging Face's spellings (transformers/activations.py).
static constexpr ActivationName activationNames[] = {
    {"gelu", Activation::Gelu},
    {"gelu_new", Activation::GeluTanh},
    {"gelu_pytorch_tanh", Activation::GeluTanh},
    {"relu", Activation::Relu},
    {"silu", Activation::Silu},
    {"swish", Activation::Silu},
};

Activation importers::readActivation(Config &config, std::string_view key,
                                     std::string fallback) {
  std::vector<std::string> allowed;
  for (const ActivationName &entry : activationNames)
    allowed.emplace_back(entry.name);
  std::string name = config.choice(key, std::move(fallback), allowed);
  for (const ActivationName &entry : activationNames)
    if (entry.name == name)
      return entry.kind;
  return Activation::Gelu;
}

Value importers::activate(ModuleBuilder &module, StringRef name, Value operand,
                          Activation kind) {
  switch (kind) {
  case Activation::Gelu:
    return module.gelu(name, operand, /*tanh=*/false);
  case Activation::GeluTanh:
    return module.gelu(name, operand, /*tanh=*/true);
  case Activation::Relu:
    return module.unary<ReluOp>(name, operand);
  case Activation::Silu:
    return module.unary<SiluOp>(name, operand);
  }
  llvm_unreachable("unknown activation");
}

Value importers::normalize(ModuleBuilder &module, StringRef name, Value operand,
                           Norm norm) {
  int64_t features = lastExtent(operand);
  Value scale = module.variable(with(name, ".weight"), {features},
                                importers::constant(1));
  if (norm.kind == NormKind::Rms)
    return module.rmsNorm(name, operand, scale, norm.epsilon);
  Value shift =
      module.variable(with(name, ".bias"), {features}, importers::constant(0));
  return module.layerNorm(name, operand, scale, shift, norm.epsilon);
}

//===----------------------------------------------------------------------===//
// Linear layers
//===----------------------------------------------------------------------===//

Value importers::linear(ModuleBuilder &module, StringRef name, Value operand,
                        const Linear &spec) {
  Value weight = module.variable(with(name, ".weight"),
                                 {lastExtent(operand), spec.extent}, spec.init);
  std::string rows =
      tensorType(operand).getRank() == 2 ? "batch " : "batch sequence ";
  std::string from = spec.from.str(), dim = spec.dim.str();
  Value result = module.einsum(
      name, rows + from + ", " + from + " " + dim + " -> " + rows + dim,
      operand, weight);
  if (!spec.bias)
    return result;
  Value bias = module.variable(with(name, ".bias"), {spec.extent},
                               importers::constant(0));
  return module.add(with(name, ".biased"), result, bias);
}

Value importers::feedForward(ModuleBuilder &module, Value operand,
                             const FeedForward &spec) {
  Linear in = {"ffn", spec.ffn, spec.in, spec.bias};
  Value hidden;
  if (spec.gated) {
    Value gate = linear(module, "gate", operand, in);
    gate = activate(module, "activation", gate, spec.activation);
    hidden = module.mul("gated", gate, linear(module, "up", operand, in));
  } else {
    hidden = linear(module, "up", operand, in);
    hidden = activate(module, "activation", hidden, spec.activation);
  }
  hidden = module.dropout("activation.dropout", hidden, spec.dropout);
  return linear(module, "down", hidden,
                {"hidden", lastExtent(operand), spec.out, spec.bias, "ffn"});
}

//===----------------------------------------------------------------------===//
// Embeddings
//===----------------------------------------------------------------------===//

Value importers::embed(ModuleBuilder &module, StringRef name, Value tokens,
                       int64_t vocabulary, int64_t hidden, Init init) {
  Value table =
      module.variable(with(name, ".weight"), {vocabulary, hidden}, init);
  return module.embedding(name, table, tokens);
}

Value importers::positions(ModuleBuilder &module, StringRef name,
                           int64_t positions, int64_t sequence, int64_t hidden,
                           Init init) {
  Value table =
      module.variable(with(name, ".weight"), {positions, hidden}, init);
  return module.slice(name, table, 0, 0, sequence);
}

Value importers::decode(ModuleBuilder &module, StringRef name, Value operand,
                        Value table) {
  return module.einsum(name,
                       "batch sequence hidden, vocabulary hidden"
                       " -> batch sequence vocabulary",
                       operand, table);
}

//===----------------------------------------------------------------------===//
// Attention
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

/// softmax(q k^T * scale + bias) v in primitive ops, with dropout of the
/// probabilities, which the fused op does not have.
static Value attendByHand(ModuleBuilder &module, Value query, Value key,
                          Value value, const Attention &spec) {
  Value scores = module.einsum("scores",
                               "batch sequence heads group head, "
                               "batch keys heads head "
                               "-> batch heads group sequence keys",
                               query, key);
  scores = module.scale("scores.scaled", scores, spec.scale);
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

/// k or v: [batch, keys, heads, head].
static Value projectKeys(ModuleBuilder &module, StringRef name, Value memory,
                         const Attention &spec) {
  int64_t hidden = lastExtent(memory);
  Value weight = module.variable(
      with(name, ".weight"), {hidden, spec.heads, spec.head}, spec.keyValue);
  Value result = module.einsum(
      name, "batch keys hidden, hidden heads head -> batch keys heads head",
      memory, weight);
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
  Value weight = module.variable("q.weight", shape, spec.query);
  Value result = module.einsum("q",
                               "batch sequence hidden, hidden heads group head"
                               " -> batch sequence heads group head",
                               operand, weight);
  if (!spec.bias)
    return result;
  Value bias = module.variable("q.bias", Shape(shape).drop_front(),
                               importers::constant(0));
  return module.add("q.biased", result, bias);
}

Value importers::attend(ModuleBuilder &module, Value operand, Value memory,
                        const Attention &spec) {
  int64_t hidden = lastExtent(operand);
  Value query = projectQuery(module, operand, spec);
  Value key = projectKeys(module, "k", memory, spec);
  Value value = projectKeys(module, "v", memory, spec);
  if (spec.rotaryTheta) {
    query = module.rotary("q.rotary", query, *spec.rotaryTheta);
    key = module.rotary("k.rotary", key, *spec.rotaryTheta);
  }
  Value result = spec.dropout > 0
                     ? attendByHand(module, query, key, value, spec)
                     : module.attention("attention", query, key, value,
                                        spec.scale, spec.mask);
  Value weight = module.variable(
      "out.weight", {spec.heads, spec.group, spec.head, hidden}, spec.out);
  result = module.einsum("out",
                         "batch sequence heads group head, "
                         "heads group head hidden -> batch sequence hidden",
                         result, weight);
  if (!spec.outBias)
    return result;
  Value bias = module.variable("out.bias", {hidden}, importers::constant(0));
  return module.add("out.biased", result, bias);
}
