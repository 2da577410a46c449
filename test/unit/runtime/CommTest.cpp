//===- CommTest.cpp - One conformance suite for all communicators ---------===//
//
// Ranks check their own results and say what is wrong by their Status, so that
// the same test runs with threads and with processes.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Launcher.h"
#include "runtime/core/Convert.h"

#include <catch2/catch.hpp>

#include <csignal>
#include <numeric>
#include <unistd.h>

using namespace whale::format;
using namespace whale::runtime;

namespace {

struct Threads {
  static constexpr Sharing sharing = Sharing::Threads;
};
struct Processes {
  static constexpr Sharing sharing = Sharing::Processes;
};

/// Buffers that every rank can reach: the rank's arena.
class Buffers {
public:
  explicit Buffers(std::byte *arena) : Next(arena) {}
  template <typename T> T *take(uint64_t count) {
    T *out = reinterpret_cast<T *>(Next);
    Next += (count * sizeof(T) + 63) / 64 * 64;
    return out;
  }

private:
  std::byte *Next;
};

constexpr uint64_t arenaBytes = 1 << 20;

WorldPlan planOf(uint32_t ranks,
                 std::vector<std::vector<uint32_t>> communicators) {
  WorldPlan plan;
  plan.ranks = ranks;
  plan.communicators = std::move(communicators);
  plan.arenaBytes.assign(ranks, arenaBytes);
  for (uint32_t from = 0; from < ranks; ++from)
    for (uint32_t to = 0; to < ranks; ++to)
      if (from != to)
        plan.channels.push_back({from, to, 4096});
  return plan;
}

std::vector<uint32_t> allOf(uint32_t ranks) {
  std::vector<uint32_t> out(ranks);
  std::iota(out.begin(), out.end(), 0u);
  return out;
}

using Body = std::function<Status(Communicator &, Buffers)>;

Status runOn(Sharing sharing, const WorldPlan &plan, const Body &body,
             int64_t timeout = 20000) {
  auto world = World::create(plan, sharing);
  if (world.failed())
    return world.status();
  return runRanks(**world, sharing, [&](uint32_t rank, World &shared) {
    auto network = makeCommunicator(shared, rank, timeout);
    return body(*network, Buffers(shared.arena(rank)));
  });
}

Status expect(bool condition, const std::string &what) {
  return condition ? Status() : Status::error(ErrorKind::Internal, what);
}

void requireOk(const Status &status) {
  INFO((status.ok() ? "" : status.error().text()));
  REQUIRE(status.ok());
}

/// An input that no order of summation leaves exact.
float valueOf(uint32_t rank, uint64_t i) {
  return 1.0f / static_cast<float>(1 + rank * 7 + i % 13) +
         static_cast<float>(i) * 1e-3f;
}

template <typename T>
Status allReduceIs(Communicator &net, Buffers buffers, DType dtype,
                   Reduction reduction, uint64_t count, bool inPlace) {
  using Traits = ElementTraits<T>;
  using Compute = typename Traits::Compute;
  auto inputOf = [](uint32_t rank, uint64_t i) {
    return Traits::store(static_cast<Compute>(valueOf(rank, i) * 8));
  };
  T *input = buffers.take<T>(count);
  T *output = inPlace ? input : buffers.take<T>(count);
  for (uint64_t i = 0; i < count; ++i)
    input[i] = inputOf(net.rank(), i);
  CollectiveCall call;
  call.reduction = reduction;
  call.dtype = dtype;
  call.input = input;
  call.output = output;
  call.inputElements = call.outputElements = count;
  if (Status s = net.collective(call); s.failed())
    return s;
  for (uint64_t i = 0; i < count; ++i) {
    Compute expected = Traits::load(inputOf(0, i));
    for (uint32_t rank = 1; rank < net.size(); ++rank) {
      Compute other = Traits::load(inputOf(rank, i));
      expected = reduction == Reduction::Sum
                     ? static_cast<Compute>(expected + other)
                 : reduction == Reduction::Max ? std::max(expected, other)
                                               : std::min(expected, other);
    }
    T rounded = Traits::store(expected);
    if (std::memcmp(&rounded, &output[i], sizeof(T)) != 0)
      return expect(false, "all_reduce of " + std::string(nameOf(dtype)) +
                               " is wrong at " + std::to_string(i));
  }
  return Status();
}

} // namespace

TEMPLATE_TEST_CASE("all_reduce sums in the order of ranks, bit for bit", "",
                   Threads, Processes) {
  for (uint32_t ranks : {1u, 2u, 3u, 5u, 8u})
    requireOk(runOn(
        TestType::sharing, planOf(ranks, {allOf(ranks)}),
        [](Communicator &net, Buffers buffers) {
          for (uint64_t count : {0ull, 1ull, 7ull, 5000ull})
            for (bool inPlace : {false, true})
              for (Reduction op :
                   {Reduction::Sum, Reduction::Max, Reduction::Min})
                for (DType dtype : {DType::F32, DType::F64, DType::BF16,
                                    DType::F16, DType::I32, DType::I64})
                  if (Status s = dispatchDType(
                          dtype,
                          [&](auto zero) {
                            return allReduceIs<decltype(zero)>(
                                net, buffers, dtype, op, count, inPlace);
                          });
                      s.failed())
                    return s;
          return Status();
        }));
}

TEMPLATE_TEST_CASE("all_gather and reduce_scatter with uneven counts", "",
                   Threads, Processes) {
  for (uint32_t ranks : {1u, 2u, 4u, 7u})
    requireOk(runOn(
        TestType::sharing, planOf(ranks, {allOf(ranks)}),
        [](Communicator &net, Buffers buffers) {
          std::vector<uint64_t> counts;
          for (uint32_t r = 0; r < net.size(); ++r)
            counts.push_back(r == 1 ? 0 : 3 + r);
          uint64_t total = std::accumulate(counts.begin(), counts.end(), 0ull);
          uint64_t mine = counts[net.rank()];
          float *part = buffers.take<float>(mine);
          float *whole = buffers.take<float>(total);
          for (uint64_t i = 0; i < mine; ++i)
            part[i] = valueOf(net.rank(), i);
          CollectiveCall call;
          call.kind = CollectiveKind::AllGather;
          call.counts = &counts;
          call.input = part;
          call.output = whole;
          call.inputElements = mine;
          call.outputElements = total;
          if (Status s = net.collective(call); s.failed())
            return s;
          uint64_t at = 0;
          for (uint32_t r = 0; r < net.size(); ++r)
            for (uint64_t i = 0; i < counts[r]; ++i)
              if (whole[at++] != valueOf(r, i))
                return expect(false, "all_gather is wrong");
          for (uint64_t i = 0; i < total; ++i)
            whole[i] = valueOf(net.rank(), i);
          call.kind = CollectiveKind::ReduceScatter;
          std::swap(call.inputElements, call.outputElements);
          call.input = whole;
          call.output = part;
          if (Status s = net.collective(call); s.failed())
            return s;
          uint64_t start = 0;
          for (uint32_t r = 0; r < net.rank(); ++r)
            start += counts[r];
          for (uint64_t i = 0; i < mine; ++i) {
            float sum = valueOf(0, start + i);
            for (uint32_t r = 1; r < net.size(); ++r)
              sum += valueOf(r, start + i);
            if (part[i] != sum)
              return expect(false, "reduce_scatter is wrong");
          }
          return Status();
        }));
}

TEMPLATE_TEST_CASE("all_to_all, equal and uneven, and broadcast", "", Threads,
                   Processes) {
  for (bool uneven : {false, true})
    requireOk(runOn(
        TestType::sharing, planOf(4, {allOf(4)}),
        [uneven](Communicator &net, Buffers buffers) {
          // Rank r sends (r + 2 * to) % 3 elements, or two, to each.
          auto countOf = [&](uint32_t from, uint32_t to) {
            return uneven ? (from + 2 * to) % 3 : 2u;
          };
          std::vector<uint64_t> sent, received;
          for (uint32_t r = 0; r < 4; ++r) {
            sent.push_back(countOf(net.rank(), r));
            received.push_back(countOf(r, net.rank()));
          }
          CollectiveCall call;
          call.kind = CollectiveKind::AllToAll;
          call.dtype = DType::I64;
          call.inputElements = std::accumulate(sent.begin(), sent.end(), 0ull);
          call.outputElements =
              std::accumulate(received.begin(), received.end(), 0ull);
          int64_t *in = buffers.take<int64_t>(call.inputElements);
          int64_t *out = buffers.take<int64_t>(call.outputElements);
          uint64_t at = 0;
          for (uint32_t to = 0; to < 4; ++to)
            for (uint64_t i = 0; i < sent[to]; ++i)
              in[at++] = net.rank() * 100 + to * 10 + static_cast<int64_t>(i);
          call.input = in;
          call.output = out;
          if (uneven) {
            call.counts = &sent;
            call.receiveCounts = &received;
          }
          if (Status s = net.collective(call); s.failed())
            return s;
          at = 0;
          for (uint32_t from = 0; from < 4; ++from)
            for (uint64_t i = 0; i < received[from]; ++i)
              if (out[at++] !=
                  from * 100 + net.rank() * 10 + static_cast<int64_t>(i))
                return expect(false, "all_to_all is wrong");
          CollectiveCall cast;
          cast.kind = CollectiveKind::Broadcast;
          cast.dtype = DType::I64;
          cast.root = 2;
          cast.input = cast.output = in;
          cast.inputElements = cast.outputElements = 1;
          in[0] = net.rank();
          if (Status s = net.collective(cast); s.failed())
            return s;
          return expect(in[0] == 2, "broadcast is wrong");
        }));
}

TEMPLATE_TEST_CASE("groups meet at the same time, in their own member order",
                   "", Threads, Processes) {
  // Rows and columns of a 2 x 3 grid; the second row lists its members
  // backwards.
  WorldPlan plan =
      planOf(6, {{0, 1, 2}, {5, 4, 3}, {0, 3}, {1, 4}, {2, 5}});
  requireOk(runOn(TestType::sharing, plan, [&](Communicator &net,
                                               Buffers buffers) {
    int64_t *in = buffers.take<int64_t>(1);
    int64_t *out = buffers.take<int64_t>(3);
    uint32_t row = net.rank() / 3, column = net.rank() % 3;
    for (int round = 0; round < 200; ++round) {
      in[0] = net.rank();
      CollectiveCall call;
      call.kind = CollectiveKind::AllGather;
      call.dtype = DType::I64;
      call.communicator = round % 2 ? 2 + column : row;
      uint64_t size = round % 2 ? 2 : 3;
      call.input = in;
      call.output = out;
      call.inputElements = 1;
      call.outputElements = size;
      if (Status s = net.collective(call); s.failed())
        return s;
      for (uint64_t i = 0; i < size; ++i)
        if (out[i] != plan.communicators[call.communicator][i])
          return expect(false, "members are in the wrong order");
    }
    return Status();
  }));
}

TEMPLATE_TEST_CASE("messages keep their order by tag and do not wait", "",
                   Threads, Processes) {
  requireOk(runOn(
      TestType::sharing, planOf(2, {}), [](Communicator &net, Buffers buffers) {
        uint32_t other = 1 - net.rank();
        int64_t *value = buffers.take<int64_t>(1);
        // Both send first: this would hang if a send waited.
        for (int64_t i = 0; i < 20; ++i) {
          *value = 10 * i + net.rank();
          if (Status s = net.send(other, i % 2, value, 8); s.failed())
            return s;
        }
        for (uint32_t tag : {1u, 0u})
          for (int64_t i = tag; i < 20; i += 2) {
            if (Status s = net.receive(other, tag, value, 8); s.failed())
              return s;
            if (*value != 10 * i + other)
              return expect(false, "message out of order");
          }
        return Status();
      }));
}

TEMPLATE_TEST_CASE("numbers of the host's own memory are exchanged", "",
                   Threads, Processes) {
  requireOk(runOn(TestType::sharing, planOf(3, {}),
                  [](Communicator &net, Buffers) {
                    for (int round = 0; round < 50; ++round) {
                      std::vector<double> mine = {net.rank() + 0.5,
                                                  double(round)};
                      std::vector<double> all(6);
                      if (Status s = net.exchange(mine.data(), 2, all.data());
                          s.failed())
                        return s;
                      for (int r = 0; r < 3; ++r)
                        if (all[2 * r] != r + 0.5 || all[2 * r + 1] != round)
                          return expect(false, "exchange is wrong");
                    }
                    return Status();
                  }));
}

TEMPLATE_TEST_CASE("a full channel waits for its reader", "", Threads,
                   Processes) {
  requireOk(runOn(TestType::sharing, planOf(2, {}),
                  [](Communicator &net, Buffers buffers) {
                    // 100 messages of 1000 bytes through 4096.
                    char *data = buffers.take<char>(1000);
                    for (int i = 0; i < 100; ++i) {
                      std::memset(data, net.rank() == 0 ? i : 0, 1000);
                      Status s = net.rank() == 0
                                     ? net.send(1, 5, data, 1000)
                                     : net.receive(0, 5, data, 1000);
                      if (s.failed())
                        return s;
                      if (data[0] != i || data[999] != i)
                        return expect(false, "message is damaged");
                    }
                    return Status();
                  }));
}

TEMPLATE_TEST_CASE("ranks that disagree are told what each was doing", "",
                   Threads, Processes) {
  Status status = runOn(
      TestType::sharing, planOf(3, {allOf(3)}),
      [](Communicator &net, Buffers buffers) {
        CollectiveCall call;
        call.input = call.output = buffers.take<float>(64);
        call.inputElements = call.outputElements = net.rank() == 2 ? 5 : 4;
        return net.collective(call);
      });
  REQUIRE(status.failed());
  CHECK_THAT(status.error().text(),
             Catch::Contains("AllReduce(Sum, f32, 4 elements") &&
                 Catch::Contains("AllReduce(Sum, f32, 5 elements") &&
                 Catch::Contains("rank 2"));
}

TEMPLATE_TEST_CASE("a message of the wrong size is named", "", Threads,
                   Processes) {
  Status status =
      runOn(TestType::sharing, planOf(2, {}),
            [](Communicator &net, Buffers buffers) {
              char *data = buffers.take<char>(64);
              return net.rank() == 0 ? net.send(1, 3, data, 16)
                                     : net.receive(0, 3, data, 8);
            });
  REQUIRE(status.failed());
  CHECK_THAT(status.error().text(),
             Catch::Contains("tag 3 has 16 bytes") &&
                 Catch::Contains("expects 8"));
}

TEMPLATE_TEST_CASE("nobody waits longer than the deadline", "", Threads,
                   Processes) {
  SECTION("collective") {
    Status status = runOn(
        TestType::sharing, planOf(3, {allOf(3)}),
        [](Communicator &net, Buffers buffers) {
          CollectiveCall call;
          call.input = call.output = buffers.take<float>(1);
          call.inputElements = call.outputElements = 1;
          return net.rank() == 1 ? Status() : net.collective(call);
        },
        200);
    REQUIRE(status.failed());
    CHECK_THAT(status.error().text(),
               Catch::Contains("waited 200 ms for rank 1"));
  }
  SECTION("receive") {
    Status status = runOn(
        TestType::sharing, planOf(2, {}),
        [](Communicator &net, Buffers buffers) {
          return net.rank() == 0
                     ? Status()
                     : net.receive(0, 9, buffers.take<char>(1), 1);
        },
        200);
    REQUIRE(status.failed());
    CHECK_THAT(status.error().text(),
               Catch::Contains("receive from rank 0, tag 9"));
  }
}

TEMPLATE_TEST_CASE("a rank that gives up ends the job with its reason", "",
                   Threads, Processes) {
  int64_t start = nowMilliseconds();
  Status status = runOn(TestType::sharing, planOf(3, {allOf(3)}),
                        [](Communicator &net, Buffers) {
                          if (net.rank() == 1)
                            return Status::error(ErrorKind::BadInput,
                                                 "out of cheese");
                          return net.barrier();
                        });
  REQUIRE(status.failed());
  CHECK_THAT(status.error().text(), Catch::Contains("out of cheese"));
  CHECK(nowMilliseconds() - start < 2000);
}

TEST_CASE("processes refuse a collective on memory that is not shared") {
  Status status = runOn(Sharing::Processes, planOf(2, {allOf(2)}),
                        [](Communicator &net, Buffers) {
                          float own = 1;
                          CollectiveCall call;
                          call.input = call.output = &own;
                          call.inputElements = call.outputElements = 1;
                          return net.collective(call);
                        });
  REQUIRE(status.failed());
  CHECK_THAT(status.error().text(), Catch::Contains("is not in the arena"));
}

TEST_CASE("a killed rank ends the job at once and is named") {
  int64_t start = nowMilliseconds();
  Status status = runOn(Sharing::Processes, planOf(4, {allOf(4)}),
                        [](Communicator &net, Buffers) {
                          if (net.rank() == 2)
                            kill(getpid(), SIGKILL);
                          return net.barrier();
                        });
  REQUIRE(status.failed());
  CHECK(status.error().kind == ErrorKind::PeerLost);
  CHECK_THAT(status.error().text(),
             Catch::Contains("rank 2 was killed by signal 9"));
  CHECK(nowMilliseconds() - start < 500);
}
