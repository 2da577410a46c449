//===- Search.cpp - best-first branch and bound ---------------------------===//

#include "compiler/planner/Search.h"

#include "compiler/planner/Explain.h"
#include "compiler/planner/Restrict.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>

namespace whale::planner {

namespace {

/// Groups that are simulated before the bound is looked at again. A constant,
/// so that the number of threads changes nothing.
constexpr size_t batchSize = 16;

/// f(0) ... f(count - 1), on `threads` threads.
template <class F> void parallelFor(size_t count, unsigned threads, F f) {
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < count;)
      f(i);
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads && t < count; ++t)
    others.emplace_back(work);
  work();
  for (std::thread &thread : others)
    thread.join();
}

/// Choices that share a bound, on one assignment of devices.
struct Group {
  Choice choice;
  DeviceMap devices;
  Picoseconds bound;
  bool done = false, exact = false;
};

/// A simulated candidate with what decides between equal ones.
struct Scored {
  Choice choice;
  CutResult result;

  bool better(const std::optional<Scored> &other) const {
    if (!result.candidate)
      return false;
    if (!other || !other->result.candidate)
      return true;
    if (result.prediction.step != other->result.prediction.step)
      return result.prediction.step < other->result.prediction.step;
    auto simplicity = [](const Choice &c) {
      return std::tuple(c.recompute, c.zero, c.schedule != Schedule::OneFOneB,
                        c.experts, c.pipeline, c.tensor, c.microBatches);
    };
    return simplicity(choice) < simplicity(other->choice);
  }
};

class Searcher {
public:
  Searcher(const Problem &problem, const Restriction &restriction)
      : problem(problem), restriction(restriction),
        table(problem.workload, problem.hardware),
        dims(restriction.dims ? *restriction.dims
                              : splitDims(problem.workload)) {}

  Answer run(Diagnostics &diags) {
    if (!makeGroups(diags))
      return {};
    explore();
    if (!best) {
      explainInfeasible(table, problem, groupForms(), diags);
      return {};
    }
    polishCuts(table, best->result);
    Answer answer;
    answer.plan = makePlan(problem, table, *best->result.candidate,
                           best->result.prediction);
    answer.plan->gap = gap();
    answer.plan->simulated = simulated;
    answer.plan->bounded = static_cast<int64_t>(groups.size());
    addAlternatives(*answer.plan);
    answer.outcome = simulated >= limit()   ? Outcome::LimitReached
                     : answer.plan->gap > 0 ? Outcome::Feasible
                                            : Outcome::Optimal;
    return answer;
  }

private:
  int64_t limit() const {
    return static_cast<int64_t>(problem.options.candidateLimit);
  }

  static bool splits(const NormalForm &form) {
    return !form.stages.front().axes.back().dims.empty();
  }

  std::vector<Choice> choices() const {
    std::vector<Choice> all = enumerate(problem), kept;
    for (const Choice &choice : all)
      if (!(choice.data > 1 && choice.pipeline > 1) ||
          !restriction.pipelineOutside ||
          choice.pipelineOutside == *restriction.pipelineOutside)
        if (choice.tensor == 1 || splits(formOf(choice, dims)))
          kept.push_back(choice);
    return kept;
  }

  bool makeGroups(Diagnostics &diags) {
    for (const Choice &choice : choices())
      for (DeviceMap &map : deviceMaps(formOf(choice, dims), problem.hardware))
        groups.push_back({choice, std::move(map), {}});
    if (groups.empty()) {
      explainConflict(problem, diags);
      return false;
    }
    if (!restriction.stagePaths.empty()) {
      NormalForm form = formOf(groups.front().choice, dims);
      setPaths(form);
      fixedCuts = cutsOf(form, problem.workload, diags);
      if (!fixedCuts)
        return false;
    }
    parallelFor(groups.size(), problem.options.threads, [&](size_t i) {
      NormalForm form = formOf(groups[i].choice, dims);
      groups[i].bound = setShares(table, form, groups[i].devices)
                            ? lowerBound(table, form, groups[i].devices)
                            : Picoseconds::max();
    });
    std::stable_sort(
        groups.begin(), groups.end(),
        [](const Group &a, const Group &b) { return a.bound < b.bound; });
    return true;
  }

  void setPaths(NormalForm &form) const {
    for (size_t s = 0; s < restriction.stagePaths.size(); ++s)
      form.stages[s].paths = restriction.stagePaths[s];
  }

  /// The best candidate of one choice.
  Scored score(const Choice &choice, const DeviceMap &devices) {
    Scored scored{choice, {}};
    NormalForm form = formOf(choice, dims);
    if (!setShares(table, form, devices))
      return scored;
    if (!fixedCuts) {
      scored.result = bestCuts(table, form, devices);
      return scored;
    }
    Candidate candidate{form, *fixedCuts, devices};
    Prediction prediction = evaluate(table, candidate);
    scored.result.exact = true;
    if (prediction.deficit() <= Bytes()) {
      scored.result.candidate = std::move(candidate);
      scored.result.prediction = std::move(prediction);
    }
    return scored;
  }

  /// Schedules and ZeRO of a group. GPipe is never faster than 1F1B and never
  /// smaller: it is tried only when asked for.
  std::vector<Choice> variants(const Choice &choice) const {
    const Pins &pins = problem.options.pins;
    std::vector<Choice> result;
    for (bool zero : {false, true}) {
      if ((zero && choice.data == 1) || (pins.zero && *pins.zero != zero))
        continue;
      Choice variant = choice;
      variant.zero = zero;
      if (pins.schedule && choice.pipeline > 1)
        variant.schedule = *pins.schedule;
      result.push_back(variant);
    }
    return result;
  }

  std::optional<Scored> scoreGroup(const Group &group) {
    std::optional<Scored> kept;
    for (const Choice &choice : variants(group.choice)) {
      Scored scored = score(choice, group.devices);
      if (!kept || scored.better(kept))
        kept = std::move(scored);
    }
    return kept;
  }

  void explore() {
    for (size_t start = 0; start < groups.size(); start += batchSize) {
      if (simulated >= limit())
        return;
      std::vector<size_t> batch;
      for (size_t i = start; i < groups.size() && i < start + batchSize; ++i)
        if (!best || groups[i].bound < best->result.prediction.step)
          batch.push_back(i);
      if (batch.empty())
        return;
      std::vector<std::optional<Scored>> scores(batch.size());
      parallelFor(batch.size(), problem.options.threads, [&](size_t i) {
        if (groups[batch[i]].bound < Picoseconds::max())
          scores[i] = scoreGroup(groups[batch[i]]);
      });
      for (size_t i = 0; i < batch.size(); ++i) {
        Group &group = groups[batch[i]];
        group.done = true;
        group.exact = !scores[i] || scores[i]->result.exact;
        simulated += static_cast<int64_t>(variants(group.choice).size());
        if (scores[i] && scores[i]->result.candidate)
          keep(std::move(*scores[i]));
      }
    }
  }

  void keep(Scored scored) {
    if (scored.better(best))
      best = std::move(scored);
  }

  double gap() const {
    Picoseconds least = best->result.prediction.step;
    for (const Group &group : groups)
      if (!group.done || !group.exact)
        least = std::min(least, group.bound);
    return 1 - least.asDouble() / best->result.prediction.step.asDouble();
  }

  std::vector<std::pair<NormalForm, DeviceMap>> groupForms() {
    std::vector<std::pair<NormalForm, DeviceMap>> forms;
    for (const Group &group : groups)
      for (Choice choice : variants(group.choice)) {
        NormalForm form = formOf(choice, dims);
        forms.emplace_back(std::move(form), group.devices);
      }
    return forms;
  }

  /// Plans near the winner and the most promising one of every other shape.
  void addAlternatives(Plan &plan) {
    std::vector<Choice> wanted = neighbours(best->choice);
    std::vector<std::pair<int64_t, int64_t>> shapes = {
        {best->choice.tensor, best->choice.pipeline}};
    for (const Group &group : groups) {
      std::pair shape(group.choice.tensor, group.choice.pipeline);
      if (shapes.size() > 2 * problem.options.alternatives ||
          std::find(shapes.begin(), shapes.end(), shape) != shapes.end())
        continue;
      shapes.push_back(shape);
      for (const Choice &choice : variants(group.choice))
        wanted.push_back(choice);
    }
    std::vector<Alternative> found(wanted.size());
    parallelFor(wanted.size(), problem.options.threads,
                [&](size_t i) { found[i] = alternative(wanted[i], plan); });
    std::stable_sort(found.begin(), found.end(),
                     [](const Alternative &a, const Alternative &b) {
                       return a.step < b.step;
                     });
    for (Alternative &other : found)
      if (!other.reason.empty() && !(other.strategy == plan.strategy) &&
          plan.alternatives.size() < problem.options.alternatives)
        plan.alternatives.push_back(std::move(other));
  }

  Alternative alternative(const Choice &choice, const Plan &plan) {
    Alternative result;
    NormalForm form = formOf(choice, dims);
    std::vector<DeviceMap> maps = deviceMaps(form, problem.hardware);
    if (maps.empty() || !setShares(table, form, maps[0]))
      return result;
    CutResult cuts = score(choice, maps[0]).result;
    if (!cuts.candidate) {
      std::optional<CutResult> any = balancedCuts(table, form, maps[0]);
      if (!any)
        return result;
      cuts = std::move(*any);
    }
    return describe(plan, *cuts.candidate, cuts.prediction, problem);
  }

  /// Choices that differ from the winner in one thing.
  std::vector<Choice> neighbours(const Choice &choice) const {
    std::vector<Choice> result;
    auto vary = [&](auto change) {
      Choice other = choice;
      change(other);
      if (other != choice)
        result.push_back(other);
    };
    for (Recompute mode :
         {Recompute::None, Recompute::Selective, Recompute::Full})
      vary([&](Choice &c) { c.recompute = mode; });
    if (choice.data > 1)
      vary([](Choice &c) { c.zero = !c.zero; });
    if (choice.pipeline > 1)
      vary([](Choice &c) {
        c.schedule = c.schedule == Schedule::GPipe ? Schedule::OneFOneB
                                                   : Schedule::GPipe;
      });
    if (choice.data > 1 && choice.pipeline > 1)
      vary([](Choice &c) { c.pipelineOutside = !c.pipelineOutside; });
    if (choice.experts)
      vary([](Choice &c) { c.experts = false; });
    for (const Group &group : groups) {
      Choice other = group.choice;
      bool same = other.data == choice.data && other.tensor == choice.tensor &&
                  other.pipeline == choice.pipeline &&
                  other.pipelineOutside == choice.pipelineOutside &&
                  other.recompute == choice.recompute;
      if (same && (other.microBatches == choice.microBatches * 2 ||
                   other.microBatches * 2 == choice.microBatches))
        vary([&](Choice &c) { c.microBatches = other.microBatches; });
    }
    return result;
  }

  const Problem &problem;
  const Restriction &restriction;
  CostTable table;
  std::vector<std::string> dims;
  std::optional<std::vector<int64_t>> fixedCuts;
  std::vector<Group> groups;
  std::optional<Scored> best;
  int64_t simulated = 0;
};

/// A tree that is costed as it stands.
Answer asWritten(const Problem &problem, Diagnostics &diags) {
  std::optional<NormalForm> form =
      normalize(problem.options.strategy, diags, problem.options.space);
  if (!form)
    return {};
  CostTable table(problem.workload, problem.hardware);
  std::optional<std::vector<int64_t>> cuts;
  bool paths = std::any_of(form->stages.begin(), form->stages.end(),
                           [](const auto &s) { return !s.paths.empty(); });
  if (paths && !(cuts = cutsOf(*form, problem.workload, diags)))
    return {};
  if (!checkShares(*form, problem.workload, diags))
    return {};
  CutResult best;
  std::vector<std::pair<NormalForm, DeviceMap>> tried;
  for (const DeviceMap &map : deviceMaps(*form, problem.hardware)) {
    CutResult result;
    tried.emplace_back(*form, map);
    if (cuts) {
      result.candidate = Candidate{*form, *cuts, map};
      result.prediction = evaluate(table, *result.candidate);
      if (result.prediction.deficit() > Bytes())
        result.candidate.reset();
    } else {
      result = bestCuts(table, *form, map);
    }
    if (result.candidate &&
        (!best.candidate || result.prediction.step < best.prediction.step))
      best = std::move(result);
  }
  if (!best.candidate) {
    explainInfeasible(table, problem, tried, diags);
    return {};
  }
  Answer answer;
  answer.outcome = Outcome::Optimal;
  answer.plan = makePlan(problem, table, *best.candidate, best.prediction);
  answer.plan->simulated = static_cast<int64_t>(tried.size());
  return answer;
}

} // namespace

Answer solve(const Problem &problem, Diagnostics &diagnostics) {
  Restriction restriction = restrictionOf(problem.options.strategy);
  if (restriction.asWritten)
    return asWritten(problem, diagnostics);
  std::optional<Pins> pins = mergePins(problem.options.pins, restriction,
                                       problem.options.strategy, diagnostics);
  if (!pins)
    return {};
  Problem pinned = problem;
  pinned.options.pins = *pins;
  return Searcher(pinned, restriction).run(diagnostics);
}

} // namespace whale::planner
