#include "TestCatalogue.h"
#include <map>

using namespace whale;

static Cluster mixed() {
  return testCluster(R"({"format_version": 1,
    "nodes": [{"gpus": {"type": "v100-32", "count": 3}, "count": 2},
              {"gpus": {"type": "t4", "count": 1}, "count": 3},
              {"gpus": {"type": "p100-16", "count": 8}, "count": 5}],
    "network": {"bandwidth_gigabits_per_second": 80,
                "latency_microseconds": 20, "oversubscription": 2}})");
}

TEST_CASE("ranks are counted through the nodes") {
  Cluster c = mixed();
  CHECK(c.rankCount() == 2 * 3 + 3 + 5 * 8);
  CHECK(c.nodeCount() == 10);
  CHECK_FALSE(c.isHomogeneous());
  CHECK(c.deviceOf(5).name == "v100-32");
  CHECK(c.deviceOf(6).name == "t4");
  CHECK(c.deviceOf(9).name == "p100-16");
  std::vector<int64_t> nodes;
  for (int64_t r = 0; r < c.rankCount(); ++r)
    nodes.push_back(c.nodeOf(r));
  std::vector<int64_t> expected = {0, 0, 0, 1, 1, 1, 2, 3, 4};
  for (int64_t node = 5; node < 10; ++node)
    expected.insert(expected.end(), 8, node);
  CHECK(nodes == expected);
}

TEST_CASE("links are within, between or none") {
  Cluster c = mixed();
  CHECK(c.linkBetween(4, 4).level == LinkLevel::Same);
  CHECK(c.linkBetween(0, 2).level == LinkLevel::NvLink);
  CHECK(c.linkBetween(0, 2).bandwidth.value == 150e9);
  Link out = c.linkBetween(0, 3);
  CHECK(out.level == LinkLevel::Network);
  CHECK(out.bandwidth.value == 80e9 / 8 / 2);
  CHECK(out.latency == Picoseconds(20'000'000));
}

TEST_CASE("the slower network decides between unequal nodes") {
  Cluster c = testCluster(R"({"format_version": 1, "nodes": [
    {"type": "dgx-h100"},
    {"type": "t4", "network": {"bandwidth_gigabits_per_second": 10,
                               "latency_microseconds": 50}}]})");
  CHECK(c.linkBetween(0, 8).bandwidth.value == 10e9 / 8);
  CHECK(c.linkBetween(8, 0).latency == Picoseconds(50'000'000));
}

// Oracle: place every member by itself.
TEST_CASE("group links agree with counting member by member") {
  Cluster c = mixed();
  int64_t ranks = c.rankCount();
  for (int64_t first = 0; first < ranks; ++first)
    for (int64_t stride = 1; stride < 20; ++stride)
      for (int64_t size = 1; first + (size - 1) * stride < ranks; ++size) {
        std::map<int64_t, int64_t> members;
        std::map<const NodeClass *, int64_t> classes;
        double within = 1e30, network = 1e30;
        for (int64_t i = 0; i < size; ++i) {
          int64_t rank = first + i * stride;
          if (++members[c.nodeOf(rank)] > 1)
            within =
                std::min(within, c.classOf(rank).type.within.bandwidth.value);
          network =
              std::min(network, c.classOf(rank).type.network->bandwidth.value);
          ++classes[&c.classOf(rank)];
        }
        int64_t most = 0, fewest = size;
        for (auto [node, count] : members) {
          most = std::max(most, count);
          fewest = std::min(fewest, count);
        }
        GroupLinks links = c.linksOf({first, size, stride});
        INFO(first << " " << size << " " << stride);
        REQUIRE(links.nodes == int64_t(members.size()));
        REQUIRE(links.mostPerNode == most);
        REQUIRE(links.fewestPerNode == fewest);
        REQUIRE((links.within.level == LinkLevel::Same) == (most == 1));
        if (most > 1)
          REQUIRE(links.within.bandwidth.value == within);
        REQUIRE(links.network.has_value() == (members.size() > 1));
        if (links.network)
          REQUIRE(links.network->bandwidth.value == network / 2);
        REQUIRE((links.onlyClass != nullptr) == (classes.size() == 1));
      }
}

TEST_CASE("measured collectives are found within one node only") {
  Cluster c =
      testCluster(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2})");
  using Kind = CollectiveKind;
  CHECK(collectiveFit(c, Kind::AllReduce, {0, 8, 1}));
  CHECK(collectiveFit(c, Kind::AllReduce, {8, 4, 2}));
  CHECK_FALSE(collectiveFit(c, Kind::AllReduce, {0, 16, 1}));
  CHECK_FALSE(collectiveFit(c, Kind::AllReduce, {0, 2, 8}));
  CHECK_FALSE(collectiveFit(c, Kind::AllReduce, {0, 3, 1}));
  CHECK_FALSE(collectiveFit(c, Kind::Broadcast, {0, 8, 1}));
}

TEST_CASE("size costs nothing") {
  Cluster c = testCluster(
      R"({"format_version": 1, "preset": "dgx-h100", "nodes": 12500})");
  CHECK(c.rankCount() == 100'000);
  CHECK(c.classes.size() == 1);
  int64_t sum = 0;
  for (int i = 0; i < 100'000; ++i)
    sum += c.linksOf({i % 8, 12'000, 8}).nodes;
  CHECK(sum == 100'000 * int64_t(12'000));
}

TEST_CASE(
    "the resolved text depends on the numbers, not on how they are said") {
  auto text = [](std::string_view file) {
    json::Writer writer;
    writeCluster(testCluster(file), writer);
    return writer.take();
  };
  std::string once =
      text(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2})");
  CHECK(once == text(R"({"nodes": [{"type": "dgx-h100"}, {"type": "dgx-h100"}],
                         "format_version": "1.3"})"));
  CHECK(once != text(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2,
                         "reserve_gibibytes": 3})"));
  Diagnostics diags;
  CHECK(json::parse(once, "resolved", diags));
}
