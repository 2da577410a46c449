//===- M6.cpp - M6, image and text in one transformer ---------------------===//
//
// Lin et al. 2021 (M6), Yang et al. 2021 (M6-T): patches of an image, a source
// text and a target text in one sequence. Image and source see each other, the
// target sees them and what is before it: an additive mask of the positions
// alone, made once. Layer norm comes before attention and feed-forward (the
// papers do not say; ours). The decoder is tied to the token embedding.
//
// Experts by prototypes (M6-T): `prototypes` groups of num_experts / prototypes
// experts, each with its own router, which takes the best one; the sum over
// prototypes of probability * expert(x) is the result. Each expert has room for
//   max(min_capacity, ceil(tokens * capacity_factor * prototypes / experts))
// tokens of each group of `capacity_samples` samples; what comes later is
// dropped. num_experts = 1 is a dense feed-forward. Without a balance loss,
// which M6-T found useless.
//
// Keys (all but the sizes have defaults): vocab_size, hidden_size,
// num_hidden_layers, num_attention_heads, intermediate_size,
// max_position_embeddings, image_patches, image_features, source_length (half
// of the text), num_experts, prototypes, capacity_factor, min_capacity,
// capacity_samples, hidden_dropout_prob.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Attention.h"
#include "compiler/importers/Families.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class M6 {
public:
  M6(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  void readLengths(Config &config, const Sizes &sizes);
  void readExperts(Config &config);
  ModuleDefOp embeddings();
  ModuleDefOp mask();
  ModuleDefOp attention();
  ModuleDefOp mlp();
  ModuleDefOp experts();
  Value expertLayer(ModuleBuilder &m, StringRef name, Value rows,
                    StringRef equation, int64_t in, int64_t out, Init init);
  std::pair<Value, Value> route(ModuleBuilder &m, Value x);
  int64_t capacity() const;
  ModuleDefOp block();
  ModuleDefOp head();

  RankedTensorType activations() {
    return model.real({batch, sequence, hidden});
  }
  RankedTensorType maskType() {
    return model.real({heads, 1, sequence, sequence});
  }
  RankedTensorType imageType() {
    return model.real({batch, patches, imageFeatures});
  }
  int64_t textLength() const { return source + target; }
  int64_t prefix() const { return patches + source; }
  Init init() const { return normal(0.02); }
  Init residualInit() const { return normal(0.02 / std::sqrt(2.0 * layers)); }

  ModelBuilder &model;
  int64_t batch, vocabulary, hidden, layers, heads, ffn, maxPositions;
  int64_t patches, imageFeatures, sequence, source, target;
  int64_t numExperts, prototypes, minCapacity, samples;
  double capacityFactor, rate;
  Norm norm = {NormKind::Layer, 1e-5};
};
} // namespace

M6::M6(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  vocabulary = config.size("vocab_size");
  hidden = config.size("hidden_size");
  config.alias("layers", "num_hidden_layers");
  layers = config.size("num_hidden_layers");
  heads = config.size("num_attention_heads");
  config.requireMultiple("hidden_size", hidden, "num_attention_heads", heads);
  ffn = config.size("intermediate_size");
  rate = config.rate("hidden_dropout_prob", 0);
  readLengths(config, sizes);
  readExperts(config);
}

void M6::readLengths(Config &config, const Sizes &sizes) {
  maxPositions = config.size("max_position_embeddings");
  sequence = sequenceOf(config, sizes, maxPositions, "max_position_embeddings",
                        maxPositions);
  patches = config.size("image_patches", 16);
  imageFeatures = config.size("image_features", 2048);
  int64_t text = sequence - patches;
  source = config.size("source_length", std::max<int64_t>(text / 2, 1));
  target = text - source;
  if (target >= 1)
    return;
  config.error("source_length", "a sequence of " + std::to_string(sequence) +
                                    " leaves no target after 'image_patches' " +
                                    std::to_string(patches) +
                                    " and a source of " +
                                    std::to_string(source));
  target = 1;
}

void M6::readExperts(Config &config) {
  numExperts = config.size("num_experts", 1);
  prototypes = config.size("prototypes", 1);
  config.requireMultiple("num_experts", numExperts, "prototypes", prototypes);
  capacityFactor = config.number("capacity_factor", 1.25);
  minCapacity = config.size("min_capacity", 4);
  samples = std::min(config.size("capacity_samples", 1), batch);
  config.requireMultiple("batch", batch, "capacity_samples", samples);
}

//===----------------------------------------------------------------------===//
// Inputs and mask
//===----------------------------------------------------------------------===//

/// (image features, text) -> [batch, image + text, hidden].
ModuleDefOp M6::embeddings() {
  ModuleBuilder m = model.module(
      "embeddings", {imageType(), model.integers({batch, textLength()})});
  Linear projection = {"hidden", hidden, init(), /*bias=*/true,
                       /*from=*/"features"};
  Value image = linear(m, "image", m.argument(0), projection);
  Value text = embed(m, "token", m.argument(1), vocabulary, hidden, init());
  Value x = m.concat("joined", {image, text}, 1);
  Value position =
      positions(m, "position", maxPositions, sequence, hidden, init());
  x = normalize(m, "norm", m.add("sum", x, position), norm);
  return m.finish({m.dropout("dropout", x, rate)});
}

/// 0 where query i may see key j (j in image or source, or j <= i), else a
/// large negative number; the same for all heads.
ModuleDefOp M6::mask() {
  ModuleBuilder m = model.module("mask");
  Value before = causalMask(m, sequence, std::nullopt);
  Value column = m.iota("key.number", model.integers({sequence, sequence}), 1);
  Value open =
      m.compare("open", Predicate::lt, column, m.integer("prefix", prefix()));
  Value seen = m.select("seen", open, open, before);
  Value bias = m.select("bias", seen, m.constant("visible", 0),
                        m.constant("masked", -1e30));
  return m.finish({m.broadcast("mask", bias, {2, 3}, maskType().getShape())});
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

ModuleDefOp M6::attention() {
  ModuleBuilder m = model.module("attention", {activations(), maskType()});
  Attention spec;
  spec.heads = heads;
  spec.head = hidden / heads;
  spec.bias = spec.outBias = true;
  spec.query = spec.keyValue = init();
  spec.out = residualInit();
  spec.scale = 1 / std::sqrt(double(spec.head));
  spec.mask.bias = m.argument(1);
  Value result = attend(m, m.argument(0), m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, rate)});
}

ModuleDefOp M6::mlp() {
  ModuleBuilder m = model.module("mlp", {activations()});
  FeedForward spec;
  spec.ffn = ffn;
  spec.bias = true;
  spec.in = init();
  spec.out = residualInit();
  Value result = feedForward(m, m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, rate)});
}

int64_t M6::capacity() const {
  double tokens = double(samples) * double(sequence);
  double room =
      tokens * capacityFactor * double(prototypes) / double(numExperts);
  // An expert gets a token at most once per prototype, so more room than
  // tokens is never used.
  int64_t rounded = static_cast<int64_t>(std::ceil(std::min(room, tokens)));
  return std::max(minCapacity, rounded);
}

/// Probability and number of the best expert of each prototype, [batch,
/// sequence, prototypes]. The router's experts are named `candidates`, so that
/// `split(experts)` cuts the experts and leaves the small router alone.
std::pair<Value, Value> M6::route(ModuleBuilder &m, Value x) {
  int64_t each = numExperts / prototypes;
  Value weight =
      m.variable("router.weight", {hidden, prototypes, each}, init());
  Value logits = m.einsum("router",
                          "batch sequence hidden, hidden prototypes candidates"
                          " -> batch sequence prototypes candidates",
                          x, weight);
  Value probability = m.softmax("router.probability", logits);
  auto [best, place] = m.topK("router.best", probability, 1);
  Value weights = m.sum("router.share", best, {3});
  Value first = m.mul("prototype.first",
                      m.iota("prototype", model.integers({prototypes}), 0),
                      m.integer("prototype.experts", each));
  Value number = m.add("expert", m.sum("expert.place", place, {3}), first);
  return {weights, number};
}

/// Each expert's linear layer: rows [groups, experts, capacity, in].
Value M6::expertLayer(ModuleBuilder &m, StringRef name, Value rows,
                      StringRef equation, int64_t in, int64_t out, Init init) {
  auto named = [&](StringRef suffix) { return (name + suffix).str(); };
  Value weight = m.variable(named(".weight"), {numExperts, in, out}, init);
  Value bias =
      m.variable(named(".bias"), {numExperts, 1, out}, importers::constant(0));
  return m.add(named(".biased"), m.einsum(name, equation, rows, weight), bias);
}

ModuleDefOp M6::experts() {
  ModuleBuilder m = model.module("experts", {activations()});
  Value x = m.argument(0);
  auto [weights, numbers] = route(m, x);
  Value slots = m.expertSlot("slot", numbers, numExperts, capacity(), samples);
  Value rows =
      m.broadcast("rows", x, {0, 1, 3}, {batch, sequence, prototypes, hidden});
  Value buffers = m.dispatch("dispatch", rows, numbers, slots,
                             {batch / samples, numExperts, capacity(), hidden});
  buffers = expertLayer(m, "up", buffers,
                        "groups experts capacity hidden, experts hidden ffn"
                        " -> groups experts capacity ffn",
                        hidden, ffn, init());
  buffers = m.gelu("activation", buffers, /*tanh=*/false);
  buffers = expertLayer(m, "down", buffers,
                        "groups experts capacity ffn, experts ffn hidden"
                        " -> groups experts capacity hidden",
                        ffn, hidden, residualInit());
  rows = m.collect("collect", buffers, numbers, slots);
  Value result = m.einsum("combine",
                          "batch sequence prototypes hidden, "
                          "batch sequence prototypes -> batch sequence hidden",
                          rows, weights);
  return m.finish({m.dropout("dropout", result, rate)});
}

ModuleDefOp M6::block() {
  ModuleDefOp attn = attention();
  ModuleDefOp feed = numExperts > 1 ? experts() : mlp();
  ModuleBuilder m = model.module("block", {activations(), maskType()});
  Value x = m.argument(0);
  Value branch = normalize(m, "attention_norm", x, norm);
  branch = m.instance(attn, "attention", {branch, m.argument(1)}).front();
  x = m.add("attention_residual", x, branch);
  branch = normalize(m, "mlp_norm", x, norm);
  branch = m.instance(feed, numExperts > 1 ? "experts" : "mlp", branch).front();
  return m.finish({m.add("mlp_residual", x, branch)});
}

/// Loss of the target's positions.
ModuleDefOp M6::head() {
  ModuleBuilder m =
      model.module("head", {activations(), model.integers({batch, target})});
  Value x = m.slice("target", m.argument(0), 1, prefix(), target);
  x = normalize(m, "norm", x, norm);
  Value table = m.tied("decoder.weight", "embeddings/token.weight",
                       {vocabulary, hidden}, init());
  Value logits = decode(m, "decoder", x, table);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

void M6::build() {
  ModuleDefOp first = embeddings(), seen = mask(), layer = block();
  ModuleDefOp last = head();
  ModuleBuilder m = model.module("main");
  Value image = m.input("image", {"batch", "patches", "features"}, imageType());
  Value tokens = m.input("tokens", {"batch", "text"},
                         model.integers({batch, textLength()}), vocabulary);
  Value labels = m.input("labels", {"batch", "target"},
                         model.integers({batch, target}), vocabulary);
  Value x = m.instance(first, "embeddings", {image, tokens}).front();
  Value bias = m.instance(seen, "mask", {}).front();
  x = m.instance(layer, "layers", {x, bias}, layers).front();
  Value sum = m.instance(last, "head", {x, labels}).front();
  m.loss("loss", sum, m.constant("count", double(batch) * double(target)));
  m.finish({});
}

bool importers::buildM6(Config &config, const Sizes &sizes,
                        ModelBuilder &model) {
  M6 m6(config, sizes, model);
  if (!config.finish())
    return false;
  m6.build();
  return true;
}
