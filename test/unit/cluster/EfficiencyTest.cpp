#include "TestCatalogue.h"

using namespace whale;

/// Times of a device with 1 TFLOP/s whose products cost exactly
/// 1 us + 2mnk / (0.5 TFLOP/s) + m*k/1e9 us.
static double closedForm(double m, double n, double k) {
  return 1e-6 + 2 * m * n * k / 0.5e12 + m * k * 1e-15;
}

static DeviceType closedFormDevice() {
  DeviceType type;
  type.name = "t";
  type.peaks[static_cast<size_t>(Precision::F32)] = FlopsPerSecond{1e12};
  type.peaks[static_cast<size_t>(Precision::BF16)] = FlopsPerSecond{1e12};
  auto curves = std::make_shared<EfficiencyCurves>();
  curves->type = "t";
  curves->tile = 16;
  MatmulTable table;
  table.precision = Precision::BF16;
  table.peak = {1e12};
  table.grid = {{{64, 512, 4096}, {64, 1024}, {64, 256, 8192}}};
  for (double m : table.grid[0])
    for (double n : table.grid[1])
      for (double k : table.grid[2])
        table.seconds.push_back(closedForm(m, n, k));
  table.source = "hand";
  curves->tables.push_back(table);
  type.curves = curves;
  return type;
}

static double secondsOn(const DeviceType &type, Precision precision, int64_t m,
                        int64_t n, int64_t k) {
  return 2.0 * double(m) * double(n) * double(k) / type.peak(precision).value /
         matmulEfficiency(type, precision, m, n, k).value;
}

TEST_CASE("a time that is linear in each dimension is reproduced exactly") {
  DeviceType type = closedFormDevice();
  for (int64_t m : {64, 100, 512, 3000, 4096})
    for (int64_t n : {64, 65, 800, 1024})
      for (int64_t k : {64, 128, 4096, 8192})
        CHECK(secondsOn(type, Precision::BF16, m, n, k) ==
              Approx(closedForm(double(m), double(n), double(k))));
}

TEST_CASE("beyond the grid the efficiency stays, below it the time") {
  DeviceType type = closedFormDevice();
  auto at = [&](int64_t m, int64_t n, int64_t k) {
    return matmulEfficiency(type, Precision::BF16, m, n, k).value;
  };
  CHECK(at(1 << 20, 1 << 20, 1 << 20) == Approx(at(4096, 1024, 8192)));
  // A vector times a matrix costs as much as the grid's first 64 rows.
  CHECK(at(1, 1024, 1024) * 64 == Approx(at(64, 1024, 1024)));
}

TEST_CASE("a borrowed table is read at equal ideal time") {
  DeviceType slow = closedFormDevice();
  slow.name = "slow";
  for (auto &peak : slow.peaks)
    if (peak)
      peak->value /= 4;
  // A quarter of the speed: twice m and n take the fast device as long.
  MatmulEfficiency borrowed =
      matmulEfficiency(slow, Precision::BF16, 128, 128, 256);
  DeviceType own = closedFormDevice();
  CHECK(borrowed.isBorrowed);
  CHECK(borrowed.value ==
        Approx(matmulEfficiency(own, Precision::BF16, 256, 256, 256).value));
  slow.relativeEfficiency = 0.5;
  CHECK(matmulEfficiency(slow, Precision::BF16, 128, 128, 256).value ==
        Approx(borrowed.value / 2));
  CHECK_FALSE(matmulEfficiency(own, Precision::BF16, 1, 1, 1).isBorrowed);
  CHECK(matmulEfficiency(own, Precision::F32, 1, 1, 1).isBorrowed);
}

TEST_CASE("fp4 borrows from fp8, nothing wider does") {
  const DeviceType &b200 = *testCatalogue().findDevice("b200");
  auto table = [&](Precision precision) {
    return matmulEfficiency(b200, precision, 4096, 4096, 4096).table->precision;
  };
  CHECK(table(Precision::FP4) == Precision::FP8);
  CHECK(table(Precision::F16) == Precision::BF16);
  CHECK(table(Precision::F64) == Precision::BF16);
}

// Larger products take longer, on every device, in the grid and around it.
TEST_CASE("shipped tables are monotone in every dimension") {
  constexpr int64_t sizes[] = {16,   64,   128,  200,   256,   400,   512,
                               700,  768,  900,  1024,  1500,  2048,  4096,
                               5000, 8192, 9000, 16384, 40000, 65536, 131072};
  for (const char *name :
       {"a100-80", "h100-sxm-80", "h200", "b200", "b300", "gb200", "gb300",
        "l40s", "rtx-pro-6000", "t4", "mi300x", "cpu"})
    for (Precision precision : {Precision::BF16, Precision::FP8}) {
      const DeviceType &type = *testCatalogue().findDevice(name);
      for (int64_t a : sizes)
        for (int64_t b : sizes) {
          double before[3] = {};
          for (int64_t x : sizes) {
            double now[3] = {secondsOn(type, precision, x, a, b),
                             secondsOn(type, precision, a, x, b),
                             secondsOn(type, precision, a, b, x)};
            INFO(name << " " << a << " " << b << " " << x);
            for (size_t axis = 0; axis < 3; ++axis)
              if (now[axis] < before[axis] * (1 - 1e-9))
                FAIL("axis " << axis << ": " << now[axis] << " after "
                             << before[axis]);
            std::copy(now, now + 3, before);
          }
        }
    }
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
  CHECK(timeOf("a100-80", 256, 768, 768) == Approx(7.066).epsilon(0.01));
  // The products of training: 4096 tokens of a layer of 8192, split 8 ways.
  CHECK(timeOf("gb300", 4096, 4096, 4096) ==
        Approx(measured(1820, 4096, 4096, 4096)).epsilon(0.02));
  CHECK(timeOf("h100-sxm-80", 2048, 1536, 6144) ==
        Approx(measured(758, 2048, 1536, 6144)).epsilon(0.02));
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
