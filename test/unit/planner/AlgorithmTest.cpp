#include "compiler/planner/Partition.h"
#include "compiler/planner/Shares.h"

#include <catch2/catch.hpp>

#include <numeric>
#include <random>

using namespace whale;
using namespace whale::planner;

namespace {

/// The best time of any distribution, by trying all.
Picoseconds bruteForce(int64_t units, std::span<const Worker> workers,
                       std::vector<int64_t> &shares) {
  size_t i = shares.size();
  if (i + 1 == workers.size()) {
    if (units < 1 || units > workers[i].capacity)
      return Picoseconds::max();
    shares.push_back(units);
    Picoseconds time = slowest(workers, shares);
    shares.pop_back();
    return time;
  }
  Picoseconds best = Picoseconds::max();
  for (int64_t n = 1; n < units && n <= workers[i].capacity; ++n) {
    shares.push_back(n);
    best = std::min(best, bruteForce(units - n, workers, shares));
    shares.pop_back();
  }
  return best;
}

/// Times that grow by any steps, some by none, up to what memory holds.
std::vector<int64_t> randomTimes(std::mt19937 &random, int64_t most) {
  std::vector<int64_t> times;
  for (int64_t n = 0, time = 1 + random() % 40; n < most; ++n)
    times.push_back(time += random() % 3 == 0 ? 0 : random() % 50);
  return times;
}

TimedWorkers timed(int64_t count, std::vector<int64_t> times) {
  return {count, [times = std::move(times)](int64_t units) {
            return units <= static_cast<int64_t>(times.size())
                       ? Picoseconds(times[units - 1])
                       : Picoseconds::max();
          }};
}

/// The best time of any distribution over single workers, by trying all.
Picoseconds bruteForce(int64_t units, std::span<TimedWorkers *const> workers) {
  TimedWorkers &first = *workers.front();
  if (workers.size() == 1)
    return units < 1 ? Picoseconds::max() : first.time(units);
  Picoseconds best = Picoseconds::max();
  for (int64_t n = 1; n < units; ++n)
    best = std::min(best, std::max(first.time(n),
                                   bruteForce(units - n, workers.subspan(1))));
  return best;
}

Worker worker(int64_t perUnit, int64_t capacity = 1000, int64_t fixed = 0) {
  return {Picoseconds(fixed), Picoseconds(perUnit), capacity};
}

} // namespace

// Whale, Fig 4: V100 and T4 (15.7 and 8.1 TFLOP/s float32), batch 6.
TEST_CASE("V100 and T4 share a batch of 6 as 4 and 2") {
  std::vector<Worker> workers = {worker(100), worker(194)};
  CHECK(*fillShares(6, workers) == std::vector<int64_t>{4, 2});
}

// Numbers of notes on Whale's Algorithm 1: where it stops too early, or ties.
TEST_CASE("shares where Whale's Algorithm 1 goes wrong") {
  SECTION("it leaves the fast device at 229 % of its memory") {
    // DF 30 5 5 5, DM 10 13.5 13.5 16, memory 50 for the whole batch of 50.
    std::vector<Worker> workers = {worker(100, 10), worker(600, 13),
                                   worker(600, 13), worker(600, 16)};
    auto shares = fillShares(50, workers);
    REQUIRE(shares);
    CHECK(*shares == std::vector<int64_t>{10, 13, 13, 14});
  }
  SECTION("its objective does not see the slowest device") {
    // DF 15.7 9.3 9.3 9.3, DM 12 16 16 16, batch 40: 12 and three times 9 1/3.
    std::vector<Worker> workers = {worker(637, 12), worker(1075, 16),
                                   worker(1075, 16), worker(1075, 16)};
    CHECK(*fillShares(40, workers) == std::vector<int64_t>{12, 10, 9, 9});
  }
}

TEST_CASE("shares are as good as brute force") {
  std::mt19937 random(7);
  auto number = [&](int low, int high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<Worker> workers(number(1, 5));
    for (Worker &w : workers)
      w = worker(number(1, 50), number(1, 8), number(0, 40));
    int64_t units = number(1, 14);
    std::vector<int64_t> none;
    Picoseconds best = bruteForce(units, workers, none);
    auto shares = fillShares(units, workers);
    CHECK(shares.has_value() == (best != Picoseconds::max()));
    if (shares) {
      CHECK(slowest(workers, *shares) == best);
      CHECK(std::accumulate(shares->begin(), shares->end(), int64_t(0)) ==
            units);
    }
  }
}

TEST_CASE("workers of one kind have what single ones have") {
  std::mt19937 random(11);
  auto number = [&](int low, int high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<Worker> kinds(number(1, 4)), single;
    for (Worker &kind : kinds) {
      kind = worker(number(1, 50), number(1, 30), number(0, 40));
      kind.count = number(1, 6);
      Worker one = kind;
      one.count = 1;
      single.insert(single.end(), kind.count, one);
    }
    int64_t units = number(1, 60);
    auto shares = fillShares(units, kinds);
    CHECK(shares == fillShares(units, single));
    if (shares)
      CHECK(slowest(kinds, *shares) == slowest(single, *shares));
  }
}

TEST_CASE("shares by any times are as good as all there are") {
  std::mt19937 random(13);
  int possible = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<TimedWorkers> kinds;
    for (size_t k = 0, count = 1 + random() % 3; k < count; ++k)
      kinds.push_back(
          timed(1 + random() % 2, randomTimes(random, 1 + random() % 9)));
    std::vector<TimedWorkers *> workers;
    for (TimedWorkers &kind : kinds)
      workers.insert(workers.end(), kind.count, &kind);
    auto units = static_cast<int64_t>(1 + random() % 14);
    Picoseconds best = bruteForce(units, workers);
    auto size = static_cast<int64_t>(workers.size());
    std::vector<int64_t> guess(size, 1);
    guess[random() % size] += std::max<int64_t>(0, units - size);
    auto shares = fillByTimes(units, kinds, guess);
    REQUIRE(shares.has_value() == (best < Picoseconds::max()));
    if (!shares)
      continue;
    ++possible;
    CHECK(slowest(kinds, *shares) == best);
    CHECK(std::accumulate(shares->begin(), shares->end(), int64_t(0)) == units);
  }
  CHECK(possible > 100);
}

TEST_CASE("what workers can do within a limit is what all shares say") {
  std::mt19937 random(17);
  int can = 0, cannot = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<TimedWorkers> kinds;
    for (size_t k = 0, count = 1 + random() % 3; k < count; ++k)
      kinds.push_back(
          timed(1 + random() % 2, randomTimes(random, 1 + random() % 9)));
    std::vector<TimedWorkers> fresh = kinds;
    std::vector<TimedWorkers *> workers;
    for (TimedWorkers &kind : fresh)
      workers.insert(workers.end(), kind.count, &kind);
    auto units = static_cast<int64_t>(workers.size() + random() % 12);
    Picoseconds best = bruteForce(units, workers);
    std::vector<int64_t> guess(workers.size(), 1 + random() % 4);
    for (int trial = 0; trial < 4; ++trial) {
      Picoseconds limit(static_cast<int64_t>(random() % 300));
      if (trial == 0 && best < Picoseconds::max())
        limit = best;
      if (trial == 1 && best < Picoseconds::max())
        limit = best - Picoseconds(1);
      INFO(round << ": " << units << " units within " << limit.value());
      CHECK(canDoWithin(units, kinds, limit, guess) == (best <= limit));
      ++(best <= limit ? can : cannot);
    }
  }
  CHECK(can > 200);
  CHECK(cannot > 200);
}

TEST_CASE("workers that are far from a limit are asked little") {
  int asked = 0;
  std::vector<TimedWorkers> kinds;
  for (int64_t speed : {3, 7})
    kinds.emplace_back(4, [&asked, speed](int64_t units) {
      ++asked;
      return Picoseconds(units * speed * 1000);
    });
  std::vector<int64_t> guess = {700, 700, 700, 700, 300, 300, 300, 300};
  // They do 4,000 units in 2.1 us.
  CHECK_FALSE(canDoWithin(4000, kinds, Picoseconds(1'900'000), guess));
  CHECK(asked <= 2);
  CHECK(canDoWithin(4000, kinds, Picoseconds(2'200'000), guess));
  CHECK(asked <= 2);
}

TEST_CASE("all shares below a limit, equal workers' once") {
  // 1, 2 ... for each unit of two workers, 3, 6 ... of a third.
  std::vector<TimedWorkers> kinds = {timed(2, {1, 2, 3, 4, 5, 6}),
                                     timed(1, {3, 6, 9})};
  std::vector<std::vector<int64_t>> seen;
  auto look = [&](Picoseconds next) {
    seen.clear();
    forEachShares(6, kinds, Picoseconds(7),
                  [&](const std::vector<int64_t> &shares) {
                    seen.push_back(shares);
                    return next;
                  });
  };
  look(Picoseconds(7));
  CHECK(seen == std::vector<std::vector<int64_t>>{
                    {4, 1, 1}, {3, 2, 1}, {3, 1, 2}, {2, 2, 2}});
  // What follows is below the limit that the first one leaves.
  look(Picoseconds(4));
  CHECK(seen == std::vector<std::vector<int64_t>>{{4, 1, 1}, {3, 2, 1}});
}

TEST_CASE("a near guess asks for few times") {
  int asked = 0;
  std::vector<TimedWorkers> kinds;
  for (int64_t speed : {3, 7})
    kinds.emplace_back(512, [&asked, speed](int64_t units) {
      ++asked;
      return Picoseconds(1'000'000 + units * speed * 1000);
    });
  std::vector<int64_t> guess(512, 1400);
  guess.insert(guess.end(), 512, 600);
  auto shares = fillByTimes(512 * 2000, kinds, guess);
  REQUIRE(shares);
  CHECK(shares->front() == 1400);
  CHECK(shares->back() == 600);
  CHECK(asked <= 8);
}

TEST_CASE("1,024 devices are balanced at once") {
  std::vector<Worker> workers;
  for (int i = 0; i < 1024; ++i)
    workers.push_back(worker(100 + i % 7 * 13, 1 << 20));
  auto shares = fillShares(1 << 20, workers);
  REQUIRE(shares);
  CHECK(std::accumulate(shares->begin(), shares->end(), int64_t(0)) == 1 << 20);
}

TEST_CASE("what takes longer than can be said has no shares") {
  // 10^14 units of 100 us on two workers take 158 years.
  std::vector<Worker> workers(
      2, {Picoseconds(), picosecondsFromSeconds(1e-4), INT64_MAX, 1});
  CHECK_FALSE(fillShares(100'000'000'000'000, workers));
  // 10^10 take 5.8 days each.
  auto shares = fillShares(10'000'000'000 + 1, workers);
  REQUIRE(shares);
  CHECK(*shares == std::vector<int64_t>{5'000'000'001, 5'000'000'000});
}

TEST_CASE("partitions are as good as exhaustive search") {
  std::mt19937 random(11);
  auto number = [&](int low, int high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 200; ++round) {
    PartitionProblem problem;
    size_t runs = number(1, 4), stages = number(1, 4);
    for (size_t r = 0; r < runs; ++r)
      problem.counts.push_back(number(1, 4));
    for (size_t s = 0; s < stages; ++s) {
      problem.times.emplace_back();
      for (size_t r = 0; r < runs; ++r)
        problem.times.back().push_back(Picoseconds(number(1, 30)));
    }
    int64_t most = number(2, 12);
    problem.fits = [&](unsigned s, int64_t first, int64_t last) {
      return last - first <= most - static_cast<int64_t>(s);
    };
    int64_t total = std::accumulate(problem.counts.begin(),
                                    problem.counts.end(), int64_t(0));
    std::vector<size_t> runOf;
    for (size_t r = 0; r < runs; ++r)
      runOf.insert(runOf.end(), problem.counts[r], r);
    Picoseconds best = Picoseconds::max();
    int64_t visited = 0;
    forEachPartition(total, stages, [&](const std::vector<int64_t> &cuts) {
      ++visited;
      Picoseconds bottleneck;
      for (size_t s = 0; s < stages; ++s) {
        if (!problem.fits(s, cuts[s], cuts[s + 1]))
          return;
        Picoseconds time;
        for (int64_t i = cuts[s]; i < cuts[s + 1]; ++i)
          time += problem.times[s][runOf[i]];
        bottleneck = std::max(bottleneck, time);
      }
      best = std::min(best, bottleneck);
    });
    CHECK(visited == partitionCount(total, stages));
    auto found = partition(problem);
    CHECK(found.has_value() == (best != Picoseconds::max()));
    if (found) {
      CHECK(found->bottleneck == best);
      for (size_t s = 0; s < stages; ++s)
        CHECK(problem.fits(s, found->cuts[s], found->cuts[s + 1]));
    }
  }
}

TEST_CASE("equal layers are spread equally") {
  PartitionProblem problem;
  problem.counts = {10};
  problem.times.assign(4, {Picoseconds(5)});
  auto found = partition(problem);
  REQUIRE(found);
  for (size_t s = 0; s < 4; ++s) {
    int64_t n = found->cuts[s + 1] - found->cuts[s];
    CHECK(n >= 2);
    CHECK(n <= 3);
  }
}
