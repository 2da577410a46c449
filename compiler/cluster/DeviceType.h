//===- DeviceType.h - what one device can do --------------------*- C++ -*-===//
//
// A device type is data: catalogue/devices/<name>.json, or an entry of
// `device_types` in a cluster file. Nothing in the compiler knows a type by
// its name.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_CLUSTER_DEVICETYPE_H
#define WHALE_CLUSTER_DEVICETYPE_H

#include "compiler/cluster/Collectives.h"
#include "compiler/support/Units.h"
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

/// Number formats that have their own speed. TF32 is f32 data with rounded
/// products; whether a model allows it is the training spec's matter.
enum class Precision { F64, F32, TF32, F16, BF16, FP8, FP4 };
constexpr size_t precisionCount = 7;

/// "f64", "f32", "tf32", "f16", "bf16", "fp8", "fp4".
std::string_view precisionName(Precision precision);
std::optional<Precision> precisionFromName(std::string_view name);

/// Times of matrix products of one device type and precision over a grid of
/// m x n x k, not decreasing in any of them: measured, and extrapolated below.
struct MatmulTable {
  Precision precision = Precision::BF16;
  /// The peak that efficiencies are fractions of.
  FlopsPerSecond peak;
  /// The grid: m, n and k, each ascending, at least two values.
  std::array<std::vector<double>, 3> grid;
  /// By m, then n, then k.
  std::vector<double> seconds;
  /// Who measured; a "guess" says so.
  std::string source;
};

/// All tables of one device type: catalogue/efficiency/<type>.json.
struct EfficiencyCurves {
  /// The type that was measured.
  std::string type;
  /// A dimension below this costs as much as this.
  double tile = 1;
  std::vector<MatmulTable> tables;
  /// They stand in a cluster file, not in the catalogue.
  bool isOwn = false;
};

struct DeviceType {
  enum class Kind { Gpu, Cpu };

  std::string name;
  /// For people: "NVIDIA H100 SXM5 80 GB".
  std::string title;
  /// Other names, by which lists of measured runs call it ("H100-SXM-80").
  std::vector<std::string> aliases;
  Kind kind = Kind::Gpu;
  /// Dense peaks, by Precision; empty where the device has no such units.
  std::array<std::optional<FlopsPerSecond>, precisionCount> peaks;
  /// What a process can allocate on an empty device.
  Bytes memory;
  /// Held back for the framework: contexts, communicators, workspaces.
  Bytes reserve;
  /// Of the reserve, what a cluster file keeps free beyond the type's own.
  Bytes margin;
  BytesPerSecond memoryBandwidth;
  /// Part of memoryBandwidth that streaming kernels reach.
  double achievableMemoryFraction = 1;
  /// Part of the arithmetic speed of short benchmarks that remains under the
  /// device's power limit over a long run.
  double sustainedFraction = 1;
  /// Part of a peak that kernels without the device's own matrix instructions
  /// reach of what those with them do.
  double portableFraction = 1;
  /// Device to device within a node: the fast one, if it has one ...
  std::optional<Link> fastLink;
  /// ... and through the host (PCIe, shared memory).
  std::optional<Link> hostLink;
  /// Between the end of one kernel and the start of the next on a stream.
  Picoseconds launchOverhead;
  /// Own or, by `similar_to`, another type's; null: none known.
  std::shared_ptr<const EfficiencyCurves> curves;
  /// Of the borrowed efficiencies, what this type reaches.
  double relativeEfficiency = 1;
  /// Of one device with all its memory, at most; and of an hour of one.
  std::optional<double> powerWatts, dollarsPerHour;
  /// Where each group of numbers is from: {"memory", "data sheet ..."}.
  std::vector<std::pair<std::string, std::string>> sources;

  /// What plans may use: memory - reserve.
  Bytes usableMemory() const { return memory - reserve; }
  /// Peak of `precision`, or of what stands in where the device lacks it:
  /// fp4 -> fp8 -> bf16 -> f32, f16 -> f32, tf32 -> f32 (convert and compute
  /// wider), f32 -> f64. Every type has f32 or f64.
  FlopsPerSecond peak(Precision precision) const;
  /// The precision whose units `peak` falls back to.
  Precision computePrecision(Precision precision) const;
  /// The link between two such devices in one node.
  const Link &linkWithin() const { return fastLink ? *fastLink : *hostLink; }
};

/// What fraction of the peak a matrix product reaches.
struct MatmulEfficiency {
  /// In (0, 1]: time = 2*m*n*k / (peak * value), launch overhead not included,
  /// memory not bounded.
  double value = 1;
  /// The table used; null if the type has no curves (value is then
  /// `unknownEfficiency`).
  const MatmulTable *table = nullptr;
  /// The table is of another device type or precision.
  bool isBorrowed = false;
};

/// Used where nothing was measured: about the median of the measured tables
/// for products of medium size.
constexpr double unknownEfficiency = 0.6;

/// Efficiency of an (m x k) * (k x n) product on a device of `type`: the ideal
/// time at peak by the time that the table gives.
///
/// Within the grid the time is linear in m, n and k. Beyond its end the time
/// grows in proportion, so that the efficiency stays; below its beginning, and
/// below the tile, a dimension costs as much as there.
/// A table borrowed from another type or precision that is s times as fast at
/// peak is read at m and n times sqrt(s): a product that takes it the same time
/// at peak, in as many tiles for each of its processors; the type's
/// `relativeEfficiency` multiplies the result.
/// Requires m, n, k >= 1. Uses IEEE basic operations and sqrt only.
MatmulEfficiency matmulEfficiency(const DeviceType &type, Precision precision,
                                  int64_t m, int64_t n, int64_t k);

} // namespace whale

#endif // WHALE_CLUSTER_DEVICETYPE_H
