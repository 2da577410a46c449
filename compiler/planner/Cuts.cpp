//===- Cuts.cpp - where the stages begin ----------------------------------===//

#include "compiler/planner/Search.h"

#include "compiler/planner/CutTree.h"
#include "compiler/planner/Partition.h"
#include "compiler/support/CheckedMath.h"
#include "compiler/support/PathPattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace whale::planner {

namespace {

/// Cuts that give stages equal times, as far as they fit if asked.
std::optional<Partition> balanced(CostTable &table, const NormalForm &form,
                                  const ReplicaCosts &costs, bool fitting) {
  PartitionProblem problem;
  for (const workload::Run &run : table.workload.runs)
    problem.counts.push_back(run.count);
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    problem.times.emplace_back();
    for (size_t r = 0; r < table.workload.runs.size(); ++r)
      problem.times[s].push_back(costs[0]->forward(s, r) +
                                 costs[0]->backward(s, r));
  }
  if (fitting)
    problem.fits = [&](unsigned stage, int64_t first, int64_t last) {
      return planner::fits(costs, stage, first, last);
    };
  return partition(problem);
}

/// Gives each stage of a form that leaves it open as much relief as the fullest
/// replica needs.
void settleRelief(const ReplicaCosts &costs, Candidate &candidate) {
  for (unsigned s = 0; s < candidate.form.stages.size(); ++s) {
    StageForm &stage = candidate.form.stages[s];
    if (reliefOf(stage).isOpen())
      setRelief(stage,
                mostRelief(costs, s, candidate.cuts[s], candidate.cuts[s + 1]));
  }
}

/// Keeps the better of what it has and a new one.
void consider(CostTable &table, const NormalForm &form,
              const DeviceMap &devices, const ReplicaCosts &costs,
              const std::vector<int64_t> &cuts, CutResult &best) {
  Candidate candidate{form, cuts, devices};
  settleRelief(costs, candidate);
  Prediction prediction = evaluate(table, candidate);
  if (prediction.deficit() > Bytes())
    return;
  if (!best.candidate || prediction.step < best.prediction.step) {
    best.candidate = std::move(candidate);
    best.prediction = std::move(prediction);
  }
}

} // namespace

/// What the form leaves to memory; it is the same in all stages.
static std::optional<Relief> openRelief(const NormalForm &form) {
  Relief relief = reliefOf(form.stages.front());
  return relief.isOpen() ? std::optional(relief) : std::nullopt;
}

/// All cuts that may be faster than `limit`, one after another; `simulated` of
/// them are.
static CutResult tryAll(CostTable &table, const NormalForm &form,
                        const DeviceMap &devices, Picoseconds limit,
                        int64_t &simulated) {
  simulated = 0;
  CutResult best;
  best.bound = limit;
  best.openRelief = openRelief(form);
  ReplicaCosts costs;
  if (best.openRelief || form.stages.size() > 1)
    costs = replicaCosts(table, form, devices);
  auto visit = [&](const std::vector<int64_t> &cuts) {
    ++simulated;
    consider(table, form, devices, costs, cuts, best);
    if (best.candidate)
      best.bound = std::min(limit, best.prediction.step);
    return best.bound;
  };
  if (form.stages.size() == 1)
    visit({0, workload::instanceCount(table.workload)});
  else
    forEachCuts(table, form, costs, limit, visit);
  return best;
}

/// All ways to cut the stages' chunks that are tried, the most promising first.
static CutResult tryChunks(CostTable &table, const NormalForm &form,
                           const DeviceMap &devices, Picoseconds limit) {
  CutResult best;
  best.bound = limit;
  ReplicaCosts costs = replicaCosts(table, form, devices);
  using Way = std::pair<Picoseconds, std::vector<int64_t>>;
  std::vector<Way> ways;
  ChunkBounds bounds(form, costs);
  for (std::vector<int64_t> &cuts : chunkCuts(table, form)) {
    Picoseconds bound = bounds.of(cuts);
    ways.emplace_back(wholeStep(table.hardware, rankCount(form), bound),
                      std::move(cuts));
  }
  std::sort(ways.begin(), ways.end());
  for (const auto &[bound, cuts] : ways) {
    if (bound >= best.bound)
      break;
    if (!chunksMayFit(form, costs, cuts))
      continue;
    consider(table, form, devices, costs, cuts, best);
    if (best.candidate)
      best.bound = std::min(limit, best.prediction.step);
  }
  return best;
}

static bool isExact(const CostTable &table, const NormalForm &form) {
  auto stages = static_cast<int64_t>(form.stages.size());
  int64_t ways =
      partitionCount(workload::instanceCount(table.workload), stages);
  return stages == 1 ||
         (ways <= exactPartitions &&
          ways * stages * std::min(form.microBatches, exactTasks) <=
              exactTasks);
}

Picoseconds lowerBound(CostTable &table, const NormalForm &form,
                       const DeviceMap &devices) {
  int64_t simulated = 0;
  if (form.stages.size() == 1)
    return tryAll(table, form, devices, Picoseconds::max(), simulated).bound;
  CutBound bound = cutBound(table, form, replicaCosts(table, form, devices));
  return wholeStep(table, form, bound.step);
}

CutResult bestCuts(CostTable &table, const NormalForm &form,
                   const DeviceMap &devices, Picoseconds limit,
                   std::optional<CutBound> bound) {
  if (isChunked(form))
    return tryChunks(table, form, devices, limit);
  int64_t simulated = 0;
  if (isExact(table, form))
    return tryAll(table, form, devices, limit, simulated);
  CutResult best;
  best.openRelief = openRelief(form);
  ReplicaCosts costs = replicaCosts(table, form, devices);
  if (!bound)
    bound = cutBound(table, form, costs);
  best.bound = wholeStep(table, form, bound->step);
  if (bound->cuts.empty() || best.bound >= limit)
    return best;
  consider(table, form, devices, costs, bound->cuts, best);
  std::optional<Partition> equal = balanced(table, form, costs, true);
  if (equal && equal->cuts != bound->cuts)
    consider(table, form, devices, costs, equal->cuts, best);
  return best;
}

NormalForm openForm(const CutResult &result) {
  NormalForm form = result.candidate->form;
  if (result.openRelief)
    for (StageForm &stage : form.stages)
      setRelief(stage, *result.openRelief);
  return form;
}

/// Between how many stages an instance may move at once: simulating all pairs
/// of stages takes so many tasks.
static size_t mostShifted(const NormalForm &form) {
  constexpr double mostTasks = 2e6;
  auto stages = static_cast<double>(form.stages.size());
  auto tasks = stages * static_cast<double>(form.microBatches);
  return stages * stages * tasks <= mostTasks ? form.stages.size() : 1;
}

void polishCuts(CostTable &table, CutResult &result) {
  if (!result.candidate)
    return;
  NormalForm form = openForm(result);
  DeviceMap devices = result.candidate->devices;
  // The rule says how chunks are cut.
  if (form.stages.size() == 1 || isChunked(form))
    return;
  ReplicaCosts costs = replicaCosts(table, form, devices);
  auto boundOf = boundOfCuts(table, form, costs);
  // An instance more, or less, before each of the stages from..to.
  auto shift = [&](size_t from, size_t to, int64_t step) {
    std::vector<int64_t> cuts = result.candidate->cuts;
    for (size_t s = from; s <= to; ++s)
      cuts[s] += step;
    if (cuts[from] > cuts[from - 1] && cuts[to] < cuts[to + 1] &&
        wholeStep(table, form, boundOf(cuts)) < result.prediction.step)
      consider(table, form, devices, costs, cuts, result);
  };
  auto stages = static_cast<int64_t>(form.stages.size());
  int64_t far = workload::instanceCount(table.workload) / stages / 8;
  for (; far > 1; far /= 2)
    for (size_t s = 1; s + 1 < result.candidate->cuts.size(); ++s)
      for (int64_t step : {-far, far})
        shift(s, s, step);
  size_t shifted = mostShifted(form);
  // A few rounds: cuts of equal layers are near the optimum already.
  for (int round = 0; round < 4; ++round) {
    std::vector<int64_t> start = result.candidate->cuts;
    for (size_t from = 1; from + 1 < start.size(); ++from)
      for (size_t to = from; to + 1 < start.size() && to < from + shifted; ++to)
        for (int64_t step : {-1, 1})
          shift(from, to, step);
    if (result.candidate->cuts == start)
      return;
  }
}

/// How many cuts of a form without a tree there are, if they may all be tried.
static std::optional<int64_t> fewCuts(const CostTable &table,
                                      const NormalForm &form) {
  constexpr int64_t most = 4096;
  auto stages = static_cast<int64_t>(form.stages.size());
  int64_t ways =
      partitionCount(workload::instanceCount(table.workload), stages);
  if (isChunked(form) || form.schedule == Schedule::DualPipe || ways > most ||
      ways * stages * form.microBatches > exactTasks)
    return std::nullopt;
  return ways;
}

/// The bound of all cuts, and the better ones.
static void takeBetter(CutResult all, CutResult &result) {
  Picoseconds bound = std::max(result.bound, all.bound);
  if (all.candidate && all.prediction.step < result.prediction.step)
    result = std::move(all);
  result.bound = bound;
}

void tightenCuts(CostTable &table, CutResult &result, Picoseconds limit,
                 int &nodes) {
  limit = std::min(limit, result.prediction.step);
  NormalForm form = openForm(result);
  if (result.bound >= limit)
    return;
  if (!hasCutTree(table, form)) {
    // To bound one takes a part of what a node does; where the order of tasks
    // depends on times, eight are made to simulate it.
    constexpr int64_t boundsOfNode = 8, nodesOfOne = 8;
    std::optional<int64_t> ways = fewCuts(table, form);
    if (!ways || *ways / boundsOfNode > nodes)
      return;
    int64_t simulated = 0;
    takeBetter(tryAll(table, form, result.candidate->devices, limit, simulated),
               result);
    nodes -= static_cast<int>(std::min<int64_t>(
        nodes, *ways / boundsOfNode + simulated * nodesOfOne));
    return;
  }
  DeviceMap devices = result.candidate->devices;
  ReplicaCosts costs = replicaCosts(table, form, devices);
  Picoseconds most = mostAlone(table.hardware, rankCount(form), limit);
  CutBound tree = treeBound(table, form, costs, most, nodes);
  result.bound = std::max(result.bound,
                          std::min(limit, wholeStep(table, form, tree.step)));
  if (!tree.cuts.empty())
    consider(table, form, devices, costs, tree.cuts, result);
}

CutResult givenCuts(CostTable &table, const NormalForm &form,
                    const DeviceMap &devices,
                    const std::vector<int64_t> &cuts) {
  CutResult result;
  consider(table, form, devices, replicaCosts(table, form, devices), cuts,
           result);
  result.bound = result.candidate ? result.prediction.step : Picoseconds::max();
  return result;
}

std::optional<CutResult> balancedCuts(CostTable &table, const NormalForm &form,
                                      const DeviceMap &devices) {
  ReplicaCosts costs = replicaCosts(table, form, devices);
  std::vector<std::vector<int64_t>> ways;
  if (isChunked(form))
    ways = chunkCuts(table, form);
  else if (auto found = balanced(table, form, costs, false))
    ways.push_back(std::move(found->cuts));
  if (ways.empty())
    return std::nullopt;
  CutResult result;
  result.candidate = Candidate{form, std::move(ways.front()), devices};
  settleRelief(costs, *result.candidate);
  result.prediction = evaluate(table, *result.candidate);
  return result;
}

std::vector<std::string> pathsOf(const workload::Workload &workload,
                                 int64_t first, int64_t last) {
  std::vector<std::string> paths;
  int64_t start = 0;
  for (const workload::Run &run : workload.runs) {
    int64_t from = std::max(first, start) - start;
    int64_t to = std::min(last, start + run.count) - start;
    if (from < to && !run.fragment.empty())
      for (const std::string &path : run.fragment)
        paths.push_back(run.path(from) + "/" + path);
    else if (from < to && (run.count == 1 || to - from == 1))
      paths.push_back(run.path(from));
    else if (from < to)
      paths.push_back(fmt::format("{}.{}..{}", run.name, run.first + from,
                                  run.first + to - 1));
    start += run.count;
  }
  return paths;
}

std::vector<std::string> pathsOf(const workload::Workload &workload,
                                 const Candidate &candidate, int64_t stage) {
  std::vector<std::string> paths;
  for (const Range &range : rangesOf(candidate.form, candidate.cuts, stage))
    for (std::string &path : pathsOf(workload, range.first, range.last))
      paths.push_back(std::move(path));
  return paths;
}

namespace {

/// Reads the cuts of a form from the paths of its stages.
class PathReader {
public:
  PathReader(const NormalForm &form, const workload::Workload &workload,
             Diagnostics &diagnostics)
      : workload(workload), diagnostics(diagnostics), layout(partLayout(form)),
        patterns(form.stages.size()) {
    for (size_t s = 0; s < form.stages.size(); ++s)
      for (const std::string &path : form.stages[s].paths)
        if (auto pattern = PathPattern::parse(path, {}, diagnostics))
          patterns[s].push_back(*pattern);
  }

  std::optional<std::vector<int64_t>> run() {
    for (int64_t part = 0; part < layout.parts(); ++part)
      if (int64_t stage = stageOf(part);
          part == 0 || stage != stageOf(part - 1))
        expected.push_back(stage);
    int64_t count = workload::instanceCount(workload);
    for (int64_t i = 0; i < count; ++i)
      if (!add(i))
        return std::nullopt;
    starts.push_back(count);
    if (starts.size() == expected.size() + 1)
      if (auto cuts = withTurn())
        return cuts;
    diagnostics.error(
        {}, layout.chunks == 1
                ? std::string("a stage holds no instance of the model")
                : fmt::format("the paths of {} stages make too few parts of "
                              "the model for {} chunks each",
                              layout.stages, layout.chunks));
    return std::nullopt;
  }

private:
  int64_t stageOf(int64_t part) const { return layout.site(part, 0).stage; }

  /// The instance goes on with a stage or begins with the next one.
  bool add(int64_t position) {
    workload::InstanceRef ref = workload::instanceAt(workload, position);
    const workload::Run &run = workload.runs[ref.run];
    std::string path = run.path(ref.index);
    if (!run.fragment.empty())
      path += "/" + run.fragment.front();
    std::vector<int64_t> holders;
    for (int64_t s = 0; s < layout.stages; ++s)
      if (std::any_of(patterns[s].begin(), patterns[s].end(),
                      [&](const auto &p) { return p.covers(path); }))
        holders.push_back(s);
    if (holders.size() != 1) {
      diagnostics.error({}, fmt::format("'{}' is in {} stages, expected one",
                                        path, holders.size()));
      return false;
    }
    size_t begun = starts.size();
    int64_t last = expected[begun == 0 ? 0 : begun - 1];
    if (begun > 0 && holders[0] == last)
      return true;
    if (begun < expected.size() && holders[0] == expected[begun]) {
      starts.push_back(position);
      return true;
    }
    diagnostics.error({}, fmt::format("'{}' is in stage {}, but comes after "
                                      "instances of stage {}",
                                      path, holders[0], last));
    return false;
  }

  /// The two parts at the turn of a V share what lies between the others.
  std::optional<std::vector<int64_t>> withTurn() const {
    std::vector<int64_t> cuts;
    for (size_t visit = 0; visit < starts.size(); ++visit) {
      cuts.push_back(starts[visit]);
      auto part = std::ssize(cuts);
      if (part < layout.parts() && stageOf(part) == stageOf(part - 1)) {
        int64_t held = starts[visit + 1] - starts[visit];
        if (held < 2)
          return std::nullopt;
        cuts.push_back(starts[visit] + ceilDivide(held, 2));
      }
    }
    return cuts;
  }

  const workload::Workload &workload;
  Diagnostics &diagnostics;
  simulator::Layout layout;
  std::vector<std::vector<PathPattern>> patterns;
  /// Stages in the order of the model; and where what they hold begins.
  std::vector<int64_t> expected, starts;
};

} // namespace

std::optional<std::vector<int64_t>> cutsOf(const NormalForm &form,
                                           const workload::Workload &workload,
                                           Diagnostics &diagnostics) {
  int64_t count = workload::instanceCount(workload);
  if (form.stages.size() == 1)
    return std::vector<int64_t>{0, count};
  return PathReader(form, workload, diagnostics).run();
}

} // namespace whale::planner
