// Small whole models: gradients against central differences, and the parts of
// the language that only a model has (chains, scans, shared operands, losses
// inside modules, statistics).

#include "compiler/importers/Importers.h"
#include "test/unit/gradients/Harness.h"
#include "test/unit/gradients/OpCases.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

using namespace reference;

static std::string readModel(const std::string &name) {
  std::ifstream file(std::string(WHALE_MODELS) + "/" + name + ".mlir");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Random inputs, integers below their range.
static void setInputs(Interpreter &interpreter, std::mt19937_64 &random) {
  for (auto input : interpreter.main().getBody().getOps<whale::InputOp>()) {
    Tensor value(input.getType());
    int64_t range = input.getRange() ? int64_t(*input.getRange()) : 1;
    fill(value, value.isInteger ? "i32 0.." + std::to_string(range) : "f64",
         random);
    interpreter.inputs[input.getName().str()] = value;
  }
}

/// Differentiates a model, runs it and checks at most `perVariable` entries of
/// every variable but those in `constants`, which must get no gradient.
static void checkText(const std::string &text,
                      const std::set<std::string> &constants,
                      size_t perVariable) {
  Model plain(text), model(text);
  INFO(plain.diagnostics());
  REQUIRE(plain.ok());
  bool differentiated = model.differentiate();
  INFO(model.diagnostics());
  REQUIRE(differentiated);
  std::mt19937_64 random(3);
  Interpreter interpreter(model.op()), forward(plain.op());
  interpreter.seed = forward.seed = 5;
  interpreter.step = forward.step = 2;
  setInputs(interpreter, random);
  forward.inputs = interpreter.inputs;
  auto result = interpreter.run();
  REQUIRE(succeeded(result));
  // Unrolling and differentiation leave the forward part as it was.
  auto expected = forward.run();
  REQUIRE(succeeded(expected));
  CHECK(result->losses == expected->losses);
  CHECK(expected->gradients.empty());
  CHECK(std::isfinite(result->totalLoss()));
  std::vector<std::string> names;
  for (auto &[path, value] : interpreter.variables)
    if (!constants.count(path))
      names.push_back(path);
  for (const std::string &path : names)
    CHECK(result->gradients.count(path));
  for (const std::string &path : constants) {
    CHECK(interpreter.variables.count(path));
    CHECK(!result->gradients.count(path));
  }
  GradientCheck check =
      checkGradients(interpreter, *result, names, perVariable, random);
  INFO(check.worstPlace);
  CHECK(check.worst < 1e-7);
  CHECK(check.entries >= perVariable / 2 * names.size());
}

static void checkModel(const std::string &name,
                       const std::set<std::string> &constants) {
  INFO(name);
  checkText(readModel(name), constants, 6);
}

TEST_CASE("gpt") { checkModel("gpt", {}); }
TEST_CASE("llama") { checkModel("llama", {}); }
TEST_CASE("experts with capacity") { checkModel("moe-capacity", {}); }
TEST_CASE("grouped experts") { checkModel("moe-grouped", {}); }
TEST_CASE("convolutions with batch norm") {
  checkModel("convnet",
             {"blocks.0/norm/running.mean", "blocks.1/norm/running.mean"});
}
TEST_CASE("lstm by scan") { checkModel("lstm", {}); }
TEST_CASE("bias shared by a chain") { checkModel("t5", {"embedding"}); }

//===----------------------------------------------------------------------===//
// Imported models
//===----------------------------------------------------------------------===//

using Settings = std::vector<std::pair<std::string, std::string>>;

/// A preset in f64 as text, with few of everything: the interpreter is naive.
static std::string presetText(const std::string &name, Settings settings,
                              std::optional<whale::Lora> lora = {}) {
  whale::ImportOptions options;
  options.batch = 1;
  options.sequence = 3;
  options.precision = "f64";
  options.settings = {{"vocab_size", "7"}, {"hidden_size", "8"}};
  options.settings.insert(options.settings.end(), settings.begin(),
                          settings.end());
  // Larger weights, so that no part of the loss is flat.
  options.settings.emplace_back("initializer_range", "0.3");
  options.lora = std::move(lora);
  mlir::MLIRContext context;
  whale::Diagnostics diagnostics;
  auto module = whale::importPreset(context, name, options, diagnostics);
  INFO(diagnostics.str());
  REQUIRE(module);
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream);
  return text;
}

static void checkImported(const std::string &text,
                          const std::set<std::string> &constants = {}) {
  checkText(text, constants, 2);
}

/// Attention and feed-forward of most families.
static const Settings small = {
    {"layers", "1"}, {"num_attention_heads", "2"}, {"intermediate_size", "6"}};
static Settings with(Settings settings, const Settings &more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}
static const Settings smallDeepSeek =
    with(small, {{"layers", "2"},
                 {"moe_intermediate_size", "4"},
                 {"kv_lora_rank", "3"},
                 {"qk_nope_head_dim", "3"},
                 {"qk_rope_head_dim", "2"},
                 {"v_head_dim", "4"}});
static const Settings smallExperts =
    with(small, {{"num_key_value_heads", "1"}, {"head_dim", "4"}});

TEST_CASE("latent attention, shared experts and dense layers") {
  checkImported(
      presetText("deepseek-tiny", with(smallDeepSeek, {{"q_lora_rank", "5"}})),
      {"layers.0/experts/router.correction"});
}
TEST_CASE("latent attention with softmax in groups") {
  checkImported(
      presetText("deepseek-tiny",
                 with(smallDeepSeek, {{"topk_method", "group_limited_greedy"},
                                      {"scoring_func", "softmax"},
                                      {"norm_topk_prob", "false"},
                                      {"q_lora_rank", "null"}})));
}
TEST_CASE("norms of heads") {
  checkImported(presetText(
      "qwen3-moe-tiny", with(smallExperts, {{"num_experts", "4"},
                                            {"moe_intermediate_size", "4"}})));
}
TEST_CASE("layers that differ") {
  checkImported(presetText(
      "llama4-tiny", with(smallExperts, {{"layers", "3"},
                                         {"intermediate_size_mlp", "6"},
                                         {"no_rope_layer_interval", "2"}})));
}
TEST_CASE("squared relu, partial positions") {
  checkImported(
      presetText("nemotron-tiny", with(small, {{"num_key_value_heads", "1"}})));
}
TEST_CASE("norms after branches, capped scores") {
  checkImported(presetText("grok-tiny", smallExperts));
}
TEST_CASE("branches side by side") {
  checkImported(
      presetText("gpt-neox-tiny", with(small, {{"rotary_pct", "0.5"}})));
}
TEST_CASE("linear biases") {
  checkImported(presetText(
      "bloom-tiny", {{"layers", "1"}, {"hidden_size", "6"}, {"n_head", "3"}}));
}
TEST_CASE("masked positions only") {
  checkImported(
      presetText("bert-tiny", with(small, {{"max_predictions_per_seq", "2"}})));
}

TEST_CASE("adapters learn, the rest is frozen") {
  whale::Lora lora;
  lora.rank = 2;
  lora.targets = {"qkv", "o", "up"};
  std::string text = presetText(
      "llama-tiny",
      with(small, {{"num_key_value_heads", "1"}, {"layers", "2"}}), lora);
  // B starts at zero, where A has no gradient: start elsewhere.
  std::string zero = "lora_b.weight\" constant(0.0)";
  for (size_t at = text.find(zero); at != std::string::npos;
       at = text.find(zero))
    text.replace(at, zero.size(), "lora_b.weight\" normal(0.0, 0.3)");
  Model model(text);
  REQUIRE(model.ok());
  Interpreter interpreter(model.op());
  std::mt19937_64 random(3);
  setInputs(interpreter, random);
  REQUIRE(succeeded(interpreter.run()));
  std::set<std::string> frozen;
  for (const auto &[path, value] : interpreter.variables)
    if (path.find("lora_") == std::string::npos)
      frozen.insert(path);
  // Two layers: A for qkv, o and up, B for q, k, v, o and up.
  CHECK(interpreter.variables.size() - frozen.size() == 2 * (3 + 5));
  checkImported(text, frozen);
}

TEST_CASE("train writes what is assigned") {
  Model model(readModel("convnet"));
  REQUIRE(model.ok());
  Interpreter interpreter(model.op());
  std::mt19937_64 random(3);
  setInputs(interpreter, random);
  REQUIRE(succeeded(interpreter.train("main")));
  Tensor first = interpreter.variables["blocks.0/norm/running.mean"];
  REQUIRE(succeeded(interpreter.train("main")));
  Tensor second = interpreter.variables["blocks.0/norm/running.mean"];
  // The batch is the same: m, then 0.9 m + m.
  for (size_t i = 0; i < first.reals.size(); ++i)
    CHECK(second.reals[i] == Approx(1.9 * first.reals[i]));
  CHECK(first.reals[0] != 0);
  CHECK(interpreter.step == 2);
}

TEST_CASE("dropout follows seed, step and place, and its rate") {
  Model model("whale.model @m {\nwhale.module @main() {\n"
              "%x = whale.input \"x\" [batch, a] : tensor<100x100xf64>\n"
              "%y = whale.dropout %x rate 0.25 key \"one\" "
              ": tensor<100x100xf64>\n"
              "%z = whale.dropout %x rate 0.25 key \"two\" "
              ": tensor<100x100xf64>\n"
              "%p = whale.mul %y, %z : tensor<100x100xf64>, "
              "tensor<100x100xf64>\n"
              "%s = whale.reduce sum %y [0, 1] : tensor<100x100xf64> -> "
              "tensor<f64>\n"
              "%t = whale.reduce sum %p [0, 1] : tensor<100x100xf64> -> "
              "tensor<f64>\n"
              "%n = whale.constant 10000.0 : tensor<f64>\n"
              "whale.loss \"one\" %s over %n : tensor<f64>\n"
              "whale.loss \"both\" %t over %n : tensor<f64>\n"
              "whale.return\n}\n}\n");
  INFO(model.diagnostics());
  REQUIRE(model.ok());
  Interpreter interpreter(model.op());
  interpreter.inputs["x"] = Tensor({100, 100}, false);
  interpreter.inputs["x"].reals.assign(10000, 1.0);
  auto first = interpreter.run();
  REQUIRE(succeeded(first));
  // Mean 1; deviation of a mean of 10^4 is sqrt(1/3) / 100. Independent keys:
  // the product's mean is 1, with deviation sqrt(7) / 300.
  CHECK(std::fabs(first->losses["one"] - 1) < 4 * 0.00577);
  CHECK(std::fabs(first->losses["both"] - 1) < 4 * 0.00882);
  interpreter.step = 1;
  auto second = interpreter.run();
  CHECK(second->losses != first->losses);
  interpreter.step = 0;
  interpreter.seed = 1;
  auto third = interpreter.run();
  CHECK(third->losses != first->losses);
  interpreter.seed = 0;
  CHECK(interpreter.run()->losses == first->losses);
}

TEST_CASE("a flat step trains") {
  // loss = sum(w^2) / 2; w <- w - m, m <- 0.5 m + gradient.
  Model model(R"(
    whale.model @flat {
      whale.module @step() {
        %w = whale.variable "w" constant(3.0) {variable_path = "a/w", path = "a/w"} : tensor<2xf64>
        %m = whale.variable "m" kind slot constant(0.0) {variable_path = "a/w#m"} : tensor<2xf64>
        %sq = whale.mul %w, %w : tensor<2xf64>, tensor<2xf64>
        %s = whale.reduce sum %sq [0] : tensor<2xf64> -> tensor<f64>
        %two = whale.constant 2.0 : tensor<f64>
        whale.loss "l" %s over %two : tensor<f64>
        %half = whale.constant 0.5 : tensor<f64>
        %old = whale.mul %m, %half : tensor<2xf64>, tensor<f64>
        %new = whale.add %old, %w : tensor<2xf64>, tensor<2xf64>
        %next = whale.sub %w, %new : tensor<2xf64>, tensor<2xf64>
        whale.assign "a/w#m", %new : tensor<2xf64>
        whale.assign "a/w", %next : tensor<2xf64>
        whale.return
      }
    })");
  INFO(model.diagnostics());
  REQUIRE(model.ok());
  Interpreter interpreter(model.op());
  interpreter.variables["a/w"] = Tensor({2}, false);
  interpreter.variables["a/w"].reals = {4, 2};
  auto first = interpreter.train();
  REQUIRE(succeeded(first));
  CHECK(first->losses["l"] == 10);
  CHECK(interpreter.variables["a/w"].reals == std::vector<double>{0, 0});
  CHECK(interpreter.variables["a/w#m"].reals == std::vector<double>{4, 2});
  auto second = interpreter.train();
  REQUIRE(succeeded(second));
  CHECK(second->losses["l"] == 0);
  CHECK(interpreter.variables["a/w"].reals == std::vector<double>{-2, -1});
  CHECK(interpreter.variables["a/w#m"].reals == std::vector<double>{2, 1});
}

TEST_CASE("a missing input is an error at its place") {
  Model model(readModel("gpt"));
  REQUIRE(model.ok());
  Interpreter interpreter(model.op());
  CHECK(failed(interpreter.run()));
  CHECK(model.diagnostics() == "input 'tokens' was not given\n");
}
