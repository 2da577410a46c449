//===- CutInside.cpp - stages that begin inside of instances --------------===//

#include "compiler/planner/CutInside.h"

#include "compiler/planner/Explain.h"
#include "compiler/planner/Search.h"
#include "compiler/support/PathPattern.h"
#include "compiler/workload/Fragments.h"

#include <algorithm>
#include <set>
#include <utility>

namespace whale::planner {

using workload::CutInstances;
using workload::InnerCuts;
using workload::Workload;

//===----------------------------------------------------------------------===//
// As written
//===----------------------------------------------------------------------===//

namespace {

/// Reads from the paths of stages which instances they cut.
class InnerReader {
public:
  explicit InnerReader(const NormalForm &form) : patterns(form.stages.size()) {
    Diagnostics ignored;
    for (size_t s = 0; s < form.stages.size(); ++s)
      for (const std::string &path : form.stages[s].paths)
        if (auto pattern = PathPattern::parse(path, {}, ignored))
          patterns[s].push_back(*pattern);
  }

  /// Where the stage changes within an instance that none holds whole.
  InnerCuts of(const workload::ModuleClass &module,
               const std::string &path) const {
    InnerCuts cuts;
    if (stageOf(path) >= 0)
      return cuts;
    int64_t stage = -1;
    for (size_t i = 0; i < module.ops.size(); ++i) {
      if (module.ops[i].phase != workload::Phase::Forward)
        break;
      int64_t next = stageOf(path + "/" + module.ops[i].name);
      if (stage >= 0 && next >= 0 && next != stage)
        cuts.push_back(i);
      stage = next >= 0 ? next : stage;
    }
    return cuts;
  }

private:
  int64_t stageOf(const std::string &path) const {
    for (size_t s = 0; s < patterns.size(); ++s)
      for (const PathPattern &pattern : patterns[s])
        if (pattern.covers(path))
          return static_cast<int64_t>(s);
    return -1;
  }

  std::vector<std::vector<PathPattern>> patterns;
};

} // namespace

Workload asCut(const Workload &workload, const Node &strategy) {
  Diagnostics ignored;
  std::optional<NormalForm> form = normalize(strategy, ignored, Space::Full);
  if (!form || form->stages.size() == 1)
    return workload;
  InnerReader reader(*form);
  CutInstances cuts;
  int64_t start = 0;
  for (const workload::Run &run : workload.runs) {
    const workload::ModuleClass &module = workload.classes[run.moduleClass];
    for (int64_t i = 0; i < run.count; ++i)
      if (InnerCuts inner = reader.of(module, run.path(i));
          !inner.empty() && !fragmentsOf(module, inner).empty())
        cuts[start + i] = std::move(inner);
    start += run.count;
  }
  return cuts.empty() ? workload : withFragments(workload, cuts);
}

//===----------------------------------------------------------------------===//
// Search
//===----------------------------------------------------------------------===//

namespace {

/// Where a stage begins: at an instance, and at which of its forward ops.
struct Place {
  int64_t instance = 0;
  size_t op = 0;

  auto operator<=>(const Place &) const = default;
};

constexpr int mostRounds = 4;
/// Instances and fragments times stages that are looked at.
constexpr int64_t mostHeld = 8'000;

class InsideSearch {
public:
  InsideSearch(const Problem &problem, const Plan &plan);

  std::optional<PlanInside> run();

private:
  struct Simulated {
    Workload workload;
    CutResult result;
  };

  void openRecompute();
  CutInstances aroundCuts(int64_t mostCrossing);
  const InnerCuts &cutsOfClass(uint32_t moduleClass, int64_t mostCrossing);
  std::vector<int64_t> positionsOf(const CutInstances &cuts) const;
  std::vector<Place> placesOf(const CutInstances &cuts,
                              const std::vector<int64_t> &positions) const;
  std::optional<std::vector<Place>> nextPlaces(int64_t mostCrossing);
  bool improve(int64_t mostCrossing);
  bool mayGoOn();
  void climb(const std::vector<int64_t> &mostCrossing);
  Simulated simulate() const;

  const Problem &problem;
  const Plan &plan;
  NormalForm form;
  /// Of the stages, without the first one.
  std::vector<Place> start, places;
  std::optional<Simulated> best;
  Picoseconds least;
  /// By class and what may cross.
  std::map<std::pair<uint32_t, int64_t>, InnerCuts> ofClass;
  /// Instances that share variables stay whole.
  std::set<int64_t> tied;
  bool interrupted = false;
};

} // namespace

InsideSearch::InsideSearch(const Problem &problem, const Plan &plan)
    : problem(problem), plan(plan), form(plan.chosen.form),
      least(plan.prediction.step) {
  for (StageForm &stage : form.stages)
    stage.paths.clear();
  const std::vector<int64_t> &cuts = plan.chosen.cuts;
  for (size_t s = 1; s + 1 < cuts.size(); ++s)
    start.push_back({cuts[s], 0});
  for (const Tie &tie : ties(problem.workload))
    tied.insert({tie.user, tie.owner});
  openRecompute();
}

/// Recompute that is not pinned is left to memory again; what else is counted
/// in instances stays.
void InsideSearch::openRecompute() {
  const Pins &pins = problem.options.pins;
  for (StageForm &stage : form.stages) {
    if (stage.recompute != Recompute::None || pins.recompute)
      continue;
    stage.recomputeLayers = pins.recomputeLayers.value_or(asNeeded);
    stage.selectiveLayers = pins.selectiveLayers.value_or(asNeeded);
  }
}

const InnerCuts &InsideSearch::cutsOfClass(uint32_t moduleClass,
                                           int64_t mostCrossing) {
  auto [it, isNew] = ofClass.try_emplace({moduleClass, mostCrossing});
  if (isNew)
    it->second = workload::innerCuts(problem.workload.classes[moduleClass],
                                     mostCrossing);
  return it->second;
}

/// All cuts of the instances on both sides of each place.
CutInstances InsideSearch::aroundCuts(int64_t mostCrossing) {
  CutInstances result;
  int64_t count = workload::instanceCount(problem.workload);
  for (const Place &place : places)
    for (int64_t i = place.instance - 1; i <= place.instance + 1; ++i) {
      if (i < 0 || i >= count || tied.contains(i))
        continue;
      workload::InstanceRef ref = workload::instanceAt(problem.workload, i);
      const InnerCuts &inner =
          cutsOfClass(problem.workload.runs[ref.run].moduleClass, mostCrossing);
      if (!inner.empty())
        result[i] = inner;
    }
  return result;
}

/// The stages' positions in a workload with these fragments.
std::vector<int64_t> InsideSearch::positionsOf(const CutInstances &cuts) const {
  std::vector<int64_t> result = {0};
  for (const Place &place : places) {
    int64_t position = place.instance;
    for (const auto &[instance, inner] : cuts)
      if (instance < place.instance)
        position += std::ssize(inner);
      else if (instance == place.instance)
        position += std::upper_bound(inner.begin(), inner.end(), place.op) -
                    inner.begin();
    result.push_back(position);
  }
  int64_t count = workload::instanceCount(problem.workload);
  for (const auto &[instance, inner] : cuts)
    count += std::ssize(inner);
  result.push_back(count);
  return result;
}

/// The reverse.
std::vector<Place>
InsideSearch::placesOf(const CutInstances &cuts,
                       const std::vector<int64_t> &positions) const {
  std::vector<Place> all;
  int64_t count = workload::instanceCount(problem.workload);
  for (int64_t i = 0; i < count; ++i) {
    all.push_back({i, 0});
    if (auto it = cuts.find(i); it != cuts.end())
      for (size_t op : it->second)
        all.push_back({i, op});
  }
  std::vector<Place> result;
  for (size_t s = 1; s + 1 < positions.size(); ++s)
    result.push_back(all[positions[s]]);
  return result;
}

/// The best places among all cuts around those so far.
std::optional<std::vector<Place>>
InsideSearch::nextPlaces(int64_t mostCrossing) {
  CutInstances around = aroundCuts(mostCrossing);
  Workload fragments = withFragments(problem.workload, around);
  if (workload::instanceCount(fragments) * std::ssize(form.stages) > mostHeld)
    return std::nullopt;
  CostTable table(fragments, problem.hardware);
  const DeviceMap &devices = plan.chosen.devices;
  CutResult best = givenCuts(table, form, devices, positionsOf(around));
  CutResult found = bestCuts(table, form, devices);
  if (found.candidate &&
      (!best.candidate || found.prediction.step < best.prediction.step))
    best = std::move(found);
  polishCuts(table, best);
  if (!best.candidate)
    return std::nullopt;
  return placesOf(around, best.candidate->cuts);
}

/// With fragments only of what is cut.
InsideSearch::Simulated InsideSearch::simulate() const {
  CutInstances cuts;
  for (const Place &place : places)
    if (place.op > 0)
      cuts[place.instance].push_back(place.op);
  Simulated result{withFragments(problem.workload, cuts), {}};
  CostTable table(result.workload, problem.hardware);
  result.result =
      givenCuts(table, form, plan.chosen.devices, positionsOf(cuts));
  return result;
}

/// Goes to the next places if that is faster.
bool InsideSearch::improve(int64_t mostCrossing) {
  std::optional<std::vector<Place>> next = nextPlaces(mostCrossing);
  if (!next || *next == places)
    return false;
  std::swap(places, *next);
  Simulated simulated = simulate();
  if (!simulated.result.candidate ||
      simulated.result.prediction.step >= least) {
    places = std::move(*next);
    return false;
  }
  least = simulated.result.prediction.step;
  best = std::move(simulated);
  return true;
}

bool InsideSearch::mayGoOn() {
  const auto &proceed = problem.options.proceed;
  interrupted |= proceed && !proceed({plan.simulated, plan.bounded, least});
  return !interrupted;
}

/// From the plan's own places; what may cross, one after another.
void InsideSearch::climb(const std::vector<int64_t> &mostCrossing) {
  std::optional<Simulated> before = std::exchange(best, std::nullopt);
  Picoseconds limit = std::exchange(least, plan.prediction.step);
  places = start;
  for (int64_t most : mostCrossing)
    for (int round = 0; round < mostRounds && mayGoOn() && improve(most);
         ++round)
      ;
  if (least >= limit) {
    best = std::move(before);
    least = limit;
  }
}

std::optional<PlanInside> InsideSearch::run() {
  // Bounds of cuts know little of messages: those with small ones first. Where
  // messages are nothing, all at once may get further.
  climb({1, 2, 5});
  climb({5});
  if (!best && !interrupted)
    return std::nullopt;
  if (!best) {
    PlanInside same{problem.workload, plan};
    same.plan.outcome = Outcome::Interrupted;
    return same;
  }
  PlanInside result{std::move(best->workload), plan};
  Problem inside{result.workload, problem.hardware, problem.options};
  CostTable table(result.workload, problem.hardware);
  Plan made =
      makePlan(inside, table, *best->result.candidate, best->result.prediction);
  double bound = plan.prediction.step.asDouble() * (1 - plan.gap);
  made.precision = plan.precision;
  made.alternatives = plan.alternatives;
  made.gap = std::max(0.0, 1 - bound / made.prediction.step.asDouble());
  made.gapOfUnlike = plan.gapOfUnlike;
  made.outcome = interrupted ? Outcome::Interrupted : Outcome::Feasible;
  made.simulated = plan.simulated;
  made.bounded = plan.bounded;
  result.plan = std::move(made);
  return result;
}

std::optional<PlanInside> cutInside(const Problem &problem, const Plan &plan) {
  const Candidate &chosen = plan.chosen;
  const std::vector<workload::Run> &runs = problem.workload.runs;
  bool isCut = std::any_of(runs.begin(), runs.end(), [](const auto &run) {
    return !run.fragment.empty();
  });
  if (chosen.form.stages.size() == 1 || isChunked(chosen.form) || isCut)
    return std::nullopt;
  return InsideSearch(problem, plan).run();
}

} // namespace whale::planner
