// Whale's Algorithm 1 against numbers computed by hand, and ours against it.

#include "compiler/planner/BalancePlan.h"
#include "compiler/planner/Shares.h"
#include "test/unit/planner/RandomProblem.h"

#include <catch2/catch.hpp>

#include <numeric>

using namespace whale;
using namespace whale::planner;

namespace {

/// Speeds and memories as the notes on the paper give them; `whole` is TG_mem.
std::vector<BalanceDevice> devices(const std::vector<double> &speeds,
                                   const std::vector<double> &memories,
                                   int64_t whole) {
  std::vector<BalanceDevice> result;
  for (size_t i = 0; i < speeds.size(); ++i)
    result.push_back({{speeds[i]},
                      Bytes::fromDouble(memories[i] * 1000),
                      Bytes(whole * 1000)});
  return result;
}

void checkLoads(const Balance &balance, const std::vector<double> &expected) {
  REQUIRE(balance.loads.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(balance.loads[i] == Approx(expected[i]).margin(5e-4));
}

/// Load over speed of the slowest device.
double timeOf(const Balance &balance, const std::vector<double> &loads) {
  double time = 0;
  for (size_t i = 0; i < loads.size(); ++i)
    time = std::max(time, loads[i] / balance.devices[i].speed.value);
  return time;
}

} // namespace

// Whale, Fig 4: V100 and T4 (15.7 and 8.1 TFLOP/s float32), batch 6.
TEST_CASE("V100 and T4 share 6 samples as 4 and 2 by Algorithm 1") {
  Balance balance =
      balancePaper("replicas", devices({15.7, 8.1}, {32, 16}, 12));
  CHECK(balance.moves.empty());
  CHECK(wholeShares(balance.loads, 6) == std::vector<int64_t>{4, 2});
}

// Whale's Algorithm 1 line by line: 2/3 and 1/3 by speed; 0.667 of 24 do not
// fit 12, so 1/6 goes to the device with room for it.
TEST_CASE("load goes from the overloaded device to the least busy one") {
  Balance balance = balancePaper("replicas", devices({20, 10}, {12, 16}, 24));
  checkLoads(balance, {0.5, 0.5});
  REQUIRE(balance.moves.size() == 1);
  CHECK(balance.moves[0].from == 0);
  CHECK(balance.moves[0].to == 1);
  CHECK(balance.moves[0].load == Approx(1.0 / 6));
  CHECK(balance.overloaded().empty());
}

TEST_CASE("a device that has given stays overloaded, though a fit exists") {
  Balance balance = balancePaper(
      "replicas", devices({30, 5, 5, 5}, {10, 13.5, 13.5, 16}, 50));
  checkLoads(balance, {.458, .111, .111, .320});
  CHECK(balance.overloaded() == std::vector<unsigned>{0});
  // At 229 % of its memory.
  CHECK(balance.loads[0] * 50 / 10 == Approx(2.29).margin(5e-3));
  CHECK(fillShares(50, std::vector<Worker>{{{}, Picoseconds(100), 10},
                                           {{}, Picoseconds(600), 13},
                                           {{}, Picoseconds(600), 13},
                                           {{}, Picoseconds(600), 16}}));
}

TEST_CASE("what is moved is not spread: 17 % slower than water-filling") {
  Balance balance = balancePaper(
      "replicas", devices({15.7, 9.3, 9.3, 9.3}, {12, 16, 16, 16}, 40));
  checkLoads(balance, {.3, .2736, .2132, .2132});
  double filled = 0.7 / 3;
  CHECK(100 * timeOf(balance, balance.loads) == Approx(2.94).margin(5e-3));
  CHECK(timeOf(balance, balance.loads) /
            timeOf(balance, {.3, filled, filled, filled}) ==
        Approx(1.17).margin(5e-3));
}

TEST_CASE("devices without room are left out") {
  // 0.5 each; nobody has room.
  Balance balance = balancePaper("replicas", devices({1, 1}, {4, 5}, 10));
  CHECK(balance.overloaded() == std::vector<unsigned>{0});
  REQUIRE(balance.moves.size() == 1);
  CHECK(balance.moves[0].load == 0);
}

TEST_CASE("whole shares sum up, each at least one") {
  CHECK(wholeShares(std::vector<double>{0.5, 0.3, 0.2}, 10) ==
        std::vector<int64_t>{5, 3, 2});
  CHECK(wholeShares(std::vector<double>{0.98, 0.01, 0.01}, 4) ==
        std::vector<int64_t>{2, 1, 1});
  CHECK(wholeShares(std::vector<double>{0.4, 0.35, 0.25}, 4) ==
        std::vector<int64_t>{2, 1, 1});
}

TEST_CASE("the trace survives JSON") {
  Balance balance = balancePaper(
      "stages", devices({15.7, 9.3, 9.3, 9.3}, {12, 16, 16, 16}, 40));
  json::Writer writer;
  writeBalance(writer, balance);
  Diagnostics diags;
  auto json = json::parse(writer.take(), "plan.json", diags);
  REQUIRE(json);
  CHECK(readBalance(*json, diags) == balance);
  CHECK(!diags.hasErrors());
}

// Loads are real numbers here and units there: a thousand units a load.
TEST_CASE("ours is never slower and fits wherever anything does") {
  std::mt19937 random(3);
  auto number = [&](unsigned low, unsigned high) {
    return static_cast<double>(low + random() % (high - low + 1));
  };
  int slower = 0, misfits = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<double> speeds, memories;
    for (unsigned n = 2 + random() % 4; n > 0; --n) {
      speeds.push_back(number(1, 9));
      memories.push_back(number(2, 20));
    }
    constexpr int64_t units = 10000, whole = 24;
    Balance balance =
        balancePaper("replicas", devices(speeds, memories, whole));
    std::vector<Worker> workers;
    double fits = 0;
    for (size_t i = 0; i < speeds.size(); ++i) {
      workers.push_back({{},
                         Picoseconds::fromDouble(1e6 / speeds[i]),
                         static_cast<int64_t>(units * memories[i] / whole)});
      fits += memories[i] / whole;
    }
    auto ours = fillShares(units, workers);
    bool paper = balance.overloaded().empty();
    if (fits > 1.01)
      CHECK(ours.has_value());
    misfits += ours && !paper;
    if (!paper || !ours)
      continue;
    double theirs = timeOf(balance, balance.loads) * 1e6 * units;
    CHECK(slowest(workers, *ours).asDouble() <= theirs * 1.001);
    slower += slowest(workers, *ours).asDouble() < theirs * 0.99;
  }
  // Both defects are common.
  CHECK(slower > 20);
  CHECK(misfits > 10);
}

TEST_CASE("plans with the published balance are never faster than ours") {
  int compared = 0, misfits = 0;
  for (unsigned seed = 0; seed < 400 && compared < 40; ++seed) {
    test::RandomProblem some(seed);
    if (some.nodes.size() == 1)
      continue;
    some.options.pins.tensor = 1;
    some.options.space = Space::Default;
    INFO("seed " << seed << ": " << some.text());
    Problem problem = some.problem();
    Diagnostics diags, found;
    std::optional<Plan> ours = solve(problem, diags).plan;
    if (!ours)
      continue;
    std::optional<Plan> paper = withPaperBalance(problem, *ours, found);
    if (!paper) {
      CHECK(found.exitCode() == ExitCode::Infeasible);
      ++misfits;
      continue;
    }
    CHECK(verify(*paper, problem, found));
    CHECK(paper->prediction.step >= ours->prediction.step);
    compared += paper->balance.has_value();
  }
  CHECK(compared > 20);
  CHECK(misfits > 0);
}
