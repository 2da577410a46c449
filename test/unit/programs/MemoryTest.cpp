//===- MemoryTest.cpp - the cost model's memory against the compiler's ----===//
//
// The search goes by cost/Lifetimes; buffer assignment says what a rank really
// needs. The two are written apart and must agree: never less, or a plan that
// is too large to be measured would not fit, and at most 5 % more.
//
//===----------------------------------------------------------------------===//

#include "passes/StageMemory.h"
#include "test/unit/programs/Planned.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace programs;
using namespace whale;

namespace {

struct Case {
  const char *preset, *pins;
  /// What the model may say, in percent of what is laid out.
  int64_t least = 100, most = 105;
};

/// Not modelled: kernels that make two results and so keep one value less in a
/// block that is computed again. It tells where a block is most of the arena.
constexpr int64_t mostRecomputed = 125;
/// A second receive buffer at each boundary, which only large stages come to
/// need, is much beside stages of one small layer.
constexpr int64_t mostPipelined = 110;
/// What sequence parallelism gathers for one op and frees before the next is
/// taken to live as long as the block.
constexpr int64_t mostGathered = 110;
/// Not modelled: products whose operands are transposed first.
constexpr int64_t leastTransposed = 98;

/// Not modelled: what experts over replicas gather is there beside what several
/// micro-batches keep, where a split cuts them too.
constexpr int64_t leastExperts = 100, leastKept = 91, mostExperts = 107;

/// Batches are large enough for buffers to be larger than their alignment.
constexpr int64_t batch = 64, ranks = 4;

const Case cases[] = {
    {"gpt-tiny", "dp=4"},
    {"gpt-tiny", "dp=4,recompute=full", 100, mostRecomputed},
    {"gpt-tiny", "dp=4,recompute=selective", 100, mostRecomputed},
    {"gpt-tiny", "dp=4,recompute=none,recompute_layers=2", 100, mostRecomputed},
    {"gpt-tiny", "dp=4,recompute=none,recompute_layers=2,selective_layers=1",
     100, mostRecomputed},
    {"llama-tiny",
     "dp=4,micro_batches=2,recompute=selective,recompute_layers=2", 100,
     mostRecomputed},
    {"gpt-tiny", "tp=2,dp=2,sp=0"},
    {"gpt-tiny", "pp=2,dp=2,micro_batches=4", 100, mostPipelined},
    {"gpt-tiny", "tp=2,pp=2,micro_batches=8", 100, mostPipelined},
    {"llama-tiny", "tp=2,dp=2,sp=0"},
    {"llama-tiny", "pp=2,dp=2,micro_batches=4,recompute=full", 100,
     mostRecomputed},
    {"bert-tiny", "tp=2,dp=2,sp=0"},
    {"bert-tiny", "dp=4,micro_batches=2"},
    {"llama-tiny", "tp=2,dp=2,sp=1", 100, mostGathered},
    {"t5-tiny", "tp=2,dp=2,sp=0"},
    {"t5-tiny", "tp=2,dp=2,sp=1", 100, mostGathered},
    {"t5-tiny", "pp=2,dp=2,micro_batches=4", 100, mostPipelined},
    {"mixtral-tiny", "tp=2,dp=2,sp=0"},
    {"mixtral-tiny", "pp=2,tp=2,micro_batches=4", 100, mostPipelined},
    {"resnet-tiny", "dp=4", 100, 107},
    {"gnmt-tiny", "tp=2,dp=2,sp=0"},
    {"m6-tiny", "tp=2,dp=2,sp=0"},
    {"m6-tiny", "dp=4", leastTransposed},
};

/// What the compiler lays out for each stage of a plan.
std::vector<StageMemory> layOut(Planned &planned) {
  auto laidOut =
      stageMemory(*planned.model, planned.workload, planned.plan->chosen);
  REQUIRE(llvm::succeeded(laidOut));
  REQUIRE(laidOut->size() == planned.plan->prediction.stages.size());
  return std::move(*laidOut);
}

} // namespace

TEST_CASE("the cost model's memory is what buffer assignment lays out",
          "[memory]") {
  for (const Case &c : cases) {
    DYNAMIC_SECTION(c.preset << " " << c.pins) {
      Question question{c.preset, c.pins, "cpu", ranks, {}};
      question.import.batch = batch;
      Planned planned(question);
      REQUIRE(planned.plan);
      std::vector<StageMemory> laidOut = layOut(planned);
      const auto &stages = planned.plan->prediction.stages;
      for (size_t s = 0; s < stages.size(); ++s) {
        INFO("stage " << s);
        const int64_t said = stages[s].memory.arena().value(),
                      needed = laidOut[s].parts.arena().value();
        CHECK(said * 100 >= needed * c.least);
        CHECK(said * 100 <= needed * c.most);
      }
    }
  }
}

TEST_CASE("experts over replicas take what the planner says", "[memory]") {
  // In 16 bits weights are read through a cast, which must be cut with them.
  // Parameters and optimizer agree to the byte but for a router's correction,
  // 16 bytes a layer, which the compiler keeps as it is.
  constexpr int64_t correction = 32;
  auto preset = GENERATE("mixtral-tiny", "deepseek-tiny");
  auto precision = GENERATE("f32", "bf16");
  auto zero = GENERATE("zero=0", "zero=1");
  auto degrees = GENERATE("tp=1,pp=1", "tp=2,pp=1", "tp=1,pp=2,micro_batches=4",
                          "tp=2,pp=2,micro_batches=4");
  std::string pins = fmt::format("dp=2,ep=2,{},{}", zero, degrees);
  CAPTURE(preset, precision, pins);
  Question question{preset, pins.c_str(), "cpu", 8, {}};
  question.import.batch = batch;
  question.import.precision = precision;
  Planned planned(question);
  REQUIRE(planned.plan);
  std::vector<StageMemory> laidOut = layOut(planned);
  const auto &stages = planned.plan->prediction.stages;
  bool keepsSplit = std::string_view(degrees).starts_with("tp=2,pp=2");
  const int64_t least = keepsSplit ? leastKept : leastExperts;
  for (size_t s = 0; s < stages.size(); ++s) {
    INFO("stage " << s);
    const planner::MemoryParts &said = stages[s].memory,
                               &needed = laidOut[s].parts;
    CHECK(said.optimizer == needed.optimizer);
    CHECK(said.parameters <= needed.parameters);
    CHECK(said.parameters + Bytes(correction) >= needed.parameters);
    CHECK(said.arena().value() * 100 >= needed.arena().value() * least);
    CHECK(said.arena().value() * 100 <= needed.arena().value() * mostExperts);
  }
}

TEST_CASE("two replica axes cut the optimizer's state beside a split",
          "[memory]") {
  // Experts are cut over one of the two; the split takes a dimension of each
  // matrix, so that both axes cut the other one of all else.
  auto preset = GENERATE("mixtral-tiny", "deepseek-tiny");
  Question question{preset, "dp=4,ep=2,tp=2,pp=1,zero=1", "cpu", 8, {}};
  question.import.batch = batch;
  Planned planned(question);
  REQUIRE(planned.plan);
  Bytes said = planned.plan->prediction.stages[0].memory.optimizer,
        needed = layOut(planned).front().parts.optimizer;
  CAPTURE(preset, said.value(), needed.value());
  // Vectors that the split cuts have no dimension left: 2 % of these models.
  CHECK(said <= needed);
  CHECK(said.value() * 102 >= needed.value() * 100);
}

TEST_CASE("factored moments take what the planner says", "[memory]") {
  // One replica: ZeRO-1 cuts nothing.
  Planned planned({"m6-tiny", "dp=1,tp=1,pp=1", "cpu", 1, {}});
  REQUIRE(planned.plan);
  auto laidOut =
      stageMemory(*planned.model, planned.workload, planned.plan->chosen);
  REQUIRE(llvm::succeeded(laidOut));
  Bytes said = planned.plan->prediction.stages[0].memory.optimizer;
  CHECK(said == laidOut->front().parts.optimizer);
  CHECK(said > Bytes());
}
