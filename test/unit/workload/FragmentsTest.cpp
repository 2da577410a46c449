#include "compiler/workload/Fragments.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace whale;
using namespace whale::test;

namespace {

/// By its name, where the cut is in the forward ops.
size_t behind(const ModuleClass &module, const std::string &name) {
  for (size_t i = 0; i < module.ops.size(); ++i)
    if (module.ops[i].name == name)
      return i + 1;
  return 0;
}

std::multiset<std::string> opNames(const std::vector<ModuleClass> &some) {
  std::multiset<std::string> names;
  for (const ModuleClass &module : some)
    for (const Op &op : module.ops)
      names.insert(op.name);
  return names;
}

bool has(const ModuleClass &module, const std::string &name) {
  return behind(module, name) > 0;
}

} // namespace

TEST_CASE("fragments hold each op and each variable once") {
  Workload model = namedGpt({.layers = 5});
  const ModuleClass &block = model.classes[1];
  InnerCuts all = innerCuts(block, 5);
  REQUIRE(all.size() > 3);
  std::vector<InnerCuts> ways = {all};
  for (size_t cut : all) {
    ways.push_back({cut});
    for (size_t other : all)
      if (other > cut)
        ways.push_back({cut, other});
  }
  for (const InnerCuts &way : ways) {
    std::vector<ModuleClass> fragments = fragmentsOf(block, way);
    REQUIRE(fragments.size() == way.size() + 1);
    CHECK(opNames(fragments) == opNames({block}));
    std::multiset<std::string> variables, expected;
    for (const ModuleClass &one : fragments)
      for (const Variable &variable : one.variables)
        variables.insert(variable.name);
    for (const Variable &variable : block.variables)
      expected.insert(variable.name);
    CHECK(variables == expected);
    for (size_t f = 1; f < fragments.size(); ++f)
      CHECK(fragments[f].arguments.size() == fragments[f - 1].results.size());
  }
}

TEST_CASE(
    "behind the attention one value crosses and its gradient comes back") {
  Workload model = namedGpt({.layers = 5});
  const ModuleClass &block = model.classes[1];
  size_t cut = behind(block, "add1");
  InnerCuts all = innerCuts(block, 5);
  CHECK(std::count(all.begin(), all.end(), cut) == 1);
  std::vector<ModuleClass> two = fragmentsOf(block, {cut});
  REQUIRE(two.size() == 2);
  REQUIRE(two[0].results.size() == 1);
  CHECK(two[0].values[two[0].results[0]].name == "y");
  REQUIRE(two[1].argumentGradients.size() == 1);
  // Summed where its last part is made.
  CHECK(has(two[1], "add1#sum"));
  CHECK(two[1].values[two[1].argumentGradients[0]].name == "dy");
  CHECK(has(two[0], "attention#d"));
  CHECK(has(two[1], "fc1#d.1"));
}

TEST_CASE("what goes around a fragment crosses it as well") {
  Workload model = namedGpt({.layers = 5});
  const ModuleClass &block = model.classes[1];
  std::vector<ModuleClass> two =
      fragmentsOf(block, {behind(block, "attention")});
  REQUIRE(two.size() == 2);
  std::set<std::string> names;
  for (uint32_t v : two[0].results)
    names.insert(two[0].values[v].name);
  // The attention's own statistics stay with its backward part.
  CHECK(names == std::set<std::string>{"x", "o"});
  for (int64_t gradient : two[1].argumentGradients)
    CHECK(gradient >= 0);
}

TEST_CASE("a model with fragments is as large and does as much") {
  Workload model = namedGpt({.layers = 5});
  const ModuleClass &block = model.classes[1];
  size_t cut = behind(block, "add1");
  // The first, the middle and the last layer; one of them in all ways.
  Workload inside =
      withFragments(model, {{1, {cut}}, {3, innerCuts(block, 5)}, {5, {cut}}});
  Diagnostics diags;
  CHECK(check(inside, diags));
  INFO(diags.str());
  CHECK(parameterCount(inside) == parameterCount(model));
  CHECK(stepFlops(inside) == stepFlops(model));
  CHECK(inside.runs[1].path(0) == "layers.0");
  CHECK(inside.runs[1].fragment.front() == "norm1");
  CHECK(inside.runs[1].fragment.back() == "add1");
  CHECK(inside.runs[2].path(0) == "layers.0");
  CHECK(inside.runs[2].fragment ==
        std::vector<std::string>{"norm2", "fc1", "gelu", "fc2", "add2"});
  CHECK(inside.runs[3].path(0) == "layers.1");
  CHECK(inside.runs[3].fragment.empty());
  CHECK(inside.runs.back().arguments[0].run ==
        static_cast<int64_t>(inside.runs.size()) - 2);
  json::Writer writer;
  writeWorkload(writer, inside);
  std::string text = writer.take();
  auto json = json::parse(text, "w.json", diags);
  REQUIRE(json);
  auto again = readWorkload(*json, diags);
  REQUIRE(again);
  json::Writer second;
  writeWorkload(second, *again);
  CHECK(second.take() == text);
}

TEST_CASE("a variable on both sides keeps an instance whole") {
  Workload model = namedGpt({.layers = 5});
  ModuleClass block = model.classes[1];
  size_t cut = behind(block, "add1");
  REQUIRE(fragmentsOf(block, {cut}).size() == 2);
  // Both norms have one weight.
  auto norm = [&](const std::string &name) -> Op & {
    return block.ops[behind(block, name) - 1];
  };
  norm("norm2").operands[1] = norm("norm1").operands[1];
  CHECK(fragmentsOf(block, {cut}).empty());
}
