//===- GptNeoX.cpp - GPT-NeoX, GPT-J, Falcon ------------------------------===//
//
// Attention and feed-forward side by side.
//   gpt_neox  (Black et al. 2022; Pythia) a norm for each, positions on a
//             quarter of each head, biases, decoder apart
//   gptj      (Wang and Komatsuzaki 2021) one norm for both, positions on the
//             first 64 elements. Those are turned in halves here, in pairs
//             there: the same up to the order of the weights' rows.
//   falcon    (Almazrouei et al. 2023) one key-value head (7B), or several and
//             two norms (`new_decoder_architecture`), no biases
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

using namespace whale;
using namespace whale::importers;

static CommonKeys layerNormKeys() {
  CommonKeys keys;
  keys.keyHeads = keys.head = nullptr;
  keys.norm = NormKind::Layer;
  keys.epsilonDefault = 1e-5;
  keys.activation = "gelu";
  return keys;
}

Decoder importers::readGptNeoX(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys();
  keys.epsilon = "layer_norm_eps";
  Decoder decoder = readCommon(config, sizes, keys);
  bool hasBase = config.has("rotary_emb_base");
  readRotary(config, decoder, partialDims(config, decoder, "rotary_pct", 0.25),
             "rotary_pct", hasBase ? "rotary_emb_base" : "rope_theta");
  Attention &attention = decoder.attention;
  attention.bias = attention.outBias = config.flag("attention_bias", true);
  attention.dropout = config.rate("attention_dropout", 0);
  decoder.mlp.gated = false;
  decoder.mlp.bias = true;
  decoder.residualRate = config.rate("hidden_dropout", 0);
  if (config.flag("use_parallel_residual", true))
    decoder.residual = Residual::Parallel;
  return decoder;
}

Decoder importers::readGptJ(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys();
  keys.positions = "n_positions";
  keys.layers = "n_layer";
  keys.hidden = "n_embd";
  keys.heads = "n_head";
  keys.ffn = "n_inner";
  keys.ffnRequired = false;
  keys.activationKey = "activation_function";
  keys.activation = "gelu_new";
  keys.epsilon = "layer_norm_epsilon";
  Decoder decoder = readCommon(config, sizes, keys);
  int64_t turned = config.size("rotary_dim", 64);
  if (turned > decoder.attention.head)
    config.error("rotary_dim", "'rotary_dim' is " + std::to_string(turned) +
                                   ", more than the head size " +
                                   std::to_string(decoder.attention.head));
  readRotary(config, decoder, turned, "rotary_dim");
  decoder.attention.dropout = config.rate("attn_pdrop", 0);
  decoder.embeddingRate = config.rate("embd_pdrop", 0);
  decoder.residualRate = config.rate("resid_pdrop", 0);
  decoder.mlp.gated = false;
  decoder.mlp.bias = true;
  decoder.headBias = true;
  decoder.residual = Residual::ParallelOneNorm;
  return decoder;
}

Decoder importers::readFalcon(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys();
  keys.epsilon = "layer_norm_epsilon";
  keys.activationKey = "activation";
  keys.ffn = "ffn_hidden_size";
  keys.ffnRequired = false;
  keys.tied = true;
  Decoder decoder = readCommon(config, sizes, keys);
  Attention &attention = decoder.attention;
  bool isNew = config.flag("new_decoder_architecture", false);
  int64_t heads = attention.heads;
  if (isNew)
    attention.heads = config.size("num_kv_heads", heads);
  else if (config.flag("multi_query", true))
    attention.heads = 1;
  config.requireMultiple("num_attention_heads", heads, "num_kv_heads",
                         attention.heads);
  attention.group = std::max<int64_t>(heads / attention.heads, 1);
  attention.dropout = config.rate("attention_dropout", 0);
  attention.bias = attention.outBias = config.flag("bias", false);
  decoder.linearBias = config.flag("alibi", false);
  if (!decoder.linearBias)
    readRotary(config, decoder);
  decoder.mlp.gated = false;
  decoder.mlp.bias = attention.bias;
  decoder.residualRate = config.rate("hidden_dropout", 0);
  if (isNew)
    decoder.residual = config.size("num_ln_in_parallel_attn", 2) == 1
                           ? Residual::ParallelOneNorm
                           : Residual::Parallel;
  else if (config.flag("parallel_attn", true))
    decoder.residual = Residual::ParallelOneNorm;
  return decoder;
}
