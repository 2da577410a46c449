//===- Network.h - what a pipeline's stages send ----------------*- C++ -*-===//
//
// Links carry one transfer at a time. Over a link with one sending stage,
// transfers go in the order in which they come. Over a shared one they go in
// the order in which they are ready: they wait as requests until all stages are
// stuck. Then the earliest may go, for whatever is computed later ends later.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SIMULATOR_NETWORK_H
#define WHALE_SIMULATOR_NETWORK_H

#include "compiler/support/Units.h"

#include <algorithm>
#include <map>
#include <optional>
#include <queue>
#include <vector>

namespace whale::simulator {

/// Times at which a stage communicates, for the slow-down of its compute.
class CommunicationTimes {
public:
  /// Intervals may come in any order.
  void add(Picoseconds start, Picoseconds end);
  /// When `work` that starts at `start` ends, `slowDown` times slower while the
  /// stage communicates. Starts must not decrease.
  Picoseconds end(Picoseconds start, Picoseconds work, double slowDown);

private:
  struct Interval {
    Picoseconds start, end;
  };
  /// Sorted, apart from each other.
  std::vector<Interval> intervals;
  size_t first = 0;
};

/// A value for a chunk, numbered over all stages.
struct Message {
  size_t chunk = 0;
  int64_t microBatch = 0;
  bool forward = true;
};

/// A transfer that waits for a shared link.
struct Request {
  size_t link = 0, stage = 0;
  Picoseconds ready, time;
  Message message;
  /// How many came before; set by the network.
  size_t number = 0;
};

class Network {
public:
  /// The link between two stages, and one that several stages may share.
  size_t linkBetween(size_t from, size_t to);
  size_t namedLink(size_t from, int64_t name);
  /// Does more than one stage send over it?
  bool isShared(size_t link) const { return links[link].shared; }

  /// Sends as soon as value and link are there; gives the start.
  Picoseconds occupy(size_t link, Picoseconds ready, Picoseconds time) {
    Picoseconds start = std::max(links[link].free, ready);
    links[link].free = start + time;
    return start;
  }

  void request(Request request);
  /// The request that was ready first, ties by stage, then by age; nothing if
  /// there is none.
  std::optional<Request> nextRequest();

private:
  struct Link {
    size_t sender = 0;
    bool shared = false;
    Picoseconds free;
  };
  struct Later {
    bool operator()(const Request &a, const Request &b) const;
  };

  size_t usedBy(size_t from, size_t link);

  std::vector<Link> links;
  std::map<int64_t, size_t> byName;
  std::map<std::pair<size_t, size_t>, size_t> byStages;
  std::priority_queue<Request, std::vector<Request>, Later> waiting;
  size_t requests = 0;
};

} // namespace whale::simulator

#endif // WHALE_SIMULATOR_NETWORK_H
