#include "TestCatalogue.h"
#include <algorithm>
#include <fmt/format.h>

using namespace whale;

/// Every object that holds numbers says where they are from, in itself or in
/// the object around it. How many devices a node has needs no source: it is
/// what the node type is.
static bool saysSource(const json::Value &value, bool isCovered) {
  if (!value.isObject())
    return true;
  bool covered = isCovered || value.find("source");
  bool holdsNumbers = false;
  for (const json::Member &member : value.members()) {
    holdsNumbers |= member.value.isNumber() && member.key != "format_version" &&
                    member.key != "tile" && member.key != "count";
    if (!saysSource(member.value, covered))
      return false;
  }
  return covered || !holdsNumbers;
}

TEST_CASE("every file of the catalogue names itself and its sources") {
  REQUIRE(embeddedCatalogue().size() > 40);
  for (const EmbeddedFile &file : embeddedCatalogue()) {
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
       {"p100-16", "v100-16", "v100-32", "t4", "a10", "l4", "l40s", "a100-40",
        "a100-80", "h100-sxm-80", "h100-pcie-80", "h200", "b200", "cpu"})
    CHECK(testCatalogue().findDevice(name));
  for (const char *name :
       {"dgx-1-v100", "dgx-a100", "dgx-h100", "dgx-h200", "dgx-b200"})
    CHECK(testCatalogue().findNode(name));
  CHECK_FALSE(testCatalogue().findDevice("h1oo"));
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
    "launch_overhead": {"microseconds": 4}, "reserve": {"gibibytes": 1}})"});
  Diagnostics diags;
  auto catalogue = Catalogue::load(diags, files);
  INFO(diags.str());
  REQUIRE(catalogue);
  auto cluster = parseCluster(
      R"({"format_version": 1, "preset": "x1", "gpus_per_node": 4})", "f",
      *catalogue, diags);
  REQUIRE(cluster);
  CHECK(cluster->rankCount() == 4);
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

// Rows of NCCL measurements: aiconfigurator (8 H100, 2 A100) and vTrain
// (8 V100); time in microseconds.
TEST_CASE("collective fits reproduce measured rows") {
  auto timeOf = [](const char *node, CollectiveKind kind, int64_t ranks,
                   int64_t bytes) {
    const NodeType *type = testCatalogue().findNode(node);
    REQUIRE(type->collectives);
    const CollectiveFit *fit = type->collectives->find(kind, ranks);
    REQUIRE(fit);
    return toSeconds(fit->time(Bytes(bytes))) * 1e6;
  };
  using Kind = CollectiveKind;
  CHECK(timeOf("dgx-h100", Kind::AllReduce, 8, 536870912) ==
        Approx(2111.06).epsilon(0.15));
  CHECK(timeOf("dgx-h100", Kind::AllReduce, 8, 512) ==
        Approx(15.59).epsilon(0.15));
  CHECK(timeOf("dgx-h100", Kind::AllGather, 4, 524288) ==
        Approx(10.74).epsilon(0.15));
  CHECK(timeOf("dgx-a100", Kind::AllToAll, 2, 536870912) ==
        Approx(1635.3).epsilon(0.15));
  CHECK(timeOf("dgx-1-v100", Kind::AllReduce, 2, 1073741824) ==
        Approx(47610).epsilon(0.02));
}

TEST_CASE("collective and precision names read back") {
  for (int i = 0; i < 6; ++i) {
    auto kind = static_cast<CollectiveKind>(i);
    CHECK(collectiveFromName(collectiveName(kind)) == kind);
    auto precision = static_cast<Precision>(i);
    CHECK(precisionFromName(precisionName(precision)) == precision);
  }
  CHECK_FALSE(collectiveFromName("alltoall"));
  CHECK_FALSE(precisionFromName("f8"));
}
