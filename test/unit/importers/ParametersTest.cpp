//===- ParametersTest.cpp - parameter counts against published ones -------===//
//
// The published numbers are those of `sum(p.numel())` over the reference
// implementations' models, or the papers'.
//
//===----------------------------------------------------------------------===//

#include "ImporterTesting.h"

using namespace whale;
using namespace whale::test;

TEST_CASE("gpt2 with experts", "[parameters]") {
  ImportOptions options;
  options.settings = {{"num_local_experts", "4"}, {"num_experts_per_tok", "1"}};
  // 12 times a feed-forward with biases less, a router and 4 without more.
  constexpr int64_t products = 2 * 768 * 3072;
  CHECK(parametersOf("gpt2-small", options) ==
        124'439'808 + 12 * (3 * products - 768 - 3072 + 768 * 4));
}

TEST_CASE("gpt2 parameter counts", "[parameters]") {
  CHECK(parametersOf("gpt2-small") == 124'439'808);
  CHECK(parametersOf("gpt2-medium") == 354'823'168);
  CHECK(parametersOf("gpt2-large") == 774'030'080);
  CHECK(parametersOf("gpt2-xl") == 1'557'611'200);
}

TEST_CASE("gpt3 in closed form", "[parameters]") {
  int64_t h = 12288, layers = 96, vocabulary = 50257, positions = 2048;
  // Weights 12 h^2 and biases and norms 13 h a layer; the last norm.
  int64_t expected =
      layers * (12 * h * h + 13 * h) + (vocabulary + positions) * h + 2 * h;
  CHECK(parametersOf("gpt3-175b") == expected);
  CHECK(expected == 174'604'259'328);
}

TEST_CASE("llama parameter counts", "[parameters]") {
  CHECK(parametersOf("llama-2-7b") == 6'738'415'616);
  CHECK(parametersOf("llama-2-70b") == 68'976'648'192);
  CHECK(parametersOf("llama-3-8b") == 8'030'261'248);
  CHECK(parametersOf("llama-3-70b") == 70'553'706'496);
  CHECK(parametersOf("llama-3-405b") == 405'853'388'800);
  CHECK(parametersOf("mistral-7b") == 7'241'732'096);
  CHECK(parametersOf("mixtral-8x7b") == 46'702'792'704);
  CHECK(parametersOf("llama-2-13b") == 13'015'864'320);
  // Mixtral-8x22B-v0.1; v0.3 has 768 words more.
  CHECK(parametersOf("mixtral-8x22b") == 140'620'634'112);
  ImportOptions options;
  options.settings = {{"vocab_size", "32768"}};
  CHECK(parametersOf("mixtral-8x22b", options) == 140'630'071'296);
  // Llama 3.1 405B with the vocabulary of MLPerf's run.
  options.settings = {{"vocab_size", "32000"}};
  CHECK(parametersOf("llama-3-405b", options) ==
        405'853'388'800 - 2 * int64_t(128256 - 32000) * 16384);
}

TEST_CASE("deepseek parameter counts", "[parameters]") {
  // The main model of V3 (its report, section 4.2: 671B), with the router's 256
  // corrections in each of 58 layers, without the second-token module.
  CHECK(parametersOf("deepseek-v3") == 671'026'419'200);
  CHECK(parametersOf("deepseek-v2") == 235'741'434'880);
  CHECK(parametersOf("deepseek-v2-lite") == 15'706'484'224);
  // Attention, norms and dense or routed feed-forward of truncated models.
  int64_t attention = 187'107'328, norms = 2 * 7168, dense = 396'361'728;
  int64_t routed = 257 * int64_t(3 * 7168 * 2048) + 256 * 7168 + 256;
  int64_t rest = 2 * int64_t(129280) * 7168 + 7168;
  ImportOptions options;
  options.settings = {{"layers", "4"}, {"first_k_dense_replace", "1"}};
  CHECK(parametersOf("deepseek-v3", options) ==
        rest + 4 * (attention + norms) + dense + 3 * routed);
}

TEST_CASE("qwen3 parameter counts", "[parameters]") {
  CHECK(parametersOf("qwen3-8b") == 8'190'735'360);
  CHECK(parametersOf("qwen3-30b-a3b") == 30'532'122'624);
  CHECK(parametersOf("qwen3-235b-a22b") == 235'093'634'560);
}

TEST_CASE("llama 4 parameter counts", "[parameters]") {
  // Attention, norms; router, 16 + 1 experts.
  int64_t h = 5120, words = 2 * int64_t(202048) * h + h;
  int64_t attention = h * 128 * (2 * 40 + 2 * 8) + 2 * h;
  int64_t expert = 3 * h * 8192, dense = 3 * h * 16384;
  int64_t scout = words + 48 * (attention + 16 * h + 17 * expert);
  CHECK(parametersOf("llama-4-scout") == scout);
  // 109B with the images' part (Meta 2025).
  CHECK(scout == 107'769'861'120);
  int64_t maverick =
      words + 48 * attention + 24 * (128 * h + 129 * expert + dense);
  CHECK(parametersOf("llama-4-maverick") == maverick);
  // 400B.
  CHECK(maverick == 400'711'848'960);
}

TEST_CASE("nemotron parameter counts", "[parameters]") {
  // Parmar et al. 2024: 3.2B in the embeddings, 12.5B elsewhere.
  double words = 2.0 * 256000 * 6144;
  double rest = double(parametersOf("nemotron-4-15b")) - words;
  CHECK(std::abs(words / 1e9 - 3.2) < 0.1);
  CHECK(std::abs(rest / 1e9 - 12.5) < 0.05);
  // Nvidia 2024: 9.4B and 331.6B.
  words = 2.0 * 256000 * 18432;
  rest = double(parametersOf("nemotron-4-340b")) - words;
  CHECK(std::abs(words / 1e9 - 9.4) < 0.05);
  CHECK(std::abs(rest / 1e9 - 331.6) < 0.05);
}

TEST_CASE("grok-1 in closed form", "[parameters]") {
  int64_t h = 6144;
  // Attention, four norms, router, experts; "314B" counts the layers, of which
  // there are 314.9, or rounds down.
  int64_t layer =
      h * 128 * (2 * 48 + 2 * 8) + 4 * h + 8 * h + 8 * int64_t(3 * h) * 32768;
  CHECK(parametersOf("grok-1") == 64 * layer + int64_t(131072) * h + h);
  CHECK(64 * layer / 1'000'000'000 == 314);
}

TEST_CASE("other decoders' parameter counts", "[parameters]") {
  CHECK(parametersOf("bloom-176b") == 176'247'271'424);
  CHECK(parametersOf("gpt-neox-20b") == 20'554'567'680);
  // Korthikanti et al. 2022, table 3, in billions.
  CHECK(std::abs(double(parametersOf("gpt3-22b")) / 1e9 - 22) < 0.5);
  CHECK(std::abs(double(parametersOf("gpt3-530b")) / 1e9 - 530) < 0.5);
  CHECK(std::abs(double(parametersOf("gpt3-1t")) / 1e9 - 1008) < 1);
  CHECK(std::abs(double(parametersOf("gpt3-5b")) / 1e9 - 5) < 0.1);
  CHECK(std::abs(double(parametersOf("gpt3-126m")) / 1e6 - 126) < 0.5);
}

TEST_CASE("bert parameter counts", "[parameters]") {
  CHECK(parametersOf("bert-large") == 336'226'108);
  ImportOptions options;
  options.settings = {{"heads", "none"}};
  CHECK(parametersOf("bert-large", options) == 335'141'888);
  // Without pooler (h^2 + h) and next sentence (2 h + 2).
  options.settings = {{"heads", "mlm"}};
  CHECK(parametersOf("bert-large", options) ==
        336'226'108 - (1024 * 1024 + 1024) - (2 * 1024 + 2));
  // 110,106,428: BertForPreTraining of bert-base-uncased.
  CHECK(parametersOf("bert-base") == 110'106'428);
}

TEST_CASE("t5 parameter counts", "[parameters]") {
  CHECK(parametersOf("t5-large") == 737'668'096);
  // T5 1.1: gated feed-forward and a head of its own.
  ImportOptions options;
  options.settings = {{"feed_forward_proj", "gated-gelu"},
                      {"tie_word_embeddings", "false"},
                      {"d_ff", "2816"}};
  CHECK(parametersOf("t5-large", options) == 783'150'080);
}

TEST_CASE("resnet parameter counts", "[parameters]") {
  CHECK(parametersOf("resnet50") == 25'557'032);
  ImportOptions options;
  options.settings = {{"classes", "100000"}};
  CHECK(parametersOf("resnet50", options) ==
        25'557'032 + int64_t(100'000 - 1000) * 2049);
  CHECK(parametersOf("resnet50-100k") == parametersOf("resnet50", options));
  // ResNet-101 and -152 of torchvision.
  options.settings = {{"depths", "[3, 4, 23, 3]"}};
  CHECK(parametersOf("resnet50", options) == 44'549'160);
  options.settings = {{"depths", "[3, 8, 36, 3]"}};
  CHECK(parametersOf("resnet50", options) == 60'192'808);
}

TEST_CASE("gnmt in closed form", "[parameters]") {
  int64_t h = 1024, vocabulary = 32000;
  auto lstm = [&](int64_t inputs) { return 4 * h * (h * (inputs + 1) + 1); };
  int64_t encoder = 2 * lstm(1) + lstm(2) + 6 * lstm(1);
  int64_t decoder = lstm(1) + 7 * lstm(2) + 2 * h * h;
  int64_t words = 2 * vocabulary * h + vocabulary * (h + 1);
  CHECK(parametersOf("gnmt") == encoder + decoder + words);
}

/// Weights and biases of attention, feed-forward or experts with router, norms;
/// embeddings of text, positions and image, two more norms.
static int64_t m6Parameters(int64_t layers, int64_t h, int64_t ffn,
                            int64_t experts) {
  int64_t layer = 4 * h * h + 4 * h + 4 * h +
                  experts * (2 * h * ffn + ffn + h) +
                  (experts > 1 ? h * experts : 0);
  return layers * layer + (21128 + 528) * h + 2048 * h + h + 4 * h;
}

TEST_CASE("m6 parameter counts", "[parameters]") {
  struct Row {
    const char *name;
    int64_t layers, hidden, ffn, experts;
    /// Attention, feed-forward and words, in billions: sums that agree with
    /// the papers' names (notes on M6), and their last digit's unit.
    double billions, unit;
  };
  const Row rows[] = {
      {"m6-base", 24, 1024, 4096, 1, 0.32, 0.01},
      {"m6-10b", 50, 4096, 16384, 1, 10.16, 0.01},
      {"m6-100b", 24, 1024, 4096, 512, 103.3, 0.1},
      {"m6-1t", 24, 1024, 21248, 960, 1003, 1},
      {"m6-10t", 48, 1024, 9984, 10240, 10056, 1},
  };
  for (const Row &row : rows) {
    INFO(row.name);
    int64_t count = parametersOf(row.name);
    CHECK(count == m6Parameters(row.layers, row.hidden, row.ffn, row.experts));
    int64_t imageAndPositions = (2048 + 1 + 528) * row.hidden;
    CHECK(std::abs(double(count - imageAndPositions) / 1e9 - row.billions) <=
          0.5 * row.unit);
  }
  // "327 M" with everything (Lin et al. 2021).
  CHECK(std::abs(double(parametersOf("m6-base")) / 1e6 - 327) <= 0.5);
  // The other rows of M6-T's table, by settings.
  ImportOptions options;
  options.settings = {{"num_hidden_layers", "5"}, {"num_experts", "32"}};
  CHECK(std::abs(double(parametersOf("m6-100b", options)) / 1e9 - 1.39) <=
        0.005);
  options.settings = {{"num_hidden_layers", "10"}, {"num_experts", "128"}};
  CHECK(std::abs(double(parametersOf("m6-100b", options)) / 1e9 - 10.81) <=
        0.005);
}

static std::optional<int64_t> countText(const char *text) {
  mlir::MLIRContext context;
  context.loadDialect<WhaleDialect>();
  auto root = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  REQUIRE(root);
  return countParameters(modelOf(*root));
}

TEST_CASE("chains multiply, tied and shared count once", "[parameters]") {
  CHECK(countText(R"(whale.model @m {
    whale.module @leaf() {
      %a = whale.variable "a" constant(0.0) : tensor<3x5xf32>
      %s = whale.variable "s" kind statistic constant(0.0) : tensor<7xf32>
      whale.return
    }
    whale.module @pair() {
      whale.instance @leaf "x"() : () -> ()
      whale.instance @leaf "y"() : () -> ()
      whale.return
    }
    whale.module @main() {
      whale.instance @pair "chain"() repeat 4 : () -> ()
      whale.instance @leaf "one"() shared : () -> ()
      whale.instance @leaf "one"() shared : () -> ()
      %t = whale.variable "t" constant(0.0) tied "one/a" : tensor<3x5xf32>
      %f = whale.variable "f" constant(0.0) frozen : tensor<2xf32>
      %again = whale.variable "f" constant(0.0) frozen : tensor<2xf32>
      whale.return
    }
  })") == 4 * 2 * 15 + 15 + 2);
}

TEST_CASE("a scan has one cell's variables", "[parameters]") {
  CHECK(countText(R"(whale.model @m {
    whale.module @cell(%h: tensor<2x3xf32>, %x: tensor<2x3xf32>)
        -> (tensor<2x3xf32>, tensor<2x3xf32>) {
      %w = whale.variable "w" constant(0.0) : tensor<3xf32>
      whale.return %h, %x : tensor<2x3xf32>, tensor<2x3xf32>
    }
    whale.module @main() {
      %h = whale.constant 0.0 : tensor<2x3xf32>
      %x = whale.constant 0.0 : tensor<2x9x3xf32>
      %0, %1 = whale.scan @cell "rnn" carry(%h) over(%x) dim 1
        : (tensor<2x3xf32>), (tensor<2x9x3xf32>)
        -> tensor<2x3xf32>, tensor<2x9x3xf32>
      whale.return
    }
  })") == 3);
}

TEST_CASE("a count beyond int64 is none", "[parameters]") {
  CHECK_FALSE(countText(R"(whale.model @m {
    whale.module @main() {
      %a = whale.variable "a" constant(0.0)
        : tensor<4294967296x4294967296xf32>
      whale.return
    }
  })"));
  CHECK_FALSE(countText(R"(whale.model @m {
    whale.module @leaf() {
      %a = whale.variable "a" constant(0.0) : tensor<4294967296xf32>
      whale.return
    }
    whale.module @main() {
      whale.instance @leaf "x"() repeat 4294967296 : () -> ()
      whale.return
    }
  })"));
  CHECK(countText("whale.model @m {}") == 0);
}
