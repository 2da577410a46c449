//===- Llama.cpp - llama and its near relatives ---------------------------===//
//
// Touvron et al. 2023: rotary positions, RMS norm, SwiGLU; grouped-query
// attention.
//   mistral    (Jiang et al. 2023) a sliding window
//   mixtral    (Jiang et al. 2024) experts instead of the feed-forward, every
//              token reaches its own. The weights are a softmax over the chosen
//              logits, which equals Hugging Face's softmax over all, normalised
//              over the chosen.
//   phi3       (Abdin et al. 2024) fused weights, which are apart here
//   gemma      (Gemma team 2024) tanh-gelu gates, embeddings times the square
//              root of their size; the norms' weight is stored less 1
//   qwen2      (Yang et al. 2024) biases of q, k and v
//   qwen3      (Qwen team 2025) norms of each head of q and k instead
//   qwen3_moe  the same with experts in all layers
//   grok-1     (xAI 2024) norms also after the branches, gelu experts
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

#include <cmath>

using namespace whale;
using namespace whale::importers;

Decoder importers::readLlama(Config &config, const Sizes &sizes) {
  Decoder decoder = readCommon(config, sizes, CommonKeys());
  readRotary(config, decoder);
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("attention_bias", false);
  attention.dropout = config.rate("attention_dropout", 0);
  decoder.mlp.bias = config.flag("mlp_bias", false);
  return decoder;
}

Decoder importers::readMistral(Config &config, const Sizes &sizes) {
  Decoder decoder = readLlama(config, sizes);
  readWindow(config, decoder);
  return decoder;
}

Decoder importers::readMixtral(Config &config, const Sizes &sizes) {
  Decoder decoder = readMistral(config, sizes);
  readExpertLayers(config, decoder, "num_local_experts", 8);
  if (config.number("router_jitter_noise", 0, json::nonNegativeNumber) > 0)
    config.warning("router_jitter_noise", "'router_jitter_noise' is ignored");
  return decoder;
}

Decoder importers::readPhi3(Config &config, const Sizes &sizes) {
  CommonKeys keys;
  keys.epsilonDefault = 1e-5;
  Decoder decoder = readCommon(config, sizes, keys);
  readRotary(config, decoder,
             partialDims(config, decoder, "partial_rotary_factor", 1));
  readWindow(config, decoder);
  decoder.embeddingRate = config.rate("embd_pdrop", 0);
  decoder.residualRate = config.rate("resid_pdrop", 0);
  decoder.attention.dropout = config.rate("attention_dropout", 0);
  return decoder;
}

Decoder importers::readGemma(Config &config, const Sizes &sizes) {
  CommonKeys keys;
  keys.activationKey =
      config.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  keys.activation = "gelu_pytorch_tanh";
  keys.tied = true;
  Decoder decoder = readCommon(config, sizes, keys);
  readRotary(config, decoder);
  // Hugging Face takes "gelu" for the tanh form, with which Gemma was trained.
  if (decoder.mlp.activation == Activation::Gelu)
    decoder.mlp.activation = Activation::GeluTanh;
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("attention_bias", false);
  attention.dropout = config.rate("attention_dropout", 0);
  decoder.embeddingScale = std::sqrt(double(decoder.hidden));
  return decoder;
}

Decoder importers::readQwen2(Config &config, const Sizes &sizes) {
  Decoder decoder = readCommon(config, sizes, CommonKeys());
  readRotary(config, decoder);
  decoder.attention.bias = true;
  decoder.attention.dropout = config.rate("attention_dropout", 0);
  if (config.flag("use_sliding_window", false))
    config.warning("use_sliding_window", "'use_sliding_window' is not applied: "
                                         "all layers see all before them");
  return decoder;
}

Decoder importers::readQwen3(Config &config, const Sizes &sizes) {
  Decoder decoder = readQwen2(config, sizes);
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("attention_bias", false);
  attention.headNorm = HeadNorm::Trained;
  attention.headNormEpsilon = decoder.norm.epsilon;
  return decoder;
}

Decoder importers::readQwen3Moe(Config &config, const Sizes &sizes) {
  Decoder decoder = readQwen3(config, sizes);
  readExpertLayers(config, decoder, "num_experts", 128);
  decoder.experts.ffn = config.size("moe_intermediate_size");
  decoder.experts.score = Score::Softmax;
  decoder.experts.normalised = config.flag("norm_topk_prob", false);
  if (config.size("decoder_sparse_step", 1) != 1)
    config.error("decoder_sparse_step",
                 "'decoder_sparse_step' is not 1: layers without experts are "
                 "not imported");
  return decoder;
}

Decoder importers::readGrok(Config &config, const Sizes &sizes) {
  CommonKeys keys;
  keys.epsilonDefault = 1e-5;
  keys.activation = "gelu_new";
  keys.tied = true;
  Decoder decoder = readCommon(config, sizes, keys);
  readRotary(config, decoder);
  readExpertLayers(config, decoder, "num_experts", 8);
  // The two chosen keep their shares of all eight.
  decoder.experts.score = Score::Softmax;
  decoder.residual = Residual::Sandwich;
  decoder.embeddingScale = config.number("embedding_multiplier_scale", 1);
  decoder.logitScale = config.number("output_multiplier_scale", 1);
  decoder.attention.scale =
      config.number("attn_output_multiplier", decoder.attention.scale);
  decoder.attention.scoreCap =
      config.number("max_attn_value", 0, json::nonNegativeNumber);
  return decoder;
}
