//===- Shares.cpp - unequal shares for unequal devices --------------------===//

#include "compiler/planner/Shares.h"

#include <algorithm>
#include <numeric>
#include <queue>

namespace whale::planner {

namespace {

Picoseconds timeOf(const Worker &worker, int64_t units) {
  return worker.fixed + worker.perUnit * units;
}

/// Most units that a worker does within `limit`, at least 1.
int64_t unitsWithin(const Worker &worker, Picoseconds limit) {
  if (worker.perUnit <= Picoseconds())
    return worker.capacity;
  int64_t room = (limit - worker.fixed).value() / worker.perUnit.value();
  return std::clamp<int64_t>(room, 1, worker.capacity);
}

int64_t totalWithin(std::span<const Worker> workers, Picoseconds limit) {
  int64_t total = 0;
  for (const Worker &worker : workers)
    total = saturatingAdd(
        total, saturatingMultiply(unitsWithin(worker, limit), worker.count));
  return total;
}

/// The longest limit that is tried, 53 days.
constexpr Picoseconds longest(Picoseconds::max().value() / 2);

/// The largest limit in which not more than `units` are done: a start from
/// which few units are left.
Picoseconds startingLimit(int64_t units, std::span<const Worker> workers) {
  int64_t low = 0, high = longest.value();
  while (low < high) {
    int64_t middle = low + (high - low + 1) / 2;
    if (totalWithin(workers, Picoseconds(middle)) <= units)
      low = middle;
    else
      high = middle - 1;
  }
  return Picoseconds(low);
}

/// What workers of one kind have: each so many, the first few one more.
struct KindShare {
  int64_t each = 1, more = 0;
};

/// Units that are left when each worker has what `shares` says.
int64_t unitsLeft(int64_t units, std::span<const Worker> workers,
                  const std::vector<KindShare> &shares) {
  for (size_t i = 0; i < workers.size(); ++i)
    units -= shares[i].each * workers[i].count;
  return units;
}

/// Gives one more to those that are done first with it, until nothing is left.
void giveOut(int64_t left, std::span<const Worker> workers,
             std::vector<KindShare> &shares) {
  using Next = std::pair<Picoseconds, size_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  auto add = [&](size_t i) {
    if (shares[i].each < workers[i].capacity)
      queue.push({timeOf(workers[i], shares[i].each + 1), i});
  };
  for (size_t i = 0; i < workers.size(); ++i)
    add(i);
  while (left > 0) {
    size_t i = queue.top().second;
    queue.pop();
    if (left < workers[i].count) {
      shares[i].more = left;
      return;
    }
    left -= workers[i].count;
    ++shares[i].each;
    add(i);
  }
}

/// Finds the least limit within which workers of any times do all units.
class Filling {
public:
  Filling(int64_t units, std::span<TimedWorkers> kinds)
      : units(units), kinds(kinds) {
    int64_t workers = 0;
    for (const TimedWorkers &kind : kinds)
      workers += kind.count;
    most = units - workers + 1;
  }

  bool isPossible() const { return most >= 1 && !kinds.empty(); }

  /// What each kind does within the least limit, which is not above `high`; the
  /// last one that was tried.
  bool find(Picoseconds high) {
    if (!goesWithin(high))
      return false;
    high = slowestNow();
    std::vector<int64_t> best = held;
    // The guess is near: steps down grow until one is too far.
    Picoseconds low, stride(1);
    bool bracketed = false;
    while (high - low > Picoseconds(1)) {
      Picoseconds limit = bracketed || stride >= high - low
                              ? low + ceilDivide(high - low, 2)
                              : high - stride;
      stride = std::max(stride * 2, ceilDivide(high, 64));
      if (goesWithin(limit)) {
        high = slowestNow();
        best = held;
      } else {
        bracketed = true;
        low = std::max(limit, nextTime() - Picoseconds(1));
      }
    }
    held = std::move(best);
    return true;
  }

  /// Each as many as it does within the limit, the slowest ones fewer, so that
  /// all have `units`.
  std::vector<KindShare> shares() {
    std::vector<KindShare> result(kinds.size());
    int64_t surplus = -units;
    for (size_t k = 0; k < kinds.size(); ++k) {
      result[k].each = held[k];
      surplus += held[k] * kinds[k].count;
    }
    while (surplus > 0) {
      size_t k = 0;
      for (size_t other = 1; other < kinds.size(); ++other)
        if (result[k].each == 1 ||
            (result[other].each > 1 && kinds[other].time(result[other].each) >
                                           kinds[k].time(result[k].each)))
          k = other;
      --result[k].each;
      result[k].more = std::max<int64_t>(0, kinds[k].count - surplus);
      surplus -= kinds[k].count;
    }
    return result;
  }

private:
  bool goesWithin(Picoseconds limit) {
    held.clear();
    int64_t total = 0;
    for (TimedWorkers &kind : kinds) {
      held.push_back(kind.unitsWithin(limit, most));
      if (held.back() == 0)
        return false;
      total = saturatingAdd(total, saturatingMultiply(held.back(), kind.count));
    }
    return total >= units;
  }

  Picoseconds slowestNow() {
    Picoseconds time;
    for (size_t k = 0; k < held.size(); ++k)
      time = std::max(time, kinds[k].time(held[k]));
    return time;
  }

  /// The least limit in which one does more than within the last one.
  Picoseconds nextTime() {
    if (held.back() == 0)
      return kinds[held.size() - 1].time(1);
    Picoseconds time = Picoseconds::max();
    for (size_t k = 0; k < held.size(); ++k)
      if (held[k] < most)
        time = std::min(time, kinds[k].time(held[k] + 1));
    return time;
  }

  int64_t units, most = 0;
  std::span<TimedWorkers> kinds;
  /// By kind; up to one that does none.
  std::vector<int64_t> held;
};

std::vector<int64_t> listed(std::span<const int64_t> counts,
                            std::span<const KindShare> kinds) {
  std::vector<int64_t> shares;
  shares.reserve(std::accumulate(counts.begin(), counts.end(), int64_t(0)));
  for (size_t i = 0; i < kinds.size(); ++i) {
    shares.insert(shares.end(), kinds[i].more, kinds[i].each + 1);
    shares.insert(shares.end(), counts[i] - kinds[i].more, kinds[i].each);
  }
  return shares;
}

} // namespace

std::optional<std::vector<int64_t>>
fillShares(int64_t units, std::span<const Worker> workers) {
  int64_t capacity = 0, count = 0;
  for (const Worker &worker : workers) {
    if (worker.capacity < 1)
      return std::nullopt;
    capacity = saturatingAdd(capacity,
                             saturatingMultiply(worker.capacity, worker.count));
    count += worker.count;
  }
  if (units > capacity || units < count || count == 0)
    return std::nullopt;
  Picoseconds start = startingLimit(units, workers);
  if (start == longest && totalWithin(workers, start) < units)
    return std::nullopt;
  std::vector<KindShare> kinds(workers.size());
  if (totalWithin(workers, start) <= units)
    for (size_t i = 0; i < workers.size(); ++i)
      kinds[i].each = unitsWithin(workers[i], start);
  giveOut(unitsLeft(units, workers, kinds), workers, kinds);
  std::vector<int64_t> counts;
  for (const Worker &worker : workers)
    counts.push_back(worker.count);
  return listed(counts, kinds);
}

Picoseconds slowest(std::span<const Worker> workers,
                    std::span<const int64_t> shares) {
  Picoseconds result;
  size_t next = 0;
  for (const Worker &worker : workers)
    for (int64_t i = 0; i < worker.count; ++i)
      result = std::max(result, timeOf(worker, shares[next++]));
  return result;
}

Picoseconds TimedWorkers::time(int64_t units) {
  auto [it, isNew] = known.try_emplace(units);
  if (isNew)
    it->second = ask(units);
  return it->second;
}

std::pair<int64_t, int64_t> TimedWorkers::knownWithin(Picoseconds limit,
                                                      int64_t most) const {
  int64_t good = 0;
  for (const auto &[units, time] : known) {
    if (units > most)
      break;
    if (time > limit)
      return {good, units};
    good = units;
  }
  return {good, most + 1};
}

int64_t TimedWorkers::unitsWithin(Picoseconds limit, int64_t most) {
  auto [good, bad] = knownWithin(limit, most);
  bool isOver = bad <= most;
  for (int64_t stride = 1; bad - good > 1; stride *= 2) {
    // Up from what is done for sure, down from what is not.
    int64_t next = isOver ? (good > 0 ? good + (bad - good) / 2
                                      : std::max<int64_t>(1, bad - stride))
                          : std::min(most, good + stride);
    bool goes = time(next) <= limit;
    isOver |= !goes;
    (goes ? good : bad) = next;
  }
  return good;
}

namespace {

/// Narrows down what kinds of workers do within a limit, until it is known
/// whether they do all units.
class Narrowing {
public:
  Narrowing(int64_t units, std::span<TimedWorkers> kinds, Picoseconds limit)
      : units(units), kinds(kinds), limit(limit), most(units + 1),
        rooms(kinds.size()) {
    for (const TimedWorkers &kind : kinds)
      most -= kind.count;
    look();
  }

  bool run(std::span<const int64_t> guess) {
    size_t worker = 0;
    for (size_t k = 0; k < kinds.size() && isOpen(); ++k) {
      ask(k, std::clamp<int64_t>(guess[worker], 1, most));
      worker += kinds[k].count;
    }
    while (isOpen()) {
      for (size_t k = 0; k < kinds.size() && isOpen(); ++k)
        ask(k, leastOf(k));
      if (isOpen())
        askInBetween();
    }
    return doAll();
  }

private:
  /// The most units that one does, as far as that is known, and may do.
  struct Room {
    int64_t does = 0, may = 0;
  };

  bool doAll() const {
    return does >= units &&
           std::all_of(rooms.begin(), rooms.end(),
                       [](const Room &room) { return room.does > 0; });
  }
  bool isOpen() const {
    return may >= units && !doAll() &&
           std::all_of(rooms.begin(), rooms.end(),
                       [](const Room &room) { return room.may > 0; });
  }

  void look() {
    does = may = 0;
    for (size_t k = 0; k < kinds.size(); ++k) {
      auto [good, bad] = kinds[k].knownWithin(limit, most);
      rooms[k] = {good, bad - 1};
      does = saturatingAdd(does, saturatingMultiply(good, kinds[k].count));
      may = saturatingAdd(may, saturatingMultiply(bad - 1, kinds[k].count));
    }
  }

  void ask(size_t k, int64_t each) {
    if (each <= rooms[k].does || each > rooms[k].may)
      return;
    kinds[k].time(each);
    look();
  }

  /// What one of a kind must do where the others do as much as they may.
  int64_t leastOf(size_t k) const {
    int64_t others = may - rooms[k].may * kinds[k].count;
    return std::max<int64_t>(1, ceilDivide(units - others, kinds[k].count));
  }

  /// Of the kind of which least is known, as much more as all units need.
  void askInBetween() {
    auto openOf = [&](size_t k) {
      return (rooms[k].may - rooms[k].does) * kinds[k].count;
    };
    size_t widest = 0;
    for (size_t k = 1; k < kinds.size(); ++k)
      if (openOf(k) > openOf(widest))
        widest = k;
    double part =
        static_cast<double>(units - does) / static_cast<double>(may - does);
    const Room &room = rooms[widest];
    auto more =
        static_cast<int64_t>(part * static_cast<double>(room.may - room.does));
    ask(widest, std::clamp(room.does + more, room.does + 1, room.may));
  }

  int64_t units;
  std::span<TimedWorkers> kinds;
  Picoseconds limit;
  int64_t most;
  std::vector<Room> rooms;
  /// By all of them.
  int64_t does = 0, may = 0;
};

} // namespace

bool canDoWithin(int64_t units, std::span<TimedWorkers> kinds,
                 Picoseconds limit, std::span<const int64_t> guess) {
  return Narrowing(units, kinds, limit).run(guess);
}

std::optional<std::vector<int64_t>>
fillByTimes(int64_t units, std::span<TimedWorkers> kinds,
            std::span<const int64_t> guess) {
  Filling filling(units, kinds);
  // Where the guess takes too much memory, anything that does not goes.
  Picoseconds any = Picoseconds::max() - Picoseconds(1);
  if (!filling.isPossible() ||
      !filling.find(std::min(any, slowest(kinds, guess))))
    return std::nullopt;
  std::vector<int64_t> counts;
  for (const TimedWorkers &kind : kinds)
    counts.push_back(kind.count);
  return listed(counts, filling.shares());
}

Picoseconds slowest(std::span<TimedWorkers> kinds,
                    std::span<const int64_t> shares) {
  Picoseconds result;
  size_t next = 0;
  for (TimedWorkers &kind : kinds)
    for (int64_t i = 0; i < kind.count; ++i)
      result = std::max(result, kind.time(shares[next++]));
  return result;
}

namespace {

/// Every way to give out units, worker by worker.
class EachShares {
public:
  EachShares(
      int64_t units, std::span<TimedWorkers> kinds, Picoseconds limit,
      const std::function<Picoseconds(const std::vector<int64_t> &)> &visit)
      : kinds(kinds), limit(limit), visit(visit) {
    for (const TimedWorkers &kind : kinds)
      for (int64_t i = 0; i < kind.count; ++i)
        kindOf.push_back(&kind - kinds.data());
    room.assign(kindOf.size() + 1, 0);
    auto most =
        std::max<int64_t>(0, units - static_cast<int64_t>(kindOf.size()) + 1);
    for (size_t i = kindOf.size(); i-- > 0;)
      room[i] = room[i + 1] +
                kinds[kindOf[i]].unitsWithin(limit - Picoseconds(1), most);
    next(units);
  }

private:
  /// Shares of the workers from here on.
  void next(int64_t left) {
    size_t i = shares.size();
    if (i == kindOf.size()) {
      if (left == 0)
        limit = visit(shares);
      return;
    }
    auto behind = static_cast<int64_t>(kindOf.size() - i) - 1;
    int64_t most = std::min(left - behind, room[i] - room[i + 1]);
    if (i > 0 && kindOf[i] == kindOf[i - 1])
      most = std::min(most, shares.back());
    int64_t least = std::max<int64_t>(1, left - room[i + 1]);
    for (int64_t share = most; share >= least; --share) {
      if (kinds[kindOf[i]].time(share) >= limit)
        continue;
      shares.push_back(share);
      next(left - share);
      shares.pop_back();
    }
  }

  std::span<TimedWorkers> kinds;
  Picoseconds limit;
  const std::function<Picoseconds(const std::vector<int64_t> &)> &visit;
  /// By worker; and what it and those after it do within the limit.
  std::vector<size_t> kindOf;
  std::vector<int64_t> room, shares;
};

} // namespace

void forEachShares(
    int64_t units, std::span<TimedWorkers> kinds, Picoseconds limit,
    const std::function<Picoseconds(const std::vector<int64_t> &)> &visit) {
  EachShares(units, kinds, limit, visit);
}

} // namespace whale::planner
