//===- DeviceType.cpp -----------------------------------------------------===//

#include "compiler/cluster/DeviceType.h"
#include <algorithm>
#include <cmath>

using namespace whale;

static constexpr std::array<std::string_view, precisionCount> precisionNames = {
    "f64", "f32", "tf32", "f16", "bf16", "fp8", "fp4"};

std::string_view whale::precisionName(Precision precision) {
  return precisionNames[static_cast<size_t>(precision)];
}

std::optional<Precision> whale::precisionFromName(std::string_view name) {
  for (size_t i = 0; i < precisionCount; ++i)
    if (precisionNames[i] == name)
      return static_cast<Precision>(i);
  return std::nullopt;
}

/// What computes instead where a device lacks a precision, by Precision.
static constexpr std::array<Precision, precisionCount> standIn = {
    Precision::F32, Precision::F64,  Precision::F32, Precision::F32,
    Precision::F32, Precision::BF16, Precision::FP8};

Precision DeviceType::computePrecision(Precision precision) const {
  // The longest chain is fp4 -> fp8 -> bf16 -> f32 -> f64.
  for (size_t step = 0; step < precisionCount; ++step) {
    if (peaks[static_cast<size_t>(precision)])
      break;
    precision = standIn[static_cast<size_t>(precision)];
  }
  return precision;
}

FlopsPerSecond DeviceType::peak(Precision precision) const {
  return peaks[static_cast<size_t>(computePrecision(precision))].value_or(
      FlopsPerSecond{});
}

//===----------------------------------------------------------------------===//
// Matrix products
//===----------------------------------------------------------------------===//

using Shape = std::array<double, 3>;

namespace {
/// A position between two grid points: `low`, then `fraction` to the next.
struct GridPosition {
  size_t low = 0;
  double fraction = 0;
};
} // namespace

/// Clamps to the grid.
static GridPosition locate(const std::vector<double> &grid, double x) {
  if (x <= grid.front())
    return {};
  if (x >= grid.back())
    return {grid.size() - 2, 1};
  size_t above = static_cast<size_t>(
      std::upper_bound(grid.begin(), grid.end(), x) - grid.begin());
  return {above - 1, (x - grid[above - 1]) / (grid[above] - grid[above - 1])};
}

/// Trilinear, clamped to the grid.
static double withinGrid(const MatmulTable &table, const Shape &shape) {
  GridPosition m = locate(table.grid[0], shape[0]),
               n = locate(table.grid[1], shape[1]),
               k = locate(table.grid[2], shape[2]);
  size_t stepN = table.grid[2].size(), stepM = stepN * table.grid[1].size();
  const double *at = &table.seconds[m.low * stepM + n.low * stepN + k.low];
  auto alongK = [&](const double *row) {
    return row[0] * (1 - k.fraction) + row[1] * k.fraction;
  };
  auto alongN = [&](const double *row) {
    return alongK(row) * (1 - n.fraction) + alongK(row + stepN) * n.fraction;
  };
  return alongN(at) * (1 - m.fraction) + alongN(at + stepM) * m.fraction;
}

static double timeOf(const MatmulTable &table, const Shape &shape) {
  double time = withinGrid(table, shape);
  for (size_t axis = 0; axis < 3; ++axis)
    if (shape[axis] > table.grid[axis].back())
      time *= shape[axis] / table.grid[axis].back();
  return time;
}

static const MatmulTable *findTable(const EfficiencyCurves &curves,
                                    Precision precision) {
  // Own precision first, then the widths nearest to it; others than fp4 borrow
  // from fp8 last.
  Precision nearest =
      precision == Precision::FP4 ? Precision::FP8 : Precision::BF16;
  std::array<Precision, 8> order = {
      precision,      nearest,         Precision::BF16, Precision::F16,
      Precision::F32, Precision::TF32, Precision::F64,  Precision::FP8};
  for (Precision wanted : order)
    for (const MatmulTable &table : curves.tables)
      if (table.precision == wanted)
        return &table;
  return nullptr;
}

MatmulEfficiency whale::matmulEfficiency(const DeviceType &type,
                                         Precision precision, int64_t m,
                                         int64_t n, int64_t k) {
  Precision computed = type.computePrecision(precision);
  const MatmulTable *table =
      type.curves ? findTable(*type.curves, computed) : nullptr;
  if (!table)
    return {unknownEfficiency, nullptr, true};
  double tile = type.curves->tile;
  double peak = type.peak(precision).value;
  // One for a type's own table.
  double stretch = std::sqrt(table->peak.value / peak);
  double dm = static_cast<double>(m), dn = static_cast<double>(n),
         dk = static_cast<double>(k);
  Shape shape = {std::max(dm, tile) * stretch, std::max(dn, tile) * stretch,
                 std::max(dk, tile)};
  double ideal = 2 * dm * dn * dk / peak;
  bool isBorrowed =
      type.curves->type != type.name || table->precision != computed;
  double value = ideal / timeOf(*table, shape) * type.relativeEfficiency;
  return {std::min(1.0, value), table, isBorrowed};
}
