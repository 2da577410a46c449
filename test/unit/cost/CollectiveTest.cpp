#include "compiler/cost/CatalogueHardware.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::cost;

namespace {

struct Machine {
  explicit Machine(std::string_view text) {
    Diagnostics diags;
    auto catalogue = Catalogue::load(diags);
    auto read = parseCluster(text, "c.json", *catalogue, diags);
    INFO(diags.str());
    REQUIRE(read);
    cluster = std::move(*read);
    hardware.emplace(cluster);
  }
  Cluster cluster;
  std::optional<CatalogueHardware> hardware;
};

constexpr Picoseconds us(1'000'000);

} // namespace

TEST_CASE("ring collectives follow their closed forms") {
  // 4 ranks, 8 MB, 1 GB/s, 5 us a step.
  Bytes bytes(8'000'000);
  BytesPerSecond rate{1e9};
  auto time = [&](CollectiveKind kind) {
    return ringTime(kind, 4, bytes, us * 5, rate);
  };
  CHECK(time(CollectiveKind::AllReduce) == us * (6 * 5 + 12000));
  CHECK(time(CollectiveKind::AllGather) == us * (3 * 5 + 6000));
  CHECK(time(CollectiveKind::ReduceScatter) == us * (3 * 5 + 6000));
  CHECK(time(CollectiveKind::AllToAll) == us * (3 * 5 + 6000));
  CHECK(ringTime(CollectiveKind::AllReduce, 1, bytes, us, rate) ==
        Picoseconds());
}

TEST_CASE("a roofline has two sides and a launch") {
  Machine machine(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 1})");
  machine.hardware->execution.parameters = Parameters();
  const DeviceType &device = machine.cluster.classes[0].type.device;
  machine.hardware->execution = {};
  OpWork copy;
  copy.kind = workload::OpKind::Elementwise;
  copy.bytes = Bytes(1 << 30);
  Picoseconds expected =
      copy.bytes / BytesPerSecond{device.memoryBandwidth.value *
                                  device.achievableMemoryFraction};
  CHECK(machine.hardware->opTime(0, copy) == expected + device.launchOverhead);
  copy.fused = true;
  CHECK(machine.hardware->opTime(0, copy) == expected);

  OpWork product;
  product.kind = workload::OpKind::Contraction;
  product.precision = "bf16";
  product.batch = 1, product.m = product.n = product.k = 8192;
  product.flops = Flops(2 * 8192LL * 8192 * 8192);
  double seconds = toSeconds(machine.hardware->opTime(0, product));
  // Measured: 777 TFLOP/s (aiconfigurator, H100, 8192^3).
  CHECK(product.flops.asDouble() / seconds / 1e12 == Approx(777).epsilon(0.1));
}

TEST_CASE("the hierarchical way is taken where it is faster") {
  // Whale's testbed: NVLink within a node, 50 Gb/s between.
  Machine machine(R"({"format_version": 1,
    "nodes": [{"gpus": {"type": "v100-32", "count": 8}, "count": 4}],
    "network": {"bandwidth_gigabits_per_second": 50,
                "latency_microseconds": 20}})");
  machine.hardware->execution = {};
  Bytes bytes(1'300'000'000);
  Picoseconds time = machine.hardware->collectiveTime(
      {0, 32, 1, 1}, CollectiveKind::AllReduce, bytes);
  // No all-reduce moves less than 2 (n-1)/n of its data out of each node.
  double least = 2 * 3.0 / 4 * bytes.asDouble() / (50e9 / 8);
  CHECK(toSeconds(time) >= least);
  CHECK(toSeconds(time) < 1.3 * least);
}

TEST_CASE("devices and nodes are numbered through pools") {
  Machine machine(R"({"format_version": 1,
    "nodes": [{"gpus": {"type": "v100-32", "count": 8}, "count": 2},
              {"gpus": {"type": "p100-16", "count": 4}}],
    "network": {"bandwidth_gigabits_per_second": 50,
                "latency_microseconds": 20}})");
  const Hardware &hardware = *machine.hardware;
  REQUIRE(hardware.pools().size() == 2);
  CHECK(hardware.deviceCount() == 20);
  CHECK(hardware.poolOf(15).type == 0);
  CHECK(hardware.poolOf(16).type == 1);
  CHECK(hardware.nodeOf(7) == 0);
  CHECK(hardware.nodeOf(8) == 1);
  CHECK(hardware.nodeOf(19) == 2);
  CHECK(hardware.typeName(1) == "p100-16");
}
