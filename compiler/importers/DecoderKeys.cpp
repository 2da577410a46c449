//===- DecoderKeys.cpp - keys that families of decoders share -------------===//

#include "compiler/importers/Decoder.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

static void readAttention(Config &config, const CommonKeys &keys,
                          Decoder &decoder) {
  int64_t heads = config.size(keys.heads);
  int64_t keyHeads = keys.keyHeads ? config.size(keys.keyHeads, heads) : heads;
  if (keys.keyHeads)
    config.requireMultiple(keys.heads, heads, keys.keyHeads, keyHeads);
  bool hasHead = keys.head && config.has(keys.head);
  if (!hasHead)
    config.requireMultiple(keys.hidden, decoder.hidden, keys.heads, heads);
  Attention &attention = decoder.attention;
  attention.heads = keyHeads;
  attention.group = std::max<int64_t>(heads / keyHeads, 1);
  attention.head = std::max<int64_t>(decoder.hidden / heads, 1);
  if (hasHead)
    attention.head = config.size(keys.head, attention.head);
  attention.query = attention.keyValue = attention.out = decoder.init;
  attention.scale = 1 / std::sqrt(double(attention.head));
  attention.mask.causal = true;
}

Decoder importers::readCommon(Config &config, const Sizes &sizes,
                              const CommonKeys &keys) {
  Decoder decoder;
  decoder.batch = sizes.batch;
  decoder.vocabulary = config.size("vocab_size");
  int64_t maximal = config.size(keys.positions);
  decoder.sequence =
      sequenceOf(config, sizes, maximal, keys.positions, maximal);
  config.alias("layers", keys.layers);
  decoder.layers = config.size(keys.layers);
  decoder.hidden = config.size(keys.hidden);
  decoder.init = normal(config.number(keys.deviation, 0.02));
  readAttention(config, keys, decoder);
  FeedForward &mlp = decoder.mlp;
  mlp.ffn = keys.ffnRequired ? config.size(keys.ffn)
                             : config.size(keys.ffn, 4 * decoder.hidden);
  mlp.gated = true;
  mlp.activation = readActivation(config, keys.activationKey, keys.activation);
  mlp.in = mlp.out = decoder.init;
  decoder.norm = {keys.norm, config.number(keys.epsilon, keys.epsilonDefault)};
  decoder.tiedHead = config.flag("tie_word_embeddings", keys.tied);
  return decoder;
}

void importers::readRotary(Config &config, Decoder &decoder, int64_t rotaryDims,
                           std::string_view key) {
  int64_t turned = rotaryDims ? rotaryDims : decoder.attention.head;
  if (turned % 2)
    config.error(key, "the head size is " + std::to_string(turned) +
                          ", but rotary positions need an even one");
  decoder.attention.rotaryTheta = config.number("rope_theta", 1e4);
  decoder.attention.rotaryDims = turned == decoder.attention.head ? 0 : turned;
  if (config.has("rope_scaling"))
    config.warning("rope_scaling", "'rope_scaling' is not applied: positions "
                                   "are those of 'rope_theta' alone");
}

int64_t importers::partialDims(Config &config, const Decoder &decoder,
                               std::string_view key, double fallback) {
  double share = config.number(key, fallback, {0, 1, true});
  int64_t head = decoder.attention.head;
  int64_t turned = int64_t(share * double(head)) / 2 * 2;
  return std::min(std::max<int64_t>(turned, 2), head);
}

void importers::readWindow(Config &config, Decoder &decoder) {
  std::optional<int64_t> window = config.optionalSize("sliding_window");
  if (window && *window < decoder.sequence)
    decoder.attention.mask.window = window;
}

void importers::checkExperts(Config &config, const Decoder &decoder,
                             std::string_view chosenKey) {
  const Experts &experts = decoder.experts;
  if (experts.chosen > experts.count)
    config.error(chosenKey, "'" + std::string(chosenKey) + "' is " +
                                std::to_string(experts.chosen) +
                                ", more than the " +
                                std::to_string(experts.count) + " experts");
}

void importers::readBalance(Config &config, Decoder &decoder) {
  Experts &experts = decoder.experts;
  experts.groupSamples = config.size("router_group_samples", 1);
  config.requireMultiple("batch", decoder.batch, "router_group_samples",
                         experts.groupSamples);
  double weight =
      config.number("router_aux_loss_coef", 0.001, json::nonNegativeNumber);
  if (config.flag("output_router_logits", false))
    experts.balanceWeight = weight;
}
