#include "compiler/planner/Search.h"
#include "compiler/cost/CatalogueHardware.h"
#include "compiler/planner/Explain.h"
#include "compiler/planner/Partition.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <set>

using namespace whale;
using namespace whale::planner;
using test::gpt;
using test::GptShape;

namespace {

struct Setup {
  Setup(const GptShape &shape, std::string_view clusterText)
      : workload(gpt(shape)) {
    Diagnostics diags;
    auto catalogue = Catalogue::load(diags);
    auto read = parseCluster(clusterText, "cluster.json", *catalogue, diags);
    INFO(diags.str());
    REQUIRE(read);
    cluster = std::move(*read);
    hardware.emplace(cluster);
  }

  Problem problem(std::string_view pins = "", const Node &strategy = {}) {
    Problem result{workload, *hardware, {}};
    Diagnostics diags;
    auto read = readPins(pins, diags);
    REQUIRE(read);
    result.options.pins = *read;
    result.options.strategy = strategy;
    REQUIRE(check(result, diags));
    return result;
  }

  Plan solved(std::string_view pins = "", const Node &strategy = {}) {
    Diagnostics diags;
    Problem asked = problem(pins, strategy);
    Answer answer = solve(asked, diags);
    INFO(diags.str());
    REQUIRE(answer.plan);
    Diagnostics found;
    bool good = verify(*answer.plan, problem(), found);
    INFO(found.str());
    CHECK(good);
    return std::move(*answer.plan);
  }

  std::string refused(std::string_view pins, const Node &strategy = {}) {
    Diagnostics diags;
    Answer answer = solve(problem(pins, strategy), diags);
    CHECK(!answer.plan);
    return diags.str();
  }

  workload::Workload workload;
  Cluster cluster;
  std::optional<cost::CatalogueHardware> hardware;
};

std::string text(const Plan &plan) {
  json::Writer writer;
  writePlan(writer, plan);
  return writer.take();
}

constexpr std::string_view fourCpus =
    R"({"format_version": 1, "preset": "cpu", "ranks": 4})";
constexpr std::string_view dgx =
    R"({"format_version": 1, "preset": "dgx-h100", "nodes": 1})";
constexpr std::string_view mixed = R"({"format_version": 1,
 "nodes": [{"gpus": {"type": "v100-32", "count": 8}},
           {"gpus": {"type": "p100-16", "count": 8}}],
 "network": {"bandwidth_gigabits_per_second": 50, "latency_microseconds": 20}})";

GptShape small() {
  GptShape shape;
  shape.layers = 4;
  shape.elementBytes = 4;
  return shape;
}

GptShape medium() {
  GptShape shape;
  shape.layers = 24, shape.hidden = 1024, shape.heads = 16;
  shape.sequence = 1024, shape.vocabulary = 50000, shape.batch = 64;
  return shape;
}

GptShape large() {
  GptShape shape;
  shape.layers = 96, shape.hidden = 12288, shape.heads = 96;
  shape.sequence = 2048, shape.vocabulary = 51200, shape.batch = 1536;
  return shape;
}

} // namespace

TEST_CASE("the dims of a transformer's split are found") {
  auto dims = splitDims(gpt(medium()));
  CHECK(std::set<std::string>(dims.begin(), dims.end()) ==
        std::set<std::string>{"ffn", "heads", "vocabulary"});
}

TEST_CASE("the search is never beaten by trying everything") {
  Space space = GENERATE(Space::Default, Space::Full);
  for (int64_t layers : {1, 3, 4})
    for (int64_t batch : {4, 6}) {
      GptShape shape = small();
      shape.layers = layers, shape.batch = batch, shape.hidden = 256;
      Setup setup(shape, fourCpus);
      Problem problem = setup.problem();
      problem.options.space = space;
      Diagnostics diags;
      Answer answer = solve(problem, diags);
      REQUIRE(answer.plan);
      CHECK(answer.plan->gapOfUnlike);

      CostTable table(setup.workload, *setup.hardware);
      std::vector<std::string> dims = splitDims(setup.workload);
      Picoseconds best = Picoseconds::max();
      for (const Choice &shape : enumerate(problem))
        for (Choice choice : variants(problem, shape))
          for (bool gpipe : {false, true}) {
            // Not tried unless asked for, since it never wins.
            if (gpipe && choice.schedule != Schedule::OneFOneB)
              continue;
            if (gpipe)
              choice.schedule = Schedule::GPipe;
            NormalForm form = formOf(choice, dims);
            if (!setShares(table, form, DeviceMap{}))
              continue;
            Picoseconds bound = lowerBound(table, form, DeviceMap{});
            int64_t p = choice.pipeline, parts = partCount(form);
            forEachPartition(layers + 2, parts, [&](const auto &cuts) {
              // The two parts at the turn of a V share equally.
              bool isV =
                  parts == 2 * p && choice.schedule != Schedule::Interleaved;
              if (isV &&
                  cuts[p] - cuts[p - 1] != (cuts[p + 1] - cuts[p - 1] + 1) / 2)
                return;
              Prediction found = evaluate(table, {form, cuts, DeviceMap{}});
              if (found.deficit() > Bytes())
                return;
              best = std::min(best, found.step);
              INFO(printStrategy(
                  strategyOf({form, cuts, DeviceMap{}}, setup.workload)));
              CHECK(bound.value() <= found.step.value());
            });
          }
      CHECK(answer.plan->prediction.step == best);
    }
}

TEST_CASE("a found plan pasted back gives the same plan") {
  for (std::string_view pins :
       {"", "pp=4", "tp=4,pp=2", "dp=2,tp=2,pp=2,recompute=full", "zero=0",
        "pp=2,micro_batches=4,schedule=gpipe"}) {
    INFO(pins);
    Setup setup(medium(), dgx);
    Plan plan = setup.solved(pins);
    Plan again = setup.solved("", plan.strategy);
    CHECK(again.strategy == plan.strategy);
    CHECK(again.prediction.step == plan.prediction.step);
    CHECK(again.chosen.cuts == plan.chosen.cuts);
    CHECK(again.chosen.devices == plan.chosen.devices);
  }
}

TEST_CASE("pins hold") {
  Setup setup(medium(), dgx);
  Plan plan = setup.solved("tp=2,pp=2,dp=2,micro_batches=8,zero=1,"
                           "recompute=selective");
  const NormalForm &form = plan.chosen.form;
  CHECK(form.stages.size() == 2);
  CHECK(form.microBatches == 8);
  CHECK(form.stages[0].degree(AxisKind::Split) == 2);
  CHECK(form.stages[0].degree(AxisKind::Replica) == 2);
  CHECK(form.stages[0].axes[0].shard == Shard::Optimizer);
  CHECK(form.stages[0].recompute == Recompute::Selective);
}

TEST_CASE("as few layers recompute in full as fit") {
  std::string pins = "pp=4,tp=1,dp=2,zero=0,micro_batches=16";
  int recomputing = 0;
  // Less and less memory.
  for (double reserve : {74.0, 75.0, 76.0, 76.5, 77.0, 77.5, 78.0}) {
    Setup setup(medium(), fmt::format(R"({{"format_version": 1,
      "preset": "dgx-h100", "nodes": 1, "reserve_gibibytes": {}}})",
                                      reserve));
    Diagnostics diags;
    Answer answer = solve(setup.problem(pins), diags);
    if (!answer.plan)
      continue;
    CostTable table(setup.workload, *setup.hardware);
    for (size_t s = 0; s < 4; ++s) {
      Candidate fewer = answer.plan->chosen;
      if (fewer.form.stages[s].recomputeLayers == 0)
        continue;
      --fewer.form.stages[s].recomputeLayers;
      CHECK(evaluate(table, fewer).deficit() > Bytes());
      ++recomputing;
    }
    Answer all = solve(setup.problem(pins + ",recompute=full"), diags);
    if (all.plan)
      CHECK(answer.plan->prediction.step < all.plan->prediction.step);
  }
  CHECK(recomputing > 4);
}

TEST_CASE("pinned recompute is kept on few and on many unequal devices") {
  for (int nodes : {1, 16}) {
    Setup setup(medium(), fmt::format(R"({{"format_version": 1,
 "nodes": [{{"gpus": {{"type": "h100-sxm-80", "count": 8}}, "count": {0}}},
           {{"gpus": {{"type": "a100-80", "count": 8}}, "count": {0}}}],
 "network": {{"bandwidth_gigabits_per_second": 200,
              "latency_microseconds": 5}}}})",
                                      nodes));
    for (std::string pins :
         {"recompute=none,recompute_layers=2", "recompute_layers=2",
          "recompute=selective,recompute_layers=2",
          "recompute_layers=2,selective_layers=0", "selective_layers=2"}) {
      INFO(nodes << " nodes of each type, " << pins);
      Problem problem = setup.problem(pins);
      const Pins &pinned = problem.options.pins;
      Choice shape;
      shape.data = 2;
      std::vector<Choice> found = placements(problem, shape);
      CHECK(!found.empty());
      CHECK(std::set(found.begin(), found.end()).size() == found.size());
      for (const Choice &choice : found) {
        CHECK(choice.recompute == pinned.recompute.value_or(choice.recompute));
        CHECK(choice.recomputeLayers ==
              pinned.recomputeLayers.value_or(choice.recomputeLayers));
        if (pinned.selectiveLayers)
          CHECK(choice.recompute == Recompute::None);
      }
    }
  }
}

TEST_CASE("the first layers recompute in full where a pin says so") {
  Setup setup(medium(), dgx);
  std::string pins = "pp=2,tp=1,dp=4,micro_batches=8,recompute=none";
  Prediction none = setup.solved(pins).prediction;
  Plan some = setup.solved(pins + ",recompute_layers=3");
  CHECK(some.chosen.form.stages[1].recomputeLayers == 3);
  for (size_t s = 0; s < 2; ++s) {
    CHECK(some.prediction.stages[s].recompute > none.stages[s].recompute);
    CHECK(some.prediction.stages[s].memory.activations <
          none.stages[s].memory.activations);
  }
  Plan again = setup.solved("", some.strategy);
  CHECK(again.strategy == some.strategy);
  Plan more = setup.solved(pins + ",recompute_layers=3,selective_layers=2");
  CHECK(more.chosen.form.stages[1].selectiveLayers == 2);
  CHECK(more.prediction.stages[1].recompute >
        some.prediction.stages[1].recompute);
  CHECK(more.prediction.stages[1].memory.activations <
        some.prediction.stages[1].memory.activations);
  CHECK(setup.solved("", more.strategy).strategy == more.strategy);
  CHECK(setup.refused("recompute=selective,selective_layers=2")
            .find("pins 'recompute=selective,selective_layers=2' cannot hold "
                  "together") != std::string::npos);
  CHECK(setup.refused("recompute=full,recompute_layers=2")
            .find("pins 'recompute=full,recompute_layers=2' cannot hold "
                  "together") != std::string::npos);
}

TEST_CASE("layers stay gathered as a pin says, or all that have room") {
  Setup setup(medium(), dgx);
  std::string pins = "pp=1,tp=1,dp=8,micro_batches=8,recompute=none";
  auto asked = [&](const std::string &text, const Node &strategy = {}) {
    Problem problem = setup.problem();
    Diagnostics diags;
    problem.options.pins = *readPins(text, diags);
    problem.options.strategy = strategy;
    problem.options.space = Space::Full;
    REQUIRE(check(problem, diags));
    return problem;
  };
  auto solved = [&](const std::string &more, const Node &strategy = {}) {
    Problem problem = asked(pins + more, strategy);
    Diagnostics diags;
    Answer answer = solve(problem, diags);
    INFO(diags.str());
    REQUIRE(answer.plan);
    CHECK(verify(*answer.plan, problem, diags));
    return *answer.plan;
  };
  Plan none = solved(",zero=3,gathered_layers=0"), two = solved(",zero=2");
  Plan some = solved(",gathered_layers=3");
  CHECK(some.chosen.form.stages[0].gatheredLayers == 3);
  CHECK(some.prediction.step < none.prediction.step);
  CHECK(some.prediction.step > two.prediction.step);
  CHECK(solved("", some.strategy).strategy == some.strategy);
  // There is room for all.
  Plan open = solved(",zero=3");
  CHECK(open.prediction.step < some.prediction.step);
  CHECK(open.prediction.stages[0].memory.total() ==
        two.prediction.stages[0].memory.total());
  Problem both = asked("gathered_layers=2,offload_optimizer=1");
  Diagnostics diags;
  CHECK(!solve(both, diags).plan);
  CHECK(diags.str().find("pins 'gathered_layers=2,offload_optimizer=1' cannot "
                         "hold together") != std::string::npos);
}

TEST_CASE("pins that cannot hold name the smallest set") {
  Setup setup(medium(), dgx);
  std::string message = setup.refused("tp=4,pp=4,zero=1,recompute=full");
  CHECK(message.find("error: pins 'tp=4,pp=4' cannot hold together\n") == 0);
  CHECK(setup.refused("dp=8,micro_batches=16")
            .find("error: pins 'dp=8,micro_batches=16'") == 0);
}

TEST_CASE("an annotation that a pin contradicts") {
  Setup setup(medium(), dgx);
  Node strategy;
  strategy.body.emplace_back();
  strategy.body[0].primitive = Primitive::Replica;
  strategy.body[0].degree = 4;
  CHECK(setup.refused("dp=8", strategy) ==
        "error: pin 'dp' contradicts the strategy\n"
        "note: the strategy is here\n");
  CHECK(setup.solved("", strategy)
            .chosen.form.stages[0]
            .degree(AxisKind::Replica) == 4);
}

TEST_CASE("unusual trees are costed as they are written") {
  Setup setup(medium(), dgx);
  Node split, replica, strategy;
  split.primitive = Primitive::Split;
  split.degree = 2;
  split.dims = {"ffn"};
  replica.primitive = Primitive::Replica;
  replica.degree = 4;
  replica.shard = Shard::Optimizer;
  split.body = {replica};
  strategy.body = {split};
  Plan plan = setup.solved("", strategy);
  CHECK(printStrategy(plan.strategy) == printStrategy(strategy));
  // A wrong sum of shares is found.
  strategy.body[0].body[0].shares = {16, 16, 16, 15};
  CHECK(setup.refused("", strategy).find("shares sum to 63") !=
        std::string::npos);
}

TEST_CASE("what does not fit says what is short") {
  GptShape shape = large();
  Setup setup(shape, dgx);
  std::string message = setup.refused("");
  CHECK(message.find("error: no plan fits: the smallest needs ") == 0);
  CHECK(message.find("'h100-sxm-80' has 77.2 GiB after reserve") !=
        std::string::npos);
  CHECK(message.find("the largest part is ") != std::string::npos);
  Diagnostics diags;
  CHECK(solve(setup.problem(), diags).outcome == Outcome::Infeasible);
  CHECK(diags.exitCode() == ExitCode::Infeasible);
}

TEST_CASE("where a pin makes it too large, leaving it out is offered") {
  GptShape shape = medium();
  shape.layers = 32, shape.hidden = 4096, shape.heads = 32, shape.batch = 8;
  Setup setup(shape, dgx);
  std::string message = setup.refused("dp=8,zero=0");
  CHECK(message.find("without the pin 'zero' this fits") != std::string::npos);
}

TEST_CASE("threads do not change the plan") {
  Setup setup(large(), R"({"format_version": 1, "preset": "dgx-h100",
                           "nodes": 16})");
  std::string first;
  for (unsigned threads : {1, 2, 8}) {
    Problem problem = setup.problem();
    problem.options.threads = threads;
    Diagnostics diags;
    Answer answer = solve(problem, diags);
    REQUIRE(answer.plan);
    std::string now = text(*answer.plan);
    if (first.empty())
      first = now;
    CHECK(now == first);
  }
}

TEST_CASE("a plan survives JSON and corrupted ones are found") {
  Setup setup(medium(), dgx);
  Plan plan = setup.solved("tp=2,pp=2");
  std::string written = text(plan);
  Diagnostics diags;
  auto json = json::parse(written, "plan.json", diags);
  REQUIRE(json);
  auto again = readPlan(*json, diags);
  INFO(diags.str());
  REQUIRE(again);
  CHECK(text(*again) == written);
  CHECK(verify(*again, setup.problem(), diags));

  Diagnostics found;
  SECTION("time") { again->prediction.step += Picoseconds(1); }
  SECTION("memory") {
    again->prediction.stages[1].memory.activations -= Bytes(1);
  }
  SECTION("cuts") { again->chosen.cuts[1] += 1; }
  SECTION("axes") { again->chosen.form.stages[0].axes[0].size *= 2; }
  SECTION("batch") { again->globalBatch = 32; }
  SECTION("devices") {
    again->chosen.devices = {DeviceMap::Kind::ByStage, {0, 3}};
  }
  CHECK(!verify(*again, setup.problem(), found));
  CHECK(found.exitCode() == ExitCode::Finding);
}

TEST_CASE("the plan of 175B parameters on 1,024 GPUs") {
  Setup setup(large(), R"({"format_version": 1, "preset": "dgx-h100",
                           "nodes": 128})");
  Plan plan = setup.solved();
  CHECK(rankCount(plan.chosen.form) == 1024);
  // Measured runs of this model lie between 0.35 and 0.6.
  CHECK(plan.prediction.utilization > 0.3);
  CHECK(plan.prediction.utilization < 0.7);
  CHECK(plan.gap < 0.16);
  // Stages that differ are looked for on fewer devices.
  CHECK(!plan.gapOfUnlike);
  for (const Alternative &other : plan.alternatives) {
    CHECK(other.step >= plan.prediction.step);
    CHECK(!other.reason.empty());
  }
}

TEST_CASE("1,024 layers are planned like 10") {
  GptShape shape = medium();
  shape.layers = 1024, shape.hidden = 512, shape.heads = 8;
  Setup setup(shape, dgx);
  Plan plan = setup.solved();
  CHECK(plan.chosen.cuts.back() == 1026);
}

TEST_CASE("unequal GPUs: faster ones get more of the batch") {
  GptShape shape = medium();
  shape.elementBytes = 4;
  Setup setup(shape, mixed);
  Plan plan = setup.solved("tp=1,pp=1,dp=16,micro_batches=1,vocabulary=1");
  const Axis &replica = plan.chosen.form.stages[0].axes[0];
  REQUIRE(replica.shares.size() == 16);
  int64_t sum = 0;
  for (int64_t share : replica.shares)
    sum += share;
  CHECK(sum == 64);
  CHECK(replica.shares.front() > replica.shares.back());
  // Never slower than equal shares.
  NormalForm equal = plan.chosen.form;
  equal.stages[0].axes[0].shares.clear();
  CostTable table(setup.workload, *setup.hardware);
  CHECK(plan.prediction.step <=
        evaluate(table, {equal, plan.chosen.cuts, plan.chosen.devices}).step);
}

TEST_CASE("unequal GPUs: stages lie in one type each") {
  GptShape shape = medium();
  shape.elementBytes = 4;
  Setup setup(shape, mixed);
  Plan plan = setup.solved("pp=2,tp=1,dp=8");
  for (int64_t rank = 0; rank < 16; ++rank) {
    Coordinates at = coordinatesOf(plan.chosen.form, rank);
    int64_t device = plan.chosen.devices.deviceOf(plan.chosen.form, at);
    CHECK(setup.hardware->poolOf(device).type ==
          plan.prediction.stages[at.stage].deviceType);
  }
  // The slower type holds fewer instances.
  int64_t onV100 = 0, onP100 = 0;
  for (const StagePrediction &stage : plan.prediction.stages)
    (stage.deviceType == 0 ? onV100 : onP100) += stage.last - stage.first;
  CHECK(onV100 > onP100);
}

namespace {

Node scopeOf(Primitive primitive, int64_t degree, std::vector<Node> body = {}) {
  Node node;
  node.primitive = primitive;
  node.degree = degree;
  node.body = std::move(body);
  return node;
}

/// Eight replicas with a split on their devices.
Node colocatedOn(std::vector<std::string> dims,
                 std::vector<std::string> paths = {}) {
  Node split = scopeOf(Primitive::Split, 8);
  split.dims = std::move(dims);
  split.paths = std::move(paths);
  split.colocated = true;
  return scopeOf(Primitive::Cluster, 0,
                 {scopeOf(Primitive::Replica, 8, {split})});
}

} // namespace

TEST_CASE("a written split on the replicas' devices is costed") {
  GptShape shape = medium();
  shape.tied = false;
  Setup setup(shape, dgx), tied(medium(), dgx);
  Node replicas =
      scopeOf(Primitive::Cluster, 0, {scopeOf(Primitive::Replica, 8)});
  const std::string_view pins = "micro_batches=1,zero=0,recompute=none";
  SECTION("of nothing: as the replicas alone") {
    Plan plain = tied.solved(pins, replicas);
    for (const Node &node : {colocatedOn({"experts"}),
                             colocatedOn({"vocabulary"}, {"layers.*"})}) {
      Plan plan = tied.solved("", node);
      CHECK(plan.prediction.step == plain.prediction.step);
      CHECK(plan.prediction.stages[0].memory.total() ==
            plain.prediction.stages[0].memory.total());
    }
  }
  SECTION("of the vocabulary: smaller tables, and less to sum") {
    Plan plain = setup.solved(pins, replicas);
    Plan plan = setup.solved("", colocatedOn({"vocabulary"}, {"head"}));
    const StagePrediction &stage = plan.prediction.stages[0],
                          &whole = plain.prediction.stages[0];
    CHECK(stage.gradientSync < whole.gradientSync);
    CHECK(stage.communication > whole.communication);
    CHECK(printStrategy(plan.strategy) ==
          "replica(8){split(8, [vocabulary], colocated, head)}");
    std::string written = text(plan);
    Diagnostics diags;
    auto json = json::parse(written, "plan.json", diags);
    auto again = readPlan(*json, diags);
    REQUIRE(again);
    CHECK(text(*again) == written);
  }
}

namespace {

/// Four layers of experts with room for `capacity` rows of a sample each.
workload::Workload expertLayers(int64_t batch, int64_t capacity, int64_t ffn) {
  workload::Workload model =
      test::chain({test::expertLayer(batch, capacity, ffn)}, {4}, batch);
  model.groups = {workload::ParameterGroup{}};
  return model;
}

} // namespace

TEST_CASE("experts go over the replicas' devices where that is faster") {
  Setup setup(medium(), dgx);
  const std::string_view pins =
      "dp=8,tp=1,pp=1,micro_batches=1,zero=0,recompute=none";
  Node replicas =
      scopeOf(Primitive::Cluster, 0, {scopeOf(Primitive::Replica, 8)});
  SECTION("large experts, few rows: not summing the gradients pays") {
    setup.workload = expertLayers(8, 4, 4096);
    Plan plan = setup.solved(pins);
    CHECK(plan.chosen.form.stages[0].axes[0].colocated ==
          std::vector<ColocatedSplit>{{{"experts"}, {}}});
    // A person's replicas stay what they are.
    Plan written = setup.solved(pins, replicas);
    CHECK(written.chosen.form.stages[0].axes[0].colocated.empty());
    CHECK(plan.prediction.step < written.prediction.step);
    CHECK(plan.prediction.stages[0].memory.parameters ==
          Bytes(written.prediction.stages[0].memory.parameters.value() / 8));
    // Printed and pasted back it is the same.
    Plan again = setup.solved("", plan.strategy);
    CHECK(again.prediction.step == plan.prediction.step);
    CHECK(printStrategy(again.strategy) == printStrategy(plan.strategy));
  }
  SECTION("small experts, many rows: sending rows does not") {
    setup.workload = expertLayers(64, 512, 16);
    CHECK(setup.solved(pins).chosen.form.stages[0].axes[0].colocated.empty());
  }
}

TEST_CASE("samples that are coupled stay together") {
  GptShape shape = medium();
  Setup setup(shape, dgx);
  setup.workload.sampleGroup = 16;
  Plan plan = setup.solved();
  const NormalForm &form = plan.chosen.form;
  int64_t share = 64 / form.stages[0].degree(AxisKind::Replica);
  CHECK(share / form.microBatches % 16 == 0);
}

TEST_CASE("GPipe loses to 1F1B by memory, not by time") {
  Setup setup(medium(), dgx);
  Plan one = setup.solved("pp=4,tp=2,micro_batches=16,schedule=1f1b");
  Plan other = setup.solved("pp=4,tp=2,micro_batches=16,schedule=gpipe");
  CHECK(one.prediction.step <= other.prediction.step);
  CHECK(one.prediction.stages[3].memory.activations <
        other.prediction.stages[3].memory.activations);
}
