// Every op's gradient against central differences of the reference.

#include "test/unit/gradients/Harness.h"
#include "test/unit/gradients/OpCases.h"

#include <catch2/catch.hpp>

#include <set>

using namespace reference;

static bool isReal(const std::string &operand) {
  return typeText(operand).find("xi") == std::string::npos &&
         typeText(operand).find("<i") == std::string::npos;
}

/// @main with operands as variables "a0"... and the loss sum(result * weight)
/// over the results that may be used, weights being frozen variables "w0"...
static std::string modelText(const OpCase &opCase) {
  std::string text = "whale.model @m {\nwhale.module @main() {\n";
  for (size_t i = 0; i < opCase.operands.size(); ++i) {
    std::string name = "a" + std::to_string(i);
    text += "%" + name + " = whale.variable \"" + name + "\"" +
            (isReal(opCase.operands[i]) ? "" : " kind statistic") +
            " constant(0.0) : " + typeText(opCase.operands[i]) + "\n";
  }
  text += operationText(opCase) + "%s = whale.constant 0.0 : tensor<f64>\n";
  std::string sum = "%s";
  for (size_t i = 0; i < std::min(opCase.used, opCase.results.size()); ++i) {
    if (!isReal(opCase.results[i]))
      continue;
    std::string n = std::to_string(i), type = typeText(opCase.results[i]);
    std::string element = type.find("f32") == std::string::npos ? "f64" : "f32";
    std::string scalar = "tensor<" + element + ">";
    std::string dims;
    for (char c : opCase.results[i])
      if (c == 'x')
        dims += (dims.empty() ? "" : ", ") +
                std::to_string(std::count(dims.begin(), dims.end(), ',') +
                               (dims.empty() ? 0 : 1));
    text += "%w" + n + " = whale.variable \"w" + n +
            "\" constant(0.0) frozen : " + type + "\n%p" + n +
            " = whale.mul %r" + n + ", %w" + n + " : " + type + ", " + type +
            "\n%q" + n + " = whale.reduce sum %p" + n + " [" + dims +
            "] : " + type + " -> " + scalar + "\n%c" + n + " = whale.cast %q" +
            n + " : " + scalar + " -> tensor<f64>\n%s" + n + " = whale.add " +
            sum + ", %c" + n + " : tensor<f64>, tensor<f64>\n";
    sum = "%s" + n;
  }
  return text + "%one = whale.constant 2.0 : tensor<f64>\nwhale.loss \"l\" " +
         sum + " over %one weight 3.0 : tensor<f64>\nwhale.return\n}\n}\n";
}

/// Random operands and weights.
static void setVariables(Interpreter &interpreter, const OpCase &opCase,
                         std::mt19937_64 &random) {
  for (auto variable :
       interpreter.main().getBody().getOps<whale::VariableOp>()) {
    std::string name = variable.getName().str();
    bool weight = name[0] == 'w';
    Tensor value(variable.getType());
    fill(value, weight ? "f64" : opCase.operands[std::stoul(name.substr(1))],
         random);
    interpreter.variables[name] = value;
  }
}

static bool isDifferentiable(whale::ModelOp model, const OpCase &opCase) {
  bool found = false;
  model.walk([&](whale::DifferentiableOpInterface op) {
    found |= op->getName().stripDialect() == opCase.mnemonic();
  });
  return found;
}

TEST_CASE("gradients agree with central differences") {
  for (size_t seed = 0; seed < 2; ++seed)
    for (const OpCase &opCase : opCases()) {
      if (opCase.mnemonic() == "stop_gradient")
        continue;
      Model model(modelText(opCase));
      INFO(modelText(opCase) << model.diagnostics());
      REQUIRE(model.ok());
      if (!isDifferentiable(model.op(), opCase))
        continue;
      bool differentiated = model.differentiate();
      INFO(model.diagnostics());
      REQUIRE(differentiated);
      Interpreter interpreter(model.op());
      std::mt19937_64 random(seed * 1000 + opCase.text.size());
      setVariables(interpreter, opCase, random);
      auto result = interpreter.run();
      REQUIRE(succeeded(result));
      std::vector<std::string> names;
      for (size_t i = 0; i < opCase.operands.size(); ++i)
        if (isReal(opCase.operands[i]))
          names.push_back("a" + std::to_string(i));
      bool isStep = opCase.mnemonic() == "sign" || opCase.mnemonic() == "floor";
      CHECK(result->gradients.empty() == (names.empty() || isStep));
      GradientCheck check =
          checkGradients(interpreter, *result, names, 1000, random);
      INFO(check.worstPlace);
      CHECK(check.worst < 2e-8);
    }
}

TEST_CASE("every differentiable op has a case") {
  std::set<std::string> seen;
  for (const OpCase &opCase : opCases())
    seen.insert(opCase.mnemonic());
  mlir::MLIRContext context;
  context.loadDialect<whale::WhaleDialect>();
  size_t count = 0;
  for (mlir::RegisteredOperationName name : context.getRegisteredOperations()) {
    if (!name.hasInterface<whale::IterationSpaceOpInterface>())
      continue;
    // Canonical programs are made after differentiation.
    if (name.stripDialect() == "round_sum")
      continue;
    INFO(name.getStringRef().str());
    CHECK(seen.count(name.stripDialect().str()));
    ++count;
  }
  CHECK(count > 60);
}

TEST_CASE("no gradient passes a stop_gradient") {
  OpCase opCase{"stop_gradient $0 : $t0", {"3xf64"}, {"3xf64"}};
  Model model(modelText(opCase));
  REQUIRE(model.ok());
  REQUIRE(model.differentiate());
  Interpreter interpreter(model.op());
  auto result = interpreter.run();
  REQUIRE(succeeded(result));
  CHECK(result->gradients.empty());
}

//===----------------------------------------------------------------------===//
// Corners that the op's description fixes
//===----------------------------------------------------------------------===//

/// Gradients of sum(op(operands)) * 3 / 2 at given operands.
static TensorMap gradientsAt(const OpCase &opCase,
                             std::vector<std::vector<double>> operands) {
  Model model(modelText(opCase));
  REQUIRE(model.ok());
  REQUIRE(model.differentiate());
  Interpreter interpreter(model.op());
  std::mt19937_64 random(1);
  setVariables(interpreter, opCase, random);
  for (size_t i = 0; i < operands.size(); ++i)
    interpreter.variables["a" + std::to_string(i)].reals = operands[i];
  for (auto &[name, value] : interpreter.variables)
    if (name[0] == 'w')
      value.reals.assign(value.reals.size(), 2.0 / 3.0);
  auto result = interpreter.run();
  REQUIRE(succeeded(result));
  return result->gradients;
}

static std::vector<double> rounded(const Tensor &tensor) {
  std::vector<double> values;
  for (double value : tensor.reals)
    values.push_back(std::round(value * 1e9) / 1e9);
  return values;
}

TEST_CASE("ties of max and min go to lhs") {
  for (const char *name : {"max", "min"}) {
    OpCase opCase{std::string(name) + " $0, $1 : $t0, $t1",
                  {"2xf64", "2xf64"},
                  {"2xf64"}};
    TensorMap gradients = gradientsAt(opCase, {{1, 5}, {1, 5}});
    CHECK(rounded(gradients["a0"]) == std::vector<double>{1, 1});
    CHECK(rounded(gradients["a1"]) == std::vector<double>{0, 0});
  }
}

TEST_CASE("ties of a max reduction share the gradient") {
  OpCase opCase{"reduce max $0 [0] : $t0 -> $r0", {"4xf64"}, {"f64"}};
  TensorMap gradients = gradientsAt(opCase, {{2, 1, 2, 0}});
  CHECK(rounded(gradients["a0"]) == std::vector<double>{0.5, 0, 0.5, 0});
}

TEST_CASE("abs and relu have gradient 0 at 0") {
  for (const char *name : {"abs", "relu"}) {
    OpCase opCase{std::string(name) + " $0 : $t0", {"2xf64"}, {"2xf64"}};
    TensorMap gradients = gradientsAt(opCase, {{0, 4}});
    CHECK(rounded(gradients["a0"]) == std::vector<double>{0, 1});
  }
}

TEST_CASE("a tie of a max pool goes to the first") {
  OpCase opCase{"pool max $0 window [1, 2] strides [1, 2] padding [0, 0, 0, 0]"
                " : $t0 -> $r0",
                {"1x1x4x1xf64"},
                {"1x1x2x1xf64"}};
  TensorMap gradients = gradientsAt(opCase, {{7, 7, 1, 3}});
  CHECK(rounded(gradients["a0"]) == std::vector<double>{1, 0, 0, 1});
}
