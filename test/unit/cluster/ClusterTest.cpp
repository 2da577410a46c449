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

/// The members in each class, the last class first, have the links of the
/// whole.
static void checkParts(const Cluster &c, const RankGroup &group,
                       const GroupLinks &links) {
  std::vector<RankGroup> parts;
  for (int64_t i = 0; i < group.size; ++i) {
    int64_t rank = group.first + i * group.stride;
    if (parts.empty() || &c.classOf(rank) != &c.classOf(parts.front().first))
      parts.insert(parts.begin(), {rank, 0, group.stride});
    ++parts.front().size;
  }
  GroupLinks together = c.linksOf(parts);
  REQUIRE(together.nodes == links.nodes);
  REQUIRE(together.domains == links.domains);
  REQUIRE(together.fewestPerNode == links.fewestPerNode);
  REQUIRE(together.within.bandwidth.value == links.within.bandwidth.value);
  REQUIRE(together.network.has_value() == links.network.has_value());
}

// Oracle: place every member by itself.
static void checkGroupLinks(const Cluster &c) {
  int64_t ranks = c.rankCount();
  for (int64_t first = 0; first < ranks; ++first)
    for (int64_t stride = 1; stride < 20; ++stride)
      for (int64_t size = 1; first + (size - 1) * stride < ranks; ++size) {
        std::map<int64_t, int64_t> nodes, domains;
        double within = 1e30, network = 1e30, rail = 1e30;
        for (int64_t i = 0; i < size; ++i) {
          int64_t rank = first + i * stride;
          const NodeClass &on = c.classOf(rank);
          ++nodes[c.nodeOf(rank)];
          // A domain by its first node.
          int64_t node = c.nodeOf(rank) - on.firstNode;
          if (++domains[on.firstNode + node - node % on.type.nvlinkDomain] > 1)
            within = std::min(within, on.type.within.bandwidth.value);
          double out =
              on.type.network->bandwidth.value / on.type.oversubscription;
          network = std::min(network, out);
          rail = std::min(rail, out / double(on.type.rails));
        }
        int64_t most = 0, fewest = size, fewestPerNode = size;
        for (auto [domain, count] : domains) {
          most = std::max(most, count);
          fewest = std::min(fewest, count);
        }
        for (auto [node, count] : nodes)
          fewestPerNode = std::min(fewestPerNode, count);
        GroupLinks links = c.linksOf({first, size, stride});
        INFO(first << " " << size << " " << stride);
        REQUIRE(links.nodes == int64_t(nodes.size()));
        REQUIRE(links.domains == int64_t(domains.size()));
        REQUIRE(links.mostPerDomain == most);
        REQUIRE(links.fewestPerDomain == fewest);
        REQUIRE(links.fewestPerNode == fewestPerNode);
        REQUIRE((links.within.level == LinkLevel::Same) == (most == 1));
        REQUIRE(links.slowest);
        if (most > 1) {
          REQUIRE(links.within.bandwidth.value == within);
          REQUIRE(links.slowest->type.within.bandwidth.value == within);
        }
        REQUIRE(links.network.has_value() == (domains.size() > 1));
        if (links.network) {
          REQUIRE(links.network->bandwidth.value == network);
          REQUIRE(links.rail.value == Approx(rail));
        }
        checkParts(c, {first, size, stride}, links);
      }
}

TEST_CASE("group links agree with counting member by member") {
  checkGroupLinks(mixed());
  // Domains of three nodes, the last one of one node only.
  checkGroupLinks(testCluster(R"({"format_version": 1,
    "nodes": [{"gpus": {"type": "t4", "count": 2}, "count": 2},
              {"gpus": {"type": "gb200", "count": 4}, "count": 7,
               "nvlink_domain": 3}],
    "network": {"bandwidth_gigabits_per_second": 80, "rails": 2}})"));
}

TEST_CASE("a rack's trays share NVLink, racks the network") {
  Cluster c = testCluster(
      R"({"format_version": 1, "preset": "gb200-nvl72", "nodes": 36})");
  CHECK(c.rankCount() == 144);
  CHECK(c.nodeOf(71) == 17);
  CHECK(c.linkBetween(0, 71).level == LinkLevel::NvLink);
  CHECK(c.linkBetween(71, 72).level == LinkLevel::Network);
  // Four adapters of 400 Gb/s a tray.
  CHECK(c.linkBetween(71, 72).bandwidth.value == 200e9);
  GroupLinks rack = c.linksOf({0, 72, 1});
  CHECK_FALSE(rack.network);
  CHECK(rack.nodes == 18);
  CHECK(rack.domains == 1);
  GroupLinks both = c.linksOf({0, 36, 4});
  REQUIRE(both.network);
  CHECK(both.domains == 2);
  CHECK(both.mostPerDomain == 18);
  CHECK(both.fewestPerNode == 1);
  CHECK(both.rail.value == 50e9);
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
