//===- Exhaustive.cpp - every plan of a small problem ---------------------===//

#include "test/unit/planner/Exhaustive.h"

#include "compiler/planner/Partition.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

namespace whale::test {

using namespace planner;

namespace {

/// Visits all ways to write `sum` as `parts` positive numbers.
void compositions(int64_t sum, int64_t parts, std::vector<int64_t> &so,
                  const std::function<void()> &visit) {
  if (parts == 1) {
    so.push_back(sum);
    visit();
    so.pop_back();
    return;
  }
  for (int64_t n = 1; n <= sum - (parts - 1); ++n) {
    so.push_back(n);
    compositions(sum - n, parts - 1, so, visit);
    so.pop_back();
  }
}

struct Degrees {
  int64_t data = 1, tensor = 1, context = 1, pipeline = 1, microBatches = 1;
  int64_t group = 1;
  bool experts = false, hybrid = false, sequence = false, outside = false;
  /// Loop that is cut over the replicas of a group; empty = none.
  std::string colocated = {};
  Shard shard = Shard::None;
  /// Stages have degrees of their own: those here are one stage's.
  bool unlike = false;
};

class Exhauster {
public:
  Exhauster(const Problem &problem, int64_t limit, Stages stages)
      : problem(problem), pins(problem.options.pins), limit(limit),
        stages(stages), table(problem.workload, problem.hardware),
        dims(splitDims(problem.workload)),
        devices(problem.hardware.deviceCount()),
        instances(workload::instanceCount(problem.workload)),
        large(largeTable(problem.workload)),
        groups(problem.workload.globalBatch / problem.workload.sampleGroup) {}

  Exhausted run() {
    for (int64_t t = 1; t <= devices; ++t)
      for (int64_t c = 1; t * c <= devices; ++c)
        for (int64_t p = 1; t * c * p <= devices && p <= instances; ++p)
          for (int64_t d = 1; t * c * p * d <= devices && d <= groups; ++d)
            if (wanted(pins.tensor, t) && wanted(pins.context, c) &&
                wanted(pins.pipeline, p) && wanted(pins.data, d) &&
                canSplit(t) && canCutContext(c))
              degrees({d, t, c, p});
    for (const auto &[key, some] : options) {
      NormalForm form;
      unlike(form, some, std::get<0>(key));
    }
    return std::move(result);
  }

private:
  template <class T, class V>
  static bool wanted(const std::optional<T> &pin, const V &value) {
    return !pin || *pin == value;
  }

  bool full() const { return problem.options.space == Space::Full; }

  bool canSplit(int64_t t) const {
    if (t > 1 && dims.empty())
      return false;
    const std::vector<cost::Pool> &pools = problem.hardware.pools();
    for (const cost::Pool &pool : pools)
      if (canSplit(pool, t))
        return true;
    for (int64_t part = 1; part < t && full(); ++part)
      for (size_t p = 0; p < pools.size(); ++p)
        for (size_t q = 0; q < pools.size(); ++q)
          if (p != q && canSplit(pools[p], part) &&
              canSplit(pools[q], t - part))
            return true;
    return t == 1;
  }
  static bool canSplit(const cost::Pool &pool, int64_t t) {
    return t <= pool.count && (pool.perNode % t == 0 || t % pool.perNode == 0);
  }

  /// The search leaves a part 1,024 positions, and doubles the parts.
  bool canCutContext(int64_t c) const {
    return c == 1 || pins.context ||
           ((c & (c - 1)) == 0 && positions() % c == 0 &&
            positions() / c >= 1024);
  }
  int64_t extent(std::string_view name) const {
    for (const workload::ModuleClass &module : problem.workload.classes)
      for (const workload::Op &op : module.ops)
        for (const workload::LoopDim &loop : op.loops)
          if (loop.name == name)
            return loop.extent;
    return 0;
  }
  int64_t positions() const { return extent("sequence"); }

  void degrees(Degrees d) {
    for (d.microBatches = 1; d.microBatches <= groups; ++d.microBatches)
      if (groups % d.microBatches == 0 && groups / d.microBatches >= d.data &&
          wanted(pins.microBatches, d.microBatches))
        cutOverReplicas(d);
  }

  /// Experts, sequence, ZeRO and where the replicas stand.
  void cutOverReplicas(Degrees d) {
    for (bool sequence : {false, true}) {
      if ((sequence && (d.tensor == 1 || positions() == 0 ||
                        positions() % (d.tensor * d.context))) ||
          !wanted(pins.sequence, sequence))
        continue;
      d.sequence = sequence;
      for (bool outside : {false, true})
        if (d.outside = outside; !outside || (d.data > 1 && d.pipeline > 1))
          for (int64_t group = 1; group <= d.data; ++group)
            if (d.data % group == 0)
              inGroups(d, group);
    }
  }

  void inGroups(Degrees d, int64_t group) {
    std::vector<std::string> cuts = {"", "experts"};
    if (large.table != Table::None)
      cuts.emplace_back(dimOf(large.table));
    for (const std::string &cut : cuts) {
      bool experts = cut == "experts", table = !cut.empty() && !experts;
      d.colocated = cut;
      if ((!cut.empty() && (group == 1 || group > extent(cut))) ||
          !wanted(pins.experts, experts ? group : int64_t(1)) ||
          !wanted(pins.vocabulary, table ? group : int64_t(1)))
        continue;
      d.experts = experts, d.group = group;
      for (Shard shard :
           {Shard::None, Shard::Optimizer, Shard::Gradients, Shard::Parameters})
        for (bool hybrid : {false, true}) {
          bool known = full() || (shard <= Shard::Optimizer && !hybrid);
          if (!known || !wanted(pins.zero, static_cast<int64_t>(shard)) ||
              (shard != Shard::None && d.data == 1) ||
              (cut.empty() && !hybrid && group > 1) ||
              (hybrid &&
               (shard == Shard::None || group == 1 || group == d.data)))
            continue;
          d.shard = shard, d.hybrid = hybrid;
          shaped(d);
        }
    }
  }

  static Axis axis(std::string name, AxisKind kind, int64_t size) {
    Axis made;
    made.name = std::move(name);
    made.kind = kind;
    made.size = size;
    return made;
  }

  StageForm stageOf(const Degrees &d) const {
    StageForm stage;
    std::string next = "r0";
    if (d.data > d.group) {
      stage.axes.push_back(axis(next, AxisKind::Replica, d.data / d.group));
      stage.axes.back().shard = d.hybrid ? Shard::None : d.shard;
      next = "r1";
    }
    if (d.group > 1) {
      stage.axes.push_back(axis(next, AxisKind::Replica, d.group));
      stage.axes.back().shard = d.shard;
      if (!d.colocated.empty())
        stage.axes.back().colocated.push_back({{d.colocated}, {}});
    }
    std::vector<std::string> inner = dims;
    if (d.experts)
      std::erase(inner, "experts");
    next = "t0";
    if (d.context > 1) {
      stage.axes.push_back(axis(next, AxisKind::Split, d.context));
      stage.axes.back().dims = {"sequence", "keys"};
      next = "t1";
    }
    if (d.sequence)
      inner.insert(inner.end(), {"sequence", "keys"});
    if (d.tensor > 1) {
      stage.axes.push_back(axis(next, AxisKind::Split, d.tensor));
      stage.axes.back().dims = inner;
    }
    return stage;
  }

  void shaped(const Degrees &d) {
    NormalForm form;
    form.microBatches = d.microBatches;
    StageForm stage = stageOf(d);
    if (d.tensor > 1 && stage.axes.back().dims.empty())
      return;
    if (shortDim(problem.workload, stage, 0, instances))
      return;
    for (const Axis &one : stage.axes)
      if (one.kind == AxisKind::Replica && !d.outside)
        ++form.outerAxes;
    for (Recompute recompute :
         {Recompute::None, Recompute::Selective, Recompute::Full}) {
      if (!wanted(pins.recompute, recompute))
        continue;
      stage.recompute = recompute;
      form.stages.assign(d.pipeline, stage);
      scheduled(form, d);
    }
    // A stage that recomputes does so as its memory asks.
    stage.recompute = pins.recompute.value_or(Recompute::None);
    if (stages == Stages::Different && mayDiffer(d))
      options[{d.pipeline, d.microBatches, d.data * d.tensor * d.context,
               full() ? 1 : d.data}]
          .emplace_back(d, stage);
  }

  /// One whose replicas stand within the stages and share equally.
  bool mayDiffer(const Degrees &d) const {
    return d.pipeline > 1 && d.outside == (d.data > 1) && d.colocated.empty() &&
           groups % (d.microBatches * d.data) == 0;
  }

  /// Every choice of what some stages have.
  using Option = std::pair<Degrees, StageForm>;
  void unlike(NormalForm &form, const std::vector<Option> &some,
              int64_t pipeline) {
    if (std::ssize(form.stages) == pipeline) {
      Degrees d = some.front().first;
      d.unlike = true;
      form.microBatches = d.microBatches;
      return scheduled(form, d);
    }
    for (const auto &[d, stage] : some) {
      form.stages.push_back(stage);
      unlike(form, some, pipeline);
      form.stages.pop_back();
    }
  }

  void scheduled(NormalForm form, const Degrees &d) {
    bool parts = full() && d.pipeline > 1 && !d.unlike;
    for (Schedule schedule : simulator::allOrders())
      for (int64_t v = 1; v == 1 || (parts && v * d.pipeline <= instances);
           ++v) {
        if (schedule == Schedule::DualPipe)
          continue;
        bool plain =
            schedule == Schedule::OneFOneB || schedule == Schedule::GPipe;
        simulator::ScheduleSpec spec;
        spec.order = schedule;
        spec.stages = d.pipeline;
        spec.chunks = v;
        spec.microBatches = d.microBatches;
        bool isUneven = schedule == Schedule::Interleaved &&
                        d.microBatches % d.pipeline != 0;
        if ((!full() && !plain) || isUneven || !wanted(pins.virtualStages, v) ||
            (d.pipeline == 1 && schedule != Schedule::OneFOneB) ||
            (d.pipeline > 1 && !wanted(pins.schedule, schedule)) ||
            simulator::brokenRule(spec))
          continue;
        form.schedule = schedule;
        form.virtualStages = v;
        placed(form, d);
      }
  }

  /// Each replica, or each stage, in each pool that has room for it.
  void placed(const NormalForm &form, const Degrees &d) {
    if (result.limited)
      return;
    if (problem.hardware.pools().size() == 1)
      return shared(form, d, DeviceMap{});
    int64_t outer = 1;
    for (unsigned a = 0; a < form.outerAxes; ++a)
      outer *= form.stages.front().axes[a].size;
    int64_t ranks = rankCount(form);
    blocks(DeviceMap::Kind::ByOuter, std::vector<int64_t>(outer, ranks / outer),
           form, d);
    if (d.pipeline > 1)
      blocks(DeviceMap::Kind::ByStage,
             std::vector<int64_t>(d.pipeline, ranks / d.pipeline), form, d);
    if (d.unlike)
      return;
    DeviceMap map{DeviceMap::Kind::ByRank, {}};
    std::vector<bool> used(problem.hardware.pools().size(), false);
    straddling(form, d, ranks / (form.outerAxes > 0 ? outer : d.pipeline), used,
               map);
  }

  /// Ranks one after another through so many devices of some pools, in every
  /// order and all numbers; but not where each block is in one pool.
  void straddling(const NormalForm &form, const Degrees &d, int64_t block,
                  std::vector<bool> &used, DeviceMap &map) {
    int64_t left = rankCount(form) - static_cast<int64_t>(map.first.size());
    if (left == 0) {
      if (!liesInPools(map, block)) {
        NormalForm unequal = form;
        int64_t units = mostUnits;
        // The search has no more than 32 unequal ones of each form.
        while (countWidths(unequal, d, map, units) > 33)
          units /= 2;
        widths(unequal, d, map, 0, units,
               [&](const NormalForm &made) { shared(made, d, map); });
      }
      return;
    }
    const std::vector<cost::Pool> &pools = problem.hardware.pools();
    for (size_t p = 0; p < pools.size(); ++p) {
      if (used[p])
        continue;
      used[p] = true;
      size_t before = map.first.size();
      for (int64_t n = 1; n <= std::min(left, pools[p].count); ++n) {
        map.first.push_back(pools[p].first + n - 1);
        straddling(form, d, block, used, map);
      }
      map.first.resize(before);
      used[p] = false;
    }
  }

  /// Every width of the parts of each stage's split, the same on devices of the
  /// same types, that sum to no more than `units`.
  void widths(NormalForm &form, const Degrees &d, const DeviceMap &map,
              size_t stage, int64_t units,
              const std::function<void(const NormalForm &)> &visit) {
    if (stage == form.stages.size())
      return visit(form);
    widths(form, d, map, stage + 1, units, visit);
    std::vector<int> kinds = kindsOf(form, d, map, stage);
    int most =
        kinds.empty() ? 0 : *std::max_element(kinds.begin(), kinds.end());
    if (!full() || d.context > 1 || form.virtualStages > 1 || most == 0)
      return;
    std::vector<int64_t> ofKind(most + 1, 1);
    for (size_t k = 0; k < ofKind.size();) {
      std::vector<int64_t> all;
      for (int kind : kinds)
        all.push_back(ofKind[kind]);
      if (areWidths(form.stages[stage].axes.back(), all, units)) {
        form.stages[stage].axes.back().shares = all;
        widths(form, d, map, stage + 1, units, visit);
        form.stages[stage].axes.back().shares.clear();
      }
      for (k = 0; k < ofKind.size() && ++ofKind[k] == units; ++k)
        ofKind[k] = 1;
    }
  }

  int64_t countWidths(NormalForm &form, const Degrees &d, const DeviceMap &map,
                      int64_t units) {
    int64_t count = 0;
    widths(form, d, map, 0, units, [&](const NormalForm &) { ++count; });
    return count;
  }

  /// Of each coordinate of the stage's split the types of its devices, by
  /// number.
  std::vector<int> kindsOf(const NormalForm &form, const Degrees &d,
                           const DeviceMap &map, size_t stage) const {
    std::vector<std::vector<unsigned>> types(d.tensor);
    for (int64_t rank = 0; rank < rankCount(form) && d.tensor > 1; ++rank)
      if (Coordinates at = coordinatesOf(form, rank); at.stage == stage)
        types[at.axes.back()].push_back(
            problem.hardware.poolOf(map.first[rank]).type);
    std::vector<int> kinds;
    for (const std::vector<unsigned> &one : types)
      kinds.push_back(static_cast<int>(
          std::find(types.begin(), types.end(), one) - types.begin()));
    std::vector<int> numbers = kinds;
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    for (int &kind : kinds)
      kind = static_cast<int>(std::find(numbers.begin(), numbers.end(), kind) -
                              numbers.begin());
    return kinds;
  }

  /// Whether all that the split cuts, but for tables, comes out even; only in
  /// lowest terms, and not where all are equal.
  bool areWidths(const Axis &split, const std::vector<int64_t> &widths,
                 int64_t units) const {
    int64_t sum = 0, common = 0;
    for (int64_t width : widths)
      sum += width, common = std::gcd(common, width);
    if (common != 1 || sum > units || sum == std::ssize(widths))
      return false;
    for (const workload::ModuleClass &module : problem.workload.classes)
      for (const workload::Op &op : module.ops)
        for (const std::string &dim : split.dims)
          if (int32_t loop = op.findLoop(dim); loop >= 0) {
            int64_t pieces = op.loops[loop].extent / op.loops[loop].multiple;
            if (pieces % sum != 0 && dim != "vocabulary" && dim != "classes")
              return false;
            break;
          }
    return true;
  }

  bool liesInPools(const DeviceMap &map, int64_t block) const {
    for (size_t i = 0; i < map.first.size(); ++i) {
      size_t start = i - i % static_cast<size_t>(block);
      if (problem.hardware.poolOf(map.first[i]).first !=
          problem.hardware.poolOf(map.first[start]).first)
        return false;
    }
    return true;
  }

  void blocks(DeviceMap::Kind kind, const std::vector<int64_t> &sizes,
              const NormalForm &form, const Degrees &d) {
    const std::vector<cost::Pool> &pools = problem.hardware.pools();
    std::vector<int64_t> used(pools.size(), 0);
    DeviceMap map{kind, {}};
    std::function<void(size_t)> next = [&](size_t from) {
      if (map.first.size() == sizes.size())
        return shared(form, d, map);
      int64_t size = sizes[map.first.size()];
      // Replicas are interchangeable.
      size_t start = kind == DeviceMap::Kind::ByOuter ? from : 0;
      for (size_t p = start; p < pools.size(); ++p) {
        if (used[p] + size > pools[p].count)
          continue;
        map.first.push_back(pools[p].first + used[p]);
        used[p] += size;
        next(p);
        used[p] -= size;
        map.first.pop_back();
      }
    };
    next(0);
  }

  /// Every distribution of the batch.
  void shared(const NormalForm &form, const Degrees &d, const DeviceMap &map) {
    int64_t unit = form.microBatches * problem.workload.sampleGroup;
    bool even = problem.workload.globalBatch % (unit * d.data) == 0;
    if (d.unlike || d.data == 1 ||
        (even && problem.hardware.pools().size() == 1))
      return cut(form, map);
    // Members of a group share equally.
    bool nested = d.data > d.group && d.group > 1;
    unit *= nested ? d.group : 1;
    int64_t parts = nested ? d.data / d.group : d.data;
    if (problem.workload.globalBatch % unit ||
        problem.workload.globalBatch / unit < parts)
      return;
    std::vector<int64_t> shares;
    compositions(problem.workload.globalBatch / unit, parts, shares, [&] {
      NormalForm given = form;
      for (StageForm &stage : given.stages)
        for (int64_t share : shares)
          stage.axes.front().shares.push_back(share * unit);
      cut(given, map);
    });
  }

  /// Paths do not tell the two parts at the turn of a V apart.
  static bool canBeSaid(const NormalForm &form,
                        const std::vector<int64_t> &cuts) {
    size_t p = form.stages.size();
    bool isV =
        form.virtualStages == 2 && form.schedule != Schedule::Interleaved;
    int64_t held = isV ? cuts[p + 1] - cuts[p - 1] : 0;
    return !isV || cuts[p] - cuts[p - 1] == (held + 1) / 2;
  }

  void cut(const NormalForm &form, const DeviceMap &map) {
    int64_t parts =
        static_cast<int64_t>(form.stages.size()) * form.virtualStages;
    forEachPartition(instances, parts, [&](const std::vector<int64_t> &cuts) {
      if (!canBeSaid(form, cuts))
        return;
      if (result.tried >= limit) {
        result.limited = true;
        return;
      }
      ++result.tried;
      consider({form, cuts, map});
    });
  }

  /// Gives stages those numbers of layers that stay gathered, recompute in full
  /// and selectively, of all there are, that fit and take the least time, with
  /// the fewest gathered; false where none do. What fits as it is recomputes
  /// only so that more stays gathered.
  bool leastNumbers(Candidate &candidate, const Prediction &none, bool layers) {
    bool gathers = mayGather(candidate.form);
    int64_t most = 0;
    for (const StagePrediction &stage : none.stages)
      most = std::max(most, stage.last - stage.first);
    std::vector<Picoseconds> least(none.stages.size(), Picoseconds::max());
    Candidate tried = candidate;
    auto consider = [&](const Relief &numbers) {
      for (size_t s = 0; s < none.stages.size(); ++s)
        if (gathers || none.stages[s].deficit() > Bytes())
          setRelief(tried.form.stages[s], numbersOf(tried.form, s, numbers));
      Prediction all = evaluate(table, tried);
      for (size_t s = 0; s < none.stages.size(); ++s) {
        const StagePrediction &stage = all.stages[s];
        int64_t held = stage.last - stage.first;
        Picoseconds time = stage.forward + stage.backward;
        if (numbers.recomputeLayers + numbers.selectiveLayers > held ||
            numbers.gatheredLayers > held || stage.deficit() > Bytes() ||
            time >= least[s])
          continue;
        least[s] = time;
        setRelief(candidate.form.stages[s], reliefOf(tried.form.stages[s]));
      }
    };
    for (int64_t gathered = 0; gathered <= (gathers ? most : 0); ++gathered)
      for (int64_t full = 0; full <= (layers ? most : 0); ++full)
        for (int64_t some = 0; full + some <= (layers ? most : 0); ++some)
          consider({full, some, {}, gathered});
    return std::find(least.begin(), least.end(), Picoseconds::max()) ==
           least.end();
  }

  /// Whether a stage may keep some of its cut parameters gathered; any.
  bool mayGather(const NormalForm &form, const StageForm &stage) const {
    return form.virtualStages == 1 && cutsParameters(stage);
  }
  bool mayGather(const NormalForm &form) const {
    return std::any_of(
        form.stages.begin(), form.stages.end(),
        [&](const StageForm &stage) { return mayGather(form, stage); });
  }
  Relief numbersOf(const NormalForm &form, size_t stage, Relief numbers) const {
    if (!mayGather(form, form.stages[stage]))
      numbers.gatheredLayers = 0;
    return numbers;
  }

  /// What no numbers of layers make faster.
  Picoseconds leastStep(Candidate candidate, const Prediction &none) {
    if (!mayGather(candidate.form))
      return none.step;
    for (StageForm &stage : candidate.form.stages)
      stage.gatheredLayers = mayGather(candidate.form, stage) ? instances : 0;
    return evaluate(table, candidate).step;
  }

  /// Whether the full space has the host's memory for this one.
  bool mayOffload(const NormalForm &form) const {
    const std::vector<cost::Pool> &pools = problem.hardware.pools();
    return full() && form.virtualStages == 1 &&
           std::any_of(pools.begin(), pools.end(), [&](const cost::Pool &pool) {
             return problem.hardware.host(pool.type).memory > Bytes();
           });
  }

  /// What each stage does to fit, by the cost model's rule (FormCosts::relief),
  /// among it single layers that recompute or not.
  void relieve(Candidate &candidate, bool layers) {
    NormalForm open = candidate.form;
    for (StageForm &stage : open.stages) {
      stage.recomputeLayers = stage.selectiveLayers = layers ? asNeeded : 0;
      stage.offload = {asNeeded, asNeeded, asNeeded};
      stage.gatheredLayers = mayGather(candidate.form, stage) ? asNeeded : 0;
    }
    ReplicaCosts costs = replicaCosts(table, open, candidate.devices);
    for (unsigned s = 0; s < open.stages.size(); ++s)
      setRelief(candidate.form.stages[s],
                mostRelief(costs, s, candidate.cuts[s], candidate.cuts[s + 1]));
  }

  void consider(const Candidate &candidate) {
    bool layers = !pins.recompute && candidate.form.virtualStages == 1 &&
                  candidate.form.stages[0].recompute == Recompute::None;
    if (!mayOffload(candidate.form))
      return considerAs(candidate, layers);
    for (bool open : {false, true})
      if (Candidate relieved = candidate; layers || !open) {
        relieve(relieved, open);
        keepBest(relieved, evaluate(table, relieved));
      }
  }

  void considerAs(Candidate candidate, bool layers) {
    Prediction prediction = evaluate(table, candidate);
    // What recomputes is no faster.
    if (leastStep(candidate, prediction) >= result.step)
      return;
    bool gathers = mayGather(candidate.form);
    if (gathers || prediction.deficit() > Bytes()) {
      if ((!layers && !gathers) || !leastNumbers(candidate, prediction, layers))
        return;
      prediction = evaluate(table, candidate);
    }
    keepBest(candidate, prediction);
  }

  void keepBest(const Candidate &candidate, const Prediction &prediction) {
    if (prediction.deficit() > Bytes() || prediction.step >= result.step)
      return;
    result.step = prediction.step;
    result.best = candidate;
  }

  /// That the widths of a split's parts sum to.
  static constexpr int64_t mostUnits = 32;

  const Problem &problem;
  const Pins &pins;
  int64_t limit;
  Stages stages;
  CostTable table;
  std::vector<std::string> dims;
  int64_t devices, instances;
  LargeTable large;
  int64_t groups;
  /// What a stage may have, by stages, micro-batches and devices; in the
  /// default space all have equally many replicas.
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t>, std::vector<Option>>
      options;
  Exhausted result;
};

} // namespace

Exhausted tryEverything(const Problem &problem, int64_t limit, Stages stages) {
  return Exhauster(problem, limit, stages).run();
}

} // namespace whale::test
