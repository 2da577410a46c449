//===- DeviceType.h - what one device can do --------------------*- C++ -*-===//
//
// A device type is data: catalogue/devices/<name>.json, or an entry of
// `device_types` in a cluster file. Nothing in the compiler knows a type by
// its name.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_CLUSTER_DEVICETYPE_H
#define WHALE_CLUSTER_DEVICETYPE_H

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
enum class Precision { F64, F32, TF32, F16, BF16, FP8 };
constexpr size_t precisionCount = 6;

/// "f64", "f32", "tf32", "f16", "bf16", "fp8".
std::string_view precisionName(Precision precision);
std::optional<Precision> precisionFromName(std::string_view name);

/// How two devices are connected, from the nearest.
enum class LinkLevel { Same, NvLink, SharedMemory, Pcie, Network };
std::string_view linkLevelName(LinkLevel level);

/// A connection, one direction.
struct Link {
  LinkLevel level = LinkLevel::Same;
  /// Within a node: of one device. Network: of a whole node, shared by its
  /// devices.
  BytesPerSecond bandwidth;
  /// Of one message, besides its transfer.
  Picoseconds latency;
};

/// Measured speed of matrix products of one device type and precision,
/// relative to its peak: values over (smallest dimension) x (2*m*n*k FLOPs).
struct EfficiencyTable {
  Precision precision = Precision::BF16;
  /// The peak that the values are fractions of.
  FlopsPerSecond peak;
  /// Ascending, at least one each.
  std::vector<double> minimumDimension;
  std::vector<double> flops;
  /// [minimumDimension][flops], each in (0, 1].
  std::vector<std::vector<double>> efficiency;
  /// Who measured; a "guess" says so.
  std::string source;
};

/// All tables of one device type: catalogue/efficiency/<type>.json.
struct EfficiencyCurves {
  /// The type that was measured.
  std::string type;
  /// A dimension below this costs as much as this.
  double tile = 1;
  std::vector<EfficiencyTable> tables;
};

struct DeviceType {
  enum class Kind { Gpu, Cpu };

  std::string name;
  /// For people: "NVIDIA H100 SXM5 80 GB".
  std::string title;
  Kind kind = Kind::Gpu;
  /// Dense peaks, by Precision; empty where the device has no such units.
  std::array<std::optional<FlopsPerSecond>, precisionCount> peaks;
  /// What a process can allocate on an empty device.
  Bytes memory;
  /// Held back for the framework: contexts, communicators, workspaces.
  Bytes reserve;
  BytesPerSecond memoryBandwidth;
  /// Part of memoryBandwidth that streaming kernels reach.
  double achievableMemoryFraction = 1;
  /// Device to device within a node: the fast one, if it has one ...
  std::optional<Link> fastLink;
  /// ... and through the host (PCIe, shared memory).
  std::optional<Link> hostLink;
  /// Between the end of one kernel and the start of the next on a stream.
  Picoseconds launchOverhead;
  /// Own or, by `similar_to`, another type's; null: none known.
  std::shared_ptr<const EfficiencyCurves> curves;
  /// Where each group of numbers is from: {"memory", "data sheet ..."}.
  std::vector<std::pair<std::string, std::string>> sources;

  /// What plans may use: memory - reserve.
  Bytes usableMemory() const { return memory - reserve; }
  /// Peak of `precision`, or of what stands in where the device lacks it:
  /// fp8 -> bf16 -> f32, f16 -> f32, tf32 -> f32 (convert and compute wider),
  /// f32 -> f64. Every type has f32 or f64.
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
  const EfficiencyTable *table = nullptr;
  /// The table is of another device type or precision.
  bool isBorrowed = false;
};

/// Used where nothing was measured: about the median of the measured tables
/// for products of medium size.
constexpr double unknownEfficiency = 0.6;

/// Efficiency of an (m x k) * (k x n) product on a device of `type`.
/// Dimensions below the tile count as the tile. Between grid points linear in
/// the smallest dimension and in the FLOPs; beyond the last ones constant,
/// except that below the smallest FLOPs the *time* is constant. A table
/// borrowed from a faster or slower type or precision is read at the FLOPs
/// that would take it the same time at peak. Requires m, n, k >= 1. Uses IEEE
/// basic operations only.
MatmulEfficiency matmulEfficiency(const DeviceType &type, Precision precision,
                                  int64_t m, int64_t n, int64_t k);

} // namespace whale

#endif // WHALE_CLUSTER_DEVICETYPE_H
