//===- Gpt2.cpp - GPT-2 and GPT-3 -----------------------------------------===//
//
// Radford et al. 2019: learned positions, layer norm before attention and
// feed-forward, gelu by its tanh form, decoder tied to the token embedding.
// The fused c_attn of the published weights is three weights here; the number
// of parameters is the same. GPT-3 (Brown et al. 2020) is imported with dense
// attention in all layers. With `num_local_experts` every feed-forward is a
// mixture of experts of the same kind, without biases, as in Megatron-LM.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

#include <cmath>

using namespace whale;
using namespace whale::importers;

Decoder importers::readGpt2(Config &config, const Sizes &sizes) {
  CommonKeys keys;
  keys.positions = "n_positions";
  keys.layers = "n_layer";
  keys.hidden = "n_embd";
  keys.heads = "n_head";
  keys.keyHeads = keys.head = nullptr;
  keys.ffn = "n_inner";
  keys.ffnRequired = false;
  keys.activationKey = "activation_function";
  keys.activation = "gelu_new";
  keys.epsilon = "layer_norm_epsilon";
  keys.epsilonDefault = 1e-5;
  keys.norm = NormKind::Layer;
  keys.tied = true;
  Decoder decoder = readCommon(config, sizes, keys);
  decoder.positions = config.size("n_positions");
  decoder.embeddingRate = config.rate("embd_pdrop", 0.1);
  decoder.residualRate = config.rate("resid_pdrop", 0.1);
  decoder.attention.dropout = config.rate("attn_pdrop", 0.1);
  decoder.attention.bias = decoder.attention.outBias = decoder.mlp.bias = true;
  decoder.mlp.gated = false;
  // Residual branches start smaller: 2 per layer add up (GPT-2, section 2.3).
  decoder.attention.out = decoder.mlp.out =
      normal(decoder.init.b / std::sqrt(2.0 * double(decoder.layers)));
  if (config.has("num_local_experts")) {
    readExpertLayers(config, decoder, "num_local_experts", 8);
    decoder.experts.gated = false;
  }
  config.requireFlag("scale_attn_weights", true, true);
  config.requireFlag("scale_attn_by_inverse_layer_idx", false, false);
  config.requireFlag("add_cross_attention", false, false);
  return decoder;
}
