// A flat model and its folded form compute the same: losses and gradients by
// the reference interpreter, with equal values of the variables by their names.

#include "passes/fold/Fold.h"
#include "dialects/whale/Parameters.h"
#include "test/unit/gradients/Harness.h"

#include <catch2/catch.hpp>

#include <chrono>

#include "mlir/IR/Verifier.h"

using namespace reference;

namespace {
/// Writes flat models.
class FlatModel {
public:
  explicit FlatModel(std::string spec = "") : spec(std::move(spec)) {
    line("%x = whale.input \"x\" [batch, hidden] : tensor<4x6xf64>");
    line("%mask = whale.exp %x : tensor<4x6xf64>");
  }

  void line(const std::string &text) { body += "    " + text + "\n"; }
  void variable(const std::string &value, const std::string &name,
                const std::string &type) {
    line(value + " = whale.variable \"" + name +
         "\" normal(0.0, 0.4) : " + type);
  }
  /// y = mask * tanh(x w) + x, with w named `name`. Gives y.
  std::string layer(const std::string &x, const std::string &name) {
    std::string i = std::to_string(count++), y = "%y" + i;
    variable("%w" + i, name, "tensor<6x6xf64>");
    line("%a" + i +
         " = whale.einsum \"batch hidden, hidden out -> batch out\" " + x +
         ", %w" + i + " : " + two("4x6", "6x6") + " -> " + type);
    line("%t" + i + " = whale.tanh %a" + i + " : " + type);
    line("%m" + i + " = whale.mul %mask, %t" + i + " : " + two("4x6", "4x6"));
    line(y + " = whale.add %m" + i + ", " + x + " : " + two("4x6", "4x6"));
    return y;
  }
  /// y = exp(x * s).
  std::string scale(const std::string &x, const std::string &name) {
    std::string i = std::to_string(count++), y = "%y" + i;
    variable("%s" + i, name, "tensor<6xf64>");
    line("%p" + i + " = whale.mul " + x + ", %s" + i + " : " + two("4x6", "6"));
    line(y + " = whale.sin %p" + i + " : " + type);
    return y;
  }
  std::string finish(const std::string &y) {
    line("%sum = whale.reduce sum " + y + " [0, 1] : " + type +
         " -> tensor<f64>");
    line("%n = whale.constant 4.0 : tensor<f64>");
    line("whale.loss \"l\" %sum over %n : tensor<f64>");
    return "whale.model @flat {\n  whale.module @main() {\n" + body +
           "    whale.return\n  }\n" + spec + "}\n";
  }

private:
  static std::string two(const std::string &a, const std::string &b) {
    return "tensor<" + a + "xf64>, tensor<" + b + "xf64>";
  }
  const std::string type = "tensor<4x6xf64>";
  std::string spec, body;
  int count = 0;
};

int countChains(whale::ModelOp model) {
  int chains = 0;
  model.walk([&](whale::InstanceOp op) { chains += bool(op.getRepeat()); });
  return chains;
}

std::string textOf(whale::ModelOp model) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  model.print(stream);
  return text;
}
} // namespace

/// Folds; checks that the model is well formed, that folding again changes
/// nothing, and that both forms give the same numbers. Gives the chains.
static int checkFold(const std::string &text) {
  Model flat(text), folded(text);
  INFO(text << flat.diagnostics());
  REQUIRE(flat.ok());
  whale::fold::PathMap paths = whale::fold::foldModel(folded.op());
  std::string once = textOf(folded.op());
  INFO(once << folded.diagnostics());
  REQUIRE(succeeded(mlir::verify(folded.op())));
  CHECK(whale::fold::foldModel(folded.op()).empty());
  CHECK(textOf(folded.op()) == once);
  CHECK(whale::countParameters(flat.op()) ==
        whale::countParameters(folded.op()));
  int chains = countChains(folded.op());

  REQUIRE(flat.differentiate());
  REQUIRE(folded.differentiate());
  Interpreter before(flat.op()), after(folded.op());
  Tensor x({4, 6}, false);
  for (size_t i = 0; i < x.reals.size(); ++i)
    x.reals[i] = 0.1 * double(i % 7) - 0.3;
  before.inputs["x"] = after.inputs["x"] = x;
  auto expected = before.run();
  REQUIRE(succeeded(expected));
  auto nameOf = [&](const std::string &path) {
    auto it = paths.find(path);
    return it == paths.end() ? path : it->second;
  };
  for (const auto &[path, flatName] : paths) {
    REQUIRE(before.variables.count(flatName));
    after.variables[path] = before.variables[flatName];
  }
  auto result = after.run();
  REQUIRE(succeeded(result));
  CHECK(after.variables.size() == before.variables.size());
  CHECK(result->losses == expected->losses);
  REQUIRE(result->gradients.size() == expected->gradients.size());
  for (const auto &[path, gradient] : result->gradients) {
    auto it = expected->gradients.find(nameOf(path));
    REQUIRE(it != expected->gradients.end());
    for (size_t i = 0; i < gradient.reals.size(); ++i)
      CHECK(gradient.reals[i] ==
            Approx(it->second.reals[i]).epsilon(1e-12).margin(1e-14));
  }
  return chains;
}

TEST_CASE("a stack of layers with a common mask") {
  FlatModel model;
  std::string y = "%x";
  for (int i = 0; i < 5; ++i)
    y = model.layer(y, "layers." + std::to_string(i) + ".w");
  CHECK(checkFold(model.finish(y)) == 1);
}

TEST_CASE("names do not matter") {
  FlatModel model;
  std::string y = "%x";
  for (const char *name : {"red", "green", "blue"})
    y = model.layer(y, name);
  CHECK(checkFold(model.finish(y)) == 1);
}

TEST_CASE("two stacks, and something between") {
  FlatModel model;
  std::string y = "%x";
  for (int i = 0; i < 3; ++i)
    y = model.layer(y, "a." + std::to_string(i) + ".w");
  y = model.scale(y, "middle");
  for (int i = 0; i < 4; ++i)
    y = model.layer(y, "b." + std::to_string(i) + ".w");
  std::string text = model.finish(y);
  CHECK(checkFold(text) == 2);
  // Both stacks are instances of one module.
  Model folded(text);
  whale::fold::foldModel(folded.op());
  auto modules = folded.op().getBody().front().getOps<whale::ModuleDefOp>();
  CHECK(std::distance(modules.begin(), modules.end()) == 2);
}

TEST_CASE("blocks of blocks") {
  FlatModel model;
  std::string y = "%x";
  for (int i = 0; i < 3; ++i) {
    std::string block = "blocks." + std::to_string(i);
    for (int j = 0; j < 4; ++j)
      y = model.layer(y, block + ".layers." + std::to_string(j) + ".w");
    y = model.scale(y, block + ".scale");
  }
  CHECK(checkFold(model.finish(y)) == 2);
}

TEST_CASE("a layer that is read again ends its chain") {
  FlatModel model;
  std::string y = "%x", third;
  for (int i = 0; i < 6; ++i) {
    y = model.layer(y, "l." + std::to_string(i));
    if (i == 2)
      third = y;
  }
  model.line("%skip = whale.mul " + y + ", " + third +
             " : tensor<4x6xf64>, tensor<4x6xf64>");
  CHECK(checkFold(model.finish("%skip")) == 2);
}

TEST_CASE("a variable that layers share stays one variable") {
  FlatModel model;
  model.variable("%shared", "shared", "tensor<6xf64>");
  std::string y = "%x";
  for (int i = 0; i < 3; ++i) {
    y = model.layer(y, "l." + std::to_string(i));
    std::string z = "%z" + std::to_string(i);
    model.line(z + " = whale.mul " + y +
               ", %shared : tensor<4x6xf64>, tensor<6xf64>");
    y = z;
  }
  CHECK(checkFold(model.finish(y)) == 1);
}

TEST_CASE("what has no parameters of its own, or differs, stays flat") {
  FlatModel model;
  std::string y = "%x";
  for (int i = 0; i < 4; ++i) {
    std::string z = "%z" + std::to_string(i);
    model.line(z + " = whale.tanh " + y + " : tensor<4x6xf64>");
    y = z;
  }
  y = model.layer(y, "a");
  y = model.scale(y, "b");
  CHECK(checkFold(model.finish(y)) == 0);
}

TEST_CASE("a group of the training spec keeps its variables") {
  auto build = [](const std::string &match) {
    FlatModel model("  whale.training {groups = [{match = \"" + match +
                    "\", weight_decay = 0.0}]}\n");
    std::string y = "%x";
    for (int i = 0; i < 3; ++i)
      y = model.layer(y, "layers." + std::to_string(i) + ".w");
    return model.finish(y);
  };
  // `*` does not match the '/' of the new path; `**` does.
  CHECK(checkFold(build("layers.*.w")) == 0);
  CHECK(checkFold(build("layers.**w")) == 1);
  CHECK(checkFold(build("layers.1.w")) == 0);
  Model refused(build("layers.*.w"));
  whale::fold::foldModel(refused.op());
  CHECK(refused.diagnostics() ==
        "the blocks of variable 'layers.0.w' stay flat: as 'layers.0/w' it "
        "would be in another parameter group\n");
}

TEST_CASE("a tie goes by path, so its ends stay where they are") {
  FlatModel model;
  std::string y = "%x";
  for (int i = 0; i < 3; ++i)
    y = model.scale(y, "s." + std::to_string(i));
  model.line("%tied = whale.variable \"t\" normal(0.0, 0.4) tied \"s.1\" : "
             "tensor<6xf64>");
  model.line("%last = whale.mul " + y +
             ", %tied : tensor<4x6xf64>, tensor<6xf64>");
  CHECK(checkFold(model.finish("%last")) == 0);
}

TEST_CASE("1,024 layers fold in two seconds") {
  FlatModel model;
  std::string y = "%x";
  for (int i = 0; i < 1024; ++i)
    y = model.scale(model.layer(y, "l." + std::to_string(i) + ".w"),
                    "l." + std::to_string(i) + ".s");
  Model flat(model.finish(y));
  REQUIRE(flat.ok());
  auto start = std::chrono::steady_clock::now();
  CHECK(whale::fold::foldModel(flat.op()).size() == 2048);
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  CHECK(time.count() < 2.0);
  CHECK(countChains(flat.op()) == 1);
}

TEST_CASE("no model makes it slow") {
  // Every op equal, wired so that no chain exists.
  FlatModel model;
  model.variable("%w", "w", "tensor<6xf64>");
  std::string y = "%x", before = "%mask";
  for (int i = 0; i < 5000; ++i) {
    std::string z = "%z" + std::to_string(i);
    model.line(z + " = whale.mul " + y + ", " + (i % 3 ? before : y) +
               " : tensor<4x6xf64>, tensor<4x6xf64>");
    before = y;
    y = z;
  }
  Model flat(model.finish(y));
  REQUIRE(flat.ok());
  auto start = std::chrono::steady_clock::now();
  CHECK(whale::fold::foldModel(flat.op()).empty());
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  CHECK(time.count() < 2.0);
}
