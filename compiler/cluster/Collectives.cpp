//===- Collectives.cpp ----------------------------------------------------===//

#include "compiler/cluster/Collectives.h"
#include <array>
#include <cmath>

using namespace whale;

static constexpr std::array<std::string_view, 6> names = {
    "all_reduce", "all_gather", "reduce_scatter",
    "all_to_all", "broadcast",  "send_recv"};

std::string_view whale::collectiveName(CollectiveKind kind) {
  return names[static_cast<size_t>(kind)];
}

std::optional<CollectiveKind> whale::collectiveFromName(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name)
      return static_cast<CollectiveKind>(i);
  return std::nullopt;
}

Picoseconds CollectiveFit::time(Bytes bytes) const {
  // IEEE 754 rounds sqrt correctly, so it is the same everywhere.
  double root = std::sqrt(bytes.asDouble()) * secondsPerRootByte;
  return latency + picosecondsFromSeconds(root) + bytes / bandwidth;
}

const CollectiveFit *CollectiveFits::find(CollectiveKind kind,
                                          int64_t ranks) const {
  for (const CollectiveFit &fit : fits)
    if (fit.kind == kind && fit.ranks == ranks)
      return &fit;
  return nullptr;
}
