#include "TestCatalogue.h"

using namespace whale;

static DeviceType twoByTwo() {
  DeviceType type;
  type.name = "t";
  type.peaks[static_cast<size_t>(Precision::F32)] = FlopsPerSecond{1e12};
  type.peaks[static_cast<size_t>(Precision::BF16)] = FlopsPerSecond{1e12};
  auto curves = std::make_shared<EfficiencyCurves>();
  curves->type = "t";
  curves->tile = 16;
  curves->tables.push_back({Precision::BF16,
                            FlopsPerSecond{1e12},
                            {64, 128},
                            {1 << 20, 1 << 22},
                            {{0.1, 0.3}, {0.2, 0.6}},
                            "hand"});
  type.curves = curves;
  return type;
}

static double at(const DeviceType &type, int64_t m, int64_t n, int64_t k) {
  return matmulEfficiency(type, Precision::BF16, m, n, k).value;
}

TEST_CASE("efficiency is linear between grid points") {
  DeviceType type = twoByTwo();
  CHECK(at(type, 64, 128, 64) == Approx(0.1));   // 2^20 FLOPs
  CHECK(at(type, 128, 128, 128) == Approx(0.6)); // 2^22
  CHECK(at(type, 64, 256, 128) == Approx(0.3));  // 2^22
  // Smallest dimension 96 (half way), 2*96*128*104 FLOPs.
  double flops = 2.0 * 96 * 128 * 104;
  double part = (flops - 1048576) / (4194304 - 1048576);
  double low = 0.1 + 0.2 * part, high = 0.2 + 0.4 * part;
  CHECK(at(type, 96, 128, 104) == Approx((low + high) / 2));
}

TEST_CASE("beyond the grid it is constant, below it the time is") {
  DeviceType type = twoByTwo();
  CHECK(at(type, 4096, 4096, 4096) == Approx(0.6));
  CHECK(at(type, 64, 64, 64) * 2 == Approx(at(type, 64, 128, 64)));
  // A vector times a matrix costs as much as 16 rows.
  CHECK(at(type, 1, 1024, 1024) * 16 == Approx(at(type, 16, 1024, 1024)));
}

TEST_CASE("a borrowed table is read at equal ideal time") {
  DeviceType slow = twoByTwo();
  slow.name = "slow";
  for (auto &peak : slow.peaks)
    if (peak)
      peak->value /= 4;
  MatmulEfficiency borrowed =
      matmulEfficiency(slow, Precision::BF16, 128, 64, 128);
  CHECK(borrowed.isBorrowed);
  // 2^21 FLOPs at a quarter of the speed are as long as 2^23: past the grid.
  CHECK(borrowed.value == Approx(0.3));
  DeviceType own = twoByTwo();
  CHECK_FALSE(matmulEfficiency(own, Precision::BF16, 1, 1, 1).isBorrowed);
  CHECK(matmulEfficiency(own, Precision::F32, 1, 1, 1).isBorrowed);
}

// Rows of aiconfigurator's GEMM data (microseconds): the fit must stand for
// them within twice its mean error.
TEST_CASE("shipped tables reproduce measured products") {
  auto timeOf = [](const char *name, int64_t m, int64_t n, int64_t k) {
    const DeviceType &type = *testCatalogue().findDevice(name);
    auto found = matmulEfficiency(type, Precision::BF16, m, n, k);
    CHECK_FALSE(found.isBorrowed);
    return 2.0 * m * n * k / type.peak(Precision::BF16).value / found.value *
           1e6;
  };
  auto measured = [](double teraflops, double m, double n, double k) {
    return 2 * m * n * k / teraflops / 1e6;
  };
  CHECK(timeOf("a100-80", 8192, 8192, 8192) ==
        Approx(measured(263, 8192, 8192, 8192)).epsilon(0.12));
  CHECK(timeOf("h100-sxm-80", 2048, 4096, 4096) ==
        Approx(measured(713, 2048, 4096, 4096)).epsilon(0.12));
  CHECK(timeOf("h200", 8192, 8192, 8192) ==
        Approx(measured(799, 8192, 8192, 8192)).epsilon(0.12));
  CHECK(timeOf("b200", 4096, 4096, 4096) ==
        Approx(measured(1310, 4096, 4096, 4096)).epsilon(0.15));
  CHECK(timeOf("a100-80", 256, 768, 768) == Approx(7.066).epsilon(0.3));
}

TEST_CASE("every device gives a fraction for any shape") {
  for (const std::string &name : testCatalogue().deviceNames())
    for (int64_t m : {int64_t(1), int64_t(7), int64_t(300), int64_t(1) << 40})
      for (int64_t k : {int64_t(1), int64_t(4096), int64_t(1) << 30})
        for (size_t p = 0; p < precisionCount; ++p) {
          double value = matmulEfficiency(*testCatalogue().findDevice(name),
                                          static_cast<Precision>(p), m, m, k)
                             .value;
          CHECK(value > 0);
          CHECK(value <= 1);
        }
}
