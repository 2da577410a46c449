//===- ApplyPlanTest.cpp - flat steps against the model in modules --------===//

#include "passes/plan/ApplyPlan.h"
#include "passes/plan/FlatStep.h"
#include "passes/plan/GlobalBatch.h"
#include "test/unit/plan/Testing.h"

#include "mlir/IR/Verifier.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::test;
using planner::NormalForm;
using planner::Recompute;
using reference::Interpreter;
using reference::StepResult;
using reference::TensorMap;

static const std::string sgd =
    "{optimizer = {name = \"sgd\", learning_rate = 1.0}}";

/// What one step of gradient descent at rate 1 must assign: the gradients of
/// the model in modules, and its statistics.
static StepResult expectedStep(const std::string &name, TensorMap &inputs) {
  reference::Model model(modelText(name, sgd));
  REQUIRE(model.ok());
  REQUIRE(model.differentiate());
  Interpreter interpreter(model.op());
  inputs = interpreter.inputs = randomInputs(model.op(), "main", 3);
  interpreter.seed = 5;
  auto result = interpreter.run();
  REQUIRE(succeeded(result));
  for (auto &[path, gradient] : result->gradients) {
    reference::Tensor moved = interpreter.variables.at(path);
    for (size_t i = 0; i < moved.reals.size(); ++i)
      moved.reals[i] -= gradient.reals[i];
    result->assigned[path] = moved;
  }
  return *result;
}

/// A flat step by `form`; `module` is run.
static StepResult flatStep(const std::string &name, const NormalForm &form,
                           const TensorMap &inputs,
                           const plan::ApplyPlanOptions &options = {},
                           const std::string &module = "step") {
  reference::Model model(modelText(name, sgd));
  if (!options.precision.empty())
    toFloat32(model.op());
  REQUIRE(model.differentiate());
  bool applied = succeeded(plan::applyPlan(model.op(), form, options));
  INFO(model.diagnostics());
  REQUIRE(applied);
  REQUIRE(succeeded(mlir::verify(model.op())));
  Interpreter interpreter(model.op());
  interpreter.inputs = inputs;
  interpreter.seed = 5;
  auto result = interpreter.run(module);
  INFO(model.diagnostics());
  REQUIRE(succeeded(result));
  return *result;
}

TEST_CASE("a flat step on one device is the model's step") {
  for (const std::string &name : modelNames()) {
    DYNAMIC_SECTION(name) {
      TensorMap inputs;
      StepResult expected = expectedStep(name, inputs);
      StepResult found = flatStep(name, plan::trivialPlan(), inputs);
      CHECK(found.losses == expected.losses);
      CHECK(difference(found.assigned, expected.assigned) < 1e-12);
    }
  }
}

TEST_CASE("cuts and clones do not change the flat step's numbers") {
  std::vector<std::string> plans = {
      "replica(2)",
      "replica(2, shard = optimizer)",
      "split(2, heads, ffn, vocabulary, experts, classes)",
      "replica(2) split(2, hidden, in, out)",
      "split(2, rows)",
      "split(2, columns)"};
  for (const std::string &name : modelNames())
    for (const std::string &text : plans) {
      DYNAMIC_SECTION(name << " " << text) {
        TensorMap inputs;
        StepResult expected = expectedStep(name, inputs);
        NormalForm form = planOf(text);
        for (Recompute mode :
             {Recompute::None, Recompute::Selective, Recompute::Full}) {
          form.stages[0].recompute = mode;
          StepResult found = flatStep(name, form, inputs);
          CHECK(difference(found.assigned, expected.assigned) < 1e-9);
        }
      }
    }
}

TEST_CASE("stages do not change the flat step's numbers") {
  TensorMap inputs;
  StepResult expected = expectedStep("gpt", inputs);
  NormalForm form = plan::trivialPlan();
  form.stages[0].paths = {"main.0", "layers.0"};
  form.stages.emplace_back().paths = {"layers.1"};
  form.stages[1].recompute = Recompute::Full;
  StepResult found = flatStep("gpt", form, inputs);
  CHECK(difference(found.assigned, expected.assigned) < 1e-12);
}

TEST_CASE("precisions keep the reference's numbers") {
  // The reference holds reals as double, so casts change nothing: this shows
  // that no op lost its meaning, and the verifier that types fit.
  for (const char *precision : {"bf16", "f64"})
    for (const std::string &name : modelNames()) {
      DYNAMIC_SECTION(name << " " << precision) {
        TensorMap inputs;
        StepResult expected = expectedStep(name, inputs);
        StepResult found = flatStep(name, plan::trivialPlan(), inputs,
                                    {.precision = precision});
        CHECK(difference(found.assigned, expected.assigned) < 1e-12);
      }
    }
}

/// Every cut must be one that the op can do as it stands.
static void checkSplits(ModuleDefOp module) {
  for (mlir::Operation &op : plan::blockOf(module)) {
    auto split = op.getAttrOfType<mlir::ArrayAttr>(plan::splitAttr);
    auto compute = mlir::dyn_cast<IterationSpaceOpInterface>(op);
    if (!split || !compute)
      continue;
    IterationSpace space = compute.getIterationSpace();
    for (mlir::Attribute pair : split) {
      auto values = mlir::cast<mlir::ArrayAttr>(pair);
      auto loop = mlir::cast<mlir::IntegerAttr>(values[1]).getInt();
      REQUIRE(loop < int64_t(space.loops.size()));
      CHECK(space.loops[loop].kind != LoopKind::Whole);
    }
  }
}

/// Share of the forward and backward einsums that axis 0 cuts.
static double cutShare(ModuleDefOp module) {
  double cut = 0, all = 0;
  for (auto op : plan::blockOf(module).getOps<EinsumOp>()) {
    cut += op->hasAttr(plan::splitAttr);
    ++all;
  }
  return cut / all;
}

TEST_CASE("splits name loops that can be cut, and cut what they name") {
  for (const std::string &name : modelNames()) {
    DYNAMIC_SECTION(name) {
      reference::Model model(modelText(name, sgd));
      REQUIRE(model.differentiate());
      REQUIRE(succeeded(plan::applyPlan(model.op(), planOf("replica(2)"))));
      checkSplits(model.op().lookupSymbol<ModuleDefOp>("step"));
      checkSplits(model.op().lookupSymbol<ModuleDefOp>("eval"));
      // Every contraction of these models has a batch.
      CHECK(cutShare(model.op().lookupSymbol<ModuleDefOp>("step")) == 1.0);
    }
  }
  SECTION("a transformer by heads, ffn and vocabulary") {
    reference::Model model(modelText("gpt", sgd));
    REQUIRE(model.differentiate());
    NormalForm form = planOf("split(2, heads, ffn, vocabulary)");
    REQUIRE(succeeded(plan::applyPlan(model.op(), form)));
    auto step = model.op().lookupSymbol<ModuleDefOp>("step");
    checkSplits(step);
    CHECK(cutShare(step) == 1.0);
    // The softmax over the cut vocabulary became primitive ops.
    CHECK(plan::blockOf(step).getOps<CrossEntropyOp>().empty());
  }
}

TEST_CASE("ZeRO-1 cuts slots and updates along a dimension that is left") {
  std::string adamw = "{optimizer = {name = \"adamw\"}}";
  reference::Model model(modelText("gpt", adamw));
  REQUIRE(model.differentiate());
  NormalForm form =
      planOf("replica(2, shard = optimizer) split(2, heads, ffn, vocabulary)");
  REQUIRE(succeeded(plan::applyPlan(model.op(), form)));
  auto step = model.op().lookupSymbol<ModuleDefOp>("step");
  std::map<std::string, std::string> splits;
  for (auto op : plan::blockOf(step).getOps<VariableOp>()) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    if (mlir::Attribute split = op->getAttr(plan::splitAttr))
      stream << split;
    splits[plan::variablePath(op).str()] = text;
  }
  CHECK(splits["layers.0/ffn.in.weight"] == "[[1, 1]]");
  CHECK(splits["layers.0/ffn.in.weight#m"] == "[[0, 0], [1, 1]]");
  CHECK(splits["layers.0/ffn.in.bias#v"] == "[[1, 0]]");
  CHECK(splits["layers.0/norm1.scale#v"] == "[[0, 0]]");
  CHECK(splits["wte"] == "[[1, 0]]");
  CHECK(splits["wte#m"] == "[[0, 1], [1, 0]]");
  CHECK(splits["layers.1/attention/q.weight#m"] == "[[0, 0], [1, 1]]");
}

/// Paths of the forward values that the backward part of gpt uses.
static std::set<std::string> residualsOf(const NormalForm &form) {
  reference::Model model(modelText("gpt", sgd));
  REQUIRE(model.differentiate());
  REQUIRE(succeeded(plan::applyPlan(model.op(), form)));
  auto step = model.op().lookupSymbol<ModuleDefOp>("step");
  std::set<std::string> residuals;
  for (mlir::Operation &op : plan::blockOf(step))
    if (plan::phaseOf(&op) == plan::Phase::Backward)
      for (mlir::Value operand : op.getOperands())
        if (plan::phaseOf(operand.getDefiningOp()) == plan::Phase::Forward &&
            !mlir::isa<InputOp>(operand.getDefiningOp()))
          residuals.insert(plan::pathOf(operand.getDefiningOp()).str());
  return residuals;
}

TEST_CASE("recompute of the first layers leaves the others as they are") {
  NormalForm none = plan::trivialPlan(), some = none, all = none;
  // The embeddings and layers.0 of them, layers.1 and the head.
  some.stages[0].recomputeLayers = 2;
  all.stages[0].recompute = Recompute::Full;
  auto inLayer = [](const std::set<std::string> &residuals, int layer) {
    std::set<std::string> result;
    std::string prefix = "layers." + std::to_string(layer) + "/";
    for (const std::string &path : residuals)
      if (path.starts_with(prefix))
        result.insert(path);
    return result;
  };
  CHECK(inLayer(residualsOf(some), 0) == inLayer(residualsOf(all), 0));
  CHECK(inLayer(residualsOf(some), 1) == inLayer(residualsOf(none), 1));
  // layers.0 in full, layers.1 selectively.
  NormalForm cheap = none;
  cheap.stages[0].recompute = Recompute::Selective;
  some.stages[0].selectiveLayers = 1;
  CHECK(inLayer(residualsOf(some), 0) == inLayer(residualsOf(all), 0));
  CHECK(inLayer(residualsOf(some), 1) == inLayer(residualsOf(cheap), 1));
  CHECK(inLayer(residualsOf(cheap), 1) != inLayer(residualsOf(none), 1));
  some.stages[0].recomputeLayers = 100;
  CHECK(residualsOf(some) == residualsOf(all));
}

TEST_CASE("recompute leaves only an item's arguments to be kept") {
  NormalForm form = plan::trivialPlan();
  form.stages[0].recompute = Recompute::Full;
  std::set<std::string> residuals = residualsOf(form);
  // Arguments of layers.0, layers.1 and the head.
  CHECK(residuals ==
        std::set<std::string>{"add.0", "layers.0/add.2", "layers.1/add.2"});
}

TEST_CASE("evaluation has no dropout and uses running statistics") {
  SECTION("dropout") {
    TensorMap inputs;
    expectedStep("gpt", inputs);
    reference::Model plain(modelText("gpt", sgd));
    plain.op().walk([](DropoutOp op) {
      op.replaceAllUsesWith(op.getOperand());
      op.erase();
    });
    Interpreter interpreter(plain.op());
    interpreter.inputs = inputs;
    interpreter.seed = 5;
    auto expected = interpreter.run();
    REQUIRE(succeeded(expected));
    StepResult found = flatStep("gpt", plan::trivialPlan(), inputs, {}, "eval");
    CHECK(found.losses == expected->losses);
    CHECK(found.assigned.empty());
  }
  SECTION("statistics") {
    reference::Model model(modelText("convnet", sgd));
    REQUIRE(model.differentiate());
    REQUIRE(succeeded(plan::applyPlan(model.op(), plan::trivialPlan())));
    auto eval = model.op().lookupSymbol<ModuleDefOp>("eval");
    auto norms = llvm::to_vector(plan::blockOf(eval).getOps<BatchNormOp>());
    // The variance of these models is not tracked, so the batch's serves.
    for (BatchNormOp norm : norms)
      CHECK(!norm.getResult().use_empty());
  }
}

TEST_CASE("another batch of equal samples gives the same step") {
  for (const char *name : {"gpt", "llama", "t5", "moe-grouped"}) {
    DYNAMIC_SECTION(name) {
      TensorMap inputs;
      expectedStep(name, inputs);
      auto withoutDropout = [&](int64_t factor) {
        reference::Model model(modelText(name, sgd));
        int64_t batch = plan::globalBatchOf(model.op());
        bool set = succeeded(plan::setGlobalBatch(model.op(), batch * factor));
        INFO(model.diagnostics());
        REQUIRE(set);
        CHECK(plan::globalBatchOf(model.op()) == batch * factor);
        model.op().walk([](DropoutOp op) {
          op.replaceAllUsesWith(op.getOperand());
          op.erase();
        });
        REQUIRE(model.differentiate());
        Interpreter interpreter(model.op());
        interpreter.seed = 5;
        for (auto &[key, value] : inputs) {
          reference::Tensor wide = value;
          for (int64_t i = 1; i < factor; ++i) {
            llvm::append_range(wide.reals, value.reals);
            llvm::append_range(wide.integers, value.integers);
          }
          wide.shape[0] *= factor;
          interpreter.inputs[key] = wide;
        }
        auto result = interpreter.run();
        INFO(model.diagnostics());
        REQUIRE(succeeded(result));
        return *result;
      };
      StepResult once = withoutDropout(1), thrice = withoutDropout(3);
      CHECK(difference(thrice.gradients, once.gradients) < 1e-9);
    }
  }
}

TEST_CASE("plans that do not fit are refused with their places") {
  SECTION("a stage without ops") {
    reference::Model model(modelText("gpt", sgd));
    REQUIRE(model.differentiate());
    NormalForm form = plan::trivialPlan();
    form.stages[0].paths = {"layers.0"};
    form.stages.emplace_back().paths = {"layer.1"};
    CHECK(failed(plan::applyPlan(model.op(), form)));
    CHECK_THAT(model.diagnostics(),
               Catch::Contains("has nothing for stage 1 of the plan"));
  }
  SECTION("stages out of order") {
    reference::Model model(modelText("gpt", sgd));
    REQUIRE(model.differentiate());
    NormalForm form = plan::trivialPlan();
    form.stages[0].paths = {"layers.1"};
    form.stages.emplace_back().paths = {"layers.0"};
    CHECK(failed(plan::applyPlan(model.op(), form)));
    CHECK_THAT(model.diagnostics(), Catch::Contains("which comes later"));
  }
}
