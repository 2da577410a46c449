// Several parts of the model on one stage: how they are dealt out, what bounds
// say of them, what paths do.

#include "compiler/planner/Chunks.h"

#include "compiler/planner/Explain.h"
#include "compiler/planner/Search.h"
#include "test/unit/planner/RandomProblem.h"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace whale;
using namespace whale::planner;

namespace {

using Cuts = std::vector<int64_t>;

NormalForm pipelineOf(int64_t stages, Schedule schedule, int64_t chunks,
                      int64_t microBatches) {
  NormalForm form;
  form.schedule = schedule;
  form.virtualStages = chunks;
  form.microBatches = microBatches;
  form.stages.resize(stages);
  return form;
}

/// An embedding, layers and a head, of which only the numbers matter.
workload::Workload model(int64_t layers, int64_t batch = 64) {
  std::map<std::string, int64_t> extents = {
      {"batch", batch}, {"sequence", 16}, {"hidden", 64}, {"ffn", 256}};
  return test::chain({test::denseLayer(extents), test::denseLayer(extents),
                      test::denseLayer(extents)},
                     {1, layers, 1}, batch);
}

/// Links that take no time.
test::RoundHardware machine(int64_t devices) {
  test::RoundHardware made({{}}, {{0, devices, devices}});
  made.inside = made.outside = {1e30, 0};
  return made;
}

Cuts sizesOf(const Cuts &cuts) {
  Cuts sizes;
  for (size_t k = 0; k + 1 < cuts.size(); ++k)
    sizes.push_back(cuts[k + 1] - cuts[k]);
  return sizes;
}

/// Calls `visit(form, cuts)` for many ways to cut a problem's model.
template <class F> void forEachChunking(const Problem &problem, F visit) {
  int64_t devices = problem.hardware.pools().front().count;
  for (Schedule schedule : simulator::allOrders())
    for (int64_t p = 2; p <= devices; ++p)
      for (int64_t v : {2, 3})
        for (int64_t m : {1, 2, 4, 6}) {
          if (problem.workload.globalBatch % m || !isChunked(schedule, p, v) ||
              simulator::chunksOf(schedule, v) != v)
            continue;
          NormalForm form = pipelineOf(p, schedule, v, m);
          simulator::ScheduleSpec spec{schedule, p, v, m, {}, {}};
          std::vector<Cuts> all = allCuts(problem.workload, form);
          if (!simulator::brokenRule(spec))
            for (size_t i = 0; i < all.size(); i += 1 + all.size() / 12)
              visit(form, all[i]);
        }
}

} // namespace

// Llama 3 405B was trained so: 126 layers, 16 stages, the first chunk of the
// first stage has the embedding only and the last one of the last the head
// (Grattafiori et al. 2024, section 3.3.2).
TEST_CASE("the layers of Llama 3 405B are dealt out as they were") {
  workload::Workload llama = model(126);
  for (int64_t chunks : {2, 4, 8}) {
    NormalForm form = pipelineOf(16, Schedule::Interleaved, chunks, 16);
    CHECK(dealsEvenly(llama, 16 * chunks));
    Cuts published(16 * chunks, 128 / (16 * chunks));
    std::vector<Cuts> ways = dealtCuts(llama, form);
    CHECK(std::any_of(ways.begin(), ways.end(), [&](const Cuts &cuts) {
      return sizesOf(cuts) == published;
    }));
  }
}

TEST_CASE("layers are dealt out evenly, or with fewer at the ends") {
  SECTION("where they divide, embedding and head come on top") {
    Cuts first =
        dealtCuts(model(16), pipelineOf(4, Schedule::Interleaved, 2, 4))
            .front();
    CHECK(sizesOf(first) == Cuts{3, 2, 2, 2, 2, 2, 2, 3});
  }
  SECTION("where nothing divides, the middle has more") {
    NormalForm form = pipelineOf(4, Schedule::Interleaved, 5, 4);
    CHECK(!dealsEvenly(model(31), 20));
    Cuts sizes = sizesOf(dealtCuts(model(31), form).front());
    CHECK(sizes.front() == 2);
    CHECK(sizes.back() == 2);
    CHECK(std::count(sizes.begin(), sizes.end(), 2) == 13);
    CHECK(std::count(sizes.begin(), sizes.end(), 1) == 7);
    CHECK(sizes[10] == 2);
  }
  SECTION("first layers of another kind are dealt out as well") {
    std::map<std::string, int64_t> extents = {
        {"batch", 64}, {"sequence", 16}, {"hidden", 64}, {"ffn", 256}};
    test::ModuleClass layer = test::denseLayer(extents);
    workload::Workload mixed =
        test::chain({layer, layer, layer, layer}, {1, 3, 13, 1}, 64);
    NormalForm form = pipelineOf(4, Schedule::Interleaved, 2, 4);
    CHECK(sizesOf(dealtCuts(mixed, form).front()) ==
          Cuts{3, 2, 2, 2, 2, 2, 2, 3});
    // A single one stands for a layer.
    mixed.runs[1].count = 1, mixed.runs[2].count = 15;
    std::vector<Cuts> ways = dealtCuts(mixed, form);
    CHECK(std::any_of(ways.begin(), ways.end(), [&](const Cuts &cuts) {
      return sizesOf(cuts) == Cuts{3, 2, 2, 2, 2, 2, 2, 3};
    }));
  }
  SECTION("no part is empty") {
    CHECK(dealtCuts(model(6), pipelineOf(4, Schedule::Interleaved, 3, 4))
              .empty());
    CHECK(
        allCuts(model(6), pipelineOf(4, Schedule::Interleaved, 3, 4)).empty());
  }
}

TEST_CASE("equal chunks have the idle time of the closed form") {
  for (int64_t p : {2, 4})
    for (int64_t v : {2, 4}) {
      workload::Workload layers = test::chain(
          {test::denseLayer(
              {{"batch", 64}, {"sequence", 16}, {"hidden", 64}, {"ffn", 256}})},
          {p * v * 2}, 64);
      test::RoundHardware hardware = machine(p);
      CostTable table(layers, hardware);
      NormalForm plain = pipelineOf(p, Schedule::OneFOneB, 1, 8);
      Cuts stages, parts;
      for (int64_t s = 0; s <= p; ++s)
        stages.push_back(s * v * 2);
      for (int64_t k = 0; k <= p * v; ++k)
        parts.push_back(k * 2);
      Prediction one = evaluate(table, {plain, stages, {}});
      Picoseconds unit = one.stages[0].forward + one.stages[0].backward;
      CHECK(one.stages[0].busy + one.stages[0].bubble == unit * (8 + p - 1));
      NormalForm form = pipelineOf(p, Schedule::Interleaved, v, 8);
      Prediction chunked = evaluate(table, {form, parts, {}});
      CHECK(chunked.stages[0].busy == unit * 8);
      CHECK(chunked.stages[0].busy + chunked.stages[0].bubble ==
            unit * 8 + ceilDivide(unit * (p - 1), v));
    }
}

// The simulator is the oracle of the time, and of the memory.
TEST_CASE("bounds of chunks are below what they take, memory is not") {
  int seen = 0;
  for (unsigned seed = 0; seed < 160; ++seed) {
    test::RandomProblem some(seed);
    Problem problem = some.problem();
    if (problem.hardware.pools().size() > 1)
      continue;
    CostTable table(problem.workload, problem.hardware);
    forEachChunking(problem, [&](const NormalForm &form, const Cuts &cuts) {
      INFO("seed " << seed << ": " << some.text() << ", "
                   << printStrategy(toTree(form)));
      Candidate candidate{form, cuts, {}};
      Prediction found = evaluate(table, candidate);
      auto low = [&](Picoseconds bound) {
        return wholeStep(table.hardware, rankCount(form), bound);
      };
      ReplicaCosts costs = replicaCosts(table, form, {});
      CHECK(low(ChunkBounds(form, costs).of(cuts)) <= found.step);
      CHECK(low(chunkedSpread(spreadCosts(table, form, *costs.front(), false),
                              {form.schedule, std::ssize(form.stages),
                               form.virtualStages, form.microBatches})) <=
            found.step);
      simulator::Timeline line = timeline(table, candidate);
      for (size_t s = 0; s < form.stages.size(); ++s)
        CHECK(line.stages[s].peak.value() <=
              found.stages[s].memory.total().value() + form.virtualStages);
      ++seen;
    });
  }
  CHECK(seen > 1000);
}

TEST_CASE("paths say which parts a stage holds") {
  workload::Workload small = model(9);
  test::RoundHardware hardware = machine(4);
  Problem problem{small, hardware, {}};
  int seen = 0;
  forEachChunking(problem, [&](const NormalForm &form, const Cuts &cuts) {
    NormalForm said = form;
    for (size_t s = 0; s < form.stages.size(); ++s)
      said.stages[s].paths =
          pathsOf(small, {form, cuts, {}}, static_cast<int64_t>(s));
    Diagnostics diags;
    auto read = cutsOf(said, small, diags);
    INFO(printStrategy(toTree(said)) << diags.str());
    REQUIRE(read);
    CHECK(*read == cuts);
    ++seen;
  });
  CHECK(seen > 50);
}

TEST_CASE("paths that make too few parts are refused") {
  workload::Workload small = model(6);
  NormalForm form = pipelineOf(2, Schedule::Interleaved, 2, 2);
  form.stages[0].paths = {"part0", "part1.0..2"};
  form.stages[1].paths = {"part1.3..5", "part2"};
  Diagnostics diags;
  CHECK(!cutsOf(form, small, diags));
  CHECK(diags.str() == "error: the paths of 2 stages make too few parts of the "
                       "model for 2 chunks each\n");
}
