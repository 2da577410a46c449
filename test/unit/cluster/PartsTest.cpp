// Which part of a cluster is best, against all parts of it.

#include "compiler/cluster/Parts.h"
#include "compiler/cluster/Scale.h"
#include "test/unit/cluster/TestCatalogue.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>

using namespace whale;

namespace {

Cluster threeClasses() {
  return testCluster(R"({"format_version": 1,
    "nodes": [{"gpus": {"type": "v100-32", "count": 3}, "count": 2},
              {"gpus": {"type": "t4", "count": 1}, "count": 3},
              {"gpus": {"type": "p100-16", "count": 2}, "count": 4}],
    "network": {"bandwidth_gigabits_per_second": 80}})");
}

/// Every part of nodes and whole nodes of each class.
std::vector<DevicesByClass> allParts(const Cluster &cluster) {
  std::vector<DevicesByClass> parts = {{}};
  for (const NodeClass &nodes : cluster.classes) {
    int64_t perNode = nodes.type.devicesPerNode;
    std::vector<DevicesByClass> longer;
    for (DevicesByClass part : parts) {
      part.push_back(0);
      for (int64_t n = 0; n <= nodes.rankCount(); ++n)
        if (n < perNode || n % perNode == 0) {
          part.back() = n;
          longer.push_back(part);
        }
    }
    parts = std::move(longer);
  }
  return parts;
}

/// Devices of each class with a speed and a price; a step's time has a fixed
/// part, and its cost is that of all devices.
struct Market {
  std::vector<double> speed, price;
  double fixed = 0, deadline = 0;

  double seconds(const DevicesByClass &part) const {
    return fixed + 1 / std::inner_product(part.begin(), part.end(),
                                          speed.begin(), 0.0);
  }
  double cost(const DevicesByClass &part) const {
    return seconds(part) *
           std::inner_product(part.begin(), part.end(), price.begin(), 0.0);
  }
  bool inTime(const DevicesByClass &part) const {
    return seconds(part) <= deadline;
  }
};

int64_t count(const DevicesByClass &part) {
  return std::accumulate(part.begin(), part.end(), int64_t(0));
}

std::optional<double> leastOfAll(const Cluster &cluster,
                                 const PartValue &value) {
  std::optional<double> least;
  for (const DevicesByClass &part : allParts(cluster))
    if (auto found = count(part) > 0 ? value(part) : std::nullopt)
      least = std::min(least.value_or(*found), *found);
  return least;
}

} // namespace

TEST_CASE("a part of a cluster has the classes it names") {
  Cluster whole = threeClasses();
  auto part = withDevices(whole, {3, 0, 1});
  REQUIRE(part);
  REQUIRE(part->classes.size() == 2);
  CHECK(part->rankCount() == 4);
  CHECK(part->deviceOf(2).name == "v100-32");
  CHECK(part->deviceOf(3).name == "p100-16");
  CHECK(part->nodeOf(3) == 1);
  CHECK_FALSE(withDevices(whole, {0, 0, 0}));
  CHECK_FALSE(withDevices(whole, {4, 0, 0}));
  for (const DevicesByClass &each : allParts(whole))
    if (count(each) > 0) {
      auto some = withDevices(whole, each);
      REQUIRE(some);
      CHECK(some->rankCount() == count(each));
    }
}

TEST_CASE("the best part is never better than all parts, and near to them") {
  Cluster cluster = threeClasses();
  const std::vector<std::vector<double>> rates = {
      {1, 1, 1}, {3, 1, 2}, {1, 4, 2}, {5, 1, 1}, {2, 7, 3}};
  int tried = 0;
  for (const auto &speed : rates)
    for (const auto &price : rates)
      for (double fixed : {0.0, 0.05})
        for (double deadline : {0.08, 0.12, 0.3, 2.0}) {
          Market market{speed, price, fixed, deadline};
          CAPTURE(speed, price, fixed, deadline);
          PartValue cost = [&](const DevicesByClass &part) {
            return market.inTime(part) ? std::optional(market.cost(part))
                                       : std::nullopt;
          };
          auto least = leastOfAll(cluster, cost);
          auto found = leastPart(cluster, cost);
          CHECK(found.has_value() == least.has_value());
          // A local optimum: never better, and here seldom far from it.
          if (found && least) {
            CHECK(*cost(*found) >= *least * (1 - 1e-12));
            CHECK(*cost(*found) <= *least * 1.35);
            tried += *cost(*found) <= *least * (1 + 1e-9);
          }
          PartValue size = [&](const DevicesByClass &part) {
            return market.inTime(part) ? std::optional(double(count(part)))
                                       : std::nullopt;
          };
          auto fewest = leastOfAll(cluster, size);
          auto smallest = smallestPart(cluster, size);
          CHECK(smallest.has_value() == fewest.has_value());
          if (smallest && fewest) {
            CHECK(double(count(*smallest)) >= *fewest);
            CHECK(double(count(*smallest)) <= *fewest + 2);
          }
        }
  CHECK(tried > 100);
}

TEST_CASE("of one class every size of the list is tried") {
  Cluster cluster = testCluster(
      R"({"format_version": 1, "preset": "dgx-a100", "nodes": 4})");
  // Not monotone: two valleys.
  PartValue value = [](const DevicesByClass &part) {
    return std::optional(part[0] == 24 ? 1.0 : part[0] == 2 ? 2.0 : 3.0);
  };
  CHECK(leastPart(cluster, value) == DevicesByClass{24});
  PartValue above = [](const DevicesByClass &part) {
    return part[0] >= 7 ? std::optional(1.0) : std::nullopt;
  };
  CHECK(smallestPart(cluster, above) == DevicesByClass{7});
  PartValue none = [](const DevicesByClass &) -> std::optional<double> {
    return std::nullopt;
  };
  CHECK_FALSE(leastPart(cluster, none));
  CHECK_FALSE(smallestPart(cluster, none));
}
