#include "compiler/simulator/Trace.h"
#include "compiler/support/Json.h"
#include "test/unit/simulator/Equal.h"

#include <catch2/catch.hpp>

#include <map>

using namespace whale;
using namespace whale::simulator;

namespace {

const json::Value &member(const json::Value &object, std::string_view key) {
  const json::Value *value = object.find(key);
  REQUIRE(value);
  return *value;
}

} // namespace

TEST_CASE("a trace holds every event once, threads in order") {
  Problem problem = equalParts(Order::ZeroBubbleV, 2, 4, {60, 60, 60, 1});
  problem.stages[0].buckets = 2;
  problem.stages[0].gradientSync = Picoseconds(10);
  Timeline line = simulate(problem, true);
  std::string text = chromeTrace(line);
  CHECK(text == chromeTrace(simulate(problem, true)));
  Diagnostics diagnostics;
  auto tree = json::parse(text, "trace.json", diagnostics);
  REQUIRE(tree);
  size_t complete = 0, counters = 0;
  std::map<std::pair<int64_t, int64_t>, double> ends;
  for (const json::Value &event : member(*tree, "traceEvents").elements()) {
    std::string phase = member(event, "ph").asString();
    counters += phase == "C";
    if (phase != "X")
      continue;
    ++complete;
    double &end = ends[{member(event, "pid").asInteger(),
                        member(event, "tid").asInteger()}];
    double start = member(event, "ts").asNumber();
    CHECK(start >= end - 1e-9);
    end = start + member(event, "dur").asNumber();
  }
  CHECK(complete == line.events.size() + line.transfers.size());
  CHECK(counters == line.events.size());
}

TEST_CASE("times are microseconds") {
  Problem problem = equalParts(Order::OneFOneB, 1, 1, {1500000, 250000, 0});
  std::string text = chromeTrace(simulate(problem, true));
  CHECK(text.find(R"("ts": 1.5, "dur": 0.25, "cat": "backward")") !=
        std::string::npos);
}
