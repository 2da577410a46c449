//===- CollectiveModel.cpp ------------------------------------------------===//

#include "compiler/cost/CollectiveModel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace whale::cost {

namespace {

using Algorithm = CollectiveAlgorithm;
using Kind = CollectiveKind;
using Protocol = CollectiveProtocol;

/// One way and its seconds.
struct Candidate {
  double seconds = std::numeric_limits<double>::infinity();
  Algorithm algorithm = Algorithm::Ring;
  Protocol protocol = Protocol::Simple;
};

/// What a group meets on its way.
struct Route {
  int64_t ranks = 1;
  int64_t domains = 1;
  /// The most and the fewest members in one domain.
  int64_t most = 1, fewest = 1;
  const CollectiveFits *fits = nullptr;
  const NetworkParameters *network = nullptr;
  /// Out of the weakest domain, for this group: seconds per byte at the
  /// adapters' full rate, and of one message.
  double networkCost = 0, latency = 0;
};

/// The adapters of a node that `members` devices of a group use: their share of
/// all, and at least one; `concurrent` groups have no more than the node.
double portRate(const GroupLinks &links, int64_t members, int64_t concurrent) {
  double own = std::max(links.rail.value,
                        links.perDevice.value * static_cast<double>(members));
  return std::min(own, links.network->bandwidth.value /
                           static_cast<double>(concurrent));
}

Route routeOf(const Cluster &cluster, const GroupLinks &links, int64_t ranks,
              int64_t concurrent) {
  Route route{ranks,
              links.domains,
              links.mostPerDomain,
              links.fewestPerDomain,
              (links.isBridged ? links.slowest->type.bridgeCollectives
                               : links.slowest->type.collectives)
                  .get(),
              &cluster.network,
              0,
              0};
  if (!links.network)
    return route;
  // A stride spreads few members over many nodes of a domain.
  int64_t nodes = std::max(
      ceilDivide(links.fewestPerDomain, links.slowest->type.devicesPerNode),
      links.nodes / links.domains);
  route.networkCost = 1 / (portRate(links, links.fewestPerNode, concurrent) *
                           static_cast<double>(nodes));
  route.latency = toSeconds(links.network->latency);
  return route;
}

/// Calls `use` with every fit for the kind and size: those of exactly this
/// size, or the general ones. A broadcast is a ring like an all-gather.
template <class Use>
void forEachFit(const CollectiveFits &fits, Kind kind, int64_t ranks,
                bool generalOnly, Use use) {
  Kind measured = kind == Kind::Broadcast ? Kind::AllGather : kind;
  bool exact = !generalOnly && std::any_of(fits.fits.begin(), fits.fits.end(),
                                           [&](const CollectiveFit &fit) {
                                             return fit.kind == measured &&
                                                    fit.ranks == ranks;
                                           });
  for (const CollectiveFit &fit : fits.fits)
    if (fit.kind == measured &&
        (exact ? fit.ranks == ranks : !fit.ranks.has_value()))
      use(fit);
}

void keepLeast(Candidate &best, const Candidate &other) {
  if (other.seconds < best.seconds)
    best = other;
}

/// The formula of CollectiveFit.
Candidate withinDomain(const CollectiveFits &fits, Kind kind, int64_t ranks,
                       double bytes) {
  Candidate best;
  if (ranks <= 1)
    return {0, Algorithm::Direct, Protocol::Simple};
  double root = std::sqrt(bytes);
  forEachFit(fits, kind, ranks, false, [&](const CollectiveFit &fit) {
    double moved = collectiveMoved(kind, fit.algorithm, ranks);
    double steps = collectiveSteps(kind, fit.algorithm, ranks);
    keepLeast(best, {fit.start + fit.step * steps + fit.root * root +
                         bytes * (moved * fit.wire + fit.local),
                     fit.algorithm, fit.protocol});
  });
  return best;
}

/// Seconds per byte over the network with `protocol`.
double costOver(const Route &route, Protocol protocol, double efficiency) {
  return route.networkCost /
         (efficiency * route.network->of(protocol).bandwidth);
}

/// One ring through all ranks and all adapters; of its steps, the network's
/// take longer. Copies, links and network work at once on different chunks: the
/// slowest of them counts.
Candidate flatRing(const Route &route, const CollectiveFit &fit, Kind kind,
                   double bytes) {
  const NetworkParameters &network = *route.network;
  double rounds = kind == Kind::AllReduce ? 2 : 1;
  double networkSteps = rounds * static_cast<double>(route.domains - 1);
  double steps = collectiveSteps(kind, Algorithm::Ring, route.ranks);
  double moved = collectiveMoved(kind, Algorithm::Ring, route.ranks);
  double hop = route.latency * network.of(fit.protocol).ringHop;
  double cost =
      std::max(moved * fit.wire + fit.local,
               moved * costOver(route, fit.protocol, network.efficiency));
  return {fit.start + fit.step * (steps - networkSteps) + hop * networkSteps +
              fit.root * std::sqrt(bytes) + bytes * cost,
          Algorithm::Ring, fit.protocol};
}

/// Up and down a tree. Between domains it is a double binary tree: every domain
/// sends all bytes once up and once down, but of two each sends one half up and
/// one half down. Within, a chain, or the switch.
Candidate tree(const Route &route, const CollectiveFit &fit, double bytes) {
  const NetworkParameters &network = *route.network;
  bool isNvls = fit.algorithm == Algorithm::Nvls;
  double depth = std::bit_width(static_cast<uint64_t>(route.domains - 1));
  double hops = 2 * depth * route.latency * network.of(fit.protocol).treeHop;
  double chain = isNvls ? 0 : 2 * static_cast<double>(route.most - 1);
  double inside = route.most > 1 ? 2 : 0;
  if (isNvls)
    inside = collectiveMoved(Kind::AllReduce, Algorithm::Nvls, route.most);
  double outside = route.domains == 2 ? 1 : 2;
  double efficiency = network.efficiency * network.treeEfficiency;
  double cost = std::max(inside * fit.wire + fit.local,
                         outside * costOver(route, fit.protocol, efficiency));
  return {fit.start + fit.step * chain + hops + fit.root * std::sqrt(bytes) +
              bytes * cost,
          isNvls ? Algorithm::Nvls : Algorithm::Tree, fit.protocol};
}

/// Reduce-scatter within the domains, all-reduce of the shares between them
/// over all adapters at once, all-gather within.
Candidate hierarchical(const Route &route, double bytes) {
  Candidate scatter =
      withinDomain(*route.fits, Kind::ReduceScatter, route.most, bytes);
  Candidate gather =
      withinDomain(*route.fits, Kind::AllGather, route.most, bytes);
  Route between = route;
  between.ranks = route.domains;
  Candidate across;
  forEachFit(*route.fits, Kind::AllReduce, between.ranks, true,
             [&](const CollectiveFit &fit) {
               if (fit.algorithm == Algorithm::Ring)
                 keepLeast(across,
                           flatRing(between, fit, Kind::AllReduce, bytes));
             });
  return {scatter.seconds + across.seconds + gather.seconds,
          Algorithm::Hierarchical, across.protocol};
}

/// Of the bytes of one rank in an exchange between domains.
struct Moved {
  /// What its links within the domain carry, what leaves the domain for each
  /// of its members, and what is handled on the device.
  double within = 0, out = 0, handled = 1;
  /// To how many ranks of other domains it sends.
  double partners = 0;
};

/// Every pair by itself.
Moved movedInPairs(const Route &route) {
  double ranks = static_cast<double>(route.ranks);
  double outside = static_cast<double>(route.ranks - route.fewest);
  return {static_cast<double>(route.most - 1) / ranks, outside / ranks, 1,
          outside};
}

/// Each row once to a domain, and there once to each rank that wants it.
Moved movedOnce(const Route &route, const RowExchange &rows) {
  double copies = static_cast<double>(rows.routing.chosen);
  double toRanks = expectedParts(rows.routing, rows.parts) / copies;
  double toDomains = expectedParts(rows.routing, route.domains) / copies;
  double most = static_cast<double>(route.most);
  double others = static_cast<double>(route.domains - 1);
  return {toRanks * (most - 1) / most,
          toDomains * others / static_cast<double>(route.domains), toRanks,
          others};
}

/// What stays in the domain and what leaves it move at the same time, the
/// latter through the domain's adapters together.
Candidate directAcross(const Route &route, const CollectiveFit &fit,
                       const Moved &moved, double bytes) {
  const NetworkParameters &network = *route.network;
  double inside = static_cast<double>(route.most);
  double cost = costOver(route, fit.protocol, network.allToAllEfficiency);
  double each = std::max(moved.within * fit.wire + moved.handled * fit.local,
                         inside * moved.out * cost);
  double turns =
      std::ceil(moved.partners / static_cast<double>(network.parallelSends));
  return {fit.start + fit.step * (inside - 1) + route.latency * turns +
              fit.root * std::sqrt(bytes) + bytes * each,
          Algorithm::Direct, fit.protocol};
}

Candidate sendAcross(const Route &route, const CollectiveFit &fit,
                     double bytes) {
  double cost = std::max(
      fit.wire, costOver(route, fit.protocol, route.network->sendEfficiency));
  return {fit.start + route.latency + fit.root * std::sqrt(bytes) +
              bytes * (cost + fit.local),
          Algorithm::Direct, fit.protocol};
}

Candidate acrossDomains(const Route &route, Kind kind, double bytes) {
  Candidate best;
  forEachFit(
      *route.fits, kind, route.ranks, true, [&](const CollectiveFit &fit) {
        if (kind == Kind::SendReceive)
          keepLeast(best, sendAcross(route, fit, bytes));
        else if (fit.algorithm == Algorithm::Direct)
          keepLeast(best, directAcross(route, fit, movedInPairs(route), bytes));
        else if (fit.algorithm == Algorithm::Ring)
          keepLeast(best, flatRing(route, fit, kind, bytes));
        if (kind == Kind::AllReduce)
          keepLeast(best, tree(route, fit, bytes));
      });
  if (kind == Kind::AllReduce && route.most > 1)
    keepLeast(best, hierarchical(route, bytes));
  return best;
}

/// Rows go once to each rank or domain that wants them.
Candidate exchangeOnce(const Route &route, const RowExchange &rows) {
  Moved moved = movedOnce(route, rows);
  double bytes = rows.bytes.asDouble();
  if (route.domains == 1)
    return withinDomain(*route.fits, Kind::AllToAll, route.ranks,
                        bytes * moved.handled);
  Candidate best;
  forEachFit(*route.fits, Kind::AllToAll, route.ranks, true,
             [&](const CollectiveFit &fit) {
               keepLeast(best, directAcross(route, fit, moved, bytes));
             });
  return best;
}

CollectiveEstimate estimateOf(const Route &route, const Candidate &best) {
  return {picosecondsFromSeconds(best.seconds), best.algorithm, best.protocol,
          route.domains > 1};
}

CollectiveEstimate estimate(const Route &route, Kind kind, Bytes bytes) {
  return estimateOf(route, route.domains == 1
                               ? withinDomain(*route.fits, kind, route.ranks,
                                              bytes.asDouble())
                               : acrossDomains(route, kind, bytes.asDouble()));
}

} // namespace

CollectiveEstimate CollectiveModel::collective(const Group &group, Kind kind,
                                               Bytes bytes) const {
  if (group.size <= 1 || bytes == Bytes())
    return {};
  GroupLinks links = cluster.linksOf(group.parts());
  return estimate(routeOf(cluster, links, group.size, group.concurrent), kind,
                  bytes);
}

CollectiveEstimate CollectiveModel::exchange(const Group &group,
                                             const RowExchange &rows) const {
  if (rows.routing.experts == 1)
    return collective(group, Kind::AllToAll, rows.bytes);
  if (group.size <= 1 || rows.bytes == Bytes())
    return {};
  GroupLinks links = cluster.linksOf(group.parts());
  Route route = routeOf(cluster, links, group.size, group.concurrent);
  return estimateOf(route, exchangeOnce(route, rows));
}

CollectiveEstimate CollectiveModel::send(int64_t from, int64_t to,
                                         int64_t concurrent,
                                         Bytes bytes) const {
  if (from == to || bytes == Bytes())
    return {};
  RankGroup pair{std::min(from, to), 2, std::abs(to - from)};
  return estimate(routeOf(cluster, cluster.linksOf(pair), 2, concurrent),
                  Kind::SendReceive, bytes);
}

} // namespace whale::cost
