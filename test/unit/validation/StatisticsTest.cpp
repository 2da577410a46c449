//===- StatisticsTest.cpp - predicted against measured --------------------===//

#include "compiler/validation/Statistics.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::validation;

TEST_CASE("errors by hand") {
  Errors errors;
  errors.add(110, 100);
  errors.add(80, 100);
  errors.add(103, 100);
  errors.add(100, 100);
  CHECK(errors.mean() == Approx((0.1 + 0.2 + 0.03) / 4));
  CHECK(errors.bias() == Approx((0.1 - 0.2 + 0.03) / 4));
  // Nearest rank of 0, 0.03, 0.1, 0.2.
  CHECK(errors.median() == Approx(0.03));
  CHECK(errors.p90() == Approx(0.2));
  CHECK(errors.largest() == Approx(0.2));
}

namespace {
/// Runs of one question with these (measured, predicted) seconds and plans that
/// differ in the tensor degree.
struct Group {
  explicit Group(std::vector<std::pair<double, double>> times) {
    runs.resize(times.size());
    for (size_t i = 0; i < times.size(); ++i) {
      runs[i].id = "r-" + std::to_string(i);
      runs[i].tensor = static_cast<int64_t>(i);
      outcomes.push_back(
          {&runs[i], times[i].first, times[i].second, {}, {}, ""});
    }
  }
  std::vector<MeasuredRun> runs;
  std::vector<Outcome> outcomes;
};
} // namespace

TEST_CASE("regret is what the plan ranked first loses on the best one") {
  Group group({{1.0, 5}, {1.2, 3}, {1.4, 4}, {2.0, 6}, {3.0, 7}});
  std::vector<Ranking> all = rankings(group.outcomes);
  REQUIRE(all.size() == 1);
  CHECK(all[0].plans == 5);
  CHECK(all[0].regret == Approx(0.2));
}

TEST_CASE("equal predictions count as the slowest of them") {
  Group group({{1.0, 3}, {1.2, 3}, {1.4, 4}, {2.0, 3}, {3.0, 7}});
  CHECK(rankings(group.outcomes)[0].regret == Approx(1.0));
}

TEST_CASE("four plans, or five rows with two alike, are no group") {
  Group four({{1, 1}, {1, 1}, {1, 1}, {1, 1}});
  CHECK(rankings(four.outcomes).empty());
  Group alike({{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}});
  alike.runs[4].tensor = alike.runs[3].tensor;
  CHECK(rankings(alike.outcomes).empty());
}

TEST_CASE("another batch, cluster or precision is another question") {
  Group group({{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}});
  group.runs[4].globalBatch = 2;
  CHECK(rankings(group.outcomes).empty());
  group.runs[4].globalBatch = 0;
  CHECK(rankings(group.outcomes).size() == 1);
  group.runs[4].precision = "fp8";
  CHECK(rankings(group.outcomes).empty());
}

TEST_CASE("JSON has a row for each row, in order, supported or not") {
  Group group({{1, 2}, {3, 4}});
  group.outcomes[1].predictedSeconds.reset();
  group.outcomes[1].reason = "why";
  json::Writer writer;
  writeStatistics(writer, group.outcomes);
  std::string text = writer.take();
  Diagnostics diagnostics;
  auto json = json::parse(text, "text", diagnostics);
  REQUIRE(json);
  const auto &rows = json->find("rows")->elements();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].find("id")->asString() == "r-0");
  CHECK(rows[0].find("predicted_s")->asNumber() == 2);
  CHECK(rows[0].find("supported")->asBool());
  CHECK(rows[1].find("measured_s")->asNumber() == 3);
  CHECK(rows[1].find("predicted_s")->isNull());
  CHECK(!rows[1].find("supported")->asBool());
  CHECK(rows[1].find("reason")->asString() == "why");
}
