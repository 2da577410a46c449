//===- Llama.cpp - llama, mistral and mixtral -----------------------------===//
//
// Touvron et al. 2023: rotary positions, RMS norm, SwiGLU; grouped-query
// attention. Mistral (Jiang et al. 2023) adds a sliding window; Mixtral (Jiang
// et al. 2024) replaces the feed-forward by experts, without capacity: every
// token reaches its experts. The router's weights are a softmax over the chosen
// logits, which equals Hugging Face's softmax over all, normalised over the
// chosen.
//
// Balance loss (Fedus et al. 2022, as Hugging Face has it): experts * sum over
// experts of (share of the choices) * (mean router probability), both taken
// over all layers. It couples samples, so it is taken in groups of
// `router_group_samples` samples (our key, default 1) and averaged over groups.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Families.h"
#include "compiler/importers/Layers.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class Llama {
public:
  Llama(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  void readExperts(Config &config);
  void readRotary(Config &config);
  ModuleDefOp embeddings();
  ModuleDefOp attention();
  ModuleDefOp mlp();
  ModuleDefOp experts();
  std::pair<Value, Value> route(ModuleBuilder &m, Value x,
                                SmallVectorImpl<Value> &balance);
  void balanceSums(ModuleBuilder &m, Value logits, Value chosen,
                   SmallVectorImpl<Value> &balance);
  ModuleDefOp block();
  ModuleDefOp head();
  void balanceLoss(ModuleBuilder &m, Value chosen, Value probability);

  RankedTensorType activations() {
    return model.real({batch, sequence, hidden});
  }
  /// Sums that the layers carry for the balance loss.
  RankedTensorType balanceType() {
    return model.real({batch / groupSamples, numExperts});
  }
  Init init() const { return normal(deviation); }

  ModelBuilder &model;
  int64_t batch, vocabulary, sequence, layers, hidden, heads, keyHeads;
  int64_t headSize;
  int64_t ffn, numExperts = 0, chosen = 0, groupSamples = 1;
  std::optional<int64_t> window;
  double theta, deviation, attentionRate, balanceWeight = 0;
  Activation activation;
  Norm norm;
  bool tiedHead, attentionBias, mlpBias;
};
} // namespace

Llama::Llama(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  vocabulary = config.size("vocab_size");
  int64_t maximal = config.size("max_position_embeddings");
  sequence =
      sequenceOf(config, sizes, maximal, "max_position_embeddings", maximal);
  layers = config.size("num_hidden_layers");
  hidden = config.size("hidden_size");
  heads = config.size("num_attention_heads");
  keyHeads = config.size("num_key_value_heads", heads);
  config.requireMultiple("num_attention_heads", heads, "num_key_value_heads",
                         keyHeads);
  if (!config.has("head_dim"))
    config.requireMultiple("hidden_size", hidden, "num_attention_heads", heads);
  headSize = config.size("head_dim", std::max<int64_t>(hidden / heads, 1));
  if (headSize % 2)
    config.error("head_dim", "the head size is " + std::to_string(headSize) +
                                 ", but rotary positions need an even one");
  ffn = config.size("intermediate_size");
  activation = readActivation(config, "hidden_act", "silu");
  norm = {NormKind::Rms, config.number("rms_norm_eps", 1e-6)};
  deviation = config.number("initializer_range", 0.02);
  tiedHead = config.flag("tie_word_embeddings", false);
  attentionBias = config.flag("attention_bias", false);
  mlpBias = config.flag("mlp_bias", false);
  attentionRate = config.rate("attention_dropout", 0);
  readRotary(config);
  readExperts(config);
}

void Llama::readRotary(Config &config) {
  theta = config.number("rope_theta", 1e4);
  if (config.has("rope_scaling"))
    config.warning("rope_scaling", "'rope_scaling' is not applied: positions "
                                   "are those of 'rope_theta' alone");
  std::string type = config.text("model_type", "llama");
  if (type != "llama")
    window = config.optionalSize("sliding_window");
  // A window that reaches over the whole sequence masks nothing.
  if (window && *window >= sequence)
    window.reset();
}

void Llama::readExperts(Config &config) {
  if (config.text("model_type", "llama") != "mixtral")
    return;
  numExperts = config.size("num_local_experts", 8);
  chosen = config.size("num_experts_per_tok", 2);
  if (chosen > numExperts)
    config.error("num_experts_per_tok",
                 "'num_experts_per_tok' is " + std::to_string(chosen) +
                     ", more than the " + std::to_string(numExperts) +
                     " experts");
  groupSamples = config.size("router_group_samples", 1);
  config.requireMultiple("batch", batch, "router_group_samples", groupSamples);
  double weight =
      config.number("router_aux_loss_coef", 0.001, json::nonNegativeNumber);
  if (config.flag("output_router_logits", false))
    balanceWeight = weight;
  if (config.number("router_jitter_noise", 0, json::nonNegativeNumber) > 0)
    config.warning("router_jitter_noise", "'router_jitter_noise' is ignored");
}

ModuleDefOp Llama::embeddings() {
  ModuleBuilder m =
      model.module("embeddings", {model.integers({batch, sequence})});
  return m.finish(
      {embed(m, "token", m.argument(0), vocabulary, hidden, init())});
}

ModuleDefOp Llama::attention() {
  ModuleBuilder m = model.module("attention", {activations()});
  Attention spec;
  spec.heads = keyHeads;
  spec.group = heads / keyHeads;
  spec.head = headSize;
  spec.bias = spec.outBias = attentionBias;
  spec.query = spec.keyValue = spec.out = init();
  spec.scale = 1 / std::sqrt(static_cast<double>(headSize));
  spec.mask.causal = true;
  spec.mask.window = window;
  spec.rotaryTheta = theta;
  spec.dropout = attentionRate;
  return m.finish({attend(m, m.argument(0), m.argument(0), spec)});
}

ModuleDefOp Llama::mlp() {
  ModuleBuilder m = model.module("mlp", {activations()});
  FeedForward spec;
  spec.ffn = ffn;
  spec.activation = activation;
  spec.gated = true;
  spec.bias = mlpBias;
  spec.in = spec.out = init();
  return m.finish({feedForward(m, m.argument(0), spec)});
}

//===----------------------------------------------------------------------===//
// Mixtral
//===----------------------------------------------------------------------===//

/// Adds this layer's choices and probabilities to the sums carried, [groups,
/// experts].
void Llama::balanceSums(ModuleBuilder &m, Value logits, Value chosenExperts,
                        SmallVectorImpl<Value> &balance) {
  int64_t groups = batch / groupSamples;
  Value probability = m.softmax("router.probability", logits);
  Value number = m.iota("expert.number", model.integers({numExperts}), 0);
  SmallVector<int64_t> wide = {batch, sequence, chosen, numExperts};
  Value repeated =
      m.broadcast("chosen.repeated", chosenExperts, {0, 1, 2}, wide);
  Value hit = m.compare("chosen.is", Predicate::eq, repeated, number);
  Value hits =
      m.cast("chosen.count", hit, tensorType(probability).getElementType());
  SmallVector<int64_t> hitGroups = {groups, groupSamples, sequence, chosen,
                                    numExperts};
  SmallVector<int64_t> rowGroups = {groups, groupSamples, sequence, numExperts};
  hits = m.reshape("chosen.groups", hits, hitGroups);
  probability = m.reshape("probability.groups", probability, rowGroups);
  Value choices = m.sum("chosen.sum", hits, {1, 2, 3});
  Value probabilities = m.sum("probability.sum", probability, {1, 2});
  balance[0] = m.add("balance.chosen", balance[0], choices);
  balance[1] = m.add("balance.probability", balance[1], probabilities);
}

/// Weights and numbers of each token's experts, [batch, sequence, choices].
/// The router's experts are named `candidates`, so that `split(experts)` cuts
/// the experts and leaves the small router alone.
std::pair<Value, Value> Llama::route(ModuleBuilder &m, Value x,
                                     SmallVectorImpl<Value> &balance) {
  Value logits = linear(m, "router", x, {"candidates", numExperts, init()});
  auto [scores, experts] = m.topK("router.top", logits, chosen);
  if (!balance.empty())
    balanceSums(m, logits, experts, balance);
  return {m.softmax("router.share", scores), experts};
}

ModuleDefOp Llama::experts() {
  SmallVector<Type> types = {activations()};
  if (balanceWeight > 0)
    types.append({balanceType(), balanceType()});
  ModuleBuilder m = model.module("experts", types);
  Value x = m.argument(0);
  SmallVector<Value> balance;
  for (unsigned i = 1; i < types.size(); ++i)
    balance.push_back(m.argument(i));
  auto [weights, numbers] = route(m, x, balance);
  Value rows =
      m.broadcast("rows", x, {0, 1, 3}, {batch, sequence, chosen, hidden});
  SmallVector<int64_t> up = {numExperts, hidden, ffn};
  Value gate = m.expertMatmul("gate", rows,
                              m.variable("gate.weight", up, init()), numbers);
  gate = activate(m, "activation", gate, activation);
  Value value =
      m.expertMatmul("up", rows, m.variable("up.weight", up, init()), numbers);
  Value down = m.variable("down.weight", {numExperts, ffn, hidden}, init());
  Value outputs =
      m.expertMatmul("down", m.mul("gated", gate, value), down, numbers);
  SmallVector<Value> results = {
      m.einsum("combine",
               "batch sequence choices hidden, batch sequence choices"
               " -> batch sequence hidden",
               outputs, weights)};
  results.append(balance);
  return m.finish(results);
}

/// The model's two sums over layers make one loss, `balance`.
void Llama::balanceLoss(ModuleBuilder &m, Value choices, Value probability) {
  double rows = double(layers) * double(groupSamples) * double(sequence);
  Value product = m.mul("balance.product", choices, probability);
  Value sum = m.sum("balance.sum", product, {0, 1});
  sum = m.scale("balance.scaled", sum, double(numExperts) / (rows * rows));
  m.loss("balance", sum,
         m.constant("balance.groups", double(batch / groupSamples)),
         balanceWeight);
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

ModuleDefOp Llama::block() {
  ModuleDefOp attn = attention();
  ModuleDefOp feed = numExperts ? experts() : mlp();
  SmallVector<Type> types(feed.getArgumentTypes());
  ModuleBuilder m = model.module("block", types);
  Value x = m.argument(0);
  Value branch = normalize(m, "attention_norm", x, norm);
  branch = m.instance(attn, "attention", branch).front();
  x = m.add("attention_residual", x, branch);
  SmallVector<Value> operands = {normalize(m, "mlp_norm", x, norm)};
  for (unsigned i = 1; i < types.size(); ++i)
    operands.push_back(m.argument(i));
  SmallVector<Value> results =
      m.instance(feed, numExperts ? "experts" : "mlp", operands);
  results.front() = m.add("mlp_residual", x, results.front());
  return m.finish(results);
}

ModuleDefOp Llama::head() {
  ModuleBuilder m =
      model.module("head", {activations(), model.integers({batch, sequence})});
  Value x = normalize(m, "norm", m.argument(0), norm);
  SmallVector<int64_t> shape = {vocabulary, hidden};
  Value table = tiedHead ? m.tied("decoder.weight", "embeddings/token.weight",
                                  shape, init())
                         : m.variable("decoder.weight", shape, init());
  Value logits = decode(m, "decoder", x, table);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

void Llama::build() {
  ModuleDefOp first = embeddings(), layer = block(), last = head();
  ModuleBuilder m = model.module("main");
  RankedTensorType ids = model.integers({batch, sequence});
  Value tokens = m.input("tokens", {"batch", "sequence"}, ids, vocabulary);
  Value labels = m.input("labels", {"batch", "sequence"}, ids, vocabulary);
  SmallVector<Value> x = m.instance(first, "embeddings", tokens);
  if (balanceWeight > 0)
    for (StringRef name : {"balance.chosen", "balance.probability"})
      x.push_back(m.constant(name, 0, balanceType().getShape()));
  x = m.instance(layer, "layers", x, layers);
  Value sum = m.instance(last, "head", {x.front(), labels}).front();
  m.loss("loss", sum, m.constant("count", double(batch) * double(sequence)));
  if (balanceWeight > 0)
    balanceLoss(m, x[1], x[2]);
  m.finish({});
}

bool importers::buildLlama(Config &config, const Sizes &sizes,
                           ModelBuilder &model) {
  Llama llama(config, sizes, model);
  if (!config.finish())
    return false;
  llama.build();
  return true;
}
