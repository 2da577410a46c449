// Bounds of all cuts of a form on unequal devices, against every cut.

#include "compiler/planner/CutTree.h"
#include "compiler/planner/Partition.h"
#include "compiler/planner/PlacedBounds.h"
#include "compiler/planner/Search.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

#include <random>

using namespace whale;
using namespace whale::planner;
using test::RoundHardware;

namespace {

/// A pipeline of a small GPT, whose head shares the embedding's weights, on
/// three types of devices.
class RandomPipeline {
public:
  explicit RandomPipeline(unsigned seed)
      : random(seed), model(gpt()), machine(devices()), table(model, machine) {
    const std::vector<Schedule> orders(simulator::allOrders().begin(),
                                       simulator::allOrders().end());
    Choice choice;
    simulator::ScheduleSpec spec;
    do {
      choice.data = oneOf({1, 2});
      choice.pipeline = oneOf({2, 3, 4, 5});
      choice.microBatches = oneOf({1, 2, 4, 8, 16}) / choice.data;
      choice.schedule = orders[random() % orders.size()];
      choice.virtualStages = simulator::chunksOf(choice.schedule, 2);
      spec.order = choice.schedule;
      spec.stages = choice.pipeline;
      spec.chunks = choice.virtualStages;
      spec.microBatches = choice.microBatches;
    } while (choice.microBatches < 1 || choice.schedule == Schedule::DualPipe ||
             simulator::brokenRule(spec));
    choice.shard = oneOf({0, 1}) ? Shard::Optimizer : Shard::None;
    // As many layers gathered as is best, and recompute so that they fit.
    if (seed % 3 == 0 && choice.data > 1 && choice.virtualStages == 1) {
      choice.shard = Shard::Parameters;
      choice.gatheredLayers = asNeeded;
      choice.recomputeLayers = choice.selectiveLayers =
          seed % 2 == 0 ? asNeeded : 0;
    }
    form = formOf(choice, {});
    std::vector<DeviceMap> maps = deviceMaps(form, machine);
    map = maps[random() % maps.size()];
    shared = setShares(table, form, map);
  }

  /// Whether the batch can be shared among the replicas.
  bool isValid() const { return shared; }

  /// The largest of the bounds that the search goes by.
  Picoseconds bound() {
    Picoseconds most = lowerBound(table, form, map);
    PipelineShape shape = shapeOf();
    for (const auto &one : replicaCosts(table, form, map)) {
      SpreadCosts costs = spreadCosts(table, form, *one, true);
      for (Picoseconds time :
           {evenBound(costs, shape.stages, form.microBatches),
            spreadBound(costs, shape, alive())})
        most = std::max(most, wholeStep(machine, rankCount(form), time));
    }
    return most;
  }

  /// That of the placement, where steps above `limit` are all the same.
  Picoseconds placedBound(Picoseconds limit) {
    int64_t ranks = rankCount(form);
    PlacedBounds bounds(table, form, map, form.microBatches, true);
    Picoseconds time =
        bounds.step(shapeOf(), alive(), mostAlone(machine, ranks, limit));
    return time == Picoseconds::max() ? time : wholeStep(machine, ranks, time);
  }

  bool hasTree() const { return hasCutTree(table, form); }
  /// The bound of the tree of cuts within `limit`, and what its cuts take.
  std::pair<Picoseconds, Picoseconds> tree(Picoseconds limit, int nodes) {
    int64_t ranks = rankCount(form);
    CutBound found = treeBound(table, form, replicaCosts(table, form, map),
                               mostAlone(machine, ranks, limit), nodes);
    Picoseconds step = Picoseconds::max();
    if (!found.cuts.empty())
      step = evaluate(table, {form, found.cuts, map}).step;
    return {wholeStep(machine, ranks, found.step), step};
  }

  /// The fastest of all cuts that fit; max where none does.
  Picoseconds best() {
    Picoseconds least = Picoseconds::max();
    auto consider = [&](const std::vector<int64_t> &cuts) {
      Prediction found = evaluate(table, {form, cuts, map});
      if (found.deficit() <= Bytes())
        least = std::min(least, found.step);
    };
    if (isChunked(form))
      for (const std::vector<int64_t> &cuts : allCuts(model, form))
        consider(cuts);
    else
      forEachPartition(workload::instanceCount(model),
                       static_cast<int64_t>(form.stages.size()), consider);
    return least;
  }

private:
  PipelineShape shapeOf() const {
    return {form.schedule, std::ssize(form.stages), form.virtualStages,
            form.microBatches};
  }
  std::vector<int64_t> alive() {
    return table.alive(form.schedule, std::ssize(form.stages),
                       form.virtualStages, form.microBatches);
  }

  int64_t oneOf(std::initializer_list<int64_t> values) {
    return values.begin()[random() % values.size()];
  }

  workload::Workload gpt() {
    test::GptShape shape;
    shape.layers = oneOf({3, 5, 7});
    shape.vocabulary = oneOf({64, 1024, 8192});
    return test::gpt(shape);
  }

  RoundHardware devices() {
    std::vector<test::RoundDevice> types(3);
    double scale = 1e9 * static_cast<double>(oneOf({1, 10, 100}));
    for (test::RoundDevice &type : types) {
      type.flopsPerSecond = scale * static_cast<double>(oneOf({1, 4, 5, 50}));
      type.memoryBytesPerSecond = type.flopsPerSecond;
      if (oneOf({0, 1}))
        type.memory = oneOf({4, 8, 16}) << 20;
    }
    RoundHardware made(types, {{0, 4, 2}, {1, 4, 4}, {2, 4, 1}});
    made.inside.bytesPerSecond = scale * static_cast<double>(oneOf({1, 8}));
    made.outside.bytesPerSecond = scale / static_cast<double>(oneOf({1, 8}));
    return made;
  }

  std::mt19937 random;
  workload::Workload model;
  RoundHardware machine;
  CostTable table;
  NormalForm form;
  DeviceMap map;
  bool shared = false;
};

} // namespace

TEST_CASE("no cuts on unequal devices are faster than the bounds") {
  int tried = 0;
  double tight = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    RandomPipeline pipeline(seed);
    Picoseconds best = Picoseconds::max();
    if (pipeline.isValid())
      best = pipeline.best();
    if (best == Picoseconds::max())
      continue;
    INFO("seed " << seed);
    Picoseconds bound = pipeline.bound();
    CHECK(bound.value() <= best.value());
    for (double part : {0.7, 1.0, 1.3})
      CHECK(pipeline.placedBound(best.scaled(part)).value() <= best.value());
    ++tried;
    tight += bound.asDouble() / best.asDouble();
  }
  CHECK(tried > 200);
  // They are of use.
  CHECK(tight / tried > 0.94);
}

static workload::Workload sixLayers() {
  test::GptShape shape;
  shape.layers = 6;
  return test::gpt(shape);
}

/// Two types of devices with little memory, and as little in the host's.
static RoundHardware
shortOfMemory(double link = test::RoundDevice().linkBytesPerSecond) {
  std::vector<test::RoundDevice> types(2);
  types[0].flopsPerSecond = 1e11, types[0].memory = int64_t(6) << 20;
  types[1].flopsPerSecond = 4e11, types[1].memory = int64_t(3) << 20;
  for (test::RoundDevice &type : types)
    type.hostMemory = int64_t(4) << 20, type.linkBytesPerSecond = link;
  return RoundHardware(types, {{0, 4, 2}, {1, 4, 2}});
}

TEST_CASE("reliefs are those of the form, whatever forms were asked before") {
  workload::Workload model = sixLayers();
  RoundHardware machine = shortOfMemory();
  CostTable shared(model, machine);
  int64_t instances = workload::instanceCount(model);
  int64_t full = 0, selective = 0, offloaded = 0, gathered = 0;
  auto compare = [&](const NormalForm &form, const DeviceMap &map) {
    CostTable fresh(model, machine);
    ReplicaCosts one = replicaCosts(shared, form, map);
    ReplicaCosts other = replicaCosts(fresh, form, map);
    for (size_t c = 0; c < one.size(); ++c)
      for (unsigned s = 0; s < form.stages.size(); ++s)
        for (int64_t first = 0; first < instances; ++first)
          for (int64_t last = first + 1; last <= instances; ++last) {
            Relief relief = one[c]->relief(s, first, last);
            CHECK(relief == other[c]->relief(s, first, last));
            full += relief.recomputeLayers > 0;
            selective += relief.selectiveLayers > 0;
            offloaded += relief.offload != Offload();
            gathered += relief.gatheredLayers > 0;
          }
  };
  const Relief opens[] = {{asNeeded, 0, {}},
                          {asNeeded, asNeeded, {}},
                          {0, 0, {asNeeded, asNeeded, asNeeded}},
                          {asNeeded, 2, {0, 0, asNeeded}},
                          {asNeeded, asNeeded, {}, asNeeded}};
  for (Schedule schedule :
       {Schedule::GPipe, Schedule::OneFOneB, Schedule::ZeroBubbleH1})
    for (int64_t stages : {2, 4})
      for (int64_t microBatches : {1, 2, 8})
        for (Shard shard : {Shard::None, Shard::Optimizer, Shard::Parameters})
          for (int64_t data : {1, 2})
            for (const Relief &open : opens) {
              Choice choice;
              choice.data = data, choice.pipeline = stages;
              choice.microBatches = microBatches;
              choice.schedule = schedule, choice.shard = shard;
              choice.recomputeLayers = open.recomputeLayers;
              choice.selectiveLayers = open.selectiveLayers;
              choice.offload = open.offload;
              choice.gatheredLayers = open.gatheredLayers;
              NormalForm form = formOf(choice, {});
              for (const DeviceMap &map : deviceMaps(form, machine))
                compare(form, map);
            }
  // It matters.
  CHECK(full > 100);
  CHECK(selective > 100);
  CHECK(offloaded > 100);
  CHECK(gathered > 100);
}

TEST_CASE("what no relief is said to do none does") {
  workload::Workload model = sixLayers();
  RoundHardware machine = shortOfMemory(1e9);
  CostTable table(model, machine);
  int64_t instances = workload::instanceCount(model);
  std::mt19937 random(7);
  auto any = [&](int64_t most) {
    return static_cast<int64_t>(random() % (most + 1));
  };
  int64_t fit = 0, refused = 0, near = 0;
  // Of a stage with some relief, all that it adds to one without.
  auto check = [&](const FormCosts &open, const FormCosts &none,
                   const FormCosts &some, unsigned stage, int64_t first,
                   int64_t last) {
    if (!some.fits(stage, first, last))
      return;
    FormCosts::Times more = some.relieved(stage, first, last);
    FormCosts::Spare spare{more.forward.asDouble(), more.backward.asDouble(),
                           (some.stage(stage, first, last).update -
                            none.stage(stage, first, last).update)
                               .asDouble()};
    int64_t start = 0;
    for (size_t r = 0; r < model.runs.size(); ++r) {
      int64_t end = start + model.runs[r].count;
      auto n = static_cast<double>(
          std::max<int64_t>(0, std::min(last, end) - std::max(first, start)));
      start = end;
      spare.forward +=
          n * (some.forward(stage, r) - open.forward(stage, r)).asDouble();
      spare.backward +=
          n * (some.backward(stage, r) - open.backward(stage, r)).asDouble();
    }
    CHECK(open.mayRelieve(stage, first, last, spare));
    ++fit;
    near += !open.mayRelieve(stage, first, last,
                             {spare.forward / 4, spare.backward / 4, 0});
  };
  for (int64_t stages : {1, 3})
    for (int64_t microBatches : {1, 2, 8})
      for (Shard shard : {Shard::None, Shard::Optimizer, Shard::Parameters}) {
        Choice choice;
        choice.data = 2, choice.pipeline = stages;
        choice.microBatches = microBatches, choice.shard = shard;
        NormalForm none = formOf(choice, {});
        choice.recomputeLayers = choice.selectiveLayers =
            choice.gatheredLayers = asNeeded;
        choice.offload = {asNeeded, asNeeded, asNeeded};
        NormalForm open = formOf(choice, {});
        DeviceMap map = deviceMaps(open, machine).front();
        ReplicaCosts ofOpen = replicaCosts(table, open, map);
        ReplicaCosts ofNone = replicaCosts(table, none, map);
        auto forEachHeld = [&](auto visit) {
          for (size_t c = 0; c < ofOpen.size(); ++c)
            for (unsigned s = 0; s < open.stages.size(); ++s)
              for (int64_t first = 0; first < instances; ++first)
                for (int64_t last = first + 1; last <= instances; ++last)
                  visit(c, s, first, last);
        };
        for (int tries = 0; tries < 200; ++tries) {
          choice.recomputeLayers = any(3) * any(2);
          choice.selectiveLayers = any(3) * any(2);
          choice.offload.parameters = any(3) * any(1);
          choice.offload.optimizer = choice.offload.parameters + any(3);
          choice.offload.activations = any(3) * any(2);
          choice.gatheredLayers = any(3) * any(1);
          NormalForm form = formOf(choice, {});
          ReplicaCosts some = replicaCosts(table, form, map);
          forEachHeld([&](size_t c, unsigned s, int64_t first, int64_t last) {
            check(*ofOpen[c], *ofNone[c], *some[c], s, first, last);
          });
        }
        forEachHeld([&](size_t c, unsigned s, int64_t first, int64_t last) {
          refused += !ofOpen[c]->mayRelieve(s, first, last, {0, 0, 0});
        });
      }
  // It matters.
  CHECK(fit > 10'000);
  CHECK(near > 1'000);
  CHECK(refused > 100);
}

TEST_CASE("the tree of cuts is never above the best, and ends there") {
  int tried = 0, exact = 0;
  for (unsigned seed = 0; seed < 600; ++seed) {
    RandomPipeline pipeline(seed);
    if (!pipeline.isValid() || !pipeline.hasTree())
      continue;
    Picoseconds best = pipeline.best();
    if (best == Picoseconds::max())
      continue;
    INFO("seed " << seed);
    for (int nodes : {0, 3, 100000}) {
      auto [bound, step] = pipeline.tree(best.scaled(1.5), nodes);
      CHECK(bound.value() <= best.value());
      CHECK(step.value() >= best.value());
      if (nodes > 3) {
        ++tried;
        // That stages wait for those with which they share variables is not
        // in it.
        exact += bound >= best.scaled(0.998) && step <= best.scaled(1.002);
      }
    }
    // Where all take longer, it says so and finds none.
    auto [bound, step] = pipeline.tree(best.scaled(0.9), 100000);
    CHECK(bound.value() <= best.value());
    CHECK(step == Picoseconds::max());
  }
  CHECK(tried > 200);
  CHECK(exact > tried * 4 / 5);
}
