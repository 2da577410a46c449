//===- Collectives.cpp ----------------------------------------------------===//

#include "compiler/cluster/Collectives.h"
#include <algorithm>
#include <cmath>

using namespace whale;

static constexpr std::array<std::string_view, 5> levelNames = {
    "same", "nvlink", "shared_memory", "pcie", "network"};
static constexpr std::array<std::string_view, collectiveKindCount> kindNames = {
    "all_reduce", "all_gather", "reduce_scatter",
    "all_to_all", "broadcast",  "send_recv"};
static constexpr std::array<std::string_view, 5> algorithmNames = {
    "ring", "tree", "hierarchical", "nvls", "direct"};
static constexpr std::array<std::string_view, collectiveProtocolCount>
    protocolNames = {"ll", "ll128", "simple"};

template <class Enum, size_t size>
static std::optional<Enum>
fromName(const std::array<std::string_view, size> &names,
         std::string_view name) {
  auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

std::string_view whale::linkLevelName(LinkLevel level) {
  return levelNames[static_cast<size_t>(level)];
}
std::string_view whale::collectiveName(CollectiveKind kind) {
  return kindNames[static_cast<size_t>(kind)];
}
std::optional<CollectiveKind> whale::collectiveFromName(std::string_view name) {
  return fromName<CollectiveKind>(kindNames, name);
}
std::string_view whale::algorithmName(CollectiveAlgorithm algorithm) {
  return algorithmNames[static_cast<size_t>(algorithm)];
}
std::optional<CollectiveAlgorithm>
whale::algorithmFromName(std::string_view name) {
  return fromName<CollectiveAlgorithm>(algorithmNames, name);
}
std::string_view whale::protocolName(CollectiveProtocol protocol) {
  return protocolNames[static_cast<size_t>(protocol)];
}
std::optional<CollectiveProtocol>
whale::protocolFromName(std::string_view name) {
  return fromName<CollectiveProtocol>(protocolNames, name);
}

double whale::collectiveSteps(CollectiveKind kind,
                              CollectiveAlgorithm algorithm, int64_t ranks) {
  if (algorithm == CollectiveAlgorithm::Nvls ||
      kind == CollectiveKind::SendReceive)
    return 1;
  double rounds = kind == CollectiveKind::AllReduce ? 2 : 1;
  return rounds * static_cast<double>(ranks - 1);
}

double whale::collectiveMoved(CollectiveKind kind,
                              CollectiveAlgorithm algorithm, int64_t ranks) {
  if (kind == CollectiveKind::SendReceive || kind == CollectiveKind::Broadcast)
    return 1;
  double p = static_cast<double>(ranks);
  // A rank's whole buffer is read by the switch, and its share is written.
  if (algorithm == CollectiveAlgorithm::Nvls)
    return (p + 1) / p;
  return collectiveSteps(kind, algorithm, ranks) / p;
}

bool CollectiveFits::hasGeneral(CollectiveKind kind) const {
  return std::any_of(fits.begin(), fits.end(), [&](const CollectiveFit &fit) {
    return fit.kind == kind && !fit.ranks;
  });
}

CollectiveFits CollectiveFits::scaledTo(const Link &other) const {
  CollectiveFits scaled = *this;
  scaled.link = other;
  double slower = link.bandwidth.value / other.bandwidth.value;
  double later = link.latency.value() > 0
                     ? other.latency.asDouble() / link.latency.asDouble()
                     : 1;
  for (CollectiveFit &fit : scaled.fits) {
    fit.start *= later;
    fit.step *= later;
    fit.root *= std::sqrt(slower);
    fit.wire *= slower;
    fit.local *= slower;
  }
  return scaled;
}
