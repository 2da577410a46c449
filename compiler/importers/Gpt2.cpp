//===- Gpt2.cpp - GPT-2 and GPT-3 -----------------------------------------===//
//
// Radford et al. 2019: learned positions, layer norm before attention and
// feed-forward, gelu by its tanh form, decoder tied to the token embedding.
// The fused c_attn of the published weights is three weights here; the number
// of parameters is the same. GPT-3 (Brown et al. 2020) is imported with dense
// attention in all layers.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Families.h"
#include "compiler/importers/Layers.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class Gpt2 {
public:
  Gpt2(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  ModuleDefOp embeddings();
  ModuleDefOp attention();
  ModuleDefOp mlp();
  ModuleDefOp block();
  ModuleDefOp head();

  RankedTensorType activations() {
    return model.real({batch, sequence, hidden});
  }

  ModelBuilder &model;
  int64_t batch, vocabulary, maxPositions, sequence, layers, hidden, heads, ffn;
  Activation activation;
  Norm norm;
  double deviation, embeddingRate, residualRate, attentionRate;
  bool tiedHead;
};
} // namespace

Gpt2::Gpt2(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  vocabulary = config.size("vocab_size");
  maxPositions = config.size("n_positions");
  sequence =
      sequenceOf(config, sizes, maxPositions, "n_positions", maxPositions);
  layers = config.size("n_layer");
  hidden = config.size("n_embd");
  heads = config.size("n_head");
  config.requireMultiple("n_embd", hidden, "n_head", heads);
  ffn = config.size("n_inner", 4 * hidden);
  activation = readActivation(config, "activation_function", "gelu_new");
  norm = {NormKind::Layer, config.number("layer_norm_epsilon", 1e-5)};
  deviation = config.number("initializer_range", 0.02);
  embeddingRate = config.rate("embd_pdrop", 0.1);
  residualRate = config.rate("resid_pdrop", 0.1);
  attentionRate = config.rate("attn_pdrop", 0.1);
  tiedHead = config.flag("tie_word_embeddings", true);
  config.requireFlag("scale_attn_weights", true, true);
  config.requireFlag("scale_attn_by_inverse_layer_idx", false, false);
  config.requireFlag("add_cross_attention", false, false);
}

ModuleDefOp Gpt2::embeddings() {
  ModuleBuilder m =
      model.module("embeddings", {model.integers({batch, sequence})});
  Value token =
      embed(m, "token", m.argument(0), vocabulary, hidden, normal(deviation));
  Value position = positions(m, "position", maxPositions, sequence, hidden,
                             normal(deviation));
  Value sum = m.add("sum", token, position);
  return m.finish({m.dropout("dropout", sum, embeddingRate)});
}

ModuleDefOp Gpt2::attention() {
  ModuleBuilder m = model.module("attention", {activations()});
  Attention spec;
  spec.heads = heads;
  spec.head = hidden / heads;
  spec.bias = spec.outBias = true;
  spec.query = spec.keyValue = normal(deviation);
  // Residual branches start smaller: 2 per layer add up (GPT-2, section 2.3).
  spec.out = normal(deviation / std::sqrt(2.0 * layers));
  spec.scale = 1 / std::sqrt(static_cast<double>(spec.head));
  spec.mask.causal = true;
  spec.dropout = attentionRate;
  Value result = attend(m, m.argument(0), m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, residualRate)});
}

ModuleDefOp Gpt2::mlp() {
  ModuleBuilder m = model.module("mlp", {activations()});
  FeedForward spec;
  spec.ffn = ffn;
  spec.activation = activation;
  spec.bias = true;
  spec.in = normal(deviation);
  spec.out = normal(deviation / std::sqrt(2.0 * layers));
  Value result = feedForward(m, m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, residualRate)});
}

ModuleDefOp Gpt2::block() {
  ModuleDefOp attn = attention(), feed = mlp();
  ModuleBuilder m = model.module("block", {activations()});
  Value x = m.argument(0);
  Value branch = normalize(m, "attention_norm", x, norm);
  branch = m.instance(attn, "attention", branch).front();
  x = m.add("attention_residual", x, branch);
  branch = normalize(m, "mlp_norm", x, norm);
  branch = m.instance(feed, "mlp", branch).front();
  return m.finish({m.add("mlp_residual", x, branch)});
}

ModuleDefOp Gpt2::head() {
  ModuleBuilder m =
      model.module("head", {activations(), model.integers({batch, sequence})});
  Value x = normalize(m, "norm", m.argument(0), norm);
  SmallVector<int64_t> shape = {vocabulary, hidden};
  Value table = tiedHead
                    ? m.tied("decoder.weight", "embeddings/token.weight", shape,
                             normal(deviation))
                    : m.variable("decoder.weight", shape, normal(deviation));
  Value logits = decode(m, "decoder", x, table);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

void Gpt2::build() {
  ModuleDefOp first = embeddings(), layer = block(), last = head();
  ModuleBuilder m = model.module("main");
  RankedTensorType ids = model.integers({batch, sequence});
  Value tokens = m.input("tokens", {"batch", "sequence"}, ids, vocabulary);
  Value labels = m.input("labels", {"batch", "sequence"}, ids, vocabulary);
  Value x = m.instance(first, "embeddings", tokens).front();
  x = m.instance(layer, "layers", x, layers).front();
  Value sum = m.instance(last, "head", {x, labels}).front();
  m.loss("loss", sum, m.constant("count", double(batch) * double(sequence)));
  m.finish({});
}

bool importers::buildGpt2(Config &config, const Sizes &sizes,
                          ModelBuilder &model) {
  Gpt2 gpt2(config, sizes, model);
  if (!config.finish())
    return false;
  gpt2.build();
  return true;
}
