//===- Bound.cpp - what no cuts of a form can beat ------------------------===//

#include "compiler/planner/Bound.h"

#include "compiler/workload/Workload.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace whale::planner {

namespace {

enum class Family { Flush, Interleaved, ZeroBubble, Bidirectional };

Family familyOf(Schedule schedule) {
  switch (schedule) {
  case Schedule::GPipe:
  case Schedule::OneFOneB:
    return Family::Flush;
  case Schedule::Interleaved:
    return Family::Interleaved;
  case Schedule::DualPipe:
    return Family::Bidirectional;
  default:
    return Family::ZeroBubble;
  }
}

int64_t waiting(Schedule schedule, int64_t stages, int64_t stage,
                int64_t microBatches) {
  return schedule == Schedule::GPipe ? microBatches
                                     : std::min(microBatches, stages - stage);
}

/// A bound of the step by a stage: weighted times of all stages, of those
/// before it, of it and those behind it, and of what it holds; then what is
/// done once per step, by stage 0 or by itself.
struct Row {
  bool endsAtFirst = false;
  /// Of everything.
  double whole = 0;
  /// Of the forwards and backwards before the stage.
  double forwardBefore = 0, backwardBefore = 0;
  /// Of everything from the stage on, messages within.
  double behind = 0;
  double forward = 0, backward = 0;
};

/// 1F1B and GPipe. After the last backward of a stage those before it have
/// theirs, or it has its gradients.
std::vector<Row> flushRows(double m, double w) {
  std::vector<Row> rows;
  for (double back : {0.0, -1.0}) {
    bool first = back == 0;
    rows.push_back({first, 1, 0, back, 0, m - w, m - 1});
    rows.push_back({first, 0, 1, 1 + back, 0, m, m});
    // A round: a forward waits for the backward w micro-batches before it,
    // which had all stages behind. The bound is linear in the rounds.
    double most = std::floor((m - 1) / w);
    for (double rounds : {1.0, most})
      if (rounds >= 1 && rounds <= most)
        rows.push_back({first, 1, 0, back, rounds, m - rounds * w - 1,
                        m - rounds * w - 1});
  }
  return rows;
}

std::vector<Row> rowsOf(const NormalForm &form, unsigned stage) {
  auto p = static_cast<int64_t>(form.stages.size());
  auto m = static_cast<double>(form.microBatches);
  auto v = static_cast<double>(form.virtualStages);
  switch (familyOf(form.schedule)) {
  case Family::Flush:
    return flushRows(m, static_cast<double>(waiting(form.schedule, p, stage,
                                                    form.microBatches)));
  case Family::Interleaved:
    return {{true, 0, 1 / v, 1 / v, 0, m, m}, {false, 0, 1 / v, 0, 0, m, m}};
  case Family::ZeroBubble:
    return {{false, 0, 1 / v, 0, 0, m, m}};
  case Family::Bidirectional:
    return {{false, 0, 0, 0, 0, m / 2, m / 2}};
  }
  return {};
}

/// Sums of times over the first instances.
struct Prefix {
  std::vector<double> forward, backward;

  double both(int64_t i) const { return forward[i] + backward[i]; }
};

class Cutter {
public:
  Cutter(CostTable &table, const NormalForm &form, const ReplicaCosts &costs)
      : table(table), form(form), costs(costs),
        instances(workload::instanceCount(table.workload)),
        stages(static_cast<int64_t>(form.stages.size())) {
    for (const auto &one : costs)
      addPrefixes(*one);
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      rows.push_back(rowsOf(form, s));
      slots.push_back(costs[0]->slots(s));
    }
    isUniform = costs.size() == 1 && costs[0]->isUniform();
    findRuns();
    addMessages();
  }

  CutBound run() {
    CutBound none{Picoseconds::max(), {}};
    bool mayFit = std::all_of(costs.begin(), costs.end(),
                              [](const auto &one) { return one->mayFit(); });
    if (instances < stages || !mayFit || within(1e300, true).empty())
      return none;
    if (std::optional<CutBound> free = solve(false); free && allFit(free->cuts))
      return *free;
    return solve(true).value_or(none);
  }

private:
  void addPrefixes(const FormCosts &one) {
    const std::vector<workload::Run> &runs = table.workload.runs;
    std::vector<Prefix> ofStages;
    std::vector<std::pair<double, double>> least(runs.size(), {1e300, 1e300});
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      std::vector<std::pair<double, double>> times;
      for (size_t r = 0; r < runs.size(); ++r) {
        times.emplace_back(one.forward(s, r).asDouble(),
                           one.backward(s, r).asDouble());
        least[r].first = std::min(least[r].first, times[r].first);
        least[r].second = std::min(least[r].second, times[r].second);
      }
      if (s > 0 && times == previous) {
        ofStages.push_back(ofStages.back());
        continue;
      }
      ofStages.push_back(prefixOf(times));
      previous = times;
    }
    prefixes.push_back(std::move(ofStages));
    leastPrefixes.push_back(prefixOf(least));
  }

  Prefix prefixOf(const std::vector<std::pair<double, double>> &times) const {
    Prefix result{{0}, {0}};
    for (size_t r = 0; r < times.size(); ++r)
      for (int64_t i = 0; i < table.workload.runs[r].count; ++i) {
        result.forward.push_back(result.forward.back() + times[r].first);
        result.backward.push_back(result.backward.back() + times[r].second);
      }
    return result;
  }

  /// The messages of one micro-batch through the stages behind, and back: as
  /// between equal layers, but for the few places where less is sent.
  void addMessages() {
    messages.assign(form.stages.size(), 0);
    if (familyOf(form.schedule) != Family::Flush)
      return;
    int64_t usual = 0, most = 0, start = 0;
    for (const workload::Run &run : table.workload.runs) {
      if (run.count > most && start + run.count > 1)
        usual = start + std::min<int64_t>(run.count - 1, 1), most = run.count;
      start += run.count;
    }
    std::vector<double> each;
    double sum = 0;
    size_t less = fewerBytes(usual);
    for (unsigned s = form.stages.size() - 1; s-- > 0;) {
      each.push_back(costs[0]->messages(s, usual).asDouble());
      sum += each.back();
      std::sort(each.begin(), each.end(), std::greater<>());
      double dropped = 0;
      for (size_t i = 0; i < std::min(less, each.size()); ++i)
        dropped += each[i];
      messages[s] = sum - dropped;
    }
  }

  /// Positions at which less is sent than at `usual`.
  size_t fewerBytes(int64_t usual) const {
    size_t fewer = 0;
    int64_t start = 0;
    auto isLess = [&](int64_t position) {
      return position > 0 &&
             costs[0]->messages(0, position) < costs[0]->messages(0, usual);
    };
    // Instances of a run but its first have equal arguments.
    for (const workload::Run &run : table.workload.runs) {
      fewer += isLess(start);
      if (run.count > 1 && isLess(start + 1))
        fewer += run.count - 1;
      start += run.count;
    }
    return fewer;
  }

  /// Where each instance's run begins and ends, unless variables are shared
  /// within runs, which makes their instances unlike.
  void findRuns() {
    int64_t start = 0;
    for (const workload::Run &run : table.workload.runs) {
      for (int64_t i = 0; i < run.count; ++i)
        runs.emplace_back(start, start + run.count);
      start += run.count;
    }
    for (const Tie &tie : table.ties)
      for (int64_t i : {tie.user, tie.owner})
        if (runs[i].second - runs[i].first > 1)
          shiftable = false;
  }

  /// The first of the ranges that hold the same as this one: those inside a run
  /// without its ends.
  std::pair<int64_t, int64_t> shifted(int64_t first, int64_t last) const {
    auto [start, end] = runs[first];
    if (shiftable && isUniform && first > start && last < end)
      return {start + 1, start + 1 + last - first};
    return {first, last};
  }

  uint64_t keyOf(int64_t stage, int64_t first, int64_t last) const {
    auto positions = static_cast<uint64_t>(instances + 1);
    return (static_cast<uint64_t>(stage) * positions + first) * positions +
           last;
  }

  /// What stage `s` with these instances alone makes of the step, where stage 0
  /// ends it with `tail`.
  double valueOf(unsigned s, int64_t first, int64_t last, double tail) const {
    double value = 0, own = tailOf(s, first, last);
    for (size_t c = 0; c < costs.size(); ++c) {
      const Prefix &here = prefixes[c][s], &least = leastPrefixes[c];
      double forward = here.forward[last] - here.forward[first];
      double backward = here.backward[last] - here.backward[first];
      double all = least.both(instances);
      for (const Row &row : rows[s])
        value = std::max(
            value, row.whole * (all + messages[row.endsAtFirst ? 0 : s]) +
                       (row.endsAtFirst ? tail : own) +
                       row.forwardBefore * least.forward[first] +
                       row.backwardBefore * least.backward[first] +
                       row.behind * (messages[s] + all - least.both(first)) +
                       row.forward * forward + row.backward * backward);
    }
    return value;
  }

  /// Gradients and update after the last task of a stage, on the replica that
  /// has the least of them.
  double tailOf(unsigned s, int64_t first, int64_t last) const {
    auto [from, to] = shifted(first, last);
    auto [it, isNew] =
        tails.try_emplace(keyOf(isUniform ? 0 : s, from, to), 1e300);
    if (isNew)
      for (const auto &one : costs)
        it->second = std::min(it->second, one->tail(s, first, last).asDouble());
    return it->second;
  }

  bool fits(unsigned s, int64_t first, int64_t last) const {
    auto [from, to] = shifted(first, last);
    bool atEnd = s == 0 || s + 1 == form.stages.size();
    int64_t like = atEnd || !isUniform ? s : stages + slots[s];
    auto [it, isNew] = fitting.try_emplace(keyOf(like, from, to), true);
    if (isNew)
      it->second = planner::fits(costs, s, first, last);
    return it->second;
  }

  bool allFit(const std::vector<int64_t> &cuts) const {
    for (unsigned s = 0; s < form.stages.size(); ++s)
      if (!fits(s, cuts[s], cuts[s + 1]))
        return false;
    return true;
  }

  /// The smallest first instance of a stage that ends before `last`, or `last`
  /// if not even one goes.
  int64_t reach(unsigned s, int64_t last, double limit, double tail,
                bool memory) const {
    // Each stage before it needs an instance.
    int64_t least = s, good = last, bad = least - 1;
    while (good - bad > 1) {
      int64_t middle = bad + (good - bad) / 2;
      (valueOf(s, middle, last, tail) <= limit ? good : bad) = middle;
    }
    if (!memory || good == last || fits(s, good, last))
      return good;
    bad = good, good = last;
    while (good - bad > 1) {
      int64_t middle = bad + (good - bad) / 2;
      (fits(s, middle, last) ? good : bad) = middle;
    }
    return good;
  }

  /// Cuts with which no bound is above `limit`, or none. Stages may be empty:
  /// that one instance more does not go, does not say that less would.
  std::vector<int64_t> within(double limit, bool memory) const {
    // What stage 0 must hold at least makes the others' limit smaller, and
    // they leave it more.
    double tail = tailOf(0, 0, 1);
    while (true) {
      std::vector<int64_t> cuts(stages + 1, instances);
      for (int64_t s = stages - 1; s > 0; --s)
        cuts[s] = reach(s, cuts[s + 1], limit, tail, memory);
      cuts[0] = 0;
      double now = tailOf(0, 0, cuts[1]);
      if (valueOf(0, 0, cuts[1], now) > limit ||
          (memory && !fits(0, 0, cuts[1])))
        return {};
      if (now <= tail)
        return cuts;
      tail = now;
    }
  }

  /// The least limit of these cuts.
  double limitOf(const std::vector<int64_t> &cuts) const {
    double limit = 0;
    for (unsigned s = 0; s < form.stages.size(); ++s)
      if (cuts[s] < cuts[s + 1])
        limit = std::max(
            limit, valueOf(s, cuts[s], cuts[s + 1], tailOf(0, 0, cuts[1])));
    return limit;
  }

  std::optional<CutBound> solve(bool memory) const {
    std::vector<int64_t> cuts = within(1e300, memory), better;
    if (cuts.empty())
      return std::nullopt;
    double high = limitOf(cuts);
    double low = 0;
    // A hundred-thousandth is less than any gap that is printed.
    while (high - low > high * 1e-5) {
      double middle = low + (high - low) / 2;
      if (better = within(middle, memory); better.empty()) {
        low = middle;
      } else {
        high = middle;
        cuts = std::move(better);
      }
    }
    for (int64_t s = stages - 1; s > 0; --s)
      cuts[s] = std::min(cuts[s], cuts[s + 1] - 1);
    return CutBound{Picoseconds(static_cast<int64_t>(low)), std::move(cuts)};
  }

  CostTable &table;
  const NormalForm &form;
  const ReplicaCosts &costs;
  int64_t instances, stages;
  bool isUniform = false, shiftable = true;
  std::vector<double> messages;
  /// By instance: where its run begins and ends.
  std::vector<std::pair<int64_t, int64_t>> runs;
  std::vector<std::pair<double, double>> previous;
  /// By class of replicas, then stage.
  std::vector<std::vector<Prefix>> prefixes;
  std::vector<Prefix> leastPrefixes;
  std::vector<std::vector<Row>> rows;
  /// By stage.
  std::vector<int64_t> slots;
  mutable std::unordered_map<uint64_t, double> tails;
  mutable std::unordered_map<uint64_t, bool> fitting;
};

} // namespace

ReplicaCosts replicaCosts(CostTable &table, const NormalForm &form,
                          const DeviceMap &devices) {
  ReplicaCosts costs;
  for (const ReplicaClass &replica :
       replicaClasses(table.workload, table.hardware, form, devices))
    costs.push_back(std::make_unique<FormCosts>(
        table, form, devices, replica.coordinates, replica.samples));
  return costs;
}

bool fits(const ReplicaCosts &costs, unsigned stage, int64_t first,
          int64_t last) {
  return std::all_of(costs.begin(), costs.end(), [&](const auto &one) {
    return one->fits(stage, first, last);
  });
}

SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const FormCosts &costs) {
  SpreadCosts result;
  result.forwardShare = 1;
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    Picoseconds forward = Picoseconds::max(), backward = Picoseconds::max();
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      forward = std::min(forward, costs.forward(s, r));
      backward = std::min(backward, costs.backward(s, r));
    }
    int64_t count = table.workload.runs[r].count;
    result.forward += forward * count;
    result.backward += backward * count;
    double all = (forward + backward).asDouble();
    if (all <= 0)
      continue;
    result.forwardShare =
        std::min(result.forwardShare, forward.asDouble() / all);
    result.ratio =
        std::max(result.ratio, all / std::max(backward.asDouble(), all * 1e-6));
  }
  return result;
}

Picoseconds spreadBound(const SpreadCosts &costs, Schedule schedule,
                        int64_t virtualStages, int64_t stages,
                        int64_t microBatches) {
  double total = costs.total().asDouble();
  auto m = static_cast<double>(microBatches);
  auto v = static_cast<double>(virtualStages);
  double even = total * m / static_cast<double>(stages);
  // A hair less, for the rounding of doubles.
  auto rounded = [](double time) {
    return Picoseconds(static_cast<int64_t>(time * (1 - 1e-9)));
  };
  Family family = familyOf(schedule);
  if (stages == 1 || family == Family::Bidirectional)
    return rounded(even);
  // What stages from s on hold at most, as x * step + y * total.
  double x = 0, y = 0;
  for (int64_t s = stages - 1; s >= 0; --s) {
    auto w = static_cast<double>(waiting(schedule, stages, s, microBatches));
    double divisor = 1, before = 0;
    if (family == Family::Flush && m > w) {
      // T + (behind + own) + (m - w - 1) own <= step.
      divisor = m - w;
      x += (1 - x) / divisor;
      y += (-1 - y) / divisor;
      continue;
    }
    if (family == Family::Flush) {
      if (m <= 1)
        return costs.total();
      divisor = (m - 1) / costs.ratio;
      x += 1 / divisor;
      y -= 1 / divisor;
      continue;
    }
    // before * (T - behind - own) + m own <= step.
    before = family == Family::Interleaved ? 1 / v : costs.forwardShare / v;
    divisor = m - before;
    double ownX = (1 + before * x) / divisor;
    double ownY = (before * y - before) / divisor;
    x += ownX;
    y += ownY;
  }
  // x * step + y * total = total.
  double step = x > 0 ? total * (1 - y) / x : even;
  return rounded(std::max(step, even));
}

CutBound cutBound(CostTable &table, const NormalForm &form,
                  const ReplicaCosts &costs) {
  return Cutter(table, form, costs).run();
}

} // namespace whale::planner
