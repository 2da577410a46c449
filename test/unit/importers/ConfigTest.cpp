//===- ConfigTest.cpp - what a wrong configuration is told ----------------===//

#include "ImporterTesting.h"

#include "compiler/importers/Presets.h"

using namespace whale;
using namespace whale::test;

static const char *const goodConfig = R"({
  "model_type": "gpt2",
  "vocab_size": 64,
  "n_positions": 16,
  "n_embd": 8,
  "n_layer": 2,
  "n_head": 2,
  "n_inner": null,
  "architectures": ["GPT2LMHeadModel"]
})";

/// `goodConfig` with one text replaced.
static std::string changed(std::string from, std::string to) {
  std::string text = goodConfig;
  size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("a good configuration has no messages", "[config]") {
  CHECK(messagesOf(goodConfig) == "");
}

TEST_CASE("model_type", "[config]") {
  CHECK(messagesOf(changed("\"gpt2\"", "\"gpt3\""))
            .find("config.json:2:17: error: unknown model_type 'gpt3', "
                  "expected one "
                  "of ") == 0);
  CHECK(messagesOf(changed("\"gpt2\"", "\"gpt3\""))
            .find("note: did you mean 'gpt2'?") != std::string::npos);
  CHECK(messagesOf("{}").find("config.json:1:1: error:") == 0);
  CHECK(messagesOf("[]").find("config.json:1:1: error:") == 0);
  CHECK(messagesOf("{\"model_type\": 5}").find("config.json:1:16: error:") ==
        0);
}

TEST_CASE("missing keys are named", "[config]") {
  CHECK(messagesOf(changed("\"n_layer\": 2,", "")) ==
        "config.json:1:1: error: key 'n_layer' is missing\n");
  CHECK(messagesOf(changed("\"n_layer\": 2,", "\"n_layer\": null,")) ==
        "config.json:1:1: error: key 'n_layer' is missing\n");
}

TEST_CASE("wrong types and ranges", "[config]") {
  CHECK(messagesOf(changed("\"n_layer\": 2", "\"n_layer\": \"two\"")) ==
        "config.json:6:14: error: 'n_layer' must be a whole number, found a "
        "string\n");
  CHECK(messagesOf(changed("\"n_layer\": 2", "\"n_layer\": 0")) ==
        "config.json:6:14: error: 'n_layer' must be at least 1, found 0\n");
  CHECK(messagesOf(changed("\"n_layer\": 2", "\"n_layer\": 3000000000")) ==
        "config.json:6:14: error: 'n_layer' must be at most 2147483647, found "
        "3000000000\n");
  CHECK(messagesOf(changed("null", "4, \"attn_pdrop\": 1.0"))
            .find("'attn_pdrop' must be less than 1") != std::string::npos);
  CHECK(messagesOf(changed("null", "4, \"activation_function\": \"gelu_nw\""))
            .find("note: did you mean 'gelu_new'?") != std::string::npos);
  CHECK(messagesOf(changed("null", "4, \"scale_attn_weights\": false"))
            .find("'scale_attn_weights' is false, which the importer does not "
                  "have") != std::string::npos);
}

TEST_CASE("sizes that do not fit", "[config]") {
  CHECK(messagesOf(changed("\"n_head\": 2", "\"n_head\": 3")) ==
        "config.json:5:13: error: 'n_embd' is 8, which is no multiple of "
        "'n_head' 3\n"
        "config.json:7:13: note: 'n_head' comes from here\n");
  ImportOptions options;
  options.sequence = 17;
  CHECK(messagesOf(goodConfig, options) ==
        "config.json:4:18: error: sequence is 17, but the model has 16 "
        "positions ('n_positions')\n");
  options = {};
  options.batch = 0;
  CHECK(messagesOf(goodConfig, options).find("error: batch is 0") == 0);
}

TEST_CASE("settings", "[config]") {
  ImportOptions options;
  options.settings = {{"n_layr", "3"}};
  CHECK(messagesOf(goodConfig, options) ==
        "--set n_layr: error: the model has no setting 'n_layr'\n"
        "--set n_layr: note: did you mean 'n_layer'?\n");
  options.settings = {{"n_layer", "many"}};
  CHECK(messagesOf(goodConfig, options) ==
        "--set n_layer: error: 'n_layer' must be a whole number, found a "
        "string\n");
  options.settings = {{"batch", "3"}};
  CHECK(messagesOf(goodConfig, options)
            .find("error: the model has no setting 'batch'") !=
        std::string::npos);
}

TEST_CASE("all mistakes are reported at once", "[config]") {
  std::string text = messagesOf(R"({"model_type": "llama", "vocab_size": "a",
    "max_position_embeddings": -1, "num_hidden_layers": true})");
  for (const char *part :
       {"'vocab_size' must be", "'max_position_embeddings'",
        "'num_hidden_layers' must be", "'hidden_size' is missing",
        "'num_attention_heads' is missing", "'intermediate_size' is missing"})
    CHECK(text.find(part) != std::string::npos);
}

TEST_CASE("llama", "[config]") {
  std::string base = R"({"model_type": "llama", "vocab_size": 64,
    "max_position_embeddings": 16, "num_hidden_layers": 2, "hidden_size": 32,
    "intermediate_size": 64, "num_attention_heads": 4)";
  CHECK(messagesOf(base + "}") == "");
  CHECK(messagesOf(base + ", \"num_key_value_heads\": 3}")
            .find("'num_attention_heads' is 4, which is no multiple of "
                  "'num_key_value_heads' 3") != std::string::npos);
  CHECK(messagesOf(base + ", \"head_dim\": 7}").find("the head size is 7") !=
        std::string::npos);
}

TEST_CASE("scaled rotary positions", "[config]") {
  auto messages = [](const std::string &scaling) {
    return messagesOf(R"({"model_type": "llama", "vocab_size": 64,
      "max_position_embeddings": 16, "num_hidden_layers": 2, "hidden_size": 32,
      "intermediate_size": 64, "num_attention_heads": 4, "rope_scaling": )" +
                      scaling + "}");
  };
  CHECK(messages("null") == "");
  CHECK(messages(R"({"rope_type": "default"})") == "");
  CHECK(messages(R"({"type": "linear", "factor": 2})") == "");
  CHECK(messages(R"({"rope_type": "yarn", "factor": 2})") == "");
  auto refuses = [&](const std::string &scaling, const std::string &text) {
    INFO(scaling);
    CHECK(messages(scaling).find("error: " + text) != std::string::npos);
  };
  refuses(R"({"factor": 8.0})", "'rope_scaling' has no 'rope_type'");
  refuses(R"({"rope_type": "linear"})", "'rope_scaling' has no 'factor'");
  refuses(R"({"rope_type": "llama3", "factor": 8.0})",
          "key 'rope_scaling.original_max_position_embeddings' is missing");
  refuses(R"({"rope_type": "yarn", "factor": 8.0, "beta_fast": 1})",
          "'rope_scaling' ends at 1.0 turns, expected more than 1.0");
  refuses(R"({"rope_type": "linear", "factor": 8.0}, "rope_theta": 1)",
          "'rope_theta' is 1, so all pairs turn alike and 'rope_scaling' "
          "cannot tell them apart");
  refuses(R"({"rope_type": "dynamic", "factor": 8.0})",
          "scaling 'dynamic' of rotary positions is not supported, only "
          "'linear', 'llama3' and 'yarn' are");
  refuses(R"({"rope_type": "yarn", "factor": 8.0, "truncate": false})",
          "'truncate' of 'rope_scaling' is false, which the importer does not "
          "have");
}

/// The JSON of a preset's config with one member's value replaced.
static std::string withValue(const json::Value &config, size_t member,
                             std::string_view replacement) {
  json::Value copy = config;
  Diagnostics ignored;
  copy.members()[member].value = *json::parse(replacement, "", ignored);
  json::Writer changed;
  changed.value(copy);
  return changed.take();
}

TEST_CASE("no value of any key crashes", "[config]") {
  for (const importers::PresetFile &file : importers::presetFiles()) {
    if (!llvm::StringRef(file.name).ends_with("-tiny"))
      continue;
    Diagnostics diagnostics;
    std::optional<importers::Preset> preset =
        importers::readPreset(file, diagnostics);
    REQUIRE(preset);
    for (size_t i = 0; i < preset->config.members().size(); ++i)
      for (const char *value :
           {"null", "0", "-1", "1", "7", "2147483647", "1e300", "0.5", "true",
            "\"x\"", "[]", "[1, 3000000000]", "{}"})
        // messagesOf checks: a model or an error.
        messagesOf(withValue(preset->config, i, value));
  }
}

TEST_CASE("the model's type cannot be set", "[config]") {
  ImportOptions options;
  options.settings = {{"model_type", "llama"}};
  CHECK(messagesOf(goodConfig, options) ==
        "--set model_type: error: 'model_type' says what the file is and "
        "cannot be set\n");
}

TEST_CASE("a file, and a file that is not there", "[config]") {
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  CHECK_FALSE(
      importHuggingFaceFile(context, "no/such/config.json", {}, diagnostics));
  CHECK(diagnostics.str().find("no/such/config.json: error:") == 0);
}
