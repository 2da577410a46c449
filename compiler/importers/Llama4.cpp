//===- Llama4.cpp - the text model of Llama 4 -----------------------------===//
//
// Meta 2025 (config.json and modeling_llama4.py of Hugging Face): every n-th
// layer has experts, one of which a token takes beside the shared one, with a
// sigmoid of its logit on the input; every fourth layer has no positions. q and
// k may be normalised after the positions. Left out: attention within chunks
// (all layers see all before them) and the tuning of the scores' temperature by
// position.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

#include <numeric>

using namespace whale;
using namespace whale::importers;

/// Longest pattern of layers.
static constexpr int64_t maxPeriod = 64;

/// Layers with experts (every `step`-th) and without positions.
static void readPattern(Config &config, Decoder &decoder) {
  int64_t step = config.size("interleave_moe_layer_step", 1);
  int64_t interval = config.size("no_rope_layer_interval", 4);
  int64_t length = std::min(std::lcm(step, interval), decoder.layers);
  if (length > maxPeriod) {
    config.error("interleave_moe_layer_step",
                 "layers repeat after " + std::to_string(length) +
                     ", expected at most " + std::to_string(maxPeriod));
    return;
  }
  decoder.period.clear();
  for (int64_t i = 1; i <= length; ++i)
    decoder.period.push_back({i % step == 0, i % interval != 0});
}

static void readExperts(Config &config, Decoder &decoder) {
  Experts &experts = decoder.experts;
  experts.count = config.size("num_local_experts", 16);
  experts.chosen = config.size("num_experts_per_tok", 1);
  experts.ffn = experts.shared = config.size("intermediate_size");
  experts.activation = decoder.mlp.activation;
  experts.init = decoder.init;
  experts.score = Score::Sigmoid;
  experts.weighInput = true;
  checkExperts(config, decoder, "num_experts_per_tok");
  readBalance(config, decoder);
}

Decoder importers::readLlama4(Config &config, const Sizes &sizes) {
  CommonKeys keys;
  keys.epsilonDefault = 1e-5;
  keys.ffn = "intermediate_size_mlp";
  Decoder decoder = readCommon(config, sizes, keys);
  readRotary(config, decoder);
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("attention_bias", false);
  attention.dropout = config.rate("attention_dropout", 0);
  if (config.flag("use_qk_norm", true))
    attention.headNorm = HeadNorm::Plain;
  attention.headNormEpsilon = decoder.norm.epsilon;
  readExperts(config, decoder);
  readPattern(config, decoder);
  std::optional<int64_t> chunk = config.optionalSize("attention_chunk_size");
  if (chunk && *chunk < decoder.sequence)
    config.warning("attention_chunk_size",
                   "'attention_chunk_size' is not applied: all layers see all "
                   "before them");
  if (config.flag("attn_temperature_tuning", false) &&
      config.size("floor_scale", 8192) <= decoder.sequence)
    config.warning("attn_temperature_tuning",
                   "'attn_temperature_tuning' is not applied");
  return decoder;
}
