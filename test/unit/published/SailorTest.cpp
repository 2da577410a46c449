// Strati et al., SOSP'25 (Sailor): OPT-350M and GPT-Neo-2.7B, measured on nodes
// of 4 GH200 with tensor parallelism within them (repository eth-easl/sailor,
// MIT; seconds a step). What counts is the order: their software is not ours,
// and took twice as long as the model says. Regret: the measured time of the
// plan that we rank first, over the best measured one of the same nodes and
// batch.

#include "test/unit/published/Testing.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;
using namespace published;

namespace {

struct Run {
  int64_t pipeline, data, microBatch;
  double seconds;
};

struct Case {
  int64_t nodes, batch;
  std::vector<Run> runs;
};

Question model(int64_t layers, int64_t hidden, int64_t heads,
               int64_t vocabulary) {
  Question question{"gpt3-126m", ""};
  question.import.sequence = 2048;
  question.import.settings = {{"n_embd", fmt::format("{}", hidden)},
                              {"n_layer", fmt::format("{}", layers)},
                              {"n_head", fmt::format("{}", heads)},
                              {"vocab_size", fmt::format("{}", vocabulary)}};
  return question;
}

double predicted(Question question, const Case &some, const Run &run) {
  question.clusterText = fmt::format(
      R"({{"format_version": 1,
           "nodes": [{{"gpus": {{"type": "gh200-96", "count": 4}},
                      "count": {},
                      "within": {{"level": "nvlink",
                                  "bandwidth_gigabytes_per_second": 150,
                                  "latency_microseconds": 5}}}}],
           "network": {{"bandwidth_gigabits_per_second": 800, "rails": 4,
                        "latency_microseconds": 12}}}})",
      some.nodes);
  question.import.batch = some.batch;
  question.pins = fmt::format(
      "tp=4,sp=0,cp=1,zero=0,recompute=none,pp={},dp={},micro_batches={}",
      run.pipeline, run.data, some.batch / run.data / run.microBatch);
  Planned asked(question);
  INFO(question.pins << asked.error());
  REQUIRE(asked.plan);
  return toSeconds(asked.plan->prediction.step);
}

double regret(const Question &question, const Case &some) {
  double least = 0, chosen = 0, best = some.runs.front().seconds;
  std::string text;
  for (const Run &run : some.runs) {
    double ours = predicted(question, some, run);
    text += fmt::format(" {:.3f} ({:.3f})", ours, run.seconds);
    best = std::min(best, run.seconds);
    if (chosen > 0 && ours >= least)
      continue;
    least = ours;
    chosen = run.seconds;
  }
  UNSCOPED_INFO(some.nodes << " nodes, predicted (measured):" << text);
  return chosen / best;
}

} // namespace

TEST_CASE("OPT-350M on GH200: the plan ranked first was the fastest") {
  Question question = model(24, 1024, 16, 50272);
  for (const Case &some :
       {Case{4, 64, {{4, 1, 1, 1.602}, {2, 2, 1, 1.445}}},
        Case{8, 512, {{4, 2, 8, 2.698}, {2, 4, 8, 2.299}}},
        Case{16, 1024, {{1, 16, 8, 1.926}, {2, 8, 8, 2.311}, {4, 4, 8, 2.726}}},
        Case{32,
             1024,
             {{1, 32, 8, 1.026}, {2, 16, 8, 1.225}, {4, 8, 8, 1.475}}}})
    CHECK(regret(question, some) == 1);
}

TEST_CASE("GPT-Neo-2.7B on GH200: the plan ranked first was hardly slower") {
  Question question = model(32, 2560, 32, 128256);
  // 64 micro-batches of one sample are ranked wrong, by 3 %.
  CHECK(regret(question, {4, 64, {{4, 1, 1, 2.502}, {2, 2, 1, 2.290}}}) < 1.1);
  for (const Case &some :
       {Case{8, 1024, {{4, 2, 4, 13.865}, {2, 4, 4, 12.661}}},
        Case{16, 1024, {{4, 4, 4, 7.039}, {2, 8, 4, 6.429}}},
        Case{32, 1024, {{4, 8, 4, 3.696}, {2, 16, 4, 3.427}}},
        Case{64, 1024, {{4, 16, 4, 2.000}, {8, 8, 4, 2.255}}}})
    CHECK(regret(question, some) == 1);
}
