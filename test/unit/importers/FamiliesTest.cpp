//===- FamiliesTest.cpp - families without a preset of their own ----------===//
//
// Published numbers are those of `sum(p.numel())` over Hugging Face's models,
// or of the papers named.
//
//===----------------------------------------------------------------------===//

#include "ImporterTesting.h"

using namespace whale;
using namespace whale::test;

/// Parameters of the model of a config.json text without its braces.
static int64_t countOf(const std::string &members,
                       const ImportOptions &options = {}) {
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  auto json = json::parse("{" + members + "}", "config.json", diagnostics);
  REQUIRE(json);
  auto root = importHuggingFace(context, *json, options, diagnostics);
  INFO(diagnostics.str());
  REQUIRE(root);
  return parametersOf(*root);
}

TEST_CASE("phi3", "[families]") {
  // Phi-3-mini.
  CHECK(countOf(R"("model_type": "phi3", "vocab_size": 32064,
    "max_position_embeddings": 4096, "hidden_size": 3072,
    "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 8192, "sliding_window": 2047)") == 3'821'079'552);
}

TEST_CASE("gemma", "[families]") {
  std::string base = R"("model_type": "gemma", "vocab_size": 256000,
    "max_position_embeddings": 8192, "hidden_act": "gelu", "head_dim": 256, )";
  CHECK(countOf(base + R"("hidden_size": 3072, "num_hidden_layers": 28,
    "num_attention_heads": 16, "intermediate_size": 24576)") == 8'537'680'896);
  CHECK(countOf(base + R"("hidden_size": 2048, "num_hidden_layers": 18,
    "num_attention_heads": 8, "num_key_value_heads": 1,
    "intermediate_size": 16384)") == 2'506'172'416);
}

TEST_CASE("qwen2", "[families]") {
  CHECK(countOf(R"("model_type": "qwen2", "vocab_size": 152064,
    "max_position_embeddings": 32768, "hidden_size": 3584,
    "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "intermediate_size": 18944)") == 7'615'616'512);
}

TEST_CASE("starcoder2", "[families]") {
  CHECK(countOf(R"("model_type": "starcoder2", "vocab_size": 49152,
    "max_position_embeddings": 16384, "hidden_size": 3072,
    "num_hidden_layers": 30, "num_attention_heads": 24,
    "num_key_value_heads": 2, "intermediate_size": 12288,
    "sliding_window": 4096)") == 3'030'371'328);
}

TEST_CASE("pythia", "[families]") {
  // Biderman et al. 2023, table 1.
  std::string base = R"("model_type": "gpt_neox", "hidden_act": "gelu",
    "max_position_embeddings": 2048, "rotary_pct": 0.25, )";
  CHECK(countOf(base + R"("vocab_size": 50432, "hidden_size": 4096,
    "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 16384)") == 6'857'302'016);
  CHECK(countOf(base + R"("vocab_size": 50688, "hidden_size": 5120,
    "num_hidden_layers": 36, "num_attention_heads": 40,
    "intermediate_size": 20480)") == 11'846'072'320);
}

TEST_CASE("gptj", "[families]") {
  std::string base = R"("model_type": "gptj", "vocab_size": 50400,
    "n_positions": 2048, "n_embd": 4096, "n_layer": 28, "n_head": 16)";
  CHECK(countOf(base + R"(, "rotary_dim": 64)") == 6'050'882'784);
  CHECK(messagesOf("{" + base + R"(, "rotary_dim": 258})")
            .find("'rotary_dim' is 258, more than the head size 256") !=
        std::string::npos);
}

TEST_CASE("falcon", "[families]") {
  CHECK(countOf(R"("model_type": "falcon", "vocab_size": 65024,
    "max_position_embeddings": 2048, "hidden_size": 4544,
    "num_hidden_layers": 32, "num_attention_heads": 71,
    "multi_query": true, "parallel_attn": true, "bias": false)") ==
        6'921'720'704);
  CHECK(countOf(R"("model_type": "falcon", "vocab_size": 65024,
    "max_position_embeddings": 2048, "hidden_size": 8192,
    "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8,
    "new_decoder_architecture": true, "bias": false)") == 41'303'293'952);
}

TEST_CASE("opt", "[families]") {
  std::string base = R"("model_type": "opt", "vocab_size": 50272,
    "max_position_embeddings": 2048, "dropout": 0.1,
    "attention_dropout": 0.0, )";
  CHECK(countOf(base + R"("hidden_size": 2048, "num_hidden_layers": 24,
    "num_attention_heads": 32, "ffn_dim": 8192)") == 1'315'758'080);
  CHECK(messagesOf("{" + base + R"("hidden_size": 1024,
    "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096,
    "word_embed_proj_dim": 512})")
            .find("'word_embed_proj_dim' is not 'hidden_size' 1024: projected "
                  "embeddings are not imported") != std::string::npos);
}

TEST_CASE("mpt", "[families]") {
  ImportOptions options;
  CHECK(parametersOf("mpt-7b") == 6'649'286'656);
  options.settings = {{"attn_config.alibi", "false"}};
  CHECK(parametersOf("mpt-7b", options) == 6'649'286'656 + 2048 * 4096);
}

TEST_CASE("layers of unlike kinds", "[families]") {
  mlir::MLIRContext context;
  ImportOptions options;
  options.settings = {{"layers", "4"}};
  std::string text = print(*preset(context, "deepseek-v3", options));
  CHECK(text.find("@dense_block \"dense_layers\"") != std::string::npos);
  CHECK(text.find("repeat 3 :") != std::string::npos);
  CHECK(text.find("@block \"layers\"") != std::string::npos);
  CHECK(text.find("repeat 1 :") != std::string::npos);
  // Fewer layers than dense ones.
  options.settings = {{"layers", "2"}};
  text = print(*preset(context, "deepseek-v3", options));
  CHECK(text.find("\"layers\"") == std::string::npos);
  // Five layers: a period of four and one more.
  text = print(*preset(context, "llama4-tiny"));
  CHECK(text.find("@period \"layers\"") != std::string::npos);
  CHECK(text.find("@unturned_block \"layer3\"") != std::string::npos);
  CHECK(text.find("@dense_block \"layer0\"") != std::string::npos);
  options.settings = {{"interleave_moe_layer_step", "33"}, {"layers", "200"}};
  Diagnostics diagnostics;
  CHECK_FALSE(importPreset(context, "llama4-tiny", options, diagnostics));
  CHECK(
      diagnostics.str().find("layers repeat after 132, expected at most 64") !=
      std::string::npos);
}

TEST_CASE("deepseek's mistakes", "[families]") {
  mlir::MLIRContext context;
  auto message = [&](const char *key, const char *value) {
    ImportOptions options;
    options.settings = {{key, value}};
    Diagnostics diagnostics;
    importPreset(context, "deepseek-tiny", options, diagnostics);
    return diagnostics.str();
  };
  CHECK(message("topk_group", "5")
            .find("'topk_group' is 5, expected at most 'n_group' 4 groups with "
                  "at least 2 experts") != std::string::npos);
  CHECK(message("num_experts_per_tok", "5").find("with at least 5 experts") !=
        std::string::npos);
  CHECK(message("num_experts_per_tok", "9")
            .find("'num_experts_per_tok' is 9, more than the 8 experts") !=
        std::string::npos);
  CHECK(message("n_group", "3").find("no multiple of 'n_group' 3") !=
        std::string::npos);
  CHECK(message("qk_rope_head_dim", "5")
            .find("the head size is 5, but rotary positions need an even "
                  "one") != std::string::npos);
  CHECK(message("moe_layer_freq", "2").find("'moe_layer_freq' is not 1") !=
        std::string::npos);
  CHECK(message("num_nextn_predict_layers", "1")
            .find("warning: 'num_nextn_predict_layers' is ignored") !=
        std::string::npos);
}

TEST_CASE("qwen3's layers without experts", "[families]") {
  mlir::MLIRContext context;
  ImportOptions options;
  options.settings = {{"decoder_sparse_step", "2"}};
  Diagnostics diagnostics;
  CHECK_FALSE(importPreset(context, "qwen3-moe-tiny", options, diagnostics));
  CHECK(diagnostics.str().find("'decoder_sparse_step' is not 1") !=
        std::string::npos);
}

TEST_CASE("bert with masked positions only", "[families]") {
  mlir::MLIRContext context;
  ImportOptions options;
  options.sequence = 128;
  options.settings = {{"max_predictions_per_seq", "20"}, {"heads", "mlm"}};
  auto root = preset(context, "bert-large", options);
  std::string text = print(*root);
  // The decoder runs at 20 of 128 positions and has the same parameters.
  CHECK(text.find("x20x30522xf32>") != std::string::npos);
  CHECK(text.find("x128x30522xf32>") == std::string::npos);
  options.settings = {{"heads", "mlm"}};
  CHECK(parametersOf(*root) == parametersOf("bert-large", options));
  options.settings = {{"max_predictions_per_seq", "129"}};
  Diagnostics diagnostics;
  CHECK_FALSE(importPreset(context, "bert-large", options, diagnostics));
  CHECK(diagnostics.str().find("'max_predictions_per_seq' is 129, more than "
                               "the 128 positions") != std::string::npos);
}
