#include "test/unit/workload/Models.h"

#include "compiler/workload/Residuals.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::test;

namespace {

std::vector<std::string> names(const ModuleClass &module,
                               const std::vector<uint32_t> &values) {
  std::vector<std::string> result;
  for (uint32_t v : values)
    result.push_back(module.values[v].name);
  return result;
}

std::string dump(const Workload &model) {
  json::Writer writer;
  writeWorkload(writer, model);
  return writer.take();
}

} // namespace

TEST_CASE("a GPT has the parameters and FLOPs of the textbook formula") {
  GptShape s;
  s.layers = 24, s.hidden = 1024, s.heads = 16, s.sequence = 512;
  s.vocabulary = 50000, s.batch = 8;
  Workload model = gpt(s);
  Diagnostics diags;
  REQUIRE(check(model, diags));
  // 12 h^2 weights and two norms a layer, one embedding, the last norm.
  CHECK(parameterCount(model) ==
        24 * (12 * 1024 * 1024 + 2 * 1024) + 50000 * 1024 + 1024);
  // Narayanan et al., SC'21: 72 B s l h^2 (1 + s/6h + V/12lh) for forward and
  // backward; attention there counts the full square and 2x backward, we count
  // the causal half and 2.5x (flash attention).
  double tokens = 8 * 512, h = 1024;
  double dense = 72 * tokens * 24 * h * h + 6 * tokens * h * 50000;
  double attention = tokens * 24 * h * 512 * (4 + 10) / 2;
  CHECK(stepFlops(model).asDouble() == Approx(dense + attention).epsilon(1e-9));
}

TEST_CASE("a workload survives JSON") {
  Workload model = gpt({});
  std::string text = dump(model);
  Diagnostics diags;
  auto json = json::parse(text, "w.json", diags);
  REQUIRE(json);
  auto again = readWorkload(*json, diags);
  INFO(diags.str());
  REQUIRE(again);
  CHECK(dump(*again) == text);
}

TEST_CASE("an unknown op kind is an error with its place") {
  Diagnostics diags;
  auto json = json::parse(
      R"({"model": "m", "global_batch": 1, "groups": [], "runs": [],
"classes": [{"name": "c", "ops": [
 {"name": "a", "kind": "kontraction"}]}]})",
      "w.json", diags);
  REQUIRE(json);
  CHECK(!readWorkload(*json, diags));
  CHECK(diags.str().find("w.json:3:2: error: unknown kind 'kontraction'") !=
        std::string::npos);
}

TEST_CASE("check finds what cannot be") {
  Workload model = gpt({});
  Diagnostics diags;
  SECTION("a loop that does not fit its value") {
    model.classes[1].ops[1].loops[0].extent = 7;
  }
  SECTION("a use before the definition") {
    std::swap(model.classes[1].ops[0], model.classes[1].ops[3]);
  }
  SECTION("an argument from a later run") {
    model.runs[1].arguments[0].run = 2;
  }
  SECTION("a batch that its sample groups do not divide") {
    model.sampleGroup = 3;
  }
  CHECK(!check(model, diags));
}

TEST_CASE("residuals by mode") {
  ModuleClass block = gpt({}).classes[1];
  using Names = std::vector<std::string>;
  ResidualPlan none = residuals(block, Recompute::None);
  CHECK(none.recomputed.empty());
  CHECK(names(block, none.saved) ==
        Names{"x", "n1", "q", "k", "v", "o", "y", "n2", "u", "a", "lse"});
  // Norms and gelu come again; y = x + p cannot (p is not kept).
  ResidualPlan selective = residuals(block, Recompute::Selective);
  CHECK(names(block, selective.saved) ==
        Names{"x", "q", "k", "v", "o", "y", "u", "lse"});
  Names ops;
  for (uint32_t i : selective.recomputed)
    ops.push_back(block.ops[i].name);
  CHECK(ops == Names{"norm1", "norm2", "gelu"});
  // Full: all but what only makes the result.
  ResidualPlan full = residuals(block, Recompute::Full);
  CHECK(names(block, full.saved) == Names{"x"});
  ops.clear();
  for (uint32_t i : full.recomputed)
    ops.push_back(block.ops[i].name);
  CHECK(ops == Names{"norm1", "q", "k", "v", "attention", "o", "add1", "norm2",
                     "fc1", "gelu"});
}
