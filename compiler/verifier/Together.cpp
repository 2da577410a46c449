//===- Together.cpp - what ranks do with each other -----------------------===//

#include "compiler/verifier/SimulationState.h"

#include <algorithm>

namespace whale::verifier {

using namespace format;

namespace {

std::string rankText(uint32_t rank) { return "rank " + std::to_string(rank); }

std::string listText(const std::vector<uint64_t> &values) {
  std::string out;
  for (uint64_t value : values)
    out += (out.empty() ? "" : ", ") + std::to_string(value);
  return "[" + out + "]";
}

/// Elements that all members must agree on.
uint64_t sharedElements(const CollectiveT &c) {
  switch (c.kind) {
  case CollectiveKind::AllGather:
    return *elementsOf(c.output->dims);
  case CollectiveKind::AllToAll:
    return 0; // each pair agrees, see agreeOnPairs
  default:
    return *elementsOf(c.input->dims);
  }
}

/// Counts of what member `i` of `size` gets, or gives, in an all-to-all.
uint64_t countAt(const std::vector<uint64_t> &counts, const OperandT &whole,
                 size_t i, size_t size) {
  return counts.empty() ? *elementsOf(whole.dims) / size : counts[i];
}

/// What `a` sends to `b` is what `b` expects, both ways.
std::string agreeOnPairs(const CollectiveT &a, size_t atA, const CollectiveT &b,
                         size_t atB, size_t size) {
  auto expected = [](const CollectiveT &c) -> const std::vector<uint64_t> & {
    return c.receiveCounts.empty() ? c.counts : c.receiveCounts;
  };
  bool forth = countAt(a.counts, *a.input, atB, size) ==
               countAt(expected(b), *b.output, atA, size);
  bool back = countAt(b.counts, *b.input, atA, size) ==
              countAt(expected(a), *a.output, atB, size);
  return forth && back ? "" : "sends other counts than are expected";
}

/// How `b` differs from `a`, in words for `b`; empty = not at all.
std::string difference(const CollectiveT &a, size_t atA, const CollectiveT &b,
                       size_t atB, size_t size) {
  auto names = [](const CollectiveT &c) {
    return "'" + std::string(EnumNameCollectiveKind(c.kind)) + "'";
  };
  if (a.kind != b.kind)
    return "makes " + names(b) + " where the other makes " + names(a);
  bool reduces = a.kind == CollectiveKind::AllReduce ||
                 a.kind == CollectiveKind::ReduceScatter;
  if (reduces && a.reduction != b.reduction)
    return "reduces by '" + std::string(EnumNameReduction(b.reduction)) +
           "' where the other reduces by '" + EnumNameReduction(a.reduction) +
           "'";
  if (a.input->dtype != b.input->dtype)
    return "has type '" + std::string(nameOf(b.input->dtype)) +
           "' where the other has '" + std::string(nameOf(a.input->dtype)) +
           "'";
  if (a.kind == CollectiveKind::Broadcast && a.root != b.root)
    return "takes another root";
  if (a.kind == CollectiveKind::AllToAll)
    return agreeOnPairs(a, atA, b, atB, size);
  if (sharedElements(a) != sharedElements(b))
    return "has " + std::to_string(sharedElements(b)) +
           " elements where the other has " + std::to_string(sharedElements(a));
  bool scatters = a.kind == CollectiveKind::AllGather ||
                  a.kind == CollectiveKind::ReduceScatter;
  if (scatters && a.counts != b.counts)
    return "has counts " + listText(b.counts) + " where the other has " +
           listText(a.counts);
  return "";
}

/// What all members get, or what is scattered over them.
Value resultOf(const CollectiveT &c, const std::vector<Value> &inputs,
               SampleSets &sets) {
  if (c.kind == CollectiveKind::Broadcast)
    return inputs[c.root];
  Value all;
  all.hash = combine(static_cast<uint64_t>(c.kind),
                     static_cast<uint64_t>(c.reduction));
  for (const Value &input : inputs) {
    all.hash = combine(all.hash, input.hash);
    all.samples = sets.unite(all.samples, input.samples);
  }
  return all;
}

} // namespace

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

Simulation::Outcome Simulation::runSend(Rank &rank,
                                        const OperationUnion &operation,
                                        const Effects &effects) {
  const SendT &send = *operation.AsSend();
  std::optional<Value> value = read(rank, effects.reads[0]);
  if (!value)
    return Outcome::Failed;
  const uint32_t peer = rank.info.peers[send.peer];
  if (peer == rank.rank)
    return fail(rank, "sends to itself");
  Channels[{rank.rank, peer, send.tag}].push_back(
      {*value, send.operand.get(), spotOf(rank), rank.writer});
  wake(peer);
  return Outcome::Went;
}

Simulation::Outcome Simulation::runReceive(Rank &rank,
                                           const OperationUnion &operation,
                                           const Effects &effects) {
  const ReceiveT &receive = *operation.AsReceive();
  auto channel =
      Channels.find({rank.info.peers[receive.peer], rank.rank, receive.tag});
  if (channel == Channels.end() || channel->second.empty())
    return Outcome::Waits;
  Message message = channel->second.front();
  channel->second.pop_front();
  const OperandT &got = *message.operand, &wanted = *receive.operand;
  auto note = [&](Diag &diag) {
    diag.hint("it was sent by " + rankText(message.spot.rank) +
              ", instruction " + std::to_string(message.spot.instruction) +
              " of its section '" +
              Set.of(message.spot.rank)
                  .program->sections[message.spot.section]
                  ->name +
              "', micro-batch " + std::to_string(message.writer.microBatch));
    return Outcome::Failed;
  };
  if (got.dtype != wanted.dtype || *bytesOf(got) != *bytesOf(wanted))
    return note(reportAt(Diags, Set, Entry, spotOf(rank),
                         "receives " + std::to_string(*bytesOf(got)) +
                             " bytes of '" + std::string(nameOf(got.dtype)) +
                             "' where " + std::to_string(*bytesOf(wanted)) +
                             " of '" + std::string(nameOf(wanted.dtype)) +
                             "' are expected"));
  if (message.writer.isRepeated && rank.writer.isRepeated &&
      message.writer.microBatch != rank.writer.microBatch)
    return note(reportAt(Diags, Set, Entry, spotOf(rank),
                         "receives another micro-batch in micro-batch " +
                             std::to_string(rank.writer.microBatch)));
  write(rank, effects.writes[0], message.value);
  return Outcome::Went;
}

bool Simulation::reportLeftOver() {
  for (const auto &[channel, messages] : Channels) {
    if (messages.empty())
      continue;
    reportAt(Diags, Set, Entry, messages.front().spot,
             "the message to " + rankText(std::get<1>(channel)) + " with tag " +
                 std::to_string(std::get<2>(channel)) + " is never received");
    return true;
  }
  return false;
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

Simulation::Outcome Simulation::runCollective(Rank &rank,
                                              const OperationUnion &operation,
                                              const Effects &effects) {
  const uint32_t group = operation.AsCollective()->group;
  const uint32_t communicator = rank.info.groups[group];
  Gathering &gathering = Gatherings[communicator];
  const auto &members = Set.manifest->communicators[communicator];
  if (rank.hasArrived)
    return Outcome::Waits;
  std::optional<Value> value = read(rank, effects.reads[0]);
  if (!value)
    return Outcome::Failed;
  const size_t me = rank.places[group];
  if (me == members.size())
    return fail(rank,
                "is no member of communicator " + std::to_string(communicator));
  // Agreement is transitive but for all-to-all, which is one of pairs.
  bool isPairwise = operation.AsCollective()->kind == CollectiveKind::AllToAll;
  for (size_t i = 0; gathering.arrived > 0 && i < members.size(); ++i) {
    if (!gathering.present[i])
      continue;
    if (!agree(*Ranks[members[i]], i, rank, me, communicator))
      return Outcome::Failed;
    if (!isPairwise)
      break;
  }
  gathering.values[me] = *value;
  gathering.present[me] = true;
  rank.hasArrived = true;
  if (++gathering.arrived < members.size())
    return Outcome::Waits;
  finish(communicator, rank);
  return Outcome::Went;
}

/// Both stand at a collective of the communicator: it must be the same one.
bool Simulation::agree(const Rank &a, size_t atA, const Rank &b, size_t atB,
                       uint32_t communicator) {
  std::string text = difference(
      *a.operation().AsCollective(), atA, *b.operation().AsCollective(), atB,
      Set.manifest->communicators[communicator].size());
  if (text.empty() && a.writer.isRepeated && b.writer.isRepeated &&
      a.writer.microBatch != b.writer.microBatch)
    text = "is in micro-batch " + std::to_string(b.writer.microBatch) +
           " where the other is in " + std::to_string(a.writer.microBatch);
  if (text.empty())
    return true;
  reportAt(Diags, Set, Entry, spotOf(b),
           "collective of communicator " + std::to_string(communicator) + " " +
               text)
      .hint("the other is " + rankText(a.rank) + ", " + waitText(a));
  return false;
}

/// The last member, `current`, has come. It goes on by itself.
void Simulation::finish(uint32_t communicator, const Rank &current) {
  Gathering &gathering = Gatherings[communicator];
  const auto &members = Set.manifest->communicators[communicator];
  const CollectiveT &call = *current.operation().AsCollective();
  Value shared = resultOf(call, gathering.values, Sets);
  const bool isScattered = call.kind == CollectiveKind::ReduceScatter ||
                           call.kind == CollectiveKind::AllToAll;
  for (size_t i = 0; i < members.size(); ++i) {
    Rank &rank = *Ranks[members[i]];
    Value result = shared;
    if (isScattered)
      result.hash = combine(shared.hash, i);
    write(rank, rank.role.effects[rank.section()][rank.instruction].writes[0],
          result);
    rank.hasArrived = false;
    gathering.present[i] = false;
    if (&rank == &current)
      continue;
    advance(rank);
    wake(rank.rank);
  }
  gathering.arrived = 0;
}

//===----------------------------------------------------------------------===//
// Waiting for ever
//===----------------------------------------------------------------------===//

/// Whom a rank that stands still waits for, the lowest of them.
std::optional<uint32_t> Simulation::waitedFor(const Rank &rank) const {
  const OperationUnion &operation = rank.operation();
  if (const ReceiveT *receive = operation.AsReceive())
    return rank.info.peers[receive->peer];
  if (const CollectiveT *collective = operation.AsCollective()) {
    uint32_t communicator = rank.info.groups[collective->group];
    const auto &members = Set.manifest->communicators[communicator];
    for (size_t i = 0; i < members.size(); ++i)
      if (!Gatherings[communicator].present[i])
        return members[i];
  }
  return std::nullopt;
}

std::string Simulation::waitText(const Rank &rank) const {
  const OperationUnion &operation = rank.operation();
  const SectionT &section = *rank.role.program->sections[rank.section()];
  std::string out = "at instruction " + std::to_string(rank.instruction) +
                    " of section '" + section.name + "'";
  if (const ReceiveT *receive = operation.AsReceive())
    return out + " for a message of " +
           rankText(rank.info.peers[receive->peer]) + " with tag " +
           std::to_string(receive->tag);
  if (const CollectiveT *collective = operation.AsCollective())
    return out + " in '" + EnumNameCollectiveKind(collective->kind) +
           "' of communicator " +
           std::to_string(rank.info.groups[collective->group]);
  return out;
}

/// Follows the waiting from the lowest rank that waits until it ends at a rank
/// that is done, or comes back.
void Simulation::reportWaiting() {
  auto first = std::find_if(Ranks.begin(), Ranks.end(),
                            [](const auto &rank) { return !rank->isDone(); });
  Rank *rank = first->get();
  Diag &diag = reportAt(Diags, Set, Entry, spotOf(*rank),
                        "waits for ever, " + waitText(*rank));
  std::vector<bool> seen(Ranks.size());
  while (rank && !seen[rank->rank]) {
    seen[rank->rank] = true;
    std::optional<uint32_t> next = waitedFor(*rank);
    if (!next)
      return;
    rank = Ranks[*next].get();
    if (rank->isDone()) {
      diag.hint(rankText(*next) + " has finished");
      return;
    }
    diag.hint(rankText(*next) + " waits " + waitText(*rank) +
              (seen[*next] ? ": a circle" : ""));
  }
}

} // namespace whale::verifier
