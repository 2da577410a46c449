//===- World.h - Memory that the ranks of one host share --------*- C++ -*-===//
//
// `local` (ranks are threads) and `shm` (ranks are processes forked from one
// launcher) differ in one thing only: where this memory comes from. Both give
// every rank the same addresses, so one communicator serves both. Arenas live
// here too: members of a collective read each other's operands in place.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_COMM_WORLD_H
#define WHALE_RUNTIME_COMM_WORLD_H

#include "runtime/core/Communicator.h"

#include <atomic>
#include <memory>

namespace whale::runtime {

/// A one-way channel for messages.
struct ChannelPlan {
  uint32_t from = 0;
  uint32_t to = 0;
  uint64_t capacity = 0; ///< bytes that can be under way
};

/// What a job needs of its world.
struct WorldPlan {
  uint32_t ranks = 0;
  std::vector<std::vector<uint32_t>> communicators;
  std::vector<ChannelPlan> channels;
  std::vector<uint64_t> arenaBytes; ///< by rank; may be empty
};

/// Threads of this process, or processes forked later.
enum class Sharing { Threads, Processes };

// The layouts below are shared between processes: plain data and lock-free
// atomics, no pointers of one process's heap.

/// What a member says about the collective that it makes.
struct alignas(64) MemberSlot {
  std::atomic<uint64_t> tag;   ///< kind, reduction, dtype, root
  std::atomic<uint64_t> count; ///< elements that all members must agree on
  std::atomic<uint64_t> arrived; ///< number of collectives begun
  std::atomic<uint64_t> finished;
  const void *input;
  void *output;
};

/// Followed by size MemberSlots and, for AllToAll, size * size counts.
struct alignas(64) GroupState {
  std::atomic<uint32_t> bell; ///< futex: rung when the last member arrives
  std::atomic<uint32_t> arrivals;
  std::atomic<uint32_t> finishes;
};

/// Followed by the ring's bytes.
struct alignas(64) ChannelState {
  std::atomic<uint32_t> bell; ///< futex: rung at each push and pop
  alignas(64) std::atomic<uint64_t> pushed; ///< bytes, never wraps
  alignas(64) std::atomic<uint64_t> popped;
};

/// Who failed first, and why.
struct alignas(64) AbortState {
  std::atomic<uint32_t> state; ///< 0 none, 1 being written, 2 set
  int64_t rank;
  char message[1024];
};

/// See the file comment. Made by the launcher before it forks.
class World {
public:
  static Result<std::unique_ptr<World>> create(const WorldPlan &plan,
                                               Sharing sharing);
  ~World();
  World(const World &) = delete;
  World &operator=(const World &) = delete;

  const WorldPlan &plan() const { return Plan; }
  std::byte *arena(uint32_t rank) const { return Arenas[rank]; }
  /// Whether other ranks can read this memory of `rank` at this address.
  bool isShared(uint32_t rank, const void *data, uint64_t bytes) const;
  /// Communicator::maxExchange numbers of each rank.
  double *scratch(uint32_t rank) const {
    return Scratch + rank * Communicator::maxExchange;
  }

  /// Communicators of the plan, then one of all ranks.
  uint32_t worldGroup() const {
    return static_cast<uint32_t>(Plan.communicators.size() - 1);
  }
  const std::vector<uint32_t> &members(uint32_t group) const {
    return Plan.communicators[group];
  }
  GroupState &group(uint32_t index) const { return *Groups[index]; }
  MemberSlot *slots(uint32_t index) const;
  uint64_t *counts(uint32_t index) const;

  /// Index of the channel, or -1.
  int64_t findChannel(uint32_t from, uint32_t to) const;
  ChannelState &channel(int64_t index) const { return *Channels[index]; }
  std::byte *bytesOf(int64_t index) const {
    return reinterpret_cast<std::byte *>(Channels[index] + 1);
  }

  /// Records the first failure and wakes everybody.
  void abort(int64_t rank, const std::string &message);
  /// The failure of another rank, or success.
  Status aborted() const;

private:
  World() = default;
  Status allocateAll();

  WorldPlan Plan;
  void *Control = nullptr;
  uint64_t ControlBytes = 0;
  Sharing Kind = Sharing::Threads;
  AbortState *Abort = nullptr;
  double *Scratch = nullptr;
  std::vector<GroupState *> Groups;
  std::vector<ChannelState *> Channels;
  std::vector<std::byte *> Arenas;
};

/// Milliseconds of the monotonic clock.
int64_t nowMilliseconds();
/// Waits until the word differs from `seen`, is rung, or ~20 ms have passed.
void waitOn(std::atomic<uint32_t> &word, uint32_t seen);
void ring(std::atomic<uint32_t> &word);

/// The communicator of one rank. `timeoutMilliseconds` bounds every call.
std::unique_ptr<Communicator> makeCommunicator(World &world, uint32_t rank,
                                               int64_t timeoutMilliseconds);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_COMM_WORLD_H
