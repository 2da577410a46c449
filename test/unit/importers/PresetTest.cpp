//===- PresetTest.cpp - every preset's text -------------------------------===//

#include "ImporterTesting.h"

#include "mlir/IR/Verifier.h"

using namespace whale;
using namespace whale::test;

TEST_CASE("every preset parses, verifies and round-trips", "[presets]") {
  std::vector<PresetInfo> presets = listPresets();
  REQUIRE(presets.size() >= 12);
  for (const PresetInfo &info : presets) {
    INFO(info.name);
    CHECK_FALSE(info.summary.empty());
    CHECK_FALSE(info.source.empty());
    mlir::MLIRContext context;
    std::string text = print(*preset(context, info.name));
    mlir::MLIRContext fresh;
    fresh.loadDialect<WhaleDialect>();
    auto parsed = mlir::parseSourceString<mlir::ModuleOp>(text, &fresh);
    REQUIRE(parsed);
    CHECK(mlir::succeeded(mlir::verify(*parsed)));
    CHECK(print(*parsed) == text);
    CHECK(parametersOf(*parsed) > 0);
    // Modules are written once, however many layers there are.
    CHECK(std::count(text.begin(), text.end(), '\n') < 450);
  }
}

TEST_CASE("gpt3 fits two pages", "[presets]") {
  mlir::MLIRContext context;
  std::string text = print(*preset(context, "gpt3-175b"));
  CHECK(std::count(text.begin(), text.end(), '\n') < 150);
  CHECK(text.find("repeat 96") != std::string::npos);
}

/// Names of the ops of a module are what the planner's decisions attach to.
TEST_CASE("names are unique in a module, and every op has one", "[presets]") {
  for (const PresetInfo &info : listPresets()) {
    mlir::MLIRContext context;
    auto root = preset(context, info.name);
    for (ModuleDefOp module :
         modelOf(*root).getBody().front().getOps<ModuleDefOp>()) {
      std::set<std::string> ops, variables;
      for (mlir::Operation &op : module.getBody().front()) {
        INFO(info.name << " @" << module.getSymName().str() << " "
                       << op.getName().getStringRef().str());
        CHECK_FALSE(mlir::isa<mlir::UnknownLoc>(op.getLoc()));
        if (mlir::isa<ReturnOp, AssignOp>(op))
          continue;
        auto name = op.getAttrOfType<mlir::StringAttr>("name");
        REQUIRE(name);
        auto &names = mlir::isa<VariableOp>(op) ? variables : ops;
        CHECK(names.insert(name.str()).second);
      }
    }
  }
}

TEST_CASE("an unknown preset names the nearest", "[presets]") {
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  CHECK_FALSE(importPreset(context, "gpt2-smal", {}, diagnostics));
  CHECK(diagnostics.str() == "error: unknown preset 'gpt2-smal'\n"
                             "note: did you mean 'gpt2-small'?\n");
}

TEST_CASE("options change the model", "[presets]") {
  mlir::MLIRContext context;
  ImportOptions options;
  options.batch = 3;
  options.sequence = 16;
  options.precision = "f64";
  options.optimizer = "sgd";
  options.learningRate = 0.5;
  options.seed = 7;
  options.name = "my-model";
  options.settings = {{"n_layer", "5"}, {"n_layer", "6"}};
  std::string text = print(*preset(context, "gpt-tiny", options));
  CHECK(text.find("whale.model @my_model") != std::string::npos);
  CHECK(text.find("repeat 6") != std::string::npos);
  CHECK(text.find("range 256 : tensor<3x16xi32>") != std::string::npos);
  CHECK(text.find("xf32") == std::string::npos);
  CHECK(text.find("name = \"sgd\"") != std::string::npos);
  CHECK(text.find("learning_rate = 0.5") != std::string::npos);
  CHECK(text.find("seed = 7") != std::string::npos);
}

TEST_CASE("dropout is honoured", "[presets]") {
  mlir::MLIRContext context;
  ImportOptions options;
  std::string plain = print(*preset(context, "gpt-tiny", options));
  CHECK(plain.find("whale.dropout") == std::string::npos);
  CHECK(plain.find("whale.attention") != std::string::npos);
  options.settings = {{"resid_pdrop", "0.25"}};
  std::string residual = print(*preset(context, "gpt-tiny", options));
  CHECK(residual.find("rate 0.25") != std::string::npos);
  CHECK(residual.find("whale.attention") != std::string::npos);
  // Dropout of the probabilities: no fused op has it.
  options.settings = {{"dropout", "0.1"}};
  std::string all = print(*preset(context, "gpt-tiny", options));
  CHECK(all.find("whale.attention") == std::string::npos);
  CHECK(all.find("whale.softmax") != std::string::npos);
  options.settings = {{"dropout", "0.1"}, {"attn_pdrop", "0"}};
  std::string fused = print(*preset(context, "gpt-tiny", options));
  CHECK(fused.find("whale.attention") != std::string::npos);
}
