#include "MeasuredCollectives.h"
#include "compiler/cost/CatalogueHardware.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <numeric>

using namespace whale;
using namespace whale::cost;
using Kind = CollectiveKind;

namespace {

const Catalogue &catalogue() {
  static const Catalogue loaded = [] {
    Diagnostics diags;
    auto read = Catalogue::load(diags);
    INFO(diags.str());
    REQUIRE(read);
    return *read;
  }();
  return loaded;
}

/// A cluster and its model; the text must parse.
struct Machine {
  explicit Machine(std::string_view text) {
    Diagnostics diags;
    auto read = parseCluster(text, "c.json", catalogue(), diags);
    INFO(diags.str());
    REQUIRE(read);
    cluster = std::move(*read);
  }
  static Machine preset(std::string_view name, int64_t nodes) {
    return Machine(
        fmt::format(R"({{"format_version": 1, "preset": "{}", "nodes": {}}})",
                    name, nodes));
  }
  double seconds(const Group &group, Kind kind, int64_t bytes) const {
    return toSeconds(model().collective(group, kind, Bytes(bytes)).time);
  }
  CollectiveModel model() const { return CollectiveModel(cluster); }
  Cluster cluster;
};

/// Processes of one host: rings at 4 GB/s with 10 us a step and nothing else.
Machine plainRing(int64_t ranks) {
  return Machine(fmt::format(
      R"({{"format_version": 1, "preset": "cpu", "ranks": {}}})", ranks));
}

constexpr Kind groupKinds[] = {Kind::AllReduce, Kind::AllGather,
                               Kind::ReduceScatter, Kind::AllToAll,
                               Kind::Broadcast};

} // namespace

TEST_CASE("rings follow their closed forms") {
  Machine machine = plainRing(4);
  Group all{0, 4, 1, 1};
  constexpr int64_t n = 8'000'000;
  CHECK(machine.seconds(all, Kind::AllReduce, n) ==
        Approx(6 * 10e-6 + 1.5 * n / 4e9));
  CHECK(machine.seconds(all, Kind::AllGather, n) ==
        Approx(3 * 10e-6 + 0.75 * n / 4e9));
  CHECK(machine.seconds(all, Kind::ReduceScatter, n) ==
        Approx(3 * 10e-6 + 0.75 * n / 4e9));
  CHECK(machine.seconds(all, Kind::AllToAll, n) ==
        Approx(3 * 10e-6 + 0.75 * n / 4e9));
  CHECK(machine.seconds(all, Kind::Broadcast, n) ==
        Approx(3 * 10e-6 + n / 4e9));
  CHECK(toSeconds(machine.model().send(0, 3, 1, Bytes(n)).time) ==
        Approx(10e-6 + n / 4e9));
  CHECK(machine.seconds({2, 1, 1, 1}, Kind::AllReduce, n) == 0);
  CHECK(machine.seconds(all, Kind::AllReduce, 0) == 0);
  CHECK(machine.model().send(1, 1, 1, Bytes(n)).time == Picoseconds());
}

TEST_CASE("between nodes a ring or a tree follows its closed form") {
  // One rank a node, 1 GB/s, 100 us: start, local and root are zero.
  Machine machine(R"({"format_version": 1, "preset": "cpu", "nodes": 4,
    "network": {"bandwidth_gigabytes_per_second": 1,
                "latency_microseconds": 100}})");
  const NetworkParameters &network = machine.cluster.network;
  double hop = 100e-6 * network.of(CollectiveProtocol::Simple).ringHop;
  double treeHop = 100e-6 * network.of(CollectiveProtocol::Simple).treeHop;
  constexpr int64_t n = 1'000'000'000;
  Group all{0, 4, 1, 1};
  CHECK(machine.seconds(all, Kind::AllGather, n) ==
        Approx(3 * hop + 0.75 * n / (1e9 * network.efficiency)));
  CHECK(machine.seconds(all, Kind::AllReduce, n) ==
        Approx(6 * hop + 1.5 * n / (1e9 * network.efficiency)));
  CHECK(machine.model().collective(all, Kind::AllReduce, Bytes(n)).algorithm ==
        CollectiveAlgorithm::Ring);
  // Two up and two down instead of six around.
  CHECK(machine.seconds(all, Kind::AllReduce, 8) ==
        Approx(std::min(4 * treeHop, 6 * hop)).epsilon(1e-4));
  CHECK(toSeconds(machine.model().send(0, 1, 1, Bytes(n)).time) ==
        Approx(10e-6 + 100e-6 + n / (1e9 * network.sendEfficiency)));
}

TEST_CASE("a tree is taken for few bytes on many nodes, a ring for many") {
  Machine machine = Machine::preset("dgx-a100", 32);
  auto algorithm = [&](int64_t bytes) {
    return machine.model()
        .collective({0, 256, 1, 1}, Kind::AllReduce, Bytes(bytes))
        .algorithm;
  };
  CHECK(algorithm(4096) == CollectiveAlgorithm::Tree);
  CHECK(algorithm(int64_t(1) << 34) == CollectiveAlgorithm::Ring);
  // log2(32) = 5 hops up and down, where a ring has 62.
  CHECK(machine.seconds({0, 256, 1, 1}, Kind::AllReduce, 8) < 30 * 12e-6);
}

TEST_CASE("the switch sums where it can: 8 H100 beat their ring") {
  Machine machine = Machine::preset("dgx-h100", 1);
  CollectiveEstimate all = machine.model().collective(
      {0, 8, 1, 1}, Kind::AllReduce, Bytes(int64_t(1) << 30));
  CHECK(all.algorithm == CollectiveAlgorithm::Nvls);
  // No ring has more than the wire's 450 GB/s.
  double ring = 1.75 * double(1 << 30) / 450e9;
  CHECK(toSeconds(all.time) < ring);
  CHECK(machine.model()
            .collective({0, 8, 1, 1}, Kind::AllGather, Bytes(int64_t(1) << 30))
            .algorithm == CollectiveAlgorithm::Ring);
  CHECK(CatalogueHardware(machine.cluster)
            .collectiveMethod({0, 8, 1, 1}, Kind::AllReduce,
                              Bytes(int64_t(1) << 30)) == "nvls, simple");
}

TEST_CASE("time grows with bytes, group size and sharers") {
  for (const char *preset : {"dgx-a100", "dgx-h100", "gb200-nvl72",
                             "dgx-1-v100", "rtx-pro-6000-8", "mi300x-8"}) {
    Machine machine = Machine::preset(preset, 64);
    INFO(preset);
    int64_t perNode = machine.cluster.classes[0].type.devicesPerNode;
    for (Kind kind : groupKinds) {
      INFO(collectiveName(kind));
      for (int64_t size : {int64_t(2), perNode, perNode * 4, perNode * 64}) {
        double before = 0;
        for (int64_t bytes = 1; bytes < int64_t(1) << 40; bytes *= 3) {
          double time = machine.seconds({0, size, 1, 1}, kind, bytes);
          REQUIRE(time >= before);
          before = time;
        }
      }
      // More nodes, with all devices of each; within a domain NVLS gains from
      // more devices.
      double before = 0;
      for (int64_t nodes = machine.cluster.classes[0].type.nvlinkDomain;
           nodes <= 64; nodes *= 2) {
        double time =
            machine.seconds({0, nodes * perNode, 1, 1}, kind, 1 << 26);
        REQUIRE(time >= before);
        before = time;
      }
      auto strided = [&](int64_t sharers) {
        return machine.seconds({0, 64, perNode, sharers}, kind, 1 << 26);
      };
      CHECK(strided(1) <= strided(perNode));
      CHECK(strided(perNode) < strided(4 * perNode));
    }
  }
}

TEST_CASE("time falls with bandwidth and rises with latency") {
  auto machine = [](double gigabits, double latency) {
    return Machine(fmt::format(
        R"({{"format_version": 1, "preset": "dgx-a100", "nodes": 8, "network":
         {{"bandwidth_gigabits_per_second": {},
           "latency_microseconds": {}}}}})",
        gigabits, latency));
  };
  for (Kind kind : groupKinds)
    for (int64_t bytes : {int64_t(1) << 14, int64_t(1) << 28}) {
      double base = machine(400, 10).seconds({0, 64, 1, 1}, kind, bytes);
      CHECK(machine(800, 10).seconds({0, 64, 1, 1}, kind, bytes) <= base);
      CHECK(machine(400, 50).seconds({0, 64, 1, 1}, kind, bytes) >= base);
    }
}

TEST_CASE("a group inside one domain never sees the network") {
  auto machine = [](const char *preset, double gigabits) {
    return Machine(fmt::format(
        R"({{"format_version": 1, "preset": "{}", "nodes": 72, "network":
         {{"bandwidth_gigabits_per_second": {}}}}})",
        preset, gigabits));
  };
  Machine fast = machine("gb200-nvl72", 1600), slow = machine("gb200-nvl72", 1);
  for (Kind kind : groupKinds)
    for (Group group :
         {Group{0, 72, 1, 1}, Group{72, 18, 4, 4}, Group{3, 2, 40, 1}}) {
      CHECK(fast.seconds(group, kind, 1 << 24) ==
            slow.seconds(group, kind, 1 << 24));
      // ... and one that leaves it does.
      Group across = group;
      across.first += 36;
      CHECK(fast.seconds(across, kind, 1 << 24) <
            slow.seconds(across, kind, 1 << 24));
    }
  CHECK(fast.model().send(0, 71, 1, Bytes(1 << 24)).time ==
        slow.model().send(0, 71, 1, Bytes(1 << 24)).time);
  CHECK(fast.model().send(71, 72, 1, Bytes(1 << 24)).time <
        slow.model().send(71, 72, 1, Bytes(1 << 24)).time);
}

TEST_CASE("groups use their rails and share them") {
  // 8 x 25 GB/s. A ring of one device a node has one adapter; eight such rings
  // have one each; sixteen halve them.
  Machine machine = Machine::preset("dgx-a100", 4);
  constexpr int64_t n = int64_t(1) << 32;
  double alone = machine.seconds({0, 4, 8, 1}, Kind::AllReduce, n);
  double efficiency = machine.cluster.network.efficiency;
  CHECK(alone == Approx(1.5 * n / (25e9 * efficiency)).epsilon(0.02));
  CHECK(machine.seconds({0, 4, 8, 8}, Kind::AllReduce, n) == alone);
  CHECK(machine.seconds({0, 4, 8, 16}, Kind::AllReduce, n) ==
        Approx(2 * alone).epsilon(0.02));
  // All devices: all adapters. NVIDIA's GTC 2024 chart: 192 GB/s.
  double all = machine.seconds({0, 32, 1, 1}, Kind::AllReduce, n);
  CHECK(2.0 * 31 / 32 * double(n) / all == Approx(192e9).epsilon(0.03));
  // An oversubscribed core has the half.
  Machine core(R"({"format_version": 1, "preset": "dgx-a100", "nodes": 4,
                   "network": {"oversubscription": 2}})");
  CHECK(core.seconds({0, 32, 1, 1}, Kind::AllReduce, n) ==
        Approx(2 * all).epsilon(0.05));
}

// Rows of microsoft/vidur, 64 MiB: 2 and 4 A100 PCIe cards bridged in pairs.
TEST_CASE("a bridged pair has NVLink, four cards have PCIe") {
  Machine machine(R"({"format_version": 1, "nodes": [
    {"gpus": {"type": "a100-pcie-80", "count": 4},
     "bridge": {"gpus": 2, "bandwidth_gigabytes_per_second": 300,
                "latency_microseconds": 3}}]})");
  CHECK(machine.seconds({0, 2, 1, 1}, Kind::AllReduce, 1 << 26) ==
        Approx(384e-6).epsilon(0.1));
  CHECK(machine.seconds({0, 4, 1, 1}, Kind::AllReduce, 1 << 26) ==
        Approx(4268e-6).epsilon(0.1));
}

TEST_CASE("uneven members: the fullest node's links, the emptiest's rails") {
  Machine machine = Machine::preset("dgx-a100", 2);
  constexpr int64_t n = int64_t(1) << 30;
  // Ranks 0..8: eight on one node, one on the other.
  double uneven = machine.seconds({0, 9, 1, 1}, Kind::AllGather, n);
  CHECK(uneven >= 8.0 / 9 * double(n) / 25e9);
  CHECK(uneven >= machine.seconds({0, 10, 1, 1}, Kind::AllGather, n) * 0.99);
}

TEST_CASE("a slow device's link is the group's") {
  Machine machine(R"({"format_version": 1,
    "nodes": [{"type": "dgx-h100"}, {"type": "dgx-1-v100"}]})");
  Machine fast = Machine::preset("dgx-h100", 2);
  CHECK(machine.seconds({0, 16, 1, 1}, Kind::AllGather, 1 << 28) >
        fast.seconds({0, 16, 1, 1}, Kind::AllGather, 1 << 28));
}

TEST_CASE("sizes without end give the longest time, not an overflow") {
  Machine machine(R"({"format_version": 1, "preset": "dgx-h100",
                      "nodes": 12500000})");
  int64_t ranks = machine.cluster.rankCount();
  CHECK(ranks == 100'000'000);
  for (Kind kind : groupKinds) {
    CollectiveEstimate estimate =
        machine.model().collective({0, ranks, 1, ranks}, kind, Bytes::max());
    CHECK(estimate.time == Picoseconds::max());
    CHECK(machine.seconds({0, ranks, 1, 1}, kind, 1) > 0);
  }
}

namespace {
/// Mean relative error of each node type's rows.
template <size_t size>
std::map<std::string, double> meanErrors(const MeasuredCollective (&rows)[size],
                                         int64_t nodes) {
  std::map<std::string, std::vector<double>> errors;
  for (const MeasuredCollective &row : rows) {
    Machine machine = Machine::preset(row.node, nodes);
    double time = machine.seconds({0, row.ranks, 1, 1}, row.kind, row.bytes);
    errors[row.node].push_back(std::abs(time * 1e6 / row.microseconds - 1));
  }
  std::map<std::string, double> means;
  for (const auto &[node, all] : errors)
    means[node] =
        std::accumulate(all.begin(), all.end(), 0.0) / double(all.size());
  return means;
}
} // namespace

TEST_CASE("measured collectives within a node are reproduced") {
  for (const auto &[node, error] : meanErrors(fittedCollectives, 1)) {
    INFO(node);
    CHECK(error < (node == "rtx-pro-6000-8" ? 0.12 : 0.07));
  }
}

TEST_CASE("measured collectives of others are predicted") {
  CHECK(meanErrors(otherCollectives, 1).at("dgx-a100") < 0.08);
  CHECK(meanErrors(networkCollectives, 4).at("p6-b200") < 0.10);
}
