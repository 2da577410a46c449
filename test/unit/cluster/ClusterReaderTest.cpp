#include "TestCatalogue.h"

using namespace whale;

static std::string errorOf(std::string_view text,
                           ExitCode code = ExitCode::BadInput) {
  Diagnostics diags;
  CHECK_FALSE(parseCluster(text, "c", testCatalogue(), diags));
  CHECK(diags.exitCode() == code);
  return diags.str();
}

static bool startsWith(const std::string &text, std::string_view prefix) {
  INFO(text);
  CHECK(text.starts_with(prefix));
  return text.starts_with(prefix);
}

TEST_CASE("a preset and a count are a whole file") {
  Cluster c =
      testCluster(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 4})");
  CHECK(c.rankCount() == 32);
  CHECK(c.isHomogeneous());
  CHECK(c.linkBetween(0, 31).bandwidth.value == 400e9);
}

TEST_CASE("a host with one or several cards") {
  CHECK(testCluster(R"({"format_version": 1, "preset": "t4"})").rankCount() ==
        1);
  Cluster c = testCluster(R"({"format_version": 1, "preset": "t4",
    "gpus_per_node": 4, "nodes": 2,
    "network": {"bandwidth_gigabits_per_second": 10}})");
  CHECK(c.rankCount() == 8);
  CHECK(c.linkBetween(0, 3).level == LinkLevel::Pcie);
  CHECK(c.linkBetween(0, 4).bandwidth.value == 1.25e9);
  // The catalogue's default latency.
  CHECK(c.linkBetween(0, 4).latency == Picoseconds(12'000'000));
}

TEST_CASE("CPU ranks share a host") {
  Cluster c =
      testCluster(R"({"format_version": 1, "preset": "cpu", "ranks": 4})");
  CHECK(c.rankCount() == 4);
  CHECK(c.deviceOf(3).kind == DeviceType::Kind::Cpu);
  CHECK(c.linkBetween(0, 3).level == LinkLevel::SharedMemory);
}

// Whale (ATC'22) section 5: 8 V100-32 and 8 P100-16, 50 Gb/s between them.
TEST_CASE("Whale's testbed takes a few lines") {
  Cluster c = testCluster(R"({"format_version": 1,
    "nodes": [{"gpus": {"type": "v100-32", "count": 8}},
              {"gpus": {"type": "p100-16", "count": 8}}],
    "network": {"bandwidth_gigabits_per_second": 50}})");
  CHECK(c.rankCount() == 16);
  CHECK(c.deviceOf(7).name == "v100-32");
  CHECK(c.deviceOf(8).name == "p100-16");
  CHECK(c.linkBetween(0, 8).bandwidth.value == 6.25e9);
  CHECK(c.classes[0].type.name == "8 x v100-32");
}

TEST_CASE("own device and node types build on the catalogue's") {
  Cluster c = testCluster(R"({"format_version": 1,
    "device_types": {"h100-96": {"base": "h100-sxm-80",
       "memory": {"capacity_gibibytes": 94, "source": "label"}}},
    "node_types": {
      "mine": {"gpus": {"type": "h100-96", "count": 4},
               "within": {"level": "pcie"},
               "network": {"bandwidth_gigabytes_per_second": 25,
                           "latency_microseconds": 5}},
      "fast": {"base": "dgx-h100",
               "network": {"bandwidth_gigabytes_per_second": 800}}},
    "nodes": [{"type": "mine", "count": 2}, {"type": "fast"}]})");
  CHECK(c.rankCount() == 16);
  const DeviceType &device = c.deviceOf(0);
  CHECK(device.memory.asDouble() == Approx(94.0 * 1073741824));
  CHECK(device.peak(Precision::BF16).value == 989e12);
  CHECK(device.curves->type == "h100-sxm-80");
  CHECK(c.linkBetween(0, 1).level == LinkLevel::Pcie);
  CHECK(c.linkBetween(0, 1).bandwidth.value == 50e9);
  CHECK(c.classes[1].type.network->bandwidth.value == 800e9);
  CHECK(c.classes[1].type.network->latency == Picoseconds(12'000'000));
  CHECK(c.classes[1].type.collectives);
}

TEST_CASE("replacing a node's inner link drops what was measured over it") {
  Cluster c = testCluster(R"({"format_version": 1, "nodes": [
    {"type": "dgx-h100", "within": {"bandwidth_gigabytes_per_second": 100}}]})");
  CHECK(c.linkBetween(0, 1).bandwidth.value == 100e9);
  // What stands in for any NVLink, over this one.
  REQUIRE(c.classes[0].type.collectives);
  CHECK(c.classes[0].type.collectives->name == "dgx-a100");
  CHECK(c.classes[0].type.collectives->link.bandwidth.value == 100e9);
}

TEST_CASE("bridges join pairs of a PCIe node") {
  Cluster c = testCluster(R"({"format_version": 1, "nodes": [
    {"gpus": {"type": "a100-pcie-80", "count": 5},
     "bridge": {"gpus": 2, "bandwidth_gigabytes_per_second": 300,
                "latency_microseconds": 3}}]})");
  CHECK(c.linkBetween(2, 3).level == LinkLevel::NvLink);
  CHECK(c.linkBetween(1, 2).level == LinkLevel::Pcie);
  CHECK(c.linksOf({2, 2, 1}).isBridged);
  CHECK(c.linksOf({2, 2, 1}).within.bandwidth.value == 300e9);
  CHECK_FALSE(c.linksOf({1, 2, 1}).isBridged);
  CHECK_FALSE(c.linksOf({0, 4, 1}).isBridged);
  CHECK(c.linksOf({0, 4, 1}).within.level == LinkLevel::Pcie);
}

TEST_CASE("rails, oversubscription and NVLink domains are said by a node") {
  Cluster c = testCluster(R"({"format_version": 1, "nodes": [
    {"gpus": {"type": "gb300", "count": 4}, "count": 4, "nvlink_domain": 2,
     "network": {"bandwidth_gigabits_per_second": 800, "rails": 4,
                 "oversubscription": 2}}]})");
  const NodeType &type = c.classes[0].type;
  CHECK(type.nvlinkDomain == 2);
  CHECK(type.devicesPerDomain() == 8);
  CHECK(type.rails == 4);
  CHECK(c.linkBetween(0, 8).bandwidth.value == 50e9);
  CHECK(c.inOneDomain(0, 7));
  CHECK_FALSE(c.inOneDomain(7, 8));
  // One rack needs no network.
  Cluster rack = testCluster(R"({"format_version": 1, "nodes": [
    {"gpus": {"type": "gb300", "count": 4}, "count": 2, "nvlink_domain": 2}]})");
  CHECK(rack.nodeCount() == 2);
}

TEST_CASE("who decides about the network: entry, then cluster, then type") {
  Cluster c = testCluster(R"({"format_version": 1,
    "nodes": [{"type": "dgx-a100"},
              {"type": "dgx-a100", "network":
                 {"bandwidth_gigabytes_per_second": 7}}],
    "network": {"bandwidth_gigabytes_per_second": 9}})");
  CHECK(c.classes[0].type.network->bandwidth.value == 9e9);
  CHECK(c.classes[1].type.network->bandwidth.value == 7e9);
  Cluster only = testCluster(R"({"format_version": 1, "preset": "dgx-a100",
    "nodes": 2, "network": {"oversubscription": 4}})");
  CHECK(only.linkBetween(0, 8).bandwidth.value == 50e9);
}

TEST_CASE("the reserve may be set") {
  Cluster c = testCluster(R"({"format_version": 1, "preset": "dgx-a100",
                              "reserve_gibibytes": 0.5})");
  CHECK(c.deviceOf(0).reserve == Bytes(int64_t(1) << 29));
}

TEST_CASE("equal neighbours are one class") {
  Cluster c = testCluster(R"({"format_version": 1, "nodes": [
    {"type": "dgx-a100"}, {"type": "dgx-a100", "count": 2},
    {"type": "dgx-h100"}, {"type": "dgx-a100"}]})");
  CHECK(c.classes.size() == 3);
  CHECK(c.classes[0].count == 3);
  CHECK(c.nodeOf(39) == 4);
  CHECK(c.rankCount() == 40);
}

TEST_CASE("format versions") {
  CHECK(errorOf(R"({"format_version": 2, "preset": "t4"})",
                ExitCode::Unsupported) ==
        "c:1:20: error: format version 2 of the cluster file is not supported; "
        "this version of whalec reads 1\n");
  CHECK(errorOf(R"({"preset": "t4"})") ==
        "c:1:1: error: cluster needs key 'format_version'\n");
}

TEST_CASE("unknown types get a suggestion at their place") {
  CHECK(errorOf("{\"format_version\": 1,\n"
                " \"preset\": \"h100-smx-80\"}") ==
        "c:2:12: error: unknown node or device type 'h100-smx-80'\n"
        "c:2:12: note: did you mean 'h100-sxm-80'? 'whalec cluster list' names "
        "all types\n");
  CHECK(startsWith(errorOf("{\"format_version\": 1, \"nodes\": [{\"gpus\":\n"
                           "{\"type\": \"dgx-h100\", \"count\": 1}}]}"),
                   "c:2:10: error: unknown device type 'dgx-h100'\n"));
}

TEST_CASE("unknown keys are refused everywhere") {
  CHECK(
      startsWith(errorOf(R"({"format_version": 1, "preset": "t4", "node": 1})"),
                 "c:1:39: error: unknown key 'node' in cluster\n"
                 "c:1:39: note: did you mean 'nodes'?\n"
                 "c:1:39: note: allowed keys: "));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [
{"type": "t4", "cuont": 2}]})"),
                   "c:2:16: error: unknown key 'cuont' in node\n"
                   "c:2:16: note: did you mean 'count'?\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "dgx-h100",
"network": {"bandwidth_gbps": 2}})"),
                   "c:2:13: error: unknown key 'bandwidth_gbps' in "
                   "'network'\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "dgx-h100",
"gpus_per_node": 2})"),
                   "c:2:1: error: unknown key 'gpus_per_node' in cluster\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [
{"type": "t4", "gpus": {"type": "t4", "count": 1}}]})"),
                   "c:2:16: error: unknown key 'gpus' in node\n"));
}

TEST_CASE("counts are positive and bounded") {
  CHECK(startsWith(
      errorOf(R"({"format_version": 1, "preset": "t4", "nodes": 0})"),
      "c:1:48: error: 'nodes' must be at least 1, found 0\n"));
  CHECK(startsWith(
      errorOf(R"({"format_version": 1, "preset": "t4", "nodes": -3})"),
      "c:1:48: error: 'nodes' must be at least 1, found -3\n"));
  CHECK(startsWith(
      errorOf(R"({"format_version": 1, "preset": "t4", "nodes": 1.5})"),
      "c:1:48: error: 'nodes' must be a whole number, found 1.5\n"));
  CHECK(startsWith(
      errorOf(
          R"({"format_version": 1, "preset": "t4", "nodes": 9223372036854775807})"),
      "c:1:48: error: 'nodes' must be at most 100000000, found "));
  CHECK(startsWith(
      errorOf(
          R"({"format_version": 1, "preset": "gb200-nvl72", "nodes": 1000000000})"),
      "c:1:57: error: 'nodes' must be at most 100000000, found 1000000000\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [
{"type": "dgx-h100", "count": 10000000}, {"type": "dgx-h100",
"count": 10000000}]})"),
                   "c:2:42: error: cluster has more than 100,000,000 "
                   "devices\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [{"gpus":
{"type": "t4", "count": 0}}]})"),
                   "c:2:25: error: 'count' must be at least 1, found 0\n"));
}

TEST_CASE("missing and misplaced parts") {
  CHECK(startsWith(errorOf(R"({"format_version": 1})"),
                   "c:1:1: error: cluster needs key 'nodes'\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": []})"),
                   "c:1:32: error: 'nodes' is empty\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": {}})"),
                   "c:1:32: error: 'nodes' must be an array, found an "
                   "object\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [{}]})"),
                   "c:1:33: error: node needs key 'type' or 'gpus'\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [3]})"),
                   "c:1:33: error: node must be an object, found a whole "
                   "number\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [{"type": 3}]})"),
                   "c:1:42: error: node type must be a string, found a whole "
                   "number\n"));
  CHECK(startsWith(
      errorOf(R"({"format_version": 1, "nodes": [{"gpus": {"count": 2}}]})"),
      "c:1:42: error: 'gpus' needs key 'type'\n"));
  CHECK(startsWith(errorOf("[]"),
                   "c:1:1: error: cluster must be an object, found an array"));
}

TEST_CASE("several nodes need a network") {
  CHECK(errorOf(R"({"format_version": 1, "preset": "t4", "nodes": 2})") ==
        "c:1:33: error: node type 't4' says nothing about its network, and "
        "there are 2 nodes\n"
        "c:1:33: note: add \"network\": {\"bandwidth_gigabits_per_second\": "
        "...} to the node or to the cluster\n");
}

TEST_CASE("links: units exclude each other, numbers are positive") {
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "dgx-h100",
"network": {"bandwidth_gigabytes_per_second": 1,
"bandwidth_gigabits_per_second": 8}})"),
                   "c:3:34: error: 'bandwidth_gigabytes_per_second' and "
                   "'bandwidth_gigabits_per_second' exclude each other\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "dgx-h100",
"network": {"bandwidth_gigabytes_per_second": 0}})"),
                   "c:2:47: error: 'bandwidth_gigabytes_per_second' must be "
                   "at least 0.001, found 0\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "dgx-h100",
"network": {"oversubscription": 0.5}})"),
                   "c:2:33: error: 'oversubscription' must be at least 1, "
                   "found 0.5\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [{"gpus":
{"type": "t4", "count": 2}, "within": {"level": "nvlink"}}]})"),
                   "c:2:39: error: link needs key "
                   "'bandwidth_gigabytes_per_second'"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "dgx-h100",
"network": {"rails": 0}})"),
                   "c:2:22: error: 'rails' must be at least 1, found 0\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [{"type":
"dgx-h100", "bridge": {"gpus": 2, "bandwidth_gigabytes_per_second": 300,
"latency_microseconds": 3}}]})"),
                   "c:2:23: error: 'bridge' joins devices that are linked by "
                   "pcie, those of 'h100-sxm-80' are linked by nvlink\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "nodes": [{"gpus":
{"type": "t4", "count": 2}, "nvlink_domain": 2}]})"),
                   "c:2:46: error: 'nvlink_domain' needs devices linked by "
                   "NVLink, those of 't4' are linked by pcie\n"));
}

TEST_CASE("own types: taken names, bad bases, missing groups") {
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "t4",
"device_types": {"t4": {"base": "l4"}}})"),
                   "c:2:18: error: device type 't4' is already in the "
                   "catalogue\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "t4",
"device_types": {"x": {"base": "t44"}}})"),
                   "c:2:32: error: unknown device type 't44'\n"
                   "c:2:32: note: did you mean 't4'?"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "t4",
"device_types": {"x": {}}})"),
                   "c:2:23: error: device type needs key 'kind'\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "t4",
"node_types": {"t4": {"gpus": {"type": "t4", "count": 1}}}})"),
                   "c:2:16: error: node type 't4' is already in the "
                   "catalogue\n"));
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "t4",
"node_types": 3})"),
                   "c:2:15: error: 'node_types' must be an object, found a "
                   "whole number\n"));
}

TEST_CASE("a reserve that leaves nothing is refused") {
  CHECK(startsWith(errorOf(R"({"format_version": 1, "preset": "t4",
"reserve_gibibytes": 15})"),
                   "c:2:22: error: reserve of 15.0 GiB leaves nothing of the "
                   "memory of 't4', 14.6 GiB\n"));
}

TEST_CASE("every truncation and every single-byte change is survived") {
  std::string text = R"({"format_version": 1, "device_types": {"x": {"base":
"t4", "reserve": {"gibibytes": 1}}}, "nodes": [{"gpus": {"type": "x",
"count": 8}}, {"type": "dgx-1-v100"}], "network":
{"bandwidth_gigabits_per_second": 50, "oversubscription": 1.5}})";
  auto check = [](const std::string &input) {
    Diagnostics diags;
    auto cluster = parseCluster(input, "c", testCatalogue(), diags);
    REQUIRE(cluster.has_value() == !diags.hasErrors());
  };
  check(text);
  for (size_t i = 0; i < text.size(); ++i) {
    check(text.substr(0, i));
    for (char byte : {'\0', '"', '{', '}', '[', ']', ',', ':', '0', '-', 'e',
                      'x', '\x80', ' '}) {
      std::string changed = text;
      changed[i] = byte;
      check(changed);
    }
  }
}
