//===- World.cpp ----------------------------------------------------------===//

#include "runtime/comm/World.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <linux/futex.h>
#include <numeric>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace whale::runtime {

using namespace format;

static_assert(std::atomic<uint64_t>::is_always_lock_free &&
              std::atomic<uint32_t>::is_always_lock_free);

//===----------------------------------------------------------------------===//
// Waiting
//===----------------------------------------------------------------------===//

int64_t nowMilliseconds() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch())
      .count();
}

namespace {

/// A sleeper looks for an abort and its deadline this often.
constexpr long pollNanoseconds = 20'000'000;

long futex(std::atomic<uint32_t> &word, int operation, uint32_t value,
           const timespec *timeout) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), operation,
                 value, timeout, nullptr, 0);
}

} // namespace

void waitOn(std::atomic<uint32_t> &word, uint32_t seen) {
  timespec timeout = {0, pollNanoseconds};
  if (word.load(std::memory_order_acquire) == seen)
    futex(word, FUTEX_WAIT, seen, &timeout);
}

void ring(std::atomic<uint32_t> &word) {
  word.fetch_add(1, std::memory_order_acq_rel);
  futex(word, FUTEX_WAKE, INT_MAX, nullptr);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

namespace {

constexpr uint64_t roundUp(uint64_t bytes, uint64_t to) {
  return (bytes + to - 1) / to * to;
}

uint64_t groupBytes(uint64_t size) {
  return sizeof(GroupState) + size * sizeof(MemberSlot) +
         roundUp(size * size * sizeof(uint64_t), 64);
}

/// Zero pages, given out as they are touched; shared after fork if asked.
void *mapMemory(uint64_t bytes, Sharing sharing) {
  int flags = MAP_ANONYMOUS | MAP_NORESERVE |
              (sharing == Sharing::Processes ? MAP_SHARED : MAP_PRIVATE);
  void *memory = mmap(nullptr, std::max<uint64_t>(bytes, 1),
                      PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED)
    return nullptr;
  madvise(memory, bytes, MADV_HUGEPAGE); // a wish, it may fail
  return memory;
}

} // namespace

Result<std::unique_ptr<World>> World::create(const WorldPlan &plan,
                                             Sharing sharing) {
  std::unique_ptr<World> world(new World());
  world->Plan = plan;
  world->Kind = sharing;
  std::vector<uint32_t> everybody(plan.ranks);
  std::iota(everybody.begin(), everybody.end(), 0u);
  world->Plan.communicators.push_back(everybody);
  world->Plan.arenaBytes.resize(plan.ranks, 0);
  for (ChannelPlan &channel : world->Plan.channels)
    channel.capacity = roundUp(std::max<uint64_t>(channel.capacity, 64), 64);
  if (Status status = world->allocateAll(); status.failed())
    return status;
  return world;
}

Status World::allocateAll() {
  const uint64_t scratchBytes =
      Plan.ranks * Communicator::maxExchange * sizeof(double);
  uint64_t bytes = sizeof(AbortState) + scratchBytes;
  for (const auto &members : Plan.communicators)
    bytes += groupBytes(members.size());
  for (const ChannelPlan &channel : Plan.channels)
    bytes += sizeof(ChannelState) + channel.capacity;
  ControlBytes = bytes;
  Control = mapMemory(bytes, Kind);
  if (!Control)
    return badInput("cannot map " + std::to_string(bytes) +
                    " bytes for communication");
  std::byte *next = static_cast<std::byte *>(Control);
  Abort = new (next) AbortState();
  next += sizeof(AbortState);
  Scratch = reinterpret_cast<double *>(next);
  next += scratchBytes;
  for (const auto &members : Plan.communicators) {
    Groups.push_back(new (next) GroupState());
    for (size_t i = 0; i < members.size(); ++i)
      new (next + sizeof(GroupState) + i * sizeof(MemberSlot)) MemberSlot();
    next += groupBytes(members.size());
  }
  for (const ChannelPlan &channel : Plan.channels) {
    Channels.push_back(new (next) ChannelState());
    next += sizeof(ChannelState) + channel.capacity;
  }
  for (uint64_t arenaBytes : Plan.arenaBytes) {
    void *arena = mapMemory(arenaBytes, Kind);
    if (!arena)
      return badInput("cannot map an arena of " + std::to_string(arenaBytes) +
                      " bytes");
    Arenas.push_back(static_cast<std::byte *>(arena));
  }
  return Status();
}

World::~World() {
  for (size_t i = 0; i < Arenas.size(); ++i)
    munmap(Arenas[i], std::max<uint64_t>(Plan.arenaBytes[i], 1));
  if (Control)
    munmap(Control, ControlBytes);
}

bool World::isShared(uint32_t rank, const void *data, uint64_t bytes) const {
  if (Kind == Sharing::Threads || bytes == 0)
    return true;
  const std::byte *first = static_cast<const std::byte *>(data);
  const std::byte *arena = Arenas[rank];
  return first >= arena && first + bytes <= arena + Plan.arenaBytes[rank];
}

MemberSlot *World::slots(uint32_t index) const {
  return reinterpret_cast<MemberSlot *>(Groups[index] + 1);
}

uint64_t *World::counts(uint32_t index) const {
  return reinterpret_cast<uint64_t *>(slots(index) + members(index).size());
}

int64_t World::findChannel(uint32_t from, uint32_t to) const {
  for (size_t i = 0; i < Plan.channels.size(); ++i)
    if (Plan.channels[i].from == from && Plan.channels[i].to == to)
      return static_cast<int64_t>(i);
  return -1;
}

//===----------------------------------------------------------------------===//
// Failing together
//===----------------------------------------------------------------------===//

void World::abort(int64_t rank, const std::string &message) {
  uint32_t none = 0;
  if (Abort->state.compare_exchange_strong(none, 1)) {
    Abort->rank = rank;
    size_t size = std::min(message.size(), sizeof(Abort->message) - 1);
    std::memcpy(Abort->message, message.data(), size);
    Abort->message[size] = 0;
    Abort->state.store(2, std::memory_order_release);
  }
  for (GroupState *group : Groups)
    ring(group->bell);
  for (ChannelState *channel : Channels)
    ring(channel->bell);
}

Status World::aborted() const {
  if (Abort->state.load(std::memory_order_acquire) != 2)
    return Status();
  return Status::error(ErrorKind::PeerLost,
                       "rank " + std::to_string(Abort->rank) +
                           " ended the job: " + Abort->message);
}

} // namespace whale::runtime
