//===- MatrixTest.cpp - N ranks against one rank
//---------------------------===//
//
// Each row: import, plan, compile in f64 with plain SGD, prove the programs,
// run them on N ranks and on one, compare losses and gradients. See Matrix.h
// for the rows.
//
//===----------------------------------------------------------------------===//

#include "Matrix.h"
#include "Programs.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace e2e;

namespace {

/// Empty, or why the row does not hold.
std::string checkRow(const Row &row) {
  const RunResult &one = oneRank(row.model);
  if (!one.error.empty())
    return "one rank: " + one.error;
  std::string error;
  auto compiled = build(row, error);
  if (!compiled)
    return error;
  Traffic traffic = trafficOf(compiled->set);
  if (!traffic.isSplit || traffic.bytes == 0)
    return "nothing is split or nothing moves";
  RunResult many = run(compiled->set, 1);
  if (!many.error.empty())
    return "run: " + many.error;
  bool isSgd = row.model.optimizer == "sgd";
  return compare(many, one, isSgd ? tolerance : optimizerTolerance, isSgd);
}

bool hasColocated(const Node &plan) {
  return plan.colocated ||
         std::any_of(plan.body.begin(), plan.body.end(), hasColocated);
}

/// The rows with or without colocated splits.
void checkRows(bool colocated) {
  for (const Row &row : rows()) {
    if (hasColocated(row.plan) != colocated)
      continue;
    DYNAMIC_SECTION(row.model.preset
                    << " " << whale::planner::printStrategy(row.plan) << " #"
                    << row.number) {
      CHECK(checkRow(row) == "");
    }
  }
}

} // namespace

TEST_CASE("one rank gives what the interpreter gives", "[oracle]") {
  for (const ModelCase &model : models()) {
    // Its updates do not get smaller with the gradient: noise stays noise.
    if (model.optimizer == "adafactor")
      continue;
    DYNAMIC_SECTION(model.preset << " " << model.optimizer
                                 << (model.settings.empty()
                                         ? ""
                                         : " " + model.settings[0].first)) {
      const RunResult &one = oneRank(model);
      REQUIRE(one.error == "");
      std::string error;
      auto compiled = build(model, replica(1), error);
      REQUIRE(compiled);
      Reference reference;
      REQUIRE(interpret(model, inputsOf(compiled->set), reference) == "");
      RunResult other;
      other.losses = {reference.loss};
      other.variables = {one.variables[0], reference.variables};
      // Variables that the interpreter has not touched stay what they were.
      for (const auto &[path, values] : one.variables[0])
        other.variables[1].try_emplace(path, values);
      bool isSgd = model.optimizer == "sgd";
      CHECK(compare(one, other, isSgd ? 1e-11 : optimizerTolerance, isSgd) ==
            "");
    }
  }
}

TEST_CASE("N ranks give what one rank gives", "[matrix]") { checkRows(false); }

TEST_CASE("N ranks give it with splits on the devices of replicas",
          "[colocated]") {
  checkRows(true);
}

TEST_CASE("frozen parameters keep their bytes while adapters learn", "[lora]") {
  const ModelCase model{
      "llama-tiny", {}, "sgd", 8, "rank=4,targets=q,k,v,o,gate,up,down"};
  std::string error;
  auto alone = build(model, replica(1), error);
  REQUIRE(error == "");
  auto pair = build(model, split(2, {"heads", "ffn"}), error);
  REQUIRE(error == "");
  RunResult one = run(alone->set, 3), two = run(pair->set, 3);
  REQUIRE(two.error == "");
  // B starts at zero, so A learns from the second step on.
  CHECK(compare(two, one, 1e-10, /*changes=*/false) == "");
  size_t frozen = 0, learnt = 0;
  for (const auto &[path, values] : two.variables.front()) {
    bool isAdapter = path.find("lora_") != std::string::npos;
    INFO(path);
    CHECK((two.variables.back().at(path) == values) == !isAdapter);
    ++(isAdapter ? learnt : frozen);
  }
  CHECK(learnt == 2 * 7 * 2);
  CHECK(frozen > 10);
}
