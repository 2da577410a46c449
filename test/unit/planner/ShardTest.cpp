// ZeRO over replicas on whose devices a table is cut as well: bytes and times
// by hand; and what gathering and scattering adds (ShardTraffic.h).

#include "compiler/planner/ShardTraffic.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;
using whale::test::RoundHardware;

namespace {

constexpr int64_t batch = 16, hidden = 64, ffn = 256, vocabulary = 1024,
                  layers = 3;
/// Elements of a layer, and of the table behind them.
constexpr int64_t layerElements = 2 * hidden * ffn,
                  tableElements = 2 * hidden * vocabulary;

/// 4 bytes an element of parameters and of gradients, 8 of the optimizer.
workload::Workload model() {
  auto layer = [](int64_t width) {
    return test::denseLayer({{"batch", batch},
                             {"sequence", 1},
                             {"hidden", hidden},
                             {"ffn", width}});
  };
  workload::ModuleClass table = layer(vocabulary);
  for (workload::Op &op : table.ops)
    for (workload::LoopDim &loop : op.loops)
      if (loop.name == "ffn")
        loop.name = "vocabulary";
  return test::chain({layer(ffn), table}, {layers, 1}, batch);
}

/// 8 replicas with two micro-batches, the table cut over groups of 4.
Choice tableOver4(Shard shard, bool hybrid = false) {
  Choice choice;
  choice.data = 8, choice.group = 4, choice.microBatches = 2;
  choice.table = Table::Vocabulary;
  choice.shard = shard, choice.hybrid = hybrid;
  return choice;
}

/// Of links that carry a byte in a nanosecond.
RoundHardware oneNode() {
  RoundHardware hardware({{}}, {{0, 8, 8}});
  hardware.inside = {1e9, 0};
  return hardware;
}

/// What gathering and scattering adds to an instance of each run, nothing where
/// it is not known.
std::vector<Picoseconds> trafficOf(CostTable &table, const Choice &choice,
                                   const DeviceMap &map) {
  ShardTraffic traffic(table);
  return traffic.of(choice, 0, [&](NormalForm &form, DeviceMap &devices) {
    form = formOf(choice, {"ffn"});
    devices = map;
    return true;
  });
}

} // namespace

TEST_CASE("what a table's split cuts is not cut again over the same replicas") {
  auto shard = GENERATE(Shard::None, Shard::Optimizer, Shard::Gradients,
                        Shard::Parameters);
  auto hybrid = GENERATE(false, true);
  INFO(nameOf(shard) << (hybrid ? " within the group" : ""));
  workload::Workload workload = model();
  RoundHardware hardware = oneNode();
  CostTable table(workload, hardware);
  NormalForm form = formOf(tableOver4(shard, hybrid), {"ffn"});
  MemoryParts memory =
      evaluate(table,
               {form, {0, layers + 1}, deviceMaps(form, hardware).front()})
          .stages.front()
          .memory;
  int64_t all = layers * layerElements + tableElements / 4;
  int64_t share = layers * layerElements / 4 + tableElements / 4;
  if (!hybrid)
    share = layers * layerElements / 8 + tableElements / 8;
  auto held = [&](Shard least) { return shard >= least ? share : all; };
  CHECK(memory.parameters == Bytes(4 * held(Shard::Parameters)));
  CHECK(memory.gradients == Bytes(4 * held(Shard::Gradients)));
  CHECK(memory.optimizer == Bytes(8 * held(Shard::Optimizer)));
}

TEST_CASE("what stays gathered lies there as with ZeRO-2") {
  // Masters apart from what the ops read, also cut with the state, or not.
  auto halves = GENERATE(false, true);
  auto cutsMasters = GENERATE(false, true);
  auto microBatches = GENERATE(1, 2);
  auto hybrid = GENERATE(false, true);
  if (cutsMasters && !halves)
    return;
  test::GptShape shape;
  shape.elementBytes = halves ? 2 : 4;
  workload::Workload workload = test::gpt(shape);
  RoundHardware hardware = oneNode();
  hardware.execution.stack.shardsMasters = cutsMasters;
  CostTable table(workload, hardware);
  int64_t instances = workload::instanceCount(workload);
  auto stageWith = [&](Shard shard, int64_t gathered) {
    Choice choice;
    choice.data = 8, choice.microBatches = microBatches;
    choice.shard = shard, choice.hybrid = hybrid;
    choice.group = hybrid ? 4 : 1;
    choice.gatheredLayers = gathered;
    NormalForm form = formOf(choice, {});
    return evaluate(table,
                    {form, {0, instances}, deviceMaps(form, hardware).front()})
        .stages.front();
  };
  const StagePrediction two = stageWith(Shard::Gradients, 0),
                        three = stageWith(Shard::Parameters, 0);
  StagePrediction all = stageWith(Shard::Parameters, instances);
  CHECK(namedParts(all.memory) == namedParts(two.memory));
  // Gathered for the first micro-batch.
  Picoseconds once = three.forward - two.forward;
  CHECK(once > Picoseconds());
  CHECK((all.forward - two.forward) * microBatches - once <
        Picoseconds(microBatches * instances));
  CHECK(all.forward * microBatches >= two.forward * microBatches + once);
  CHECK(all.backward == two.backward);
  CHECK(all.gradientSync == three.gradientSync);
  CHECK(all.update == three.update);
  // Layers are alike.
  for (auto time : {&StagePrediction::forward, &StagePrediction::backward}) {
    auto with = [&](int64_t gathered) {
      return stageWith(Shard::Parameters, gathered).*time;
    };
    CHECK(with(0) == three.*time);
    CHECK(with(3) - with(2) == with(2) - with(1));
  }
  MemoryParts one = stageWith(Shard::Parameters, 1).memory,
              more = stageWith(Shard::Parameters, 2).memory;
  CHECK(one.gradients == more.gradients);
  CHECK(one.total() < more.total());
}

TEST_CASE("what is gathered and scattered over a table's replicas") {
  workload::Workload workload = model();
  RoundHardware hardware = oneNode();
  CostTable table(workload, hardware);
  auto of = [&](Shard shard, bool hybrid) {
    Choice choice = tableOver4(shard, hybrid);
    std::vector<int64_t> nanoseconds;
    for (Picoseconds time :
         trafficOf(table, choice,
                   deviceMaps(formOf(choice, {"ffn"}), hardware).front()))
      nanoseconds.push_back(time.value() / 1000);
    return nanoseconds;
  };
  // Within the groups, and among the pairs of what these leave; the table's
  // parts go over the pairs alone.
  int64_t group = 4 * layerElements * 3 / 4, pairs = 4 * layerElements / 4 / 2;
  int64_t parts = 4 * tableElements / 4 / 2;
  using Times = std::vector<int64_t>;
  CHECK(of(Shard::Gradients, true) == Times{group, 0});
  CHECK(of(Shard::Gradients, false) == Times{group + pairs, parts});
  // Parameters in both parts, and gradients.
  CHECK(of(Shard::Parameters, true) == Times{3 * group, 0});
  CHECK(of(Shard::Parameters, false) == Times{3 * (group + pairs), 3 * parts});
  CHECK(of(Shard::Optimizer, false).empty());
}

TEST_CASE("a tied table is as little gathered as one of its own") {
  test::GptShape shape;
  shape.elementBytes = 4;
  shape.tied = GENERATE(false, true);
  workload::Workload workload = test::gpt(shape);
  RoundHardware hardware = oneNode();
  CostTable table(workload, hardware);
  Choice choice = tableOver4(Shard::Parameters, true);
  std::vector<Picoseconds> traffic = trafficOf(
      table, choice, deviceMaps(formOf(choice, {"ffn"}), hardware).front());
  REQUIRE(traffic.size() == 3);
  CHECK(traffic[0] == Picoseconds());
  // The head's norm, 4 bytes an element.
  CHECK(traffic[2].value() == 3 * (shape.hidden * 4 * 3 / 4) * 1000);
}

TEST_CASE("shard traffic is the least that any stage has more") {
  workload::Workload workload = model();
  // Four devices in a node, and four in nodes of their own.
  std::vector<test::RoundDevice> types(2);
  types[1].flopsPerSecond /= 2;
  RoundHardware hardware(types, {{0, 4, 4}, {1, 4, 1}});
  CostTable table(workload, hardware);
  Choice choice;
  choice.data = 4, choice.pipeline = 2, choice.pipelineOutside = true;
  choice.shard = GENERATE(Shard::Gradients, Shard::Parameters);
  choice.group = GENERATE(1, 2, 4);
  choice.table = choice.group > 1 ? Table::Vocabulary : Table::None;
  choice.gatheredLayers = GENERATE(0, asNeeded);
  NormalForm form = formOf(choice, {"ffn"});
  Choice none = choice;
  none.shard = Shard::None;
  none.gatheredLayers = 0;
  NormalForm plainForm = formOf(none, {"ffn"});
  for (const DeviceMap &map : deviceMaps(form, hardware)) {
    std::vector<Picoseconds> traffic = trafficOf(table, choice, map);
    REQUIRE(traffic.size() == 2);
    CHECK(traffic[0] > Picoseconds());
    std::vector<Picoseconds> least(2, Picoseconds::max());
    ReplicaCosts sharded = replicaCosts(table, form, map),
                 plain = replicaCosts(table, plainForm, map);
    REQUIRE(sharded.size() == plain.size());
    for (size_t i = 0; i < sharded.size(); ++i)
      for (unsigned s = 0; s < 2; ++s)
        for (int64_t at = 0; at <= layers; ++at) {
          StagePrediction with = sharded[i]->stage(s, at, at + 1),
                          without = plain[i]->stage(s, at, at + 1);
          Picoseconds &one = least[at == layers];
          one = std::min(one, with.forward + with.backward - without.forward -
                                  without.backward);
        }
    CHECK(traffic == least);
    // Costs with it know what the form's own do, but for what differs between
    // stages.
    Picoseconds bound = evenBound(
        withTraffic(spreadCosts(table, plainForm, *plain[0], false), traffic),
        2, 2);
    CHECK(bound >
          evenBound(spreadCosts(table, plainForm, *plain[0], false), 2, 2));
    CHECK(bound <=
          evenBound(spreadCosts(table, form, *sharded[0], false), 2, 2));
  }
}

TEST_CASE("many micro-batches share what stays gathered") {
  workload::Workload workload = model();
  RoundHardware hardware = oneNode();
  CostTable table(workload, hardware);
  ShardTraffic traffic(table);
  auto ofLayer = [&](int64_t microBatches) {
    Choice choice = tableOver4(Shard::Parameters, true);
    choice.microBatches = microBatches;
    choice.gatheredLayers = asNeeded;
    auto place = [&](NormalForm &form, DeviceMap &devices) {
      form = formOf(choice, {"ffn"});
      devices = deviceMaps(form, hardware).front();
      return true;
    };
    return traffic.of(choice, 0, place).front().value() / 1000;
  };
  int64_t group = 4 * layerElements * 3 / 4;
  CHECK(ofLayer(1) == 2 * group);
  CHECK(ofLayer(2) == group + group / 2);
}
