//===- SharedCommunicator.cpp - Collectives over a World ------------------===//
//
// A collective has three phases. Each member publishes what it is about to do
// and where its operands are, waits for the others, and compares. Then it does
// its part by reading the operands of the others in place. Last it waits until
// all are through, because until then its own operands are being read.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Reduce.h"
#include "runtime/comm/World.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace whale::runtime {

using namespace format;

namespace {

std::string describe(uint64_t tag, uint64_t count) {
  std::string out = EnumNameCollectiveKind(CollectiveKind(tag & 0xff));
  out += std::string("(") + EnumNameReduction(Reduction(tag >> 8 & 0xff)) +
         ", " + std::string(nameOf(DType(tag >> 16 & 0xff))) + ", " +
         std::to_string(count) + " elements, root " +
         std::to_string(tag >> 24) + ")";
  return out;
}

struct Header {
  uint64_t tag;
  uint64_t bytes;
};

class SharedCommunicator final : public Communicator {
public:
  SharedCommunicator(World &world, uint32_t rank, int64_t timeout)
      : Shared(world), Rank(rank), Timeout(timeout),
        Begun(world.plan().communicators.size(), 0) {}

  uint32_t rank() const override { return Rank; }
  uint32_t size() const override { return Shared.plan().ranks; }

  Status collective(const CollectiveCall &call) override;
  Status send(uint32_t peer, uint32_t tag, const void *data,
              uint64_t bytes) override;
  Status receive(uint32_t peer, uint32_t tag, void *data,
                 uint64_t bytes) override;
  Status barrier() override {
    CollectiveCall call;
    call.communicator = Shared.worldGroup();
    return collective(call);
  }
  Status exchange(const double *mine, uint64_t count, double *all) override;
  void abort(const Error &error) override {
    Shared.abort(Rank, error.text());
  }

private:
  /// One collective in flight.
  struct Meeting {
    const CollectiveCall &call;
    GroupState &group;
    MemberSlot *slots;
    uint64_t *counts; ///< row of each member
    size_t size;
    size_t me;
  };
  using Action = void (SharedCommunicator::*)(const Meeting &);
  static const Action actions[];

  void publish(const Meeting &meeting, uint64_t number);
  Status awaitAll(const Meeting &meeting, uint64_t number, bool arriving);
  Status checkTags(const Meeting &meeting) const;

  void allReduce(const Meeting &meeting);
  void allGather(const Meeting &meeting);
  void reduceScatter(const Meeting &meeting);
  void allToAll(const Meeting &meeting);
  void broadcast(const Meeting &meeting);

  Status waitForRing(int64_t channel, uint32_t seen, int64_t deadline,
                     const std::string &what);
  static bool takeStashed(std::multimap<uint32_t, std::vector<std::byte>> &,
                          uint32_t tag, void *data, uint64_t bytes,
                          Status &status);

  World &Shared;
  uint32_t Rank;
  int64_t Timeout;
  std::vector<uint64_t> Begun; ///< collectives begun, by group
  /// Messages that came before they were asked for, by sender and tag.
  std::map<uint32_t, std::multimap<uint32_t, std::vector<std::byte>>> Stash;
};

/// By value of CollectiveKind.
const SharedCommunicator::Action SharedCommunicator::actions[] = {
    &SharedCommunicator::allReduce, &SharedCommunicator::allGather,
    &SharedCommunicator::reduceScatter, &SharedCommunicator::allToAll,
    &SharedCommunicator::broadcast};

//===----------------------------------------------------------------------===//
// Meeting
//===----------------------------------------------------------------------===//

/// Share of a member when counts are equal or given.
uint64_t countOf(const std::vector<uint64_t> *counts, uint64_t total,
                 size_t size, size_t member) {
  return counts && !counts->empty() ? (*counts)[member] : total / size;
}

uint64_t offsetOf(const std::vector<uint64_t> *counts, uint64_t total,
                  size_t size, size_t member) {
  uint64_t offset = 0;
  for (size_t i = 0; i < member; ++i)
    offset += countOf(counts, total, size, i);
  return offset;
}

/// The number that all members of a collective share.
uint64_t agreedCount(const CollectiveCall &call) {
  switch (call.kind) {
  case CollectiveKind::AllGather:
    return call.outputElements;
  case CollectiveKind::AllToAll:
    return 0; // compared pair by pair
  default:
    return call.inputElements;
  }
}

void SharedCommunicator::publish(const Meeting &meeting, uint64_t number) {
  const CollectiveCall &call = meeting.call;
  MemberSlot &slot = meeting.slots[meeting.me];
  slot.tag = uint64_t(call.kind) | uint64_t(call.reduction) << 8 |
             uint64_t(call.dtype) << 16 | uint64_t(call.root) << 24;
  slot.count = agreedCount(call);
  slot.input = call.input;
  slot.output = call.output;
  if (call.kind == CollectiveKind::AllToAll)
    for (size_t i = 0; i < meeting.size; ++i)
      meeting.counts[meeting.me * meeting.size + i] =
          countOf(call.counts, call.inputElements, meeting.size, i);
  slot.arrived.store(number, std::memory_order_release);
}

/// Waits until all members have reached collective `number`.
Status SharedCommunicator::awaitAll(const Meeting &meeting, uint64_t number,
                                    bool arriving) {
  auto &counter = arriving ? meeting.group.arrivals : meeting.group.finishes;
  uint32_t target = static_cast<uint32_t>(number * meeting.size);
  if (counter.fetch_add(1, std::memory_order_acq_rel) + 1 == target) {
    ring(meeting.group.bell);
    return Status();
  }
  int64_t deadline = nowMilliseconds() + Timeout;
  while (true) {
    uint32_t seen = meeting.group.bell.load(std::memory_order_acquire);
    // The counter may already be ahead, when others began the next one.
    if (static_cast<int32_t>(counter.load(std::memory_order_acquire) -
                             target) >= 0)
      return Status();
    if (Status status = Shared.aborted(); status.failed())
      return status;
    if (nowMilliseconds() >= deadline)
      break;
    waitOn(meeting.group.bell, seen);
  }
  const auto &members = Shared.members(meeting.call.communicator);
  std::string missing;
  for (size_t i = 0; i < meeting.size; ++i) {
    auto &reached =
        arriving ? meeting.slots[i].arrived : meeting.slots[i].finished;
    if (reached.load() < number)
      missing += (missing.empty() ? "" : ", ") + std::to_string(members[i]);
  }
  return Status::error(ErrorKind::Deadline,
                       std::string(EnumNameCollectiveKind(meeting.call.kind)) +
                           " waited " + std::to_string(Timeout) +
                           " ms for rank " + missing);
}

Status SharedCommunicator::checkTags(const Meeting &meeting) const {
  const MemberSlot &mine = meeting.slots[meeting.me];
  const auto &members = Shared.members(meeting.call.communicator);
  for (size_t i = 0; i < meeting.size; ++i) {
    const MemberSlot &other = meeting.slots[i];
    if (other.tag == mine.tag && other.count == mine.count)
      continue;
    return Status::error(
        ErrorKind::Mismatch,
        "collective " +
            std::to_string(Begun[meeting.call.communicator]) +
            " differs: rank " + std::to_string(Rank) + " is at " +
            describe(mine.tag, mine.count) + ", rank " +
            std::to_string(members[i]) + " is at " +
            describe(other.tag, other.count));
  }
  if (meeting.call.kind != CollectiveKind::AllToAll)
    return Status();
  const std::vector<uint64_t> *receive = meeting.call.receiveCounts;
  if (!receive || receive->empty())
    receive = meeting.call.counts;
  for (size_t i = 0; i < meeting.size; ++i) {
    uint64_t sent = meeting.counts[i * meeting.size + meeting.me];
    uint64_t expected =
        countOf(receive, meeting.call.outputElements, meeting.size, i);
    if (sent != expected)
      return Status::error(ErrorKind::Mismatch,
                           "rank " + std::to_string(members[i]) + " sends " +
                               std::to_string(sent) + " elements, rank " +
                               std::to_string(Rank) + " expects " +
                               std::to_string(expected));
  }
  return Status();
}

Status SharedCommunicator::collective(const CollectiveCall &call) {
  const auto &members = Shared.members(call.communicator);
  size_t me = std::find(members.begin(), members.end(), Rank) -
              members.begin();
  assert(me < members.size() && "not a member");
  uint64_t size = bytesOf(call.dtype);
  if (!Shared.isShared(Rank, call.input, size * call.inputElements) ||
      !Shared.isShared(Rank, call.output, size * call.outputElements))
    return Status::error(ErrorKind::Internal,
                         "an operand of a collective is not in the arena");
  Meeting meeting{call,           Shared.group(call.communicator),
                  Shared.slots(call.communicator),
                  Shared.counts(call.communicator),
                  members.size(), me};
  uint64_t number = ++Begun[call.communicator];
  publish(meeting, number);
  if (Status status = awaitAll(meeting, number, true); status.failed())
    return status;
  if (Status status = checkTags(meeting); status.failed()) {
    // Others may see equal tags; they must not wait for this member.
    Shared.abort(Rank, status.error().message);
    return status;
  }
  (this->*actions[static_cast<size_t>(call.kind)])(meeting);
  meeting.slots[me].finished.store(number, std::memory_order_release);
  return awaitAll(meeting, number, false);
}

Status SharedCommunicator::exchange(const double *mine, uint64_t count,
                                    double *all) {
  assert(count <= maxExchange && "too many numbers");
  std::copy_n(mine, count, Shared.scratch(Rank));
  if (Status status = barrier(); status.failed())
    return status;
  for (uint32_t rank = 0; rank < size(); ++rank)
    std::copy_n(Shared.scratch(rank), count, all + rank * count);
  return barrier(); // nobody may write again before all have read
}

//===----------------------------------------------------------------------===//
// The five collectives
//===----------------------------------------------------------------------===//

/// Each member reduces its chunk for all. In place is safe: a chunk is read
/// by its own member alone.
void SharedCommunicator::allReduce(const Meeting &meeting) {
  std::vector<const void *> inputs;
  std::vector<void *> outputs;
  for (size_t i = 0; i < meeting.size; ++i) {
    inputs.push_back(meeting.slots[i].input);
    outputs.push_back(meeting.slots[i].output);
  }
  uint64_t total = meeting.call.inputElements;
  uint64_t first = total * meeting.me / meeting.size;
  uint64_t last = total * (meeting.me + 1) / meeting.size;
  reduceRange(meeting.call.dtype, meeting.call.reduction, inputs, first, last,
              outputs, first);
}

void SharedCommunicator::allGather(const Meeting &meeting) {
  const CollectiveCall &call = meeting.call;
  uint64_t size = bytesOf(call.dtype);
  std::byte *output = static_cast<std::byte *>(call.output);
  for (size_t i = 0; i < meeting.size; ++i) {
    uint64_t bytes =
        size * countOf(call.counts, call.outputElements, meeting.size, i);
    if (bytes > 0)
      std::memcpy(output, meeting.slots[i].input, bytes);
    output += bytes;
  }
}

void SharedCommunicator::reduceScatter(const Meeting &meeting) {
  const CollectiveCall &call = meeting.call;
  std::vector<const void *> inputs;
  for (size_t i = 0; i < meeting.size; ++i)
    inputs.push_back(meeting.slots[i].input);
  uint64_t first =
      offsetOf(call.counts, call.inputElements, meeting.size, meeting.me);
  reduceRange(call.dtype, call.reduction, inputs, first,
              first + call.outputElements, {call.output}, 0);
}

void SharedCommunicator::allToAll(const Meeting &meeting) {
  uint64_t size = bytesOf(meeting.call.dtype);
  std::byte *output = static_cast<std::byte *>(meeting.call.output);
  for (size_t i = 0; i < meeting.size; ++i) {
    const uint64_t *row = meeting.counts + i * meeting.size;
    uint64_t offset = 0;
    for (size_t j = 0; j < meeting.me; ++j)
      offset += row[j];
    uint64_t bytes = size * row[meeting.me];
    if (bytes > 0)
      std::memcpy(output,
                  static_cast<const std::byte *>(meeting.slots[i].input) +
                      size * offset,
                  bytes);
    output += bytes;
  }
}

void SharedCommunicator::broadcast(const Meeting &meeting) {
  const CollectiveCall &call = meeting.call;
  const void *source = meeting.slots[call.root].input;
  uint64_t bytes = bytesOf(call.dtype) * call.outputElements;
  // The root may work in place.
  if (bytes > 0 && source != call.output)
    std::memcpy(call.output, source, bytes);
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

void copyIn(std::byte *ring, uint64_t capacity, uint64_t at, const void *data,
            uint64_t bytes) {
  uint64_t start = at % capacity;
  uint64_t first = std::min(bytes, capacity - start);
  std::memcpy(ring + start, data, first);
  std::memcpy(ring, static_cast<const std::byte *>(data) + first,
              bytes - first);
}

void copyOut(const std::byte *ring, uint64_t capacity, uint64_t at, void *data,
             uint64_t bytes) {
  uint64_t start = at % capacity;
  uint64_t first = std::min(bytes, capacity - start);
  std::memcpy(data, ring + start, first);
  std::memcpy(static_cast<std::byte *>(data) + first, ring, bytes - first);
}

Status SharedCommunicator::waitForRing(int64_t channel, uint32_t seen,
                                       int64_t deadline,
                                       const std::string &what) {
  if (Status status = Shared.aborted(); status.failed())
    return status;
  if (nowMilliseconds() >= deadline)
    return Status::error(ErrorKind::Deadline, what + " waited " +
                                                  std::to_string(Timeout) +
                                                  " ms");
  waitOn(Shared.channel(channel).bell, seen);
  return Status();
}

Status SharedCommunicator::send(uint32_t peer, uint32_t tag, const void *data,
                                uint64_t bytes) {
  int64_t index = Shared.findChannel(Rank, peer);
  uint64_t needed = sizeof(Header) + bytes;
  if (index < 0 || needed > Shared.plan().channels[index].capacity)
    return Status::error(ErrorKind::Internal,
                         "no channel from rank " + std::to_string(Rank) +
                             " to rank " + std::to_string(peer) + " for " +
                             std::to_string(bytes) + " bytes");
  ChannelState &channel = Shared.channel(index);
  uint64_t capacity = Shared.plan().channels[index].capacity;
  uint64_t pushed = channel.pushed.load(std::memory_order_relaxed);
  int64_t deadline = nowMilliseconds() + Timeout;
  while (true) {
    uint32_t seen = channel.bell.load(std::memory_order_acquire);
    if (pushed + needed - channel.popped.load(std::memory_order_acquire) <=
        capacity)
      break;
    if (Status status =
            waitForRing(index, seen, deadline,
                        "send to rank " + std::to_string(peer) + ", tag " +
                            std::to_string(tag) + ",");
        status.failed())
      return status;
  }
  Header header{tag, bytes};
  copyIn(Shared.bytesOf(index), capacity, pushed, &header, sizeof header);
  copyIn(Shared.bytesOf(index), capacity, pushed + sizeof header, data, bytes);
  channel.pushed.store(pushed + needed, std::memory_order_release);
  ring(channel.bell);
  return Status();
}

Status wrongSize(uint32_t tag, uint64_t sent, uint64_t expected) {
  return Status::error(ErrorKind::Mismatch,
                       "message with tag " + std::to_string(tag) + " has " +
                           std::to_string(sent) + " bytes, the receiver " +
                           "expects " + std::to_string(expected));
}

bool SharedCommunicator::takeStashed(
    std::multimap<uint32_t, std::vector<std::byte>> &stash, uint32_t tag,
    void *data, uint64_t bytes, Status &status) {
  auto found = stash.lower_bound(tag);
  if (found == stash.end() || found->first != tag)
    return false;
  if (found->second.size() != bytes)
    status = wrongSize(tag, found->second.size(), bytes);
  else
    std::memcpy(data, found->second.data(), bytes);
  stash.erase(found);
  return true;
}

Status SharedCommunicator::receive(uint32_t peer, uint32_t tag, void *data,
                                   uint64_t bytes) {
  int64_t index = Shared.findChannel(peer, Rank);
  if (index < 0)
    return Status::error(ErrorKind::Internal,
                         "no channel from rank " + std::to_string(peer) +
                             " to rank " + std::to_string(Rank));
  auto &stash = Stash[peer];
  Status status;
  if (takeStashed(stash, tag, data, bytes, status))
    return status;
  ChannelState &channel = Shared.channel(index);
  uint64_t capacity = Shared.plan().channels[index].capacity;
  uint64_t popped = channel.popped.load(std::memory_order_relaxed);
  int64_t deadline = nowMilliseconds() + Timeout;
  while (true) {
    uint32_t seen = channel.bell.load(std::memory_order_acquire);
    if (channel.pushed.load(std::memory_order_acquire) == popped) {
      status = waitForRing(index, seen, deadline,
                           "receive from rank " + std::to_string(peer) +
                               ", tag " + std::to_string(tag) + ",");
      if (status.failed())
        return status;
      continue;
    }
    Header header;
    copyOut(Shared.bytesOf(index), capacity, popped, &header, sizeof header);
    uint64_t start = popped + sizeof header;
    bool wanted = header.tag == tag;
    if (wanted && header.bytes != bytes)
      return wrongSize(tag, header.bytes, bytes);
    std::vector<std::byte> early(wanted ? 0 : header.bytes);
    copyOut(Shared.bytesOf(index), capacity, start, wanted ? data : early.data(),
            header.bytes);
    popped = start + header.bytes;
    channel.popped.store(popped, std::memory_order_release);
    ring(channel.bell);
    if (wanted)
      return Status();
    stash.emplace(static_cast<uint32_t>(header.tag), std::move(early));
  }
}

} // namespace

std::unique_ptr<Communicator> makeCommunicator(World &world, uint32_t rank,
                                               int64_t timeoutMilliseconds) {
  return std::make_unique<SharedCommunicator>(world, rank,
                                              timeoutMilliseconds);
}

} // namespace whale::runtime
