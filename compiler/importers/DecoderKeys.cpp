//===- DecoderKeys.cpp - keys that families of decoders share -------------===//

#include "compiler/importers/Decoder.h"

#include "compiler/support/Text.h"

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

/// How much longer YaRN makes a turned pair (arXiv 2309.00071, section 3.4).
double importers::yarnMagnitude(double factor, double weight) {
  return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
}

static void readYarn(Config &config, RotaryScaling &scaling) {
  scaling.low = config.number("rope_scaling.beta_slow", 1);
  scaling.high = config.number("rope_scaling.beta_fast", 32);
  double weight =
             config.number("rope_scaling.mscale", 0, json::nonNegativeNumber),
         all = config.number("rope_scaling.mscale_all_dim", 0,
                             json::nonNegativeNumber);
  double magnitude = yarnMagnitude(scaling.factor, 1);
  if (weight > 0 && all > 0)
    magnitude = yarnMagnitude(scaling.factor, weight) /
                yarnMagnitude(scaling.factor, all);
  scaling.magnitude = config.number("rope_scaling.attention_factor", magnitude);
  if (!config.flag("rope_scaling.truncate", true))
    config.unsupported("rope_scaling.truncate",
                       "'truncate' of 'rope_scaling' is false, which the "
                       "importer does not have");
}

/// `rope_scaling`: {"rope_type" or "type": ..., "factor": ..., ...}.
static std::optional<RotaryScaling> readScaling(Config &config) {
  if (!config.has("rope_scaling"))
    return std::nullopt;
  const char *key = config.has("rope_scaling.rope_type")
                        ? "rope_scaling.rope_type"
                        : "rope_scaling.type";
  std::string kind = config.text(key, "");
  if (kind == "default")
    return std::nullopt;
  if (kind.empty()) {
    config.error("rope_scaling", "'rope_scaling' has no 'rope_type'");
    return std::nullopt;
  }
  RotaryScaling scaling;
  std::optional<RotaryScalingKind> known = symbolizeRotaryScalingKind(kind);
  if (!known) {
    config.unsupported(key, "scaling '" + kind +
                                "' of rotary positions is not supported, only "
                                "'linear', 'llama3' and 'yarn' are");
    return std::nullopt;
  }
  scaling.kind = *known;
  if (!config.has("rope_scaling.factor"))
    config.error("rope_scaling", "'rope_scaling' has no 'factor'");
  scaling.factor = config.number("rope_scaling.factor", 1);
  if (scaling.kind == RotaryScalingKind::linear)
    return scaling;
  constexpr const char *trained =
      "rope_scaling.original_max_position_embeddings";
  if (scaling.kind == RotaryScalingKind::llama3) {
    scaling.low = config.number("rope_scaling.low_freq_factor", 1);
    scaling.high = config.number("rope_scaling.high_freq_factor", 4);
    scaling.positions = double(config.size(trained));
  } else {
    scaling.positions = double(
        config.size(trained, config.size("max_position_embeddings", 4096)));
    readYarn(config, scaling);
  }
  if (scaling.low >= scaling.high)
    config.error("rope_scaling",
                 "'rope_scaling' ends at " + formatDouble(scaling.high) +
                     " turns, expected more than " + formatDouble(scaling.low));
  return scaling;
}

void importers::readRotary(Config &config, Decoder &decoder, int64_t rotaryDims,
                           std::string_view key, std::string_view thetaKey) {
  int64_t turned = rotaryDims ? rotaryDims : decoder.attention.head;
  if (turned % 2)
    config.error(key, "the head size is " + std::to_string(turned) +
                          ", but rotary positions need an even one");
  decoder.attention.rotaryDims = turned == decoder.attention.head ? 0 : turned;
  double theta = config.number(thetaKey, 1e4);
  std::optional<RotaryScaling> scaling = readScaling(config);
  if (scaling && theta == 1)
    config.error(thetaKey, "'" + std::string(thetaKey) +
                               "' is 1, so all pairs turn alike and "
                               "'rope_scaling' cannot tell them apart");
  decoder.attention.rotary = Rotary{theta, scaling};
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

void importers::readExpertLayers(Config &config, Decoder &decoder,
                                 const char *count, int64_t fallback) {
  Experts &experts = decoder.experts;
  experts.count = config.size(count, fallback);
  experts.chosen = config.size("num_experts_per_tok", 2);
  experts.ffn = decoder.mlp.ffn;
  experts.activation = decoder.mlp.activation;
  experts.init = decoder.init;
  checkExperts(config, decoder, "num_experts_per_tok");
  decoder.period = {LayerKind{/*experts=*/true}};
  readBalance(config, decoder);
}
