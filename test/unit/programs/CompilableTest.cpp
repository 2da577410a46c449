//===- CompilableTest.cpp - what is planned compiles ----------------------===//
//
// Planner and compiler decide apart whether an axis can cut an op. A plan that
// is found must lower; where a written split is one that compile refuses, there
// must be no plan.
//
//===----------------------------------------------------------------------===//

#include "test/unit/programs/Planned.h"

#include <catch2/catch.hpp>

using namespace programs;
using namespace whale;

namespace {

/// Models with dims of 2 to 16: shorter than some of the degrees below.
const char *const presets[] = {
    "bert-tiny",      "bloom-tiny",  "deepseek-tiny", "gnmt-tiny",
    "gpt-neox-tiny",  "gpt-tiny",    "grok-tiny",     "llama-tiny",
    "llama4-tiny",    "m6-tiny",     "mixtral-tiny",  "nemotron-tiny",
    "qwen3-moe-tiny", "resnet-tiny", "t5-tiny"};

struct Asked {
  const char *pins;
  int64_t ranks;
};
const Asked asked[] = {{"tp=8", 8},           {"tp=4,dp=2", 8},
                       {"tp=2,pp=2,dp=2", 8}, {"tp=3,pp=2", 6},
                       {"zero=1", 8},         {"", 5}};

struct Written {
  const char *preset, *scopes;
  bool compiles;
};
const Written written[] = {
    {"resnet-tiny", "split(8, out)", false},
    {"resnet-tiny", "split(4, out)", true},
    {"resnet-tiny", "split(8, [out, features])", true},
    {"gpt-tiny", "split(8, heads)", false},
    {"gpt-tiny", "split(4, heads)", true},
    {"gpt-tiny", "split(8, [heads, ffn])", true},
    {"gpt-tiny", "split(2, heads) split(4, heads)", false},
    {"gpt-tiny", "split(2, [heads, ffn]) split(4, [heads, ffn])", true},
    {"mixtral-tiny", "split(8, experts)", false},
    {"mixtral-tiny", "replica(8) split(8, experts, colocated)", false},
    {"mixtral-tiny", "replica(4) split(4, experts, colocated) split(2, hidden)",
     true},
    {"m6-tiny", "split(8, [experts, heads])", true},
};

void checkLowers(Planned &planned) {
  bool lowers = planned.lower() != nullptr;
  INFO(planned.error());
  CHECK(lowers);
}

} // namespace

TEST_CASE("plans that are found compile", "[compilable]") {
  size_t found = 0;
  for (const char *preset : presets)
    for (const Asked &a : asked) {
      INFO(preset << " " << a.pins << " on " << a.ranks);
      Planned planned({preset, a.pins, "cpu", a.ranks, {}});
      if (!planned.plan)
        continue;
      ++found;
      checkLowers(planned);
    }
  CHECK(found > 70);
}

TEST_CASE("written splits have a plan where they compile", "[compilable]") {
  for (const Written &w : written) {
    INFO(w.preset << " " << w.scopes);
    Question question{w.preset, "", "cpu", 8, {}};
    question.scopes = w.scopes;
    Planned planned(question);
    INFO(planned.error());
    CHECK(planned.plan.has_value() == w.compiles);
    if (planned.plan)
      checkLowers(planned);
    else
      CHECK(planned.error().find("cannot be split 8 ways") !=
            std::string::npos);
  }
}
