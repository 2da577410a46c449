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

NormalForm formOfDegrees(int64_t data, int64_t pipeline, bool outside) {
  Choice choice;
  choice.data = data;
  choice.pipeline = pipeline;
  choice.pipelineOutside = outside;
  return formOf(choice, {});
}

/// Types of a replica's stages, then its samples.
using Kind = std::vector<int64_t>;

Kind kindOf(const RoundHardware &hardware, const NormalForm &form,
            const DeviceMap &map, const std::vector<int64_t> &replica,
            int64_t batch) {
  Kind kind;
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    Coordinates at = coordinatesIn(form, s, replica);
    kind.push_back(hardware.poolOf(map.deviceOf(form, at)).type);
    if (s + 1 == form.stages.size())
      kind.push_back(batchOf(form, at, batch).count);
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

TEST_CASE("classes of replicas are the kinds that all replicas are of") {
  RoundHardware hardware = threeTypes();
  workload::Workload model = test::chain(
      {test::denseLayer(
          {{"batch", 8}, {"sequence", 1}, {"hidden", 4}, {"ffn", 8}})},
      {2}, 8);
  int maps = 0;
  for (int64_t data : {1, 2, 3, 4, 5, 8})
    for (int64_t pipeline : {1, 2})
      for (bool outside : {false, true})
        for (bool uneven : {false, true}) {
          NormalForm form = formOfDegrees(data, pipeline, outside);
          if (uneven && data > 1)
            for (StageForm &stage : form.stages) {
              stage.axes.front().shares.assign(data, 1);
              stage.axes.front().shares[data / 2] = 9 - data;
            }
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
        }
  CHECK(maps > 40);
}
