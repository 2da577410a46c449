//===- UnlikeBound.cpp - what no stages of several kinds beat -------------===//

#include "compiler/planner/UnlikeBound.h"

#include "compiler/workload/Workload.h"

#include <algorithm>

namespace whale::planner {

/// More than any time.
static constexpr double never = 1e300;

/// The least that a message between a stage and the next one takes, by where
/// that begins: instances of a run but its first have equal arguments.
static void addMessages(const workload::Workload &workload,
                        const FormCosts &costs, unsigned stage,
                        std::vector<double> &there, std::vector<double> &back) {
  there.push_back(never), back.push_back(never);
  int64_t start = 0;
  for (const workload::Run &run : workload.runs) {
    for (int64_t at : {start, start + 1})
      if (at > 0 && at < start + run.count) {
        there.back() =
            std::min(there.back(), costs.messageThere(stage, at).asDouble());
        back.back() =
            std::min(back.back(), costs.messageBack(stage, at).asDouble());
      }
    start += run.count;
  }
}

UnlikeBound::UnlikeBound(CostTable &table, std::vector<NormalForm> forms,
                         const DeviceMap &devices, bool memory)
    : table(table), memory(memory),
      instances(workload::instanceCount(table.workload)),
      stages(std::ssize(forms.front().stages)), all(forms.size()) {
  for (size_t k = 0; k < all.size(); ++k) {
    Configuration &one = all[k];
    one.form = std::move(forms[k]);
    one.costs = replicaCosts(table, one.form, devices);
    one.held = std::make_unique<CutCosts>(table, one.form, one.costs);
    for (unsigned s = 0; s + 1 < stages; ++s)
      addMessages(table.workload, *one.costs.front(), s, one.there, one.back);
  }
  if (memory) {
    setSchedule(all.front().form.schedule);
    return;
  }
  auto m = static_cast<double>(all.front().form.microBatches);
  Row any;
  any.before = {{1, 0, 0}, 1, 0};
  any.own = {m, m, m};
  rows.assign(stages, {{any}});
}

void UnlikeBound::setSchedule(Schedule schedule) {
  int64_t microBatches = all.front().form.microBatches;
  PipelineShape shape{schedule, stages, 1, microBatches};
  std::vector<int64_t> alive = table.alive(schedule, stages, 1, microBatches);
  rows.clear();
  for (int64_t s = 0; s < stages; ++s) {
    rows.emplace_back();
    for (const Row &row : boundRows(shape, s, alive[s], stages - 1))
      rows.back().push_back({row});
  }
}

/// Whether two stages differ in no more than what ZeRO cuts, so that their
/// messages and ties are the same.
static bool differInShardingOnly(const StageForm &one, const StageForm &other) {
  auto splits = [](const StageForm &stage) {
    std::vector<Axis> axes = stage.axes;
    std::erase_if(
        axes, [](const Axis &axis) { return axis.kind == AxisKind::Replica; });
    return axes;
  };
  return one.degree(AxisKind::Replica) == other.degree(AxisKind::Replica) &&
         splits(one) == splits(other);
}

bool UnlikeBound::isBetter(size_t one, size_t other, unsigned s) const {
  const CutCosts &a = *all[one].held, &b = *all[other].held;
  if (!differInShardingOnly(all[one].form.stages[s],
                            all[other].form.stages[s]) ||
      !a.fits(s, 0, instances) ||
      (all[one].costs.front()->hasRelief() &&
       a.relieved(0, s, 0, instances).sum() > 0))
    return false;
  for (int64_t i = 0; i < instances; ++i) {
    Parts here = a.prefix(0, s)[i + 1] - a.prefix(0, s)[i],
          there = b.prefix(0, s)[i + 1] - b.prefix(0, s)[i];
    if (here.forward > there.forward || here.input > there.input ||
        here.weight > there.weight)
      return false;
  }
  for (int64_t first = 0; first < instances; ++first)
    for (int64_t last = first + 1; last <= instances; ++last)
      if (a.ownTail(s, first, last) > b.ownTail(s, first, last))
        return false;
  return true;
}

Menus UnlikeBound::worthTrying(const Menus &given) const {
  Menus result(stages);
  Schedule order = all.front().form.schedule;
  // Their order of tasks follows from the times.
  bool isFixed =
      order != Schedule::ZeroBubble1p && order != Schedule::ZeroBubble2p;
  for (int64_t s = 0; s < stages; ++s)
    for (size_t k : given[s]) {
      auto isWorse = [&](size_t other) { return isBetter(other, k, s); };
      // Of equal ones the first is kept.
      std::erase_if(result[s], [&](size_t kept) {
        return isFixed && isBetter(k, kept, s) && !isBetter(kept, k, s);
      });
      if (!isFixed || std::none_of(result[s].begin(), result[s].end(), isWorse))
        result[s].push_back(k);
    }
  return result;
}

NormalForm
UnlikeBound::formOf(const std::vector<size_t> &configurations) const {
  NormalForm form = all.front().form;
  for (size_t s = 0; s < configurations.size(); ++s)
    form.stages[s] = all[configurations[s]].form.stages[s];
  return form;
}

void UnlikeBound::setMenus(const Menus &given) {
  menus = &given;
  Parts most{never, never, never};
  std::vector<std::vector<Parts>> own(stages);
  for (int64_t s = 0; s < stages; ++s) {
    own[s].assign(instances, most);
    for (size_t k : given[s]) {
      const Prefix &prefix = all[k].held->prefix(0, s);
      for (int64_t i = 0; i < instances; ++i)
        own[s][i] = smaller(own[s][i], prefix[i + 1] - prefix[i]);
    }
  }
  auto sums = [](const std::vector<Parts> &times) {
    Prefix result{{}};
    for (const Parts &time : times)
      result.push_back(result.back() + time);
    return result;
  };
  auto takeAll = [&](std::vector<Parts> &least, int64_t s) {
    for (int64_t i = 0; i < instances; ++i)
      least[i] = smaller(least[i], own[s][i]);
  };
  before.assign(stages, {});
  behind.assign(stages, {});
  std::vector<Parts> least(instances, most);
  for (int64_t s = 0; s < stages; ++s) {
    // Of stage 0 none is asked.
    before[s] = sums(s == 0 ? own[0] : least);
    takeAll(least, s);
  }
  least.assign(instances, most);
  for (int64_t s = stages; s-- > 0;) {
    takeAll(least, s);
    behind[s] = sums(least);
  }
  setMessages();
}

void UnlikeBound::setMessages() {
  // Up to each stage.
  std::vector<double> there = {0}, back = {0};
  for (int64_t s = 0; s + 1 < stages; ++s) {
    double out = never, in = never;
    for (size_t k : (*menus)[s + 1])
      out = std::min(out, all[k].there[s]);
    for (size_t k : (*menus)[s])
      in = std::min(in, all[k].back[s]);
    there.push_back(there.back() + out);
    back.push_back(back.back() + in);
  }
  auto between = [&](const Region &weights, int64_t from, int64_t to) {
    return weights.sendForward * (there[to] - there[from]) +
           weights.sendBack * (back[to] - back[from]);
  };
  for (int64_t s = 0; s < stages; ++s)
    for (StageRow &made : rows[s])
      made.messages = between(made.row.whole, 0, stages - 1) +
                      between(made.row.before, 0, s) +
                      between(made.row.behind, s, stages - 1) +
                      between(made.row.within, s, stages - 1);
}

/// Of stage 0 with instances 0..last-1.
double UnlikeBound::leastTail(int64_t last) const {
  double least = never;
  for (size_t k : menus->front())
    least = std::min(least, all[k].held->ownTail(0, 0, last));
  return least + ties(0, 0, last);
}

double UnlikeBound::ties(unsigned stage, int64_t first, int64_t last) const {
  if (table.ties.empty())
    return 0;
  double least = never;
  for (const Configuration &one : all)
    least = std::min(least, one.held->ties(stage, first, last));
  return least;
}

/// What a stage with these instances alone makes of the step; something beyond
/// the limit where it does not fit or another bound is beyond it.
double UnlikeBound::valueOf(size_t k, unsigned s, int64_t first, int64_t last,
                            const Limits &limits) const {
  const CutCosts &held = *all[k].held;
  const Prefix &here = held.prefix(0, s);
  Parts prior = s > 0 ? before[s][first] : Parts();
  Parts rest = behind[s].back() - behind[s][first];
  auto value = [&](const Parts &times, double tail) {
    double most = 0;
    for (const auto &[row, messages] : rows[s])
      most = std::max(
          most, messages + (row.endsAtFirst && s > 0 ? limits.tail : tail) +
                    dot(row.whole.times, prior + rest) +
                    dot(row.before.times, prior) +
                    dot(row.behind.times + row.within.times, rest) +
                    dot(row.own, times));
    return most;
  };
  Parts times = here[last] - here[first];
  double most = value(times, 0);
  if (most > limits.limit)
    return most;
  double tail = held.ownTail(s, first, last) + ties(s, first, last);
  most = value(times, tail);
  if (!memory || most > limits.limit)
    return most;
  if (!held.fits(s, first, last))
    return never;
  if (all[k].costs.front()->hasRelief())
    most = value(times + held.relieved(0, s, first, last), tail);
  return most;
}

std::optional<size_t> UnlikeBound::goes(unsigned stage, int64_t first,
                                        int64_t last,
                                        const Limits &limits) const {
  for (size_t k : (*menus)[stage])
    if (valueOf(k, stage, first, last, limits) <= limits.limit)
      return k;
  return std::nullopt;
}

/// For each stage, from the last one on, and each beginning, the nearest end
/// that goes: what goes goes with fewer instances, too.
std::optional<UnlikeBound::Filled>
UnlikeBound::fill(const Limits &limits) const {
  std::vector<std::vector<int64_t>> ends(stages + 1);
  std::vector<std::vector<size_t>> having(stages);
  ends[stages].assign(instances + 1, 0);
  ends[stages][instances] = instances;
  for (int64_t s = stages; s-- > 0;) {
    ends[s].assign(instances + 1, 0);
    having[s].assign(instances, 0);
    int64_t end = 0;
    bool any = false;
    for (int64_t first = instances - (stages - s); first >= s; --first) {
      if (ends[s + 1][first + 1] > 0)
        end = first + 1;
      if (end == 0 || (s == 0 && first > 0))
        continue;
      if (auto k = goes(s, first, end, limits))
        ends[s][first] = end, having[s][first] = *k, any = true;
    }
    if (!any)
      return std::nullopt;
  }
  Filled filled{{0}, {}};
  for (int64_t s = 0; s < stages; ++s) {
    filled.configurations.push_back(having[s][filled.cuts.back()]);
    filled.cuts.push_back(ends[s][filled.cuts.back()]);
  }
  return filled;
}

std::optional<UnlikeBound::Filled> UnlikeBound::within(double limit) const {
  // What stage 0 must hold at least makes the others' limit smaller.
  double tail = leastTail(1);
  while (true) {
    std::optional<Filled> filled = fill({limit, tail});
    if (!filled)
      return std::nullopt;
    double now = leastTail(filled->cuts[1]);
    if (now <= tail)
      return filled;
    tail = now;
  }
}

/// Gives each stage the best of its configurations for what it holds; what the
/// worst of them makes of the step.
double UnlikeBound::settle(Filled &filled) const {
  double most = 0;
  Limits limits{never / 2, leastTail(filled.cuts[1])};
  for (int64_t s = 0; s < stages; ++s) {
    double least = never;
    for (size_t k : (*menus)[s])
      if (double value =
              valueOf(k, s, filled.cuts[s], filled.cuts[s + 1], limits);
          value < least)
        least = value, filled.configurations[s] = k;
    most = std::max(most, least);
  }
  return most;
}

UnlikeBound::Best UnlikeBound::of(const Menus &given, Picoseconds known,
                                  Picoseconds limit) {
  Best best{limit, {}};
  if (instances < stages)
    return best;
  setMenus(given);
  std::optional<Filled> filled = within(std::min(limit.asDouble(), never / 2));
  if (!filled)
    return best;
  double low = known.asDouble(), high = settle(*filled);
  // Less than any gap that is printed.
  while (high - low > high * 5e-5) {
    double middle = low + (high - low) / 2;
    if (std::optional<Filled> better = within(middle)) {
      high = std::min(middle, settle(*better));
      filled = std::move(better);
    } else {
      low = middle;
    }
  }
  best.bound = std::min(limit, std::max(known, hairBelow(low)));
  best.configurations = filled->configurations;
  return best;
}

} // namespace whale::planner
