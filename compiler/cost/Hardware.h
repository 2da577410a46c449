//===- Hardware.h - what the cost model asks a cluster ----------*- C++ -*-===//
//
// The few questions that planning has about machines. CatalogueHardware answers
// them from a cluster file and the catalogue; tests answer with round numbers.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_HARDWARE_H
#define WHALE_COST_HARDWARE_H

#include "compiler/cluster/Cluster.h"
#include "compiler/cost/Execution.h"
#include "compiler/cost/Routing.h"
#include "compiler/cost/Sharding.h"
#include "compiler/support/Units.h"

#include <string>
#include <string_view>
#include <vector>

namespace whale::cost {

/// One kernel on one device.
struct OpWork {
  workload::OpKind kind = workload::OpKind::Other;
  /// Element type of the arithmetic: "bf16", "f32"...
  std::string_view precision = "f32";
  Flops flops;
  /// Memory traffic: operands and results that lie in memory.
  Bytes bytes;
  /// Contractions: `batch` products of m x k by k x n; else 0.
  int64_t batch = 0, m = 0, n = 0, k = 0;
  /// Contractions: an operand or the result has rows of an odd length.
  bool oddRows = false;
  /// Runs inside another kernel: no launch.
  bool fused = false;
  bool backward = false;
  /// Each row meets one of several experts.
  bool routed = false;
  /// Attention: elements of the score matrices, and the share of them that a
  /// mask leaves.
  double scores = 0, used = 1;
  /// Attention: length of the keys, and elements of a head; 0 = not known.
  int64_t keys = 0, headSize = 0;
};

/// The devices of a collective: first, first + stride, ... (size of them, less
/// those that `others` lists).
struct Group {
  int64_t first = 0, size = 1, stride = 1;
  /// Equal groups that run the same collective at the same time and share the
  /// network ports of a node.
  int64_t concurrent = 1;
  /// What the members have in common: shards of ops, which wait for each other
  /// in every micro-batch, or copies of the model.
  enum class Role : uint8_t { Split, Replicas } role = Role::Split;
  /// Members in further pools.
  std::vector<RankGroup> others = {};

  /// The members of the first pool, then the others.
  std::vector<RankGroup> parts() const;
  auto operator<=>(const Group &) const = default;
};

/// Rows on their way to their experts, or back.
struct RowExchange {
  /// On one rank, as many copies of each row as it has chosen experts.
  Bytes bytes;
  /// What is sent instead, where a row goes once to each part that has any of
  /// its experts: with one expert, all copies are sent.
  Routing routing;
  /// Over how many ranks of this and outer axes the experts are cut.
  int64_t parts = 1;
};

/// Devices first..first+count-1 are of one type, in nodes of one kind.
struct Pool {
  unsigned type = 0;
  int64_t first = 0, count = 0;
  int64_t perNode = 1;
  /// Devices between which no network lies: the node's, or those of the nodes
  /// that share one NVLink domain, counted from `first`.
  int64_t perDomain = perNode;

  bool operator==(const Pool &) const = default;
  bool contains(int64_t device) const {
    return device >= first && device < first + count;
  }
  /// Whether so many devices from one on, which is in it, are.
  bool holds(int64_t device, int64_t size) const {
    return device + size <= first + count;
  }
};

/// What one device can use of its node's main memory: an equal share of it.
struct HostShare {
  /// Nothing: state and activations cannot lie there.
  Bytes memory;
  /// To it and from it at once, each way, while all devices do the same.
  BytesPerSecond link;
  /// Of the memory: what transfers and the host's processor take together.
  BytesPerSecond bandwidth;
  /// The catalogue's default, since the cluster file says nothing.
  bool isAssumed = false;
};

class Hardware {
public:
  virtual ~Hardware() = default;

  /// The software on it.
  Execution execution;

  /// All devices, in their order; neighbouring pools differ.
  virtual const std::vector<Pool> &pools() const = 0;
  virtual std::string typeName(unsigned type) const = 0;
  /// Of one device: whole memory, and what a program cannot have of it.
  virtual Bytes capacity(unsigned type) const = 0;
  virtual Bytes reserve(unsigned type) const = 0;
  virtual HostShare host(unsigned) const { return {}; }
  /// Printed peak for an element type; bounds and utilisation come from it.
  virtual FlopsPerSecond peak(unsigned type,
                              std::string_view precision) const = 0;
  virtual Picoseconds opTime(unsigned type, const OpWork &work) const = 0;
  virtual Picoseconds collectiveTime(const Group &group, CollectiveKind kind,
                                     Bytes bytes) const = 0;
  /// An all-to-all of the rows of experts.
  virtual Picoseconds exchangeTime(const Group &group,
                                   const RowExchange &rows) const {
    return collectiveTime(group, CollectiveKind::AllToAll, rows.bytes);
  }
  /// How that collective is done ("ring, ll128"), for people; empty if nothing
  /// is to be said.
  virtual std::string collectiveMethod(const Group &, CollectiveKind,
                                       Bytes) const {
    return {};
  }
  /// Between two devices, `concurrent` pairs of the same nodes at once.
  virtual Picoseconds sendTime(int64_t from, int64_t to, int64_t concurrent,
                               Bytes bytes) const = 0;

  int64_t deviceCount() const;
  const Pool &poolOf(int64_t device) const;
  /// Number of a device's node; nodes are numbered through all pools.
  int64_t nodeOf(int64_t device) const;
  Bytes usable(unsigned type) const { return capacity(type) - reserve(type); }
};

/// Alpha-beta time of a collective over a ring of `size` ranks. Each step costs
/// `latency`; `bandwidth` is what one rank sends at. Bytes as in Transfer.
/// Source: Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005: ring all-reduce
/// 2(p-1) steps of n/p, all-gather and reduce-scatter p-1 steps of n/p,
/// pairwise all-to-all p-1 messages of n/p, scatter and ring broadcast.
Picoseconds ringTime(CollectiveKind kind, int64_t size, Bytes bytes,
                     Picoseconds latency, BytesPerSecond bandwidth);

} // namespace whale::cost

#endif // WHALE_COST_HARDWARE_H
