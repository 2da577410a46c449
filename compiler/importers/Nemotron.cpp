//===- Nemotron.cpp - Nemotron-4, StarCoder 2 -----------------------------===//
//
//   nemotron    (Parmar et al. 2024, arXiv 2402.16819) squared ReLU without
//               gate, layer norm, positions on half of each head. The norms'
//               weight is stored less 1, which changes no count and, but for
//               weight decay, no result.
//   starcoder2  (Lozhkov et al. 2024) the same with tanh-gelu, biases and a
//               sliding window
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

using namespace whale;
using namespace whale::importers;

static CommonKeys layerNormKeys(const char *epsilon, const char *activation) {
  CommonKeys keys;
  keys.norm = NormKind::Layer;
  keys.epsilon = epsilon;
  keys.epsilonDefault = 1e-5;
  keys.activation = activation;
  return keys;
}

Decoder importers::readNemotron(Config &config, const Sizes &sizes) {
  Decoder decoder =
      readCommon(config, sizes, layerNormKeys("norm_eps", "relu2"));
  readRotary(config, decoder,
             partialDims(config, decoder, "partial_rotary_factor", 0.5));
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("attention_bias", false);
  attention.dropout = config.rate("attention_dropout", 0);
  decoder.mlp.gated = false;
  decoder.mlp.bias = config.flag("mlp_bias", false);
  return decoder;
}

Decoder importers::readStarCoder2(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys("norm_epsilon", "gelu_pytorch_tanh");
  keys.tied = true;
  Decoder decoder = readCommon(config, sizes, keys);
  readRotary(config, decoder);
  readWindow(config, decoder);
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("use_bias", true);
  attention.dropout = config.rate("attention_dropout", 0);
  decoder.mlp.gated = false;
  decoder.mlp.bias = attention.bias;
  decoder.embeddingRate = config.rate("embedding_dropout", 0);
  decoder.residualRate = config.rate("residual_dropout", 0);
  return decoder;
}
