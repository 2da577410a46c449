// Which devices replicas get, and which of them differ.

#include "compiler/planner/Search.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

#include <set>

using namespace whale;
using namespace whale::planner;
using whale::test::RoundHardware;

namespace {

/// Three types of devices: 2, 5 and 1.
RoundHardware threeTypes() {
  std::vector<test::RoundDevice> devices(3);
  for (size_t t = 0; t < devices.size(); ++t)
    devices[t].flopsPerSecond *= static_cast<double>(t + 1);
  return {devices, {{0, 2, 1}, {1, 5, 5}, {2, 1, 1}}};
}

NormalForm formOfDegrees(int64_t data, int64_t pipeline, bool outside,
                         int64_t tensor = 1) {
  Choice choice;
  choice.data = data;
  choice.pipeline = pipeline;
  choice.tensor = tensor;
  choice.pipelineOutside = outside;
  return formOf(choice, {"ffn"});
}

/// Types of the ranks of a replica's stages, then its samples.
using Kind = std::vector<int64_t>;

Kind kindOf(const RoundHardware &hardware, const NormalForm &form,
            const DeviceMap &map, const std::vector<int64_t> &replica,
            int64_t batch) {
  Kind kind;
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    for (const Coordinates &at : ranksIn(form, s, replica))
      kind.push_back(hardware.poolOf(map.deviceOf(form, at)).type);
    if (s + 1 == form.stages.size())
      kind.push_back(
          batchOf(form, coordinatesIn(form, s, replica), batch).count);
  }
  return kind;
}

} // namespace

TEST_CASE("on few devices replicas lie in pools in every way") {
  RoundHardware hardware = threeTypes();
  std::vector<DeviceMap> maps =
      deviceMaps(formOfDegrees(5, 1, false), hardware);
  // 0 to 2, 0 to 5 and 0 or 1 of the types, 5 together.
  CHECK(maps.size() == 6);
  DeviceMap four{DeviceMap::Kind::ByOuter, {2, 3, 4, 5, 7}};
  CHECK(std::find(maps.begin(), maps.end(), four) != maps.end());
}

TEST_CASE("a group has the members of each pool") {
  RoundHardware hardware = threeTypes();
  NormalForm form = formOfDegrees(6, 1, false);
  // One of the first type, four of the second, one of the third.
  DeviceMap map{DeviceMap::Kind::ByOuter, {1, 2, 3, 4, 5, 7}};
  cost::Group group = axisGroup(form, map, {0, {0}}, 0, hardware);
  CHECK(group.size == 6);
  CHECK(group.parts() ==
        std::vector<RankGroup>{{0, 1, 1}, {2, 4, 1}, {7, 1, 1}});
  // Those of two nodes of the first type are two devices apart.
  DeviceMap ends{DeviceMap::Kind::ByRank, {0, 1, 7}};
  CHECK(axisGroup(formOfDegrees(3, 1, false), ends, {0, {0}}, 0, hardware)
            .parts() == std::vector<RankGroup>{{0, 2, 1}, {7, 1, 1}});
}

TEST_CASE("what fits into no pool takes them in every order") {
  RoundHardware hardware = threeTypes();
  // Stages of four on two, five and one devices, two of them.
  NormalForm form = formOfDegrees(4, 2, true);
  std::vector<DeviceMap> maps = deviceMaps(form, hardware);
  CHECK(maps.size() == 6);
  DeviceMap fastFirst{DeviceMap::Kind::ByRank, {7, 2, 3, 4, 5, 6, 0, 1}};
  CHECK(maps.front() == fastFirst);
  std::set<int64_t> second;
  for (const DeviceMap &map : maps) {
    REQUIRE(map.kind == DeviceMap::Kind::ByRank);
    CHECK(map.deviceOf(form, {1, {0}}) == map.first[4]);
    second.insert(map.first[4]);
  }
  CHECK(second.size() > 2);
}

TEST_CASE("a stage over several types is as slow as its slowest device and has "
          "the least memory") {
  workload::Workload model = test::chain(
      {test::denseLayer(
          {{"batch", 8}, {"sequence", 1}, {"hidden", 64}, {"ffn", 256}})},
      {4}, 8);
  // Fast and small, slow and large.
  std::vector<test::RoundDevice> devices(2);
  devices[0].flopsPerSecond = devices[0].memoryBytesPerSecond = 8e9;
  devices[1].flopsPerSecond = devices[1].memoryBytesPerSecond = 1e9;
  devices[0].memory = 1 << 20;
  RoundHardware both(devices, {{0, 2, 1}, {1, 2, 1}}),
      slow(devices, {{1, 4, 1}});
  Choice choice;
  choice.tensor = 2, choice.pipeline = 2, choice.microBatches = 4;
  NormalForm form = formOf(choice, {"ffn"});
  auto on = [&](const RoundHardware &hardware, std::vector<int64_t> ranks) {
    CostTable table(model, hardware);
    return evaluate(
        table, {form, {0, 2, 4}, {DeviceMap::Kind::ByRank, std::move(ranks)}});
  };
  Prediction allSlow = on(slow, {0, 1, 2, 3});
  for (std::vector<int64_t> ranks :
       {std::vector<int64_t>{0, 2, 1, 3}, {2, 0, 1, 3}, {2, 0, 3, 1}}) {
    Prediction mixed = on(both, ranks);
    CHECK(mixed.step.value() == allSlow.step.value());
    for (const StagePrediction &stage : mixed.stages)
      CHECK(stage.capacity == Bytes(devices[0].memory));
  }
  // One stage on each type.
  CHECK(on(both, {0, 1, 2, 3}).step < allSlow.step);
  // The split around the pipeline: each part of it on one type.
  form.outerAxes = 1;
  auto around = [&](const RoundHardware &hardware) {
    CostTable table(model, hardware);
    return evaluate(table,
                    {form, {0, 2, 4}, {DeviceMap::Kind::ByOuter, {0, 2}}});
  };
  Prediction mixed = around(both);
  CHECK(mixed.step.value() == around(slow).step.value());
  for (const StagePrediction &stage : mixed.stages)
    CHECK(stage.capacity == Bytes(devices[0].memory));
}

TEST_CASE("messages and gradients of a stage over several types take the "
          "slowest way") {
  workload::Workload model = test::chain(
      {test::denseLayer(
          {{"batch", 8}, {"sequence", 1}, {"hidden", 64}, {"ffn", 256}})},
      {4}, 8);
  std::vector<test::RoundDevice> devices(2);
  // Nodes 0: devices 0 to 3; 1: device 4 to 7. Only types differ.
  RoundHardware hardware(devices, {{0, 4, 4}, {1, 4, 4}});
  hardware.outside.bytesPerSecond = 1e8;
  auto step = [&](const Choice &choice, std::vector<int64_t> ranks) {
    NormalForm form = formOf(choice, {"ffn"});
    CostTable table(model, hardware);
    std::vector<int64_t> cuts = {0, 4};
    if (choice.pipeline == 2)
      cuts = {0, 2, 4};
    return evaluate(table,
                    {form, cuts, {DeviceMap::Kind::ByRank, std::move(ranks)}})
        .step;
  };
  Choice stages;
  stages.tensor = 2, stages.pipeline = 2, stages.microBatches = 2;
  // The first ranks of the stages share a node, the second ones do not; the
  // other way round.
  CHECK(step(stages, {0, 4, 1, 2}) == step(stages, {4, 0, 1, 2}));
  // Two replicas of two shards: one pair of equal shards is in a node.
  Choice replicas;
  replicas.tensor = replicas.data = 2;
  CHECK(step(replicas, {0, 4, 1, 2}) == step(replicas, {4, 0, 2, 1}));
  CHECK(step(replicas, {0, 4, 1, 2}) > step(replicas, {0, 4, 1, 5}));
}

TEST_CASE("classes of replicas are the kinds that all replicas are of") {
  RoundHardware hardware = threeTypes();
  workload::Workload model = test::chain(
      {test::denseLayer(
          {{"batch", 8}, {"sequence", 1}, {"hidden", 4}, {"ffn", 8}})},
      {2}, 8);
  int maps = 0;
  auto compare = [&](int64_t data, NormalForm form) {
    for (const DeviceMap &map : deviceMaps(form, hardware)) {
      ++maps;
      std::set<Kind> all, found;
      for (int64_t r = 0; r < data; ++r)
        all.insert(kindOf(hardware, form, map, {r}, 8));
      for (const ReplicaClass &one :
           replicaClasses(model, hardware, form, map)) {
        Kind kind = kindOf(hardware, form, map, one.coordinates, 8);
        CHECK(one.samples == kind.back());
        CHECK(found.insert(kind).second);
      }
      CHECK(all == found);
    }
  };
  for (int64_t data : {1, 2, 3, 4, 5, 8})
    for (int64_t pipeline : {1, 2})
      for (int64_t tensor : {1, 2})
        for (bool outside : {false, true}) {
          NormalForm form = formOfDegrees(data, pipeline, outside, tensor);
          compare(data, form);
          if (data == 1)
            continue;
          for (StageForm &stage : form.stages) {
            auto axis = std::find_if(
                stage.axes.begin(), stage.axes.end(),
                [](const Axis &a) { return a.kind == AxisKind::Replica; });
            axis->shares.assign(data, 1);
            axis->shares[data / 2] = 9 - data;
          }
          compare(data, form);
        }
  CHECK(maps > 500);
}
