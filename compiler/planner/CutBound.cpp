//===- CutBound.cpp - the best cuts by bounds of single stages ------------===//

#include "compiler/planner/Bound.h"

#include "compiler/planner/CutCosts.h"
#include "compiler/planner/Partition.h"
#include "compiler/workload/Workload.h"

#include <algorithm>
#include <cmath>

namespace whale::planner {

namespace {

/// A row as weights of the times before a stage, of its own, and constants.
struct StageRow {
  bool endsAtFirst = false;
  /// What the constants are made of.
  Row row;
  double messages[2] = {0, 0};
  /// With the usual messages, and where some may be smaller.
  double constant[2] = {0, 0};
  Parts before, own;
};

/// Up to so many ways to give the instances to blocks of stages are looked at.
constexpr int64_t mostBlockings = 2000;

/// Neighbouring stages that are alike, and the instances they hold.
struct Block {
  int64_t firstStage = 0, endStage = 0;
  int64_t first = 0, end = 0;
};

class Cutter {
public:
  Cutter(CostTable &table, const NormalForm &form, const ReplicaCosts &costs)
      : form(form), costs(costs), held(table, form, costs),
        instances(workload::instanceCount(table.workload)),
        stages(static_cast<int64_t>(form.stages.size())) {
    for (const auto &one : costs)
      messages.emplace_back(table, *one, stages);
    findBlocks();
    findLeast();
    addRows();
    place(0);
  }

  /// Nothing is below `known`, and what is not below `limit` does not matter.
  CutBound run(Picoseconds known, Picoseconds limit) {
    CutBound none{Picoseconds::max(), {}};
    most = limit.asDouble();
    if (instances < stages || !mayFit())
      return none;
    best = none;
    forEachBlocks(static_cast<int64_t>(blocks.size()) - 1, [&] {
      CutBound here = ofBlocks(known);
      if (here.step < best.step)
        best = std::move(here);
      most = std::min(most, best.step.asDouble());
      return true;
    });
    return best;
  }

  /// Whether some cuts have no bound above the limit, as far as `memory` is
  /// looked at.
  bool mayBeat(Picoseconds limit, Memory memory) {
    most = limit.asDouble();
    deepest = memory;
    if (instances < stages || !mayFit())
      return false;
    bool found = false;
    forEachBlocks(static_cast<int64_t>(blocks.size()) - 1, [&] {
      takeAnyCuts();
      found =
          !within(most, Memory::Relaxed).empty() &&
          (memory == Memory::Relaxed || !within(most, Memory::Exact).empty());
      return !found;
    });
    return found;
  }

  void forEachSpace(Picoseconds limit, const VisitSpace &visit) {
    most = limit.asDouble();
    if (instances < stages || !mayFit())
      return;
    forEachBlocks(static_cast<int64_t>(blocks.size()) - 1, [&] {
      takeAnyCuts();
      if (!within(most, Memory::Exact).empty())
        most = std::min(most, visit(spaceOfBlocks(), held).asDouble());
      return true;
    });
  }

  /// The bound of these cuts; max where they do not fit.
  Picoseconds boundOf(const std::vector<int64_t> &cuts) {
    atEnds = true;
    for (Block &block : blocks)
      block.first = cuts[block.firstStage], block.end = cuts[block.endStage];
    if (blocks.size() > 1)
      place(0);
    return allFit(cuts)
               ? hairBelow(limitOf(cuts, Memory::Exact)) - Picoseconds(slack())
               : Picoseconds::max();
  }

private:
  /// Calls `visit` for the ways to give instances to blocks 0..last that may
  /// have a bound below `most`; those of the blocks behind are given. False
  /// where `visit` was, which ends it.
  template <class F> bool forEachBlocks(int64_t last, F visit) {
    Block &block = blocks[last];
    if (last == 0) {
      block.first = 0;
      place(0);
      return visit();
    }
    for (int64_t first : startsOf(last)) {
      block.first = first;
      blocks[last - 1].end = first;
      place(last);
      if (blockGoes(last) && !forEachBlocks(last - 1, visit))
        return false;
    }
    return true;
  }

  /// Where a block may begin, those first that suit its speed.
  std::vector<int64_t> startsOf(int64_t b) const {
    const Block &block = blocks[b];
    std::vector<int64_t> starts;
    for (int64_t first = block.firstStage;
         first <= block.end - (block.endStage - block.firstStage); ++first)
      starts.push_back(first);
    double share = rateOf(b) / (rateOf(b) + ratesBefore(b));
    auto wanted = static_cast<double>(block.end) * (1 - share);
    auto distance = [&](int64_t first) {
      return std::abs(static_cast<double>(first) - wanted);
    };
    std::stable_sort(starts.begin(), starts.end(), [&](int64_t a, int64_t b) {
      return distance(a) < distance(b);
    });
    return starts;
  }

  /// Instances that the block's stages take together in some time.
  double rateOf(int64_t b) const {
    double time = 1;
    for (size_t c = 0; c < costs.size(); ++c)
      time = std::max(time, held.prefix(c, blocks[b].firstStage).back().sum());
    return static_cast<double>(blocks[b].endStage - blocks[b].firstStage) /
           time;
  }
  double ratesBefore(int64_t b) const {
    double rates = 0;
    for (int64_t before = 0; before < b; ++before)
      rates += rateOf(before);
    return rates;
  }

  void takeAnyCuts() {
    firstEnd = INT64_MAX, lastStart = 0;
    atEnds = true;
  }

  /// Whether the block's stages can hold its instances below `most`, for all
  /// that is known of those before it.
  bool blockGoes(int64_t b) {
    takeAnyCuts();
    double limit = std::max(1.0, most - 1);
    std::vector<int64_t> cuts(stages + 1, blocks[b].end);
    double tail = held.tail(0, 0, 1);
    return fill(b, {limit, tail, Memory::Relaxed}, cuts) &&
           (deepest == Memory::Relaxed ||
            fill(b, {limit, tail, Memory::Exact}, cuts));
  }

  /// The best cuts with the instances that the blocks have.
  CutBound ofBlocks(Picoseconds known) {
    CutBound none{Picoseconds::max(), {}};
    takeAnyCuts();
    bool isOne = blocks.size() == 1;
    bool isLimited = most < Picoseconds::max().asDouble();
    // Cuts above the limit do not matter: with the least that messages may
    // take, as now, before memory is looked at and after.
    auto isTooSlow = [&](Memory memory) {
      return isLimited && within(most, memory).empty();
    };
    CutBound slow = isOne ? bounded(most, {}) : none;
    if (isTooSlow(Memory::Free))
      return slow;
    if ((isOne || !isLimited) && within(1e300, Memory::Exact).empty())
      return none;
    if (isTooSlow(Memory::Relaxed) || isTooSlow(Memory::Exact))
      return slow;
    int64_t head = 0, tail = INT64_MAX;
    atEnds = false;
    for (const Messages &one : messages) {
      atEnds |= !one.onlyAtEnds();
      head = std::max(head, one.headEnd());
      tail = std::min(tail, one.tailStart());
    }
    CutBound least = both(known.asDouble());
    if (atEnds)
      return least;
    atEnds = true;
    firstEnd = head;
    consider(least, known);
    firstEnd = INT64_MAX, lastStart = tail;
    if (lastStart < instances)
      consider(least, known);
    return least;
  }

  /// With the instances that the blocks have.
  CutSpace spaceOfBlocks() const {
    CutSpace space(stages);
    Limits limits{most, held.tail(0, 0, 1), Memory::Exact};
    for (const Block &block : blocks)
      for (int64_t s = block.firstStage; s < block.endStage; ++s) {
        int64_t end = block.end - (block.endStage - 1 - s);
        int64_t first = block.first + (s - block.firstStage);
        int64_t start = s + 1 == block.endStage ? end : 0;
        for (; first < end; ++first) {
          for (int64_t last = std::max(start, first + 1); last <= end; ++last)
            if (goes(s, first, last, limits))
              space[s].push_back({first, last});
          if (s == block.firstStage)
            break;
        }
      }
    return space;
  }

  bool mayFit() const {
    return std::all_of(costs.begin(), costs.end(), [&](const auto &one) {
      std::vector<int64_t> alive;
      for (unsigned s = 0; s < form.stages.size(); ++s)
        alive.push_back(one->alive(s));
      return one->mayFit(alive, form.virtualStages) != FormCosts::Fit::Never;
    });
  }

  /// With memory only where it matters.
  CutBound both(double low) const {
    CutBound free = solve(Memory::Free, low);
    if (free.cuts.empty() || allFree(free.cuts))
      return free;
    return solve(Memory::Exact, low);
  }

  /// Takes other cuts where they might be faster.
  void consider(CutBound &least, Picoseconds known) {
    double limit = least.step.asDouble();
    if (!within(limit, Memory::Exact).empty()) {
      CutBound other = both(known.asDouble());
      // What was found, if anything, may be the best of all all the same.
      if (least.cuts.empty())
        least.cuts = std::move(other.cuts);
      least.step = std::min(least.step, other.step);
    }
  }

  /// For the rounding of the chunks' times.
  int64_t slack() const {
    return form.virtualStages > 1
               ? 2 * form.virtualStages * (3 * stages + form.microBatches)
               : 0;
  }

  /// Neighbouring stages whose classes cost the same; all of them where there
  /// are too many ways to give instances to such blocks.
  void findBlocks() {
    for (int64_t s = 0; s < stages; ++s) {
      if (held.likeOf(s) == s)
        blocks.push_back({s, s, 0, instances});
      blocks.back().endStage = s + 1;
    }
    if (partitionCount(instances, static_cast<int64_t>(blocks.size())) >
        mostBlockings)
      blocks = {{0, stages, 0, instances}};
  }

  /// What is known of the times of all instances, where blocks from `known` on
  /// have theirs: those before have the least of any block before.
  void place(int64_t known) {
    for (size_t c = 0; c < costs.size(); ++c) {
      Prefix &prefix = placed[c];
      auto add = [&](const Prefix &times, int64_t first, int64_t end) {
        for (int64_t i = first; i < end; ++i)
          prefix[i + 1] = prefix[i] + (times[i + 1] - times[i]);
      };
      if (known > 0)
        add(leastBefore[c][known], 0, blocks[known].first);
      for (auto b = static_cast<size_t>(known); b < blocks.size(); ++b)
        add(leastOf[c][b], blocks[b].first, blocks[b].end);
    }
    if (known > 0)
      return setConstants(blocks[known]);
    for (const Block &block : blocks)
      setConstants(block);
  }

  /// The least times of instances on any stage of each block, and of any block
  /// before each.
  void findLeast() {
    for (size_t c = 0; c < costs.size(); ++c) {
      std::vector<Prefix> blockTimes, before = {{}};
      for (const Block &block : blocks) {
        Prefix least = held.prefix(c, block.firstStage);
        for (int64_t s = block.firstStage + 1; s < block.endStage; ++s)
          if (held.likeOf(s) == s)
            least = smaller(least, held.prefix(c, s));
        before.push_back(before.back().empty() ? least
                                               : smaller(before.back(), least));
        blockTimes.push_back(std::move(least));
      }
      leastOf.push_back(std::move(blockTimes));
      leastBefore.push_back(std::move(before));
      placed.emplace_back(instances + 1);
    }
  }

  /// Sums of the smaller times of each instance.
  static Prefix smaller(const Prefix &a, const Prefix &b) {
    Prefix result{{}};
    for (size_t i = 0; i + 1 < a.size(); ++i) {
      Parts one = a[i + 1] - a[i], other = b[i + 1] - b[i];
      result.push_back(result.back() +
                       Parts{std::min(one.forward, other.forward),
                             std::min(one.input, other.input),
                             std::min(one.weight, other.weight)});
    }
    return result;
  }

  void addRows() {
    PipelineShape shape{form.schedule, stages, form.virtualStages,
                        form.microBatches};
    rows.resize(costs.size());
    for (const Block &block : blocks)
      for (int64_t s = block.firstStage; s < block.endStage; ++s) {
        std::vector<Row> ofStage =
            boundRows(shape, s, costs[0]->alive(s), block.endStage - 1);
        for (size_t c = 0; c < costs.size(); ++c) {
          rows[c].emplace_back();
          for (const Row &row : ofStage)
            rows[c].back().push_back(
                stageRow(row, messages[c], s, block.endStage - 1));
        }
      }
  }

  StageRow stageRow(const Row &row, const Messages &messages, int64_t s,
                    int64_t lastOfBlock) const {
    int64_t free = freeMessages(form.schedule);
    StageRow made;
    made.row = row;
    made.endsAtFirst = row.endsAtFirst;
    made.before = row.before.times - row.behind.times - row.within.times;
    made.own = row.own;
    for (bool ends : {false, true})
      made.messages[ends] =
          messages.least(row.whole, 0, stages - 1, free, ends) +
          messages.least(row.before, 0, s, free, ends) +
          messages.least(row.behind, s, stages - 1, free, ends) +
          messages.least(row.within, s, lastOfBlock, free, ends);
    return made;
  }

  void setConstants(const Block &block) {
    for (size_t c = 0; c < costs.size(); ++c) {
      const Parts &all = placed[c].back();
      for (int64_t s = block.firstStage; s < block.endStage; ++s)
        for (StageRow &made : rows[c][s])
          for (bool ends : {false, true})
            made.constant[ends] =
                dot(made.row.whole.times, all) +
                dot(made.row.behind.times, all) +
                dot(made.row.within.times, placed[c][block.end]) +
                made.messages[ends];
    }
  }

  /// What stage `s` with these instances alone makes of the step, where stage 0
  /// ends it with `tail`.
  double valueOf(unsigned s, int64_t first, int64_t last, double tail,
                 Memory memory) const {
    double value = 0, own = held.tail(s, first, last);
    for (size_t c = 0; c < costs.size(); ++c) {
      const Prefix &here = held.prefix(c, s);
      Parts before = placed[c][first], times = here[last] - here[first];
      if (memory == Memory::Exact && costs[c]->hasRelief())
        times += held.relieved(c, s, first, last);
      for (const StageRow &row : rows[c][s])
        value = std::max(value,
                         row.constant[atEnds] + (row.endsAtFirst ? tail : own) +
                             dot(row.before, before) + dot(row.own, times));
    }
    return value;
  }

  bool allFit(const std::vector<int64_t> &cuts) const {
    for (unsigned s = 0; s < form.stages.size(); ++s)
      if (!held.fits(s, cuts[s], cuts[s + 1]))
        return false;
    return true;
  }

  /// Whether memory makes no difference to these cuts.
  bool allFree(const std::vector<int64_t> &cuts) const {
    for (unsigned s = 0; s < form.stages.size(); ++s)
      for (size_t c = 0; c < costs.size(); ++c)
        if (costs[c]->hasRelief() &&
            held.relieved(c, s, cuts[s], cuts[s + 1]).sum() > 0)
          return false;
    return allFit(cuts);
  }

  /// What a stage may be: no bound above `limit`, and as far as `memory` is
  /// looked at that it fits.
  struct Limits {
    double limit = 0;
    /// Of stage 0, once a step.
    double tail = 0;
    Memory memory = Memory::Free;
  };

  bool isBelow(unsigned s, int64_t first, int64_t last, const Limits &limits,
               Memory memory) const {
    return valueOf(s, first, last, limits.tail, memory) <= limits.limit;
  }

  /// False where no relief makes the stage fit without a bound above the limit.
  bool mayRelieve(unsigned s, int64_t first, int64_t last,
                  const Limits &limits) const {
    double own = held.tail(s, first, last);
    for (size_t c = 0; c < costs.size(); ++c) {
      if (!costs[c]->hasRelief())
        continue;
      const Prefix &here = held.prefix(c, s);
      Parts times = here[last] - here[first];
      FormCosts::Spare spare;
      auto take = [](double &least, double left, double weight) {
        if (weight > 0)
          least = std::min(least, left / weight);
      };
      for (const StageRow &row : rows[c][s]) {
        double left = limits.limit - row.constant[atEnds] -
                      (row.endsAtFirst ? limits.tail : own) -
                      dot(row.before, placed[c][first]) - dot(row.own, times);
        take(spare.forward, left, row.own.forward);
        take(spare.backward, left, row.own.input);
        take(spare.update, left, !row.endsAtFirst || s == 0);
      }
      if (!costs[c]->mayRelieve(s, first, last, spare))
        return false;
    }
    return true;
  }

  bool goes(unsigned s, int64_t first, int64_t last,
            const Limits &limits) const {
    return isBelow(s, first, last, limits, Memory::Free) &&
           (limits.memory == Memory::Free ||
            mayRelieve(s, first, last, limits)) &&
           (limits.memory != Memory::Exact ||
            (isBelow(s, first, last, limits, Memory::Exact) &&
             held.fits(s, first, last)));
  }

  /// The first instance that a stage of a block may begin with: each one before
  /// it needs an instance.
  int64_t earliest(const Block &block, int64_t s) const {
    int64_t least = block.first + s - block.firstStage;
    return s + 1 == stages ? std::max(least, lastStart) : least;
  }

  /// The smallest first instance of a stage that ends before `last`, `least` or
  /// more, or `last` if not even one goes.
  int64_t reach(unsigned s, int64_t last, int64_t least,
                const Limits &limits) const {
    int64_t good = firstOf(least, last, [&](int64_t first) {
      return isBelow(s, first, last, limits, Memory::Free);
    });
    if (limits.memory == Memory::Free)
      return good;
    good = firstOf(good, last, [&](int64_t first) {
      return mayRelieve(s, first, last, limits);
    });
    if (limits.memory == Memory::Relaxed)
      return good;
    good = firstOf(good, last, [&](int64_t first) {
      return isBelow(s, first, last, limits, Memory::Exact);
    });
    return firstOf(good, last,
                   [&](int64_t first) { return held.fits(s, first, last); });
  }

  /// The first of `least` .. `last` - 1 that a test holds for, which then holds
  /// for all behind it; else `last`. It may well be `least`.
  template <class F>
  static int64_t firstOf(int64_t least, int64_t last, F test) {
    if (least >= last || test(least))
      return least;
    int64_t bad = least, good = last;
    while (good - bad > 1) {
      int64_t middle = bad + (good - bad) / 2;
      (test(middle) ? good : bad) = middle;
    }
    return good;
  }

  /// Cuts of a block with which no bound of its stages but stage 0 is above
  /// the limit; false if there are none. A stage that takes as much as goes
  /// leaves those before it the least, if it takes anything.
  bool fill(int64_t b, const Limits &limits, std::vector<int64_t> &cuts) const {
    const Block &block = blocks[b];
    cuts[block.endStage] = block.end;
    for (int64_t s = block.endStage - 1; s >= block.firstStage; --s) {
      if (s == 0)
        return true;
      cuts[s] = reach(s, cuts[s + 1], earliest(block, s), limits);
      if (cuts[s] == cuts[s + 1])
        return fillLess(block, limits, cuts);
    }
    return cuts[block.firstStage] == block.first;
  }

  /// By first instance: where a stage ends, 0 where it may not begin there.
  using Ends = std::vector<int64_t>;

  /// Of a stage, where it ends where those behind it may begin. What goes goes
  /// with fewer instances, too: the nearest end is the best.
  Ends endsOf(const Block &block, int64_t s, const Ends &behind,
              const Limits &limits) const {
    Ends ends(instances + 1, 0);
    int64_t end = 0, tooFar = 0;
    for (int64_t first = block.end - 1; first >= earliest(block, s); --first) {
      if (behind[first + 1] > 0)
        end = first + 1;
      if (end == tooFar)
        continue;
      if (goes(s, first, end, limits))
        ends[first] = end;
      else
        tooFar = end;
    }
    return ends;
  }

  /// fill() where some stage cannot hold the last instance that is left to it,
  /// but may hold another one if those behind it hold less.
  bool fillLess(const Block &block, const Limits &limits,
                std::vector<int64_t> &cuts) const {
    int64_t begin = std::max<int64_t>(block.firstStage, 1);
    std::vector<Ends> ends(block.endStage + 1);
    ends[block.endStage].assign(instances + 1, 0);
    ends[block.endStage][block.end] = block.end;
    for (int64_t s = block.endStage - 1; s >= begin; --s)
      ends[s] = endsOf(block, s, ends[s + 1], limits);
    auto goesAt = [&](int64_t first) { return ends[begin][first] > 0; };
    int64_t first = block.first;
    while (block.firstStage == 0 && first < block.end && !goesAt(first))
      ++first;
    if (!goesAt(first))
      return false;
    for (int64_t s = begin; s < block.endStage; ++s) {
      cuts[s] = first;
      first = ends[s][first];
    }
    return true;
  }

  /// Cuts with which no bound is above `limit`, or none.
  std::vector<int64_t> within(double limit, Memory memory) const {
    // What stage 0 must hold at least makes the others' limit smaller, and
    // they leave it more.
    double tail = held.tail(0, 0, 1);
    while (true) {
      std::vector<int64_t> cuts(stages + 1, 0);
      for (auto b = static_cast<int64_t>(blocks.size()); b-- > 0;)
        if (!fill(b, {limit, tail, memory}, cuts))
          return {};
      if (cuts[1] > firstEnd)
        return {};
      double now = held.tail(0, 0, cuts[1]);
      if (!goes(0, 0, cuts[1], {limit, now, memory}))
        return {};
      if (now <= tail)
        return cuts;
      tail = now;
    }
  }

  /// The least limit of these cuts.
  double limitOf(const std::vector<int64_t> &cuts, Memory memory) const {
    double limit = 0;
    for (unsigned s = 0; s < form.stages.size(); ++s)
      limit = std::max(limit, valueOf(s, cuts[s], cuts[s + 1],
                                      held.tail(0, 0, cuts[1]), memory));
    return limit;
  }

  /// The least limit within which there are cuts, up to a twenty-thousandth,
  /// which is less than any gap that is printed; none where it is not below
  /// `most`. `low` rises to it.
  CutBound solve(Memory memory, double &low) const {
    std::vector<int64_t> cuts, better;
    // It is seldom far from the start.
    double high = std::max(low, 1.0);
    for (double stride = 1e-3; cuts.empty(); stride *= 4) {
      high = std::max(low, 1.0) * (1 + stride);
      if (cuts = within(high, memory); cuts.empty())
        low = high;
      if (low >= most)
        return bounded(low, {});
    }
    high = std::min(high, limitOf(cuts, memory));
    while (high - low > high * 5e-5) {
      double middle = low + (high - low) / 2;
      if (better = within(middle, memory); better.empty()) {
        low = middle;
        continue;
      }
      cuts = std::move(better);
      high = std::min(middle, limitOf(cuts, memory));
    }
    return bounded(low, std::move(cuts));
  }

  CutBound bounded(double low, std::vector<int64_t> cuts) const {
    // Where no cut fits, `low` is beyond every time.
    Picoseconds least = Picoseconds::fromDouble(std::floor(low));
    return {std::max(Picoseconds(), least - Picoseconds(slack())),
            std::move(cuts)};
  }

  const NormalForm &form;
  const ReplicaCosts &costs;
  const CutCosts held;
  int64_t instances, stages;
  /// By class of replicas.
  std::vector<Messages> messages;
  /// What cuts are looked for: any with usual messages; or such as may have
  /// smaller ones, where the first stage ends or the last one begins here.
  bool atEnds = false;
  int64_t firstEnd = INT64_MAX, lastStart = 0;
  double most = 1e300;
  /// How far memory is looked at.
  Memory deepest = Memory::Exact;
  /// Of the blocks that were tried.
  CutBound best;
  std::vector<Block> blocks;
  /// By class of replicas: times of instances in the blocks that have them.
  std::vector<Prefix> placed;
  /// By class of replicas, then block.
  std::vector<std::vector<Prefix>> leastOf, leastBefore;
  std::vector<std::vector<std::vector<StageRow>>> rows;
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

Relief mostRelief(const ReplicaCosts &costs, unsigned stage, int64_t first,
                  int64_t last) {
  Relief most;
  most.gatheredLayers = INT64_MAX;
  for (const auto &one : costs) {
    Relief here = one->relief(stage, first, last);
    // Each instance as much as it does anywhere.
    int64_t both = std::max(most.recomputeLayers + most.selectiveLayers,
                            here.recomputeLayers + here.selectiveLayers);
    most.recomputeLayers = std::max(most.recomputeLayers, here.recomputeLayers);
    most.selectiveLayers = both - most.recomputeLayers;
    forEachOffload(
        [](auto, int64_t &all, int64_t own) { all = std::max(all, own); },
        most.offload, here.offload);
    // No more than any has room for.
    most.gatheredLayers = std::min(most.gatheredLayers, here.gatheredLayers);
  }
  return most;
}

/// Of the ways to cut the stages' chunks.
static CutBound chunkedCutBound(const CostTable &table, const NormalForm &form,
                                const ReplicaCosts &costs, Picoseconds limit) {
  CutBound best{Picoseconds::max(), {}};
  Picoseconds slow = Picoseconds::max();
  ChunkBounds bounds(form, costs);
  for (std::vector<int64_t> &cuts : chunkCuts(table, form)) {
    Picoseconds bound = bounds.of(cuts, limit);
    if (bound >= limit)
      slow = std::min(slow, bound);
    else if (bound < best.step && chunksMayFit(form, costs, cuts))
      best = {bound, std::move(cuts)};
  }
  return best.cuts.empty() ? CutBound{slow, {}} : best;
}

CutBound cutBound(CostTable &table, const NormalForm &form,
                  const ReplicaCosts &costs, Picoseconds known,
                  Picoseconds limit) {
  return isChunked(form) ? chunkedCutBound(table, form, costs, limit)
                         : Cutter(table, form, costs).run(known, limit);
}

bool mayCutBelow(CostTable &table, const NormalForm &form,
                 const ReplicaCosts &costs, Picoseconds limit, Memory memory) {
  return isChunked(form)
             ? chunkedCutBound(table, form, costs, limit).step < limit
             : Cutter(table, form, costs).mayBeat(limit, memory);
}

std::function<Picoseconds(const std::vector<int64_t> &)>
boundOfCuts(CostTable &table, const NormalForm &form,
            const ReplicaCosts &costs) {
  auto cutter = std::make_shared<Cutter>(table, form, costs);
  return [cutter](const std::vector<int64_t> &cuts) {
    return cutter->boundOf(cuts);
  };
}

void forEachSpace(CostTable &table, const NormalForm &form,
                  const ReplicaCosts &costs, Picoseconds limit,
                  const VisitSpace &visit) {
  Cutter(table, form, costs).forEachSpace(limit, visit);
}

void forEachCuts(
    CostTable &table, const NormalForm &form, const ReplicaCosts &costs,
    Picoseconds limit,
    const std::function<Picoseconds(const std::vector<int64_t> &)> &visit) {
  Cutter cutter(table, form, costs);
  forEachPartition(workload::instanceCount(table.workload),
                   static_cast<int64_t>(form.stages.size()),
                   [&](const std::vector<int64_t> &cuts) {
                     Picoseconds bound = cutter.boundOf(cuts);
                     if (bound < Picoseconds::max() &&
                         wholeStep(table.hardware, rankCount(form), bound) <
                             limit)
                       limit = visit(cuts);
                   });
}

} // namespace whale::planner
