// Stages with unequal numbers of devices, against every sequence of stages and
// against the maps that planning tries for a form.

#include "compiler/planner/StageSizes.h"
#include "compiler/planner/Search.h"
#include "test/unit/planner/RoundHardware.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>

using namespace whale;
using namespace whale::planner;
using test::RoundHardware;

namespace {

using Sequence = std::vector<StageBlock>;

/// Nodes of so many types, each with so many devices in nodes of so many.
RoundHardware
machine(const std::vector<std::pair<int64_t, int64_t>> &countAndNode) {
  std::vector<test::RoundDevice> devices;
  std::vector<test::RoundNodes> nodes;
  for (auto [count, perNode] : countAndNode) {
    test::RoundDevice device;
    device.name = std::string(1, static_cast<char>('a' + devices.size()));
    device.flopsPerSecond /= static_cast<double>(devices.size() + 1);
    nodes.push_back({static_cast<unsigned>(devices.size()), count, perNode});
    devices.push_back(device);
  }
  return {devices, nodes};
}

std::vector<int64_t> usedOf(const RoundHardware &on, const Sequence &stages) {
  std::vector<int64_t> used(on.pools().size(), 0);
  for (const StageBlock &stage : stages)
    used[stage.pool] += stage.size;
  return used;
}

/// Every sequence of stages that the devices suffice for.
void sequences(const RoundHardware &on, int64_t mostStages, Sequence &so,
               const std::function<void()> &visit) {
  visit();
  if (std::ssize(so) == mostStages)
    return;
  for (size_t pool = 0; pool < on.pools().size(); ++pool)
    for (int64_t size = 1;
         size <= on.pools()[pool].count - usedOf(on, so)[pool]; ++size) {
      so.push_back({pool, size});
      sequences(on, mostStages, so, visit);
      so.pop_back();
    }
}

bool isUnequal(const Sequence &stages) {
  return std::any_of(stages.begin(), stages.end(), [&](const StageBlock &one) {
    return one.size != stages.front().size;
  });
}

bool usesUp(const RoundHardware &on, const Sequence &stages) {
  std::vector<int64_t> used = usedOf(on, stages);
  for (size_t pool = 0; pool < used.size(); ++pool)
    if (used[pool] > 0 && used[pool] < on.pools()[pool].count)
      return false;
  return true;
}

/// All that is proposed, each once; on maps that planning tries for the form,
/// so that a strategy that is pasted finds its devices again.
std::set<Sequence> proposed(const RoundHardware &on, int64_t mostStages,
                            bool mayIdle) {
  std::set<Sequence> found;
  for (const Sequence &blocks :
       unequalStages(on, stageSizes(on), mostStages, mayIdle))
    for (const StageOrder &order : ordersOf(on, blocks)) {
      CHECK(found.insert(order.stages).second);
      NormalForm form;
      for (const StageBlock &stage : order.stages) {
        Choice choice;
        choice.data = stage.size;
        choice.pipelineOutside = true;
        form.stages.push_back(formOf(choice, {}).stages.front());
      }
      std::vector<DeviceMap> maps = deviceMaps(form, on);
      CHECK(std::count(maps.begin(), maps.end(), order.map) == 1);
    }
  return found;
}

} // namespace

TEST_CASE("very few devices have all unequal stages in every order") {
  for (const auto &counts :
       std::vector<std::vector<std::pair<int64_t, int64_t>>>{
           {{8, 4}}, {{5, 1}}, {{5, 5}, {3, 1}}, {{2, 2}, {3, 3}, {1, 1}}}) {
    RoundHardware on = machine(counts);
    // Of three types more stages do not lie in any pool each.
    int64_t most = counts.size() == 3 ? 4 : 6;
    for (bool mayIdle : {false, true}) {
      std::set<Sequence> all;
      Sequence so;
      sequences(on, most, so, [&] {
        if (isUnequal(so) && (mayIdle || usesUp(on, so)))
          all.insert(so);
      });
      CHECK(!all.empty());
      CHECK(proposed(on, most, mayIdle) == all);
    }
  }
}

TEST_CASE("more devices have few stages, or equal ones in each type") {
  std::set<Sequence> sixteen = proposed(machine({{16, 1}}), 16, false);
  CHECK(sixteen.count({{0, 15}, {0, 1}}) == 1);
  CHECK(sixteen.count({{0, 3}, {0, 3}, {0, 4}, {0, 6}}) == 1);
  std::set<Sequence> two = proposed(machine({{8, 8}, {4, 4}}), 16, false);
  CHECK(two.count({{0, 8}, {1, 4}}) == 1);
  CHECK(two.count({{1, 2}, {0, 8}, {1, 2}}) == 1);
  CHECK(two.count({{0, 2}, {0, 2}, {0, 2}, {0, 2}, {1, 4}}) == 1);
  for (const Sequence &stages : two) {
    std::set<StageBlock> unlike(stages.begin(), stages.end());
    CHECK((stages.size() <= 4 || unlike.size() == 2));
  }
}

TEST_CASE("on many devices stages are parts of nodes or whole nodes") {
  RoundHardware on = machine({{24, 8}, {12, 4}});
  std::set<Sequence> all = proposed(on, 40, false);
  CHECK(all.count({{0, 24}, {1, 12}}) == 1);
  CHECK(all.count({{1, 12}, {0, 16}, {0, 8}}) == 1);
  CHECK(all.count({{0, 8}, {0, 8}, {0, 8}, {1, 4}, {1, 4}, {1, 4}}) == 1);
  for (const Sequence &stages : all) {
    CHECK(usesUp(on, stages));
    int changes = 0;
    for (size_t s = 0; s < stages.size(); ++s) {
      int64_t perNode = on.pools()[stages[s].pool].perNode;
      CHECK((stages[s].size % perNode == 0 || perNode % stages[s].size == 0));
      changes += s > 0 && stages[s].pool != stages[s - 1].pool;
    }
    CHECK(changes <= 1);
  }
}
