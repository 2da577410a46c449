#include "test/unit/simulator/Equal.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::simulator;

// Qi et al., Zero bubble pipeline parallelism, ICLR'24: models of table 3,
// measured throughput of table 4, bubble rates of table 5, measured times of
// table 6.

namespace {

struct Row {
  int64_t microBatches;
  /// Microseconds.
  int64_t forward, input, weight, send;
  /// 1F1B, interleaved, ZB-H1, ZB-H2, ZB-1p, ZB-2p.
  double bubble[6];
  /// Samples per GPU and second: 1F1B, interleaved, ZB-1p, ZB-2p.
  double measured[4];
};

struct Model {
  const char *name;
  int64_t stages, heads, hidden;
  /// Layers per stage: the interleaved schedule has one in a chunk.
  int64_t chunks;
  /// Peak gigabytes, table 4: 1F1B, interleaved, ZB-1p, ZB-2p.
  double memory[4];
  Row rows[3];
};

// clang-format off
const Model models[] = {
    {"1.5B", 8, 24, 2304, 3, {30, 40, 32, 59},
     {{24, 18522, 18086, 9337, 601,
       {.2431, .1055, .1585, .1083, .1585, .0433},
       {11.8, 13.1, 12.9, 14.5}},
      {32, 18513, 18086, 9331, 626,
       {.1985, .0818, .1242, .0837, .1242, .0039},
       {12.5, 13.4, 13.4, 14.8}},
      {64, 18546, 18097, 9321, 762,
       {.1240, .0443, .0674, .0444, .0674, .0026},
       {13.6, 13.9, 14.2, 14.9}}}},
    {"6.2B", 8, 32, 4096, 4, {39, 48, 42, 70},
     {{24, 29718, 29444, 19927, 527,
       {.2347, .0808, .1323, .0698, .1323, .0029},
       {3.50, 4.01, 3.88, 4.32}},
      {32, 29802, 29428, 19530, 577,
       {.1898, .0628, .1045, .0559, .1045, .0022},
       {3.70, 4.08, 4.00, 4.35}},
      {64, 29935, 29621, 19388, 535,
       {.1091, .0320, .0554, .0294, .0554, .0010},
       {4.03, 4.19, 4.20, 4.39}}}},
    {"14.6B", 16, 40, 5120, 3, {32, 39, 33, 51},
     {{48, 11347, 11248, 8132, 377,
       {.2552, .1104, .1397, .0672, .1397, .0066},
       {1.40, 1.54, 1.61, 1.81}},
      {64, 11307, 11254, 8101, 379,
       {.2082, .0852, .1088, .0516, .1088, .0054},
       {1.49, 1.59, 1.67, 1.83}},
      {128, 11325, 11308, 8109, 378,
       {.1251, .0445, .0576, .0266, .0576, .0028},
       {1.64, 1.66, 1.76, 1.85}}}},
    {"28.3B", 32, 48, 6144, 2, {43, 58, 44, 74},
     {{96, 10419, 10207, 7715, 408,
       {.2646, .1493, .1421, .0641, .1421, .0038},
       {.76, .82, .87, .99}},
      {128, 10408, 10204, 7703, 408,
       {.2168, .1164, .1106, .0490, .1106, .0029},
       {.80, .85, .90, 1.00}},
      {256, 10402, 10248, 7698, 460,
       {.1352, .0624, .0594, .0257, .0594, .0018},
       {.88, .90, .96, 1.00}}}}, };
// clang-format on

constexpr Order orders[] = {Order::OneFOneB,     Order::Interleaved,
                            Order::ZeroBubbleH1, Order::ZeroBubbleH2,
                            Order::ZeroBubble1p, Order::ZeroBubble2p};

/// Of the bytes that a layer saves per token, what weights' gradients need:
/// 32 h of 34 h + 5 a s (sequences of 1024).
double weightShare(const Model &model) {
  double all = 34.0 * model.hidden + 5.0 * model.heads * 1024;
  return 32.0 * model.hidden / all;
}

double bubble(const Model &model, const Row &row, Order order) {
  // A picosecond here is a nanosecond; it must be cut into chunks.
  Work work{row.forward * 1000, row.input * 1000, row.weight * 1000,
            row.send * 1000};
  int64_t chunks = order == Order::Interleaved ? model.chunks : 1;
  return simulate(equalParts(order, model.stages, row.microBatches, work,
                             chunks, weightShare(model)))
      .bubbleRate();
}

} // namespace

TEST_CASE("bubble rates of the zero-bubble paper") {
  for (const Model &model : models)
    for (const Row &row : model.rows)
      for (size_t i = 0; i < std::size(orders); ++i) {
        INFO(model.name << " m " << row.microBatches << " "
                        << nameOf(orders[i]));
        // The interleaved one within 0.005, all others to the last digit.
        double margin = orders[i] == Order::Interleaved ? 0.005 : 0.00006;
        CHECK(bubble(model, row, orders[i]) ==
              Approx(row.bubble[i]).margin(margin));
      }
}

TEST_CASE("measured throughput ranks the schedules as their bubbles do") {
  for (const Model &model : models)
    for (const Row &row : model.rows) {
      INFO(model.name << " m " << row.microBatches);
      double plain = 1 - bubble(model, row, Order::OneFOneB);
      double interleaved = 1 - bubble(model, row, Order::Interleaved);
      double once = 1 - bubble(model, row, Order::ZeroBubble1p);
      double twice = 1 - bubble(model, row, Order::ZeroBubble2p);
      CHECK(plain < once);
      CHECK(plain < interleaved);
      CHECK(once < twice);
      CHECK(interleaved < twice);
      // Gains over 1F1B as measured, within 6 %.
      CHECK(once / plain ==
            Approx(row.measured[2] / row.measured[0]).epsilon(0.06));
      CHECK(twice / plain ==
            Approx(row.measured[3] / row.measured[0]).epsilon(0.06));
    }
}

// Of 1F1B and ZB-2p, which keep p and 2 p micro-batches, follow what a
// micro-batch takes and what else there is; the other two must fit in.
TEST_CASE("measured memory is that of the values that schedules keep") {
  for (const Model &model : models) {
    INFO(model.name);
    int64_t p = model.stages, m = model.rows[2].microBatches;
    auto kept = [&](Order order, int64_t chunks) {
      ScheduleSpec spec{order, p, chunks, m, {}, {}};
      if (order == Order::ZeroBubble1p)
        spec.order = Order::ZeroBubbleH1; // The same limit, without costs.
      int64_t most = 0;
      for (const TaskList &tasks : makeSchedule(spec))
        most = std::max(most, mostAlive(tasks));
      return static_cast<double>(most) / static_cast<double>(chunks * p);
    };
    double each = model.memory[3] - model.memory[0];
    double rest = model.memory[0] - each;
    CHECK(rest > 0);
    CHECK(kept(Order::OneFOneB, 1) == 1);
    CHECK(rest + each * kept(Order::Interleaved, model.chunks) ==
          Approx(model.memory[1]).epsilon(0.05));
    CHECK(rest + each * kept(Order::ZeroBubble1p, 1) ==
          Approx(model.memory[2]).epsilon(0.08));
  }
}
