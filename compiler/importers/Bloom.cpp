//===- Bloom.cpp - BLOOM, MPT, OPT ----------------------------------------===//
//
// GPT-2's blocks with other positions.
//   bloom  (Le Scao et al. 2022) linear biases, a norm of the embeddings
//   mpt    (MosaicML 2023) linear biases or trained positions
//          (`attn_config.alibi`), no biases
//   opt    (Zhang et al. 2022) trained positions from the third row on, relu
// Linear biases are one tensor [heads, 1, sequence, sequence], made once a
// step.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

#include <cmath>

using namespace whale;
using namespace whale::importers;

static CommonKeys layerNormKeys() {
  CommonKeys keys;
  keys.keyHeads = keys.head = nullptr;
  keys.ffnRequired = false;
  keys.epsilon = "layer_norm_epsilon";
  keys.epsilonDefault = 1e-5;
  keys.norm = NormKind::Layer;
  keys.activation = "gelu_new";
  keys.tied = true;
  return keys;
}

static void setBias(Decoder &decoder, bool bias) {
  decoder.attention.bias = decoder.attention.outBias = bias;
  decoder.mlp.bias = bias;
  decoder.mlp.gated = false;
}

Decoder importers::readBloom(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys();
  keys.positions = "seq_length";
  keys.layers = "n_layer";
  keys.hidden = config.has("n_embed") ? "n_embed" : "hidden_size";
  keys.heads = config.has("n_head") ? "n_head" : "num_attention_heads";
  Decoder decoder = readCommon(config, sizes, keys);
  setBias(decoder, true);
  decoder.attention.dropout = config.rate("attention_dropout", 0);
  decoder.residualRate = config.rate("hidden_dropout", 0);
  decoder.embeddingNorm = true;
  decoder.linearBias = true;
  return decoder;
}

Decoder importers::readMpt(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys();
  keys.positions = "max_seq_len";
  keys.layers = "n_layers";
  keys.hidden = "d_model";
  keys.heads = "n_heads";
  keys.activation = "gelu";
  bool bias = !config.flag("no_bias", true);
  keys.norm = bias ? NormKind::Layer : NormKind::LayerNoBias;
  Decoder decoder = readCommon(config, sizes, keys);
  setBias(decoder, bias);
  decoder.mlp.ffn = decoder.hidden * config.size("expansion_ratio", 4);
  decoder.attention.dropout = config.rate("attn_config.attn_pdrop", 0);
  decoder.embeddingRate = config.rate("emb_pdrop", 0);
  decoder.residualRate = config.rate("resid_pdrop", 0);
  decoder.linearBias = config.flag("attn_config.alibi", false);
  if (!decoder.linearBias && config.flag("learned_pos_emb", true))
    decoder.positions = config.size("max_seq_len");
  config.requireFlag("attn_config.qk_ln", false, false);
  if (config.has("attn_config.clip_qkv"))
    config.warning("attn_config.clip_qkv",
                   "'attn_config.clip_qkv' is not applied");
  return decoder;
}

Decoder importers::readOpt(Config &config, const Sizes &sizes) {
  CommonKeys keys = layerNormKeys();
  keys.ffn = "ffn_dim";
  keys.activationKey = "activation_function";
  keys.activation = "relu";
  keys.deviation = "init_std";
  Decoder decoder = readCommon(config, sizes, keys);
  setBias(decoder, config.flag("enable_bias", true));
  decoder.firstPosition = 2;
  decoder.positions = config.size("max_position_embeddings") + 2;
  decoder.residualRate = config.rate("dropout", 0);
  decoder.attention.dropout = config.rate("attention_dropout", 0);
  config.requireFlag("do_layer_norm_before", true, true);
  if (config.size("word_embed_proj_dim", decoder.hidden) != decoder.hidden)
    config.error("word_embed_proj_dim",
                 "'word_embed_proj_dim' is not 'hidden_size' " +
                     std::to_string(decoder.hidden) +
                     ": projected embeddings are not imported");
  return decoder;
}
