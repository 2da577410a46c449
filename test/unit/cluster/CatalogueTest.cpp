#include "TestCatalogue.h"
#include <algorithm>
#include <fmt/format.h>

using namespace whale;

/// Every object that holds numbers says where they are from, in itself or in
/// the object around it. How many devices a node or nodes an NVLink domain has
/// needs no source: it is what the node type is.
static bool saysSource(const json::Value &value, bool isCovered) {
  if (!value.isObject())
    return true;
  bool covered = isCovered || value.find("source");
  bool holdsNumbers = false;
  for (const json::Member &member : value.members()) {
    holdsNumbers |= member.value.isNumber() && member.key != "format_version" &&
                    member.key != "tile" && member.key != "count" &&
                    member.key != "nvlink_domain";
    if (!saysSource(member.value, covered))
      return false;
  }
  return covered || !holdsNumbers;
}

TEST_CASE("every file of the catalogue names itself and its sources") {
  REQUIRE(embeddedCatalogue().size() > 40);
  for (const EmbeddedFile &file : embeddedCatalogue()) {
    // Numbers of software, fitted together: each says what it means.
    if (file.path.starts_with("execution/"))
      continue;
    INFO(file.path);
    Diagnostics diags;
    auto value = json::parse(file.text, file.path, diags);
    REQUIRE(value);
    CHECK(saysSource(*value, false));
    CHECK(value->find("format_version")->asInteger() == 1);
    const json::Value *name = value->find("name");
    if (!name)
      name = value->find("type");
    if (file.path.starts_with("defaults/"))
      continue;
    REQUIRE(name);
    CHECK(file.path.ends_with("/" + name->asString() + ".json"));
  }
}

TEST_CASE("the files are embedded in order") {
  CHECK(std::is_sorted(embeddedCatalogue().begin(), embeddedCatalogue().end(),
                       [](const EmbeddedFile &a, const EmbeddedFile &b) {
                         return a.path < b.path;
                       }));
}

TEST_CASE("the promised types are there") {
  for (const char *name :
       {"p100-16",      "v100-16",      "v100-32",      "t4",
        "a10",          "l4",           "l40s",         "a100-40",
        "a100-80",      "a100-pcie-40", "a100-pcie-80", "a30",
        "l40",          "h100-sxm-80",  "h100-sxm-96",  "h100-pcie-80",
        "h200",         "h200-nvl",     "gh200-96",     "b200",
        "b300",         "gb200",        "gb300",        "rtx-pro-6000",
        "rtx-3090",     "rtx-4090",     "rtx-a5000",    "rtx-a6000",
        "rtx-6000-ada", "rtx-8000",     "k80",          "v100-pcie-16",
        "v100-pcie-32", "mi300x",       "mi325x",       "mi350x",
        "mi355x",       "cpu"})
    CHECK(testCatalogue().findDevice(name));
  for (const char *name : {"dgx-1-v100", "dgx-a100", "dgx-h100", "dgx-h200",
                           "dgx-b200", "dgx-b300", "gb200-nvl72", "gb300-nvl72",
                           "jean-zay-a100", "p6-b200", "mi300x-8"})
    CHECK(testCatalogue().findNode(name));
  CHECK_FALSE(testCatalogue().findDevice("h1oo"));
}

TEST_CASE("devices have the names that measured runs give them") {
  for (const char *alias :
       {"A10",         "A100-PCIe-40", "A100-PCIe-80", "A100-SXM",
        "A100-SXM-40", "A100-SXM-80",  "B200-SXM-180", "B300-SXM-288",
        "GB200-NVL72", "GB300-NVL72",  "GH200-96",     "H100-PCIe-80",
        "H100-SXM-80", "H100-SXM-96",  "H200-SXM-141", "K80",
        "L4",          "L40",          "L40S",         "MI300X",
        "MI350X",      "MI355X",       "P100-SXM-16",  "RTX3090",
        "RTX4090",     "RTX6000Ada",   "RTX8000",      "RTXA5000",
        "RTXA6000",    "V100-SXM-16",  "V100-SXM-32"}) {
    INFO(alias);
    CHECK(testCatalogue().findDevice(alias));
  }
  CHECK(testCatalogue().findDevice("H100-SXM-80") ==
        testCatalogue().findDevice("h100-sxm-80"));
  // An alias is not a second type.
  auto names = testCatalogue().deviceNames();
  CHECK(std::find(names.begin(), names.end(), "L40S") == names.end());
  DeviceType other = *testCatalogue().findDevice("l4");
  other.name = "l4-again";
  Catalogue copy = testCatalogue();
  CHECK_FALSE(copy.add(other));
}

// The data sheet of the whole: 72 x 10 PFLOP/s dense FP4.
TEST_CASE("the newest GPUs have FP8 and FP4, older ones compute wider") {
  const DeviceType &gb200 = *testCatalogue().findDevice("gb200");
  CHECK(gb200.peak(Precision::FP4).value * 72 == Approx(720e15));
  CHECK(gb200.peak(Precision::FP8).value == 5000e12);
  const DeviceType &h100 = *testCatalogue().findDevice("h100-sxm-80");
  CHECK(h100.computePrecision(Precision::FP4) == Precision::FP8);
  CHECK(testCatalogue().findDevice("a100-80")->computePrecision(
            Precision::FP4) == Precision::BF16);
  CHECK(h100.powerWatts == 700);
  CHECK_FALSE(h100.dollarsPerHour);
}

TEST_CASE("every name is a whole cluster file") {
  std::vector<std::string> names = testCatalogue().deviceNames();
  for (const std::string &name : testCatalogue().nodeNames())
    names.push_back(name);
  for (const std::string &name : names) {
    INFO(name);
    Cluster cluster = testCluster(
        fmt::format(R"({{"format_version": 1, "preset": "{}"}})", name));
    CHECK(cluster.nodeCount() == 1);
    const DeviceType &device = cluster.deviceOf(0);
    CHECK(device.usableMemory() > Bytes(0));
    CHECK(device.curves);
    CHECK(device.memoryBandwidth.value > 1e9);
    for (size_t i = 0; i < precisionCount; ++i)
      CHECK(device.peak(static_cast<Precision>(i)).value > 1e9);
  }
}

TEST_CASE("numbers carry their units") {
  const DeviceType &h100 = *testCatalogue().findDevice("h100-sxm-80");
  CHECK(h100.peak(Precision::BF16).value == 989e12);
  CHECK(h100.memoryBandwidth.value == 3350e9);
  CHECK(h100.fastLink->bandwidth.value == 450e9);
  CHECK(h100.fastLink->latency == Picoseconds(3'000'000));
  CHECK(h100.memory.asDouble() == Approx(79.2 * 1073741824));
  CHECK(h100.linkWithin().level == LinkLevel::NvLink);
  CHECK(testCatalogue().findDevice("t4")->linkWithin().level ==
        LinkLevel::Pcie);
}

TEST_CASE("a device without a precision computes wider") {
  const DeviceType &v100 = *testCatalogue().findDevice("v100-32");
  CHECK(v100.computePrecision(Precision::F16) == Precision::F16);
  CHECK(v100.computePrecision(Precision::BF16) == Precision::F32);
  CHECK(v100.computePrecision(Precision::FP8) == Precision::F32);
  CHECK(v100.peak(Precision::TF32).value == 15.7e12);
}

TEST_CASE("a new GPU is one file") {
  std::vector<EmbeddedFile> files(embeddedCatalogue().begin(),
                                  embeddedCatalogue().end());
  files.push_back({"devices/x1.json", R"({
    "format_version": 1, "name": "x1", "kind": "gpu",
    "peak_teraflops": {"f32": 10, "f16": 100},
    "memory": {"capacity_gibibytes": 10, "bandwidth_gigabytes_per_second": 500,
               "achievable_fraction": 0.8},
    "pcie": {"bandwidth_gigabytes_per_second": 12, "latency_microseconds": 8},
    "launch_overhead": {"microseconds": 4}, "reserve": {"gibibytes": 1},
    "price": {"dollars_per_hour": 2.5}})"});
  Diagnostics diags;
  auto catalogue = Catalogue::load(diags, files);
  INFO(diags.str());
  REQUIRE(catalogue);
  auto cluster = parseCluster(
      R"({"format_version": 1, "preset": "x1", "gpus_per_node": 4})", "f",
      *catalogue, diags);
  REQUIRE(cluster);
  CHECK(cluster->rankCount() == 4);
  CHECK(cluster->deviceOf(0).dollarsPerHour == 2.5);
  // Nothing was measured, which the efficiency says.
  CHECK(matmulEfficiency(cluster->deviceOf(0), Precision::F16, 8, 8, 8).table ==
        nullptr);
}

TEST_CASE("a broken catalogue file is reported at its place") {
  Diagnostics diags;
  EmbeddedFile file{"devices/x1.json", "{\"kind\": \"tpu\"}"};
  CHECK_FALSE(Catalogue::load(diags, {&file, 1}));
  CHECK(diags.str().find("catalogue/devices/x1.json:1:10: error: 'kind' must "
                         "be 'gpu' or 'cpu', found 'tpu'") == 0);
}

TEST_CASE("broken measurements are reported at their place") {
  auto errorOf = [](std::string_view path, std::string_view text) {
    std::vector<EmbeddedFile> files(embeddedCatalogue().begin(),
                                    embeddedCatalogue().end());
    files.push_back({path, text});
    Diagnostics diags;
    CHECK_FALSE(Catalogue::load(diags, files));
    return diags.str();
  };
  CHECK(errorOf("collectives/x.json", R"({"format_version": 1, "name": "x",
    "source": "s", "link": {"level": "pcie", "latency_microseconds": 1,
    "bandwidth_gigabytes_per_second": 1}, "fits": [
    {"collective": "all_reduce", "algorithm": "star", "protocol": "ll",
     "start_microseconds": 1, "step_microseconds": 1,
     "microseconds_per_root_byte": 0}]})")
            .find("catalogue/collectives/x.json:4:5: error: unknown algorithm "
                  "'star'") == 0);
  CHECK(errorOf("efficiency/x.json", R"({"format_version": 1, "type": "x",
    "tile": 64, "tables": {"bf16": {"source": "s", "peak_teraflops": 1,
    "m": [1, 2], "n": [1, 2], "k": [1, 2],
    "microseconds": [[[1, 2], [3]], [[1, 2], [3, 4]]]}}})")
            .find("catalogue/efficiency/x.json:4:31: error: 'microseconds' "
                  "has 1 values of k, expected 2") == 0);
  CHECK(errorOf("efficiency/x.json", R"({"format_version": 1, "type": "x",
    "tile": 64, "tables": {"bf16": {"source": "s", "peak_teraflops": 1,
    "m": [2, 1], "n": [1, 2], "k": [1, 2], "microseconds": []}}})")
            .find("catalogue/efficiency/x.json:3:14: error: 'm' must ascend") ==
        0);
  Diagnostics diags;
  CHECK_FALSE(Catalogue::load(diags, {}));
  CHECK(diags.str().find("no collectives stand in for nvlink") !=
        std::string::npos);
}

TEST_CASE("collective and precision names read back") {
  for (size_t i = 0; i < collectiveKindCount; ++i) {
    auto kind = static_cast<CollectiveKind>(i);
    CHECK(collectiveFromName(collectiveName(kind)) == kind);
  }
  for (size_t i = 0; i < precisionCount; ++i) {
    auto precision = static_cast<Precision>(i);
    CHECK(precisionFromName(precisionName(precision)) == precision);
  }
  for (size_t i = 0; i < collectiveProtocolCount; ++i) {
    auto protocol = static_cast<CollectiveProtocol>(i);
    CHECK(protocolFromName(protocolName(protocol)) == protocol);
  }
  for (int i = 0; i < 5; ++i) {
    auto algorithm = static_cast<CollectiveAlgorithm>(i);
    CHECK(algorithmFromName(algorithmName(algorithm)) == algorithm);
  }
  CHECK_FALSE(protocolFromName("ll64"));
  CHECK_FALSE(algorithmFromName("star"));
  CHECK_FALSE(collectiveFromName("alltoall"));
  CHECK_FALSE(precisionFromName("f8"));
}
