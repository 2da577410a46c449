//===- Search.cpp - best-first branch and bound ---------------------------===//

#include "compiler/planner/Branching.h"
#include "compiler/planner/Explain.h"
#include "compiler/planner/Sharing.h"
#include "compiler/planner/UnlikeStages.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <queue>
#include <set>

namespace whale::planner {

namespace {

/// Entries that are taken from the queue before the best plan is looked at
/// again. A constant, so that the number of threads changes nothing.
constexpr size_t batchSize = 16;
/// Shapes of equal degrees whose costs are compared for the start of a dive.
constexpr int mostStarts = 32;

class Searcher {
public:
  Searcher(const Problem &problem, const Restriction &restriction,
           Experience &experience)
      : problem(problem), restriction(restriction), experience(experience),
        table(problem.workload, problem.hardware, experience.costs),
        maps(problem.hardware), schedules(problem),
        dims(restriction.dims ? *restriction.dims
                              : splitDims(problem.workload)),
        space(problem, restriction, dims), throughput(table, dims),
        branching(problem, space, table, maps, throughput, schedules, dims) {
    branching.setLimit(below);
  }

  Answer run(Diagnostics &diags) {
    if (!start(diags))
      return {};
    explore();
    settleBounds();
    lookForUnlike();
    if (!best && cutShort != Outcome::Optimal) {
      explainLimit(simulated, diags);
      return {cutShort, std::nullopt};
    }
    if (!best) {
      if (!problem.options.below)
        explainInfeasible(table, problem, frugalForms(), diags);
      return {};
    }
    if (!fixedCuts) {
      polishCuts(table, best->result);
      polishShares(table, best->result);
    }
    Answer answer;
    answer.plan = makePlan(problem, table, *best->result.candidate,
                           best->result.prediction);
    answer.plan->gap = gap();
    answer.plan->simulated = simulated;
    answer.plan->bounded = number;
    if (cutShort != Outcome::Interrupted && problem.options.alternatives > 0)
      addAlternatives(*answer.plan);
    answer.plan->gapOfUnlike = unlikeSettled;
    bool isOpen = answer.plan->gap > 0 ||
                  (hasUnlikeStages(answer.plan->chosen.form) && !unlikeSettled);
    answer.outcome = cutShort != Outcome::Optimal ? cutShort
                     : isOpen                     ? Outcome::Feasible
                                                  : Outcome::Optimal;
    answer.plan->outcome = answer.outcome;
    experience.found = best->choice;
    experience.samples = space.samplesOf(best->choice);
    return answer;
  }

private:
  /// What an earlier search found, with as many samples or micro-batches.
  void tryFound() {
    for (const Choice &choice : space.like(experience))
      if (branching.mayFit(choice))
        take(branching.lookInto({{}, 0, Entry::Kind::Cut, choice, 0}));
  }

  int64_t limit() const {
    return static_cast<int64_t>(problem.options.candidateLimit);
  }

  bool start(Diagnostics &diags) {
    bool asksThroughput = space.isMixed() || experience.found;
    if (asksThroughput)
      branching.useThroughput();
    std::vector<Entry> entries =
        space.entries(maps, asksThroughput ? &throughput : nullptr);
    number = std::ssize(entries);
    std::optional<Choice> any;
    for (const Entry &entry : entries)
      if (any = firstOf(space.variantsOf(entry.choice)); any)
        break;
    if (!any) {
      if (space.tooShort())
        reportShortDim(*space.tooShort(), problem.options.strategy, diags);
      else
        explainConflict(problem, diags);
      return false;
    }
    if (!restriction.stagePaths.empty()) {
      NormalForm form = formOf(*any, dims);
      setPaths(form);
      fixedCuts = planner::cutsOf(form, problem.workload, diags);
      if (!fixedCuts)
        return false;
      branching.setCuts(*fixedCuts);
    }
    tryFound();
    boundShapes(entries);
    for (Entry &entry : entries)
      push(std::move(entry));
    return true;
  }

  /// On unequal devices there are many, of which few come near the best plan:
  /// their own costs are looked at when it is their turn. The same of those
  /// that what the devices let them do shows to be slower than a known plan.
  void boundShapes(std::vector<Entry> &entries) {
    if (!space.isMixed())
      parallelFor(entries.size(), problem.options.threads, [&](size_t i) {
        if (entries[i].bound < branching.limitStep())
          branching.boundShape(entries[i]);
      });
    else
      dive(entries);
    if (space.isMixed() && problem.hardware.deviceCount() <= fewMixedDevices)
      climb();
  }

  /// The most promising of some shapes, by bounds with the idle time on these
  /// devices, if it may beat the best plan; they come in the order of what is
  /// known of them.
  std::optional<size_t> mostPromising(std::vector<Entry> &entries,
                                      const std::vector<size_t> &some) {
    std::optional<size_t> best;
    Picoseconds least = branching.limitStep();
    int looked = 0;
    for (size_t i : some) {
      Entry &entry = entries[i];
      if (entry.bound >= least || (best && ++looked > mostStarts))
        break;
      branching.boundShape(entry);
      if (entry.bound == Picoseconds::max())
        continue;
      Picoseconds step = branching.boundInOrder(entry);
      if (step < least)
        best = i, least = step;
    }
    return best;
  }

  /// Unequal devices have many shapes whose bounds are below the best plan: a
  /// plan of the most promising one of each degrees lets the search refute
  /// others sooner, and is there when it is cut short.
  void dive(std::vector<Entry> &entries) {
    std::vector<std::vector<size_t>> groups = byDegrees(entries);
    for (size_t done = 0; done < groups.size() && mayGoOn();
         done += batchSize) {
      size_t count = std::min(batchSize, groups.size() - done);
      std::vector<std::vector<Found>> found(count);
      parallelFor(count, problem.options.threads, [&](size_t i) {
        std::optional<size_t> start = mostPromising(entries, groups[done + i]);
        if (!start)
          return;
        found[i] = diveInto(entries[*start]);
        entries[*start].bound = Picoseconds::max();
      });
      for (std::vector<Found> &ofDive : found)
        for (Found &one : ofDive)
          take(std::move(one));
    }
  }

  /// What differs from the best plan in one thing, on its devices, as long as
  /// that is better: with many shares of the batch it takes long to refute what
  /// is slower than the best plan but not than the first ones.
  void climb() {
    Picoseconds before = Picoseconds::max();
    while (best && bestStep() < before && mayGoOn()) {
      before = bestStep();
      std::vector<Choice> near =
          neighbours(problem, best->choice, space.isAllowed());
      DeviceMap devices = best->result.candidate->devices;
      std::vector<Found> found(near.size());
      parallelFor(near.size(), problem.options.threads, [&](size_t i) {
        const std::vector<DeviceMap> &all = maps.of(near[i]).maps;
        auto map = std::find(all.begin(), all.end(), devices);
        if (map != all.end())
          found[i] = branching.lookInto(
              {{}, 0, Entry::Kind::Cut, near[i], size_t(map - all.begin())});
      });
      for (Found &one : found)
        take(std::move(one));
    }
  }

  /// Looks into what is nearest to a plan first, until there is one; with what
  /// is left.
  std::vector<Found> diveInto(Entry start) {
    std::vector<Found> found;
    std::vector<Entry> open = {std::move(start)};
    bool done = false;
    for (int n = 0; n < mostInDive && !done && !open.empty(); ++n) {
      auto next = std::min_element(
          open.begin(), open.end(), [](const Entry &a, const Entry &b) {
            return std::tuple(b.kind, a.bound) < std::tuple(a.kind, b.bound);
          });
      Entry entry = std::move(*next);
      open.erase(next);
      Found here = branching.lookInto(entry);
      done = here.scored && here.scored->result.candidate;
      std::move(here.entries.begin(), here.entries.end(),
                std::back_inserter(open));
      here.entries.clear();
      found.push_back(std::move(here));
    }
    found.push_back({std::move(open), std::nullopt});
    return found;
  }

  void setPaths(NormalForm &form) const {
    for (size_t s = 0; s < restriction.stagePaths.size(); ++s)
      form.stages[s].paths = restriction.stagePaths[s];
  }

  void push(Entry entry) {
    if (entry.bound < Picoseconds::max())
      queue.push(std::move(entry));
  }

  Picoseconds toBeat() const { return std::min(bestStep(), below); }

  Picoseconds bestStep() const {
    return best ? best->result.prediction.step : Picoseconds::max();
  }

  void explore() {
    auto isWorthIt = [&] {
      return !queue.empty() && queue.top().bound < branching.limitStep();
    };
    while ((!urgent.empty() || isWorthIt()) && mayGoOn()) {
      std::vector<Entry> batch = std::move(urgent);
      urgent.clear();
      for (size_t i = 0; i < batchSize && isWorthIt(); ++i) {
        batch.push_back(queue.top());
        queue.pop();
      }
      std::vector<Found> found(batch.size());
      parallelFor(batch.size(), problem.options.threads,
                  [&](size_t i) { found[i] = branching.lookInto(batch[i]); });
      std::optional<Entry> next;
      for (Found &one : found)
        take(std::move(one), &next);
      if (next)
        urgent.push_back(std::move(*next));
    }
    for (Entry &entry : urgent)
      push(std::move(entry));
  }

  /// Whether an entry is worth to be looked into out of turn: plans that are
  /// found early spare the search cuts that are no better.
  bool isPromising(const Entry &entry) const {
    constexpr double muchFaster = 0.01;
    if (entry.kind == Entry::Kind::Cut)
      return entry.bound < branching.limitStep() - toBeat().scaled(muchFaster);
    return entry.kind == Entry::Kind::Scheduled &&
           entry.bound < branching.limitStep();
  }

  bool mayGoOn() {
    if (simulated >= limit())
      cutShort = Outcome::LimitReached;
    Progress progress{simulated, number, {}};
    if (best)
      progress.best = bestStep();
    if (problem.options.proceed && !problem.options.proceed(progress))
      cutShort = Outcome::Interrupted;
    return cutShort == Outcome::Optimal;
  }

  /// Keeps the most promising of the entries out of the queue, if asked.
  void take(Found found, std::optional<Entry> *next = nullptr) {
    for (Entry &entry : found.entries) {
      entry.number = number++;
      if (next && isPromising(entry) && (!*next || **next > entry)) {
        if (*next)
          push(std::move(**next));
        *next = std::move(entry);
        continue;
      }
      push(std::move(entry));
    }
    if (!found.scored)
      return;
    ++simulated;
    if (found.scored->result.candidate)
      simulatedOnes.push_back(*found.scored);
    else
      leastBound = std::min(leastBound, found.scored->result.bound);
    if (found.scored->better(best) &&
        found.scored->result.prediction.step < below) {
      best = std::move(*found.scored);
      branching.setLimit(bestStep());
    }
  }

  double gap() const {
    Picoseconds step = best->result.prediction.step;
    Picoseconds least = std::min(step, leastBound);
    if (!queue.empty())
      least = std::min(least, queue.top().bound);
    double gap = 1 - least.asDouble() / step.asDouble();
    // Bounds are lowered by a billionth, so that no rounding is above a plan.
    return gap < 2e-9 ? 0 : gap;
  }

  /// Better bounds and cuts of what was simulated.
  void settleBounds() {
    if (!fixedCuts && cutShort == Outcome::Optimal)
      tightenAll(table, simulatedOnes, best,
                 {below, problem.options.tolerance});
    for (const Scored &one : simulatedOnes)
      leastBound = std::min(leastBound, one.result.bound);
    simulatedOnes.clear();
  }

  /// What is written says the same of all stages, and one is like itself.
  void lookForUnlike() {
    unlikeSettled = !problem.options.strategy.body.empty() ||
                    problem.options.pins.pipeline == 1;
    if (unlikeSettled || cutShort != Outcome::Optimal ||
        !UnlikeStages::covers(problem, best.has_value()))
      return;
    UnlikeStages unlike(problem, space, table, maps, throughput, schedules,
                        dims);
    auto goOn = [&](int64_t more) { return simulated += more, mayGoOn(); };
    unlike.run(best, below, goOn);
    unlikeSettled = unlike.isSettled();
    if (unlikeSettled)
      leastBound = std::min(leastBound, unlike.bound());
  }

  /// For each degree the form that needs the least memory, on all devices.
  std::vector<std::pair<NormalForm, DeviceMap>> frugalForms() {
    std::vector<std::pair<NormalForm, DeviceMap>> forms;
    for (const Choice &choice : mostFrugal(problem, space.isAllowed()))
      for (const DeviceMap &map : maps.of(choice).maps)
        forms.emplace_back(formOf(choice, dims), map);
    return forms;
  }

  /// Plans near the winner, and what else was most promising: the variants at
  /// the head of the queue of every other shape.
  void addAlternatives(Plan &plan) {
    std::vector<Choice> wanted =
        neighbours(problem, best->choice, space.isAllowed());
    // The best one whose stages are alike.
    if (hasUnlikeStages(best->result.candidate->form))
      wanted.push_back(best->choice);
    auto degrees = [](const Choice &c) {
      return std::tuple(c.tensor, c.pipeline, c.context);
    };
    std::set<std::tuple<int64_t, int64_t, int64_t>> seen = {
        degrees(best->choice)};
    while (!queue.empty() && seen.size() <= 3 * problem.options.alternatives) {
      Choice choice = queue.top().choice;
      queue.pop();
      choice.schedule = best->choice.schedule;
      choice.virtualStages = best->choice.virtualStages;
      choice.recompute = best->choice.recompute;
      choice.shard = best->choice.shard;
      std::vector<Choice> all = space.variantsOf(choice);
      auto same = std::find_if(all.begin(), all.end(), [&](const Choice &c) {
        return c.schedule == choice.schedule && c.shard == choice.shard &&
               c.virtualStages == choice.virtualStages &&
               c.recompute == choice.recompute;
      });
      if (same != all.end() && seen.insert(degrees(choice)).second)
        wanted.push_back(*same);
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
    NormalForm form;
    DeviceMap devices;
    if (!branching.place({{}, 0, Entry::Kind::Cut, choice, 0}, form, devices))
      return result;
    CutResult cuts =
        branching.score(choice, form, devices, Picoseconds::max()).result;
    if (!cuts.candidate) {
      std::optional<CutResult> any = balancedCuts(table, form, devices);
      if (!any)
        return result;
      cuts = std::move(*any);
    }
    return describe(plan, *cuts.candidate, cuts.prediction, problem);
  }

  const Problem &problem;
  const Restriction &restriction;
  Experience &experience;
  CostTable table;
  MapTable maps;
  ScheduleTable schedules;
  std::vector<std::string> dims;
  SearchSpace space;
  Throughput throughput;
  Branching branching;
  std::optional<std::vector<int64_t>> fixedCuts;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  /// Looked into next, whatever the queue says.
  std::vector<Entry> urgent;
  std::optional<Scored> best;
  /// What was simulated, with its cuts.
  std::vector<Scored> simulatedOnes;
  /// Of what was looked into, by the bounds of its cuts.
  Picoseconds leastBound = Picoseconds::max();
  int64_t number = 0, simulated = 0;
  /// Of what may be the best.
  const Picoseconds below = problem.options.below.value_or(Picoseconds::max());
  /// Whether that is so for stages that differ, too.
  bool unlikeSettled = false;
  /// What ended the search before its time; Optimal = nothing.
  Outcome cutShort = Outcome::Optimal;
};

} // namespace

Answer searchPinned(const Problem &problem, const Restriction &restriction,
                    Experience &experience, Diagnostics &diagnostics) {
  return Searcher(problem, restriction, experience).run(diagnostics);
}

} // namespace whale::planner
