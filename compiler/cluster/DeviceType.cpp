//===- DeviceType.cpp -----------------------------------------------------===//

#include "compiler/cluster/DeviceType.h"
#include <algorithm>

using namespace whale;

static constexpr std::array<std::string_view, precisionCount> precisionNames = {
    "f64", "f32", "tf32", "f16", "bf16", "fp8"};

std::string_view whale::precisionName(Precision precision) {
  return precisionNames[static_cast<size_t>(precision)];
}

std::optional<Precision> whale::precisionFromName(std::string_view name) {
  for (size_t i = 0; i < precisionCount; ++i)
    if (precisionNames[i] == name)
      return static_cast<Precision>(i);
  return std::nullopt;
}

std::string_view whale::linkLevelName(LinkLevel level) {
  static constexpr std::array<std::string_view, 5> names = {
      "same", "nvlink", "shared_memory", "pcie", "network"};
  return names[static_cast<size_t>(level)];
}

/// What computes instead where a device lacks a precision, by Precision.
static constexpr std::array<Precision, precisionCount> standIn = {
    Precision::F32, Precision::F64, Precision::F32,
    Precision::F32, Precision::F32, Precision::BF16};

Precision DeviceType::computePrecision(Precision precision) const {
  // The longest chain is fp8 -> bf16 -> f32 -> f64.
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

namespace {
/// A position between two grid points: `low`, then `fraction` to the next.
struct GridPosition {
  size_t low = 0;
  double fraction = 0;
};
} // namespace

static GridPosition locate(const std::vector<double> &grid, double x) {
  if (x <= grid.front() || grid.size() == 1)
    return {};
  size_t above = static_cast<size_t>(
      std::upper_bound(grid.begin(), grid.end(), x) - grid.begin());
  if (above == grid.size())
    return {grid.size() - 2, 1};
  return {above - 1, (x - grid[above - 1]) / (grid[above] - grid[above - 1])};
}

static double interpolate(const std::vector<double> &values, GridPosition at) {
  if (at.fraction == 0)
    return values[at.low];
  return values[at.low] * (1 - at.fraction) + values[at.low + 1] * at.fraction;
}

static double lookUp(const EfficiencyTable &table, double minimum,
                     double flops) {
  GridPosition row = locate(table.minimumDimension, minimum);
  GridPosition column = locate(table.flops, flops);
  double value = interpolate(table.efficiency[row.low], column);
  if (row.fraction != 0)
    value = value * (1 - row.fraction) +
            interpolate(table.efficiency[row.low + 1], column) * row.fraction;
  // Below the smallest product that was measured the time is constant.
  return flops < table.flops.front() ? value * (flops / table.flops.front())
                                     : value;
}

static const EfficiencyTable *findTable(const EfficiencyCurves &curves,
                                        Precision precision) {
  // Own precision first, then the other 16-bit one (same units), then any.
  std::array<Precision, 6> order = {precision,       Precision::BF16,
                                    Precision::F16,  Precision::F32,
                                    Precision::TF32, Precision::F64};
  for (Precision wanted : order)
    for (const EfficiencyTable &table : curves.tables)
      if (table.precision == wanted)
        return &table;
  return curves.tables.empty() ? nullptr : &curves.tables.front();
}

MatmulEfficiency whale::matmulEfficiency(const DeviceType &type,
                                         Precision precision, int64_t m,
                                         int64_t n, int64_t k) {
  Precision computed = type.computePrecision(precision);
  const EfficiencyTable *table =
      type.curves ? findTable(*type.curves, computed) : nullptr;
  if (!table)
    return {unknownEfficiency, nullptr, true};
  double tile = type.curves->tile;
  double dm = static_cast<double>(m), dn = static_cast<double>(n),
         dk = static_cast<double>(k);
  double pm = std::max(dm, tile), pn = std::max(dn, tile),
         pk = std::max(dk, tile);
  double padded = 2 * pm * pn * pk;
  double useful = 2 * dm * dn * dk / padded;
  double scale = table->peak.value / type.peak(precision).value;
  double value =
      lookUp(*table, std::min({pm, pn, pk}), padded * scale) * useful;
  bool isBorrowed =
      type.curves->type != type.name || table->precision != computed;
  return {value, table, isBorrowed};
}
