//===- DeepSeek.cpp - DeepSeek-V2 and -V3 ---------------------------------===//
//
// DeepSeek-AI 2024 (V2: arXiv 2405.04434, V3: arXiv 2412.19437): multi-head
// latent attention; the first layers dense, then experts of which some are
// shared. V2 routes by softmax, V3 by sigmoid with a correction of the choice;
// both may limit a token to the best groups of experts. Left out: V3's module
// that predicts a second token, V2's balance losses.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Decoder.h"

#include <cmath>

using namespace whale;
using namespace whale::importers;

static void readLatent(Config &config, Decoder &decoder) {
  Latent latent;
  latent.queryRank = config.optionalSize("q_lora_rank");
  latent.keyValueRank = config.size("kv_lora_rank");
  latent.plain = config.size("qk_nope_head_dim");
  latent.rotary = config.size("qk_rope_head_dim");
  latent.value = config.size("v_head_dim");
  latent.norm = decoder.norm;
  readRotary(config, decoder, latent.rotary, "qk_rope_head_dim");
  decoder.latent = latent;
  decoder.attention.scale =
      1 / std::sqrt(double(latent.plain) + double(latent.rotary));
  double weight =
      config.number("rope_scaling.mscale_all_dim", 0, json::nonNegativeNumber);
  if (const auto &scaling = decoder.attention.rotary->scaling;
      scaling && weight > 0) {
    double magnitude = yarnMagnitude(scaling->factor, weight);
    decoder.attention.scale *= magnitude * magnitude;
  }
  decoder.attention.dropout = config.rate("attention_dropout", 0);
  config.requireFlag("attention_bias", false, false);
}

/// The groups that limit the choice.
static void readGroups(Config &config, Experts &experts, bool hasCorrection) {
  experts.groups = config.size("n_group", 1);
  experts.groupsChosen = config.size("topk_group", 1);
  config.requireMultiple("n_routed_experts", experts.count, "n_group",
                         experts.groups);
  int64_t each = experts.count / experts.groups;
  experts.groupTop = std::min<int64_t>(hasCorrection ? 2 : 1, each);
  if (experts.groupsChosen > experts.groups ||
      experts.groupsChosen * each < experts.chosen)
    config.error("topk_group",
                 "'topk_group' is " + std::to_string(experts.groupsChosen) +
                     ", expected at most 'n_group' " +
                     std::to_string(experts.groups) + " groups with at least " +
                     std::to_string(experts.chosen) + " experts");
}

static void readExperts(Config &config, Decoder &decoder) {
  Experts &experts = decoder.experts;
  experts.count = config.size("n_routed_experts");
  experts.chosen = config.size("num_experts_per_tok", 8);
  experts.ffn = config.size("moe_intermediate_size");
  experts.shared = experts.ffn * config.count("n_shared_experts", 0);
  experts.activation = decoder.mlp.activation;
  experts.init = decoder.init;
  bool isV3 = config.text("model_type", "") == "deepseek_v3";
  std::string score = config.choice(
      "scoring_func", isV3 ? "sigmoid" : "softmax", {"softmax", "sigmoid"});
  experts.score = score == "sigmoid" ? Score::Sigmoid : Score::Softmax;
  experts.normalised = config.flag("norm_topk_prob", isV3);
  experts.scaling = config.number("routed_scaling_factor", 1);
  std::string method =
      config.choice("topk_method", isV3 ? "noaux_tc" : "greedy",
                    {"greedy", "group_limited_greedy", "noaux_tc"});
  experts.correction = method == "noaux_tc";
  checkExperts(config, decoder, "num_experts_per_tok");
  if (method != "greedy")
    readGroups(config, experts, experts.correction);
}

Decoder importers::readDeepSeek(Config &config, const Sizes &sizes) {
  CommonKeys keys;
  keys.keyHeads = nullptr;
  keys.head = "qk_nope_head_dim";
  Decoder decoder = readCommon(config, sizes, keys);
  readLatent(config, decoder);
  readExperts(config, decoder);
  decoder.denseLayers =
      std::min(config.count("first_k_dense_replace", 0), decoder.layers);
  decoder.period = {LayerKind{/*experts=*/true}};
  if (config.size("moe_layer_freq", 1) != 1)
    config.error("moe_layer_freq", "'moe_layer_freq' is not 1: only the first "
                                   "layers may be dense");
  if (config.count("num_nextn_predict_layers", 0))
    config.warning("num_nextn_predict_layers",
                   "'num_nextn_predict_layers' is ignored: multi-token "
                   "prediction is not imported");
  return decoder;
}
