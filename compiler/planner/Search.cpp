//===- Search.cpp - best-first branch and bound ---------------------------===//

#include "compiler/planner/Explain.h"
#include "compiler/planner/MapTable.h"
#include "compiler/planner/PlacedBounds.h"
#include "compiler/planner/SearchSpace.h"
#include "compiler/planner/ShardTraffic.h"
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
        state(problem), maps(problem.hardware), schedules(problem),
        dims(restriction.dims ? *restriction.dims
                              : splitDims(problem.workload)),
        space(problem, restriction, dims), throughput(table, dims),
        traffic(table) {}

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
      if (state.mayFit(choice))
        take(simulate({{}, 0, Entry::Kind::Cut, choice, 0}));
  }

  int64_t limit() const {
    return static_cast<int64_t>(problem.options.candidateLimit);
  }

  bool start(Diagnostics &diags) {
    bool isBounded = space.isMixed() || experience.found;
    std::vector<Entry> entries =
        space.entries(maps, isBounded ? &throughput : nullptr);
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
        if (entries[i].bound < limitStep())
          boundShape(entries[i]);
      });
    else
      dive(entries);
  }

  /// The most promising of some shapes, by bounds with the idle time on these
  /// devices, if it may beat the best plan; they come in the order of what is
  /// known of them.
  std::optional<size_t> mostPromising(std::vector<Entry> &entries,
                                      const std::vector<size_t> &some) {
    std::optional<size_t> best;
    Picoseconds least = limitStep();
    int looked = 0;
    for (size_t i : some) {
      Entry &entry = entries[i];
      if (entry.bound >= least || (best && ++looked > mostStarts))
        break;
      boundShape(entry);
      if (entry.bound == Picoseconds::max())
        continue;
      Picoseconds step = wholeStepOf(
          entry.choice, stepBound(*entry.costs, entry.choice, false));
      if (step < least)
        best = i, least = step;
    }
    return best;
  }

  /// Unequal devices have many shapes whose bounds are below the best plan: a
  /// plan of the most promising one of each degrees lets the search refute
  /// others sooner, and is there when it is cut short. On few devices the first
  /// plans are enough for that.
  void dive(std::vector<Entry> &entries) {
    std::vector<std::vector<size_t>> groups = byDegrees(entries);
    bool few = problem.hardware.deviceCount() <= fewMixedDevices;
    for (size_t done = 0; done < groups.size() && !(few && best) && mayGoOn();
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
      Found here = lookInto(entry);
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

  /// The form with its shares, and its devices; false where no shares fit.
  bool place(const Entry &entry, NormalForm &form, DeviceMap &devices) {
    form = formOf(entry.choice, dims);
    const std::vector<DeviceMap> &all = maps.of(form).maps;
    if (entry.map >= all.size())
      return false;
    devices = all[entry.map];
    if (entry.widths)
      setWidths(form, *entry.widths);
    // A variant of the shape may need less memory.
    return setShares(table, form, devices,
                     entry.kind >= Entry::Kind::Scheduled);
  }

  Picoseconds wholeStepOf(const Choice &choice, Picoseconds time) const {
    return wholeStep(problem.hardware, choice.ranks(), time);
  }

  std::vector<int64_t> aliveIn(const Choice &choice) {
    if (choice.pipeline == 1)
      return {1};
    return table.alive(choice.schedule, choice.pipeline, choice.virtualStages,
                       choice.microBatches);
  }

  /// What no schedule beats, in any order of the devices.
  Picoseconds even(const SpreadCosts &costs, const Choice &choice) const {
    return evenBound(costs, choice.pipeline, space.leastTasks(choice));
  }
  /// What no cuts beat, in the order of the devices that the costs have or in
  /// any. Of what is slower than the best plan by a simple bound none is asked
  /// that knows more.
  Picoseconds stepBound(const SpreadCosts &costs, const Choice &choice,
                        bool anyOrder) {
    Picoseconds least = even(costs, choice);
    if (anyOrder || wholeStepOf(choice, least) >= limitStep())
      return least;
    return std::max(least,
                    spreadBound(costs, pipelineOf(choice), aliveIn(choice)));
  }

  /// The same where one of several costs counts.
  Picoseconds stepBound(const std::vector<SpreadCosts> &any,
                        const Choice &choice, bool anyOrder) {
    Picoseconds least = Picoseconds::max();
    for (const SpreadCosts &one : any)
      least = std::min(least, stepBound(one, choice, anyOrder));
    return least;
  }

  /// No variant has less than equal stages without idle time.
  void boundShape(Entry &entry) {
    NormalForm form;
    DeviceMap devices;
    Picoseconds known = entry.bound;
    entry.bound = Picoseconds::max();
    if (!state.mayFit(entry.choice) || !place(entry, form, devices))
      return;
    entry.costs = std::make_shared<std::vector<SpreadCosts>>(
        spreadsOf(table, form, devices));
    entry.bound = std::max(
        known,
        wholeStepOf(entry.choice, stepBound(*entry.costs, entry.choice, true)));
  }

  /// A shape with each of its widths; one entry stands for the slower ones.
  Found widthsOf(const Entry &any) {
    Found found;
    Entry rest = any;
    rest.bound = Picoseconds::max();
    for (Entry &one : space.withWidths(any, maps)) {
      boundShape(one);
      if (one.bound < limitStep())
        found.entries.push_back(std::move(one));
      else
        rest.bound = std::min(rest.bound, one.bound);
    }
    if (rest.bound < Picoseconds::max())
      found.entries.push_back(std::move(rest));
    return found;
  }

  /// A shape's families, bounded by its costs and their best schedule; itself,
  /// if its costs show that it is slower than was known.
  Found familiesOf(Entry shape) {
    Found found;
    if (!shape.costs) {
      boundShape(shape);
      if (shape.bound >= limitStep()) {
        found.entries.push_back(std::move(shape));
        return found;
      }
    }
    Picoseconds least = Picoseconds::max();
    std::vector<Picoseconds> steps;
    for (const Choice &choice : schedules.of(shape.choice)) {
      steps.push_back(stepBound(*shape.costs, choice, shape.orders != nullptr));
      least = std::min(least, wholeStepOf(choice, steps.back()));
    }
    std::map<std::pair<Recompute, bool>, Family> families;
    for (const Choice &choice : placements(problem, shape.choice))
      if (space.allowed(choice) && state.mayFitPlaced(choice) &&
          (!space.dependsOnOrder(choice) ||
           choice.pipelineOutside == shape.choice.pipelineOutside))
        families[{choice.recompute, choice.pipelineOutside}].members.push_back(
            choice);
    for (auto &[key, family] : families) {
      family.steps = steps;
      Entry entry{std::max(least, shape.bound), 0, Entry::Kind::Family,
                  shape.choice, shape.map};
      entry.widths = shape.widths;
      std::tie(entry.choice.recompute, entry.choice.pipelineOutside) = key;
      for (const Choice &member : family.members)
        if (member.hasLayers()) {
          entry.choice.recomputeLayers = member.recomputeLayers;
          entry.choice.selectiveLayers = member.selectiveLayers;
        }
      family.isBounded = takesTheSame(entry.choice, shape.choice);
      if (family.isBounded)
        family.costs = shape.costs;
      entry.family = std::make_shared<Family>(std::move(family));
      entry.orders = shape.orders;
      found.entries.push_back(std::move(entry));
    }
    return found;
  }

  /// Bounds a family by its own costs, as far as those of its shape are below
  /// the best plan; false where no shares fit.
  bool boundFamily(Entry &entry) {
    NormalForm form;
    DeviceMap devices;
    if (!place(entry, form, devices))
      return false;
    auto costs = std::make_shared<std::vector<SpreadCosts>>(
        spreadsOf(table, form, devices));
    Family family = *entry.family;
    family.isBounded = true;
    family.costs = costs;
    Picoseconds least = Picoseconds::max();
    size_t next = 0;
    for (const Choice &choice : schedules.of(entry.choice)) {
      Picoseconds &step = family.steps[next++];
      if (wholeStepOf(choice, step) < limitStep())
        step =
            std::max(step, stepBound(*costs, choice, entry.orders != nullptr));
      least = std::min(least, wholeStepOf(choice, step));
    }
    entry.family = std::make_shared<Family>(std::move(family));
    entry.bound = std::max(entry.bound, least);
    return true;
  }

  /// What a member takes by the costs of its family and what it gathers and
  /// scatters, on unequal devices, where families are many.
  Picoseconds trafficBound(const Entry &family, const Choice &member) {
    if (!space.isMixed() || !family.family->costs)
      return {};
    const FormMaps &placed = maps.of(formOf(member, dims));
    if (family.map >= placed.maps.size() || placed.blocks[family.map].empty())
      return {};
    std::vector<Picoseconds> more =
        traffic.of(member, family.map, [&](NormalForm &form, DeviceMap &map) {
          return place({{}, 0, Entry::Kind::Family, member, family.map}, form,
                       map);
        });
    Picoseconds least = Picoseconds::max();
    for (const SpreadCosts &costs : *family.family->costs)
      least = std::min(least, even(withTraffic(costs, more), member));
    return wholeStepOf(member, least);
  }

  /// The schedules of a family's members that may be faster than the best plan
  /// and fit; one entry with nothing in it stands for the slower ones.
  Found schedulesOf(Entry entry) {
    Found found;
    if (!entry.family->isBounded) {
      if (!boundFamily(entry))
        return found;
      if (entry.bound >= limitStep()) {
        found.entries.push_back(std::move(entry));
        return found;
      }
    }
    Entry rest = entry;
    rest.bound = Picoseconds::max();
    rest.family = std::make_shared<Family>(Family{{}, {}, true});
    for (const Choice &member : entry.family->members) {
      Picoseconds least = trafficBound(entry, member);
      if (least >= limitStep())
        rest.bound = std::min(rest.bound, std::max(entry.bound, least));
      else if (entry.orders)
        addOrders(entry, member, found, rest.bound);
      else
        addSchedules(entry, member, found, rest.bound);
    }
    if (rest.bound < Picoseconds::max())
      found.entries.push_back(std::move(rest));
    return found;
  }

  /// One member on each order of the devices, or `rest` as below.
  void addOrders(const Entry &family, const Choice &member, Found &found,
                 Picoseconds &rest) {
    Entry one{family.bound, 0, Entry::Kind::Family, member, family.map};
    NormalForm form;
    DeviceMap devices;
    if (!place(one, form, devices))
      return;
    Picoseconds step = Picoseconds::max();
    for (const ReplicaCosts &costs : anyShares(table, form, devices))
      step =
          std::min(step, even(spreadCosts(table, form, costs, true), member));
    one.bound = std::max(one.bound, wholeStepOf(member, step));
    if (one.bound >= limitStep()) {
      rest = std::min(rest, one.bound);
      return;
    }
    std::vector<Picoseconds> steps = family.family->steps;
    for (Picoseconds &known : steps)
      known = std::max(known, step);
    one.family = std::make_shared<Family>(Family{{member}, steps, true});
    for (size_t map : *family.orders) {
      one.map = map;
      found.entries.push_back(one);
    }
  }

  /// Of one member; `rest` becomes the least bound of those that are left out.
  void addSchedules(const Entry &family, const Choice &member, Found &found,
                    Picoseconds &rest) {
    Entry placed{family.bound, 0, Entry::Kind::Scheduled, member, family.map};
    placed.widths = family.widths;
    std::vector<Entry> entries;
    size_t next = 0;
    for (Choice &choice : schedules.of(member)) {
      placed.step = family.family->steps[next++];
      placed.bound = std::max(family.bound, wholeStepOf(choice, placed.step));
      if (!settle(problem, choice) ||
          (family.widths && choice.virtualStages > 1))
        continue;
      placed.choice = choice;
      if (placed.bound >= limitStep())
        rest = std::min(rest, placed.bound);
      else
        entries.push_back(placed);
    }
    NormalForm form;
    DeviceMap devices;
    placed.choice = member;
    placed.kind = Entry::Kind::Family;
    if (entries.empty() || !place(placed, form, devices))
      return;
    PlacedBounds bounds(table, form, devices, space.leastTasks(member));
    Picoseconds most = mostAlone(problem.hardware, member.ranks(), limitStep());
    for (Entry &entry : entries) {
      Picoseconds step =
          bounds.step(pipelineOf(entry.choice), aliveIn(entry.choice), most);
      if (step == Picoseconds::max())
        continue;
      entry.bound = std::max(entry.bound, wholeStepOf(entry.choice, step));
      // Cuts that share the family's times are sought from the same start.
      if (space.isMixed() || member.shard > Shard::Optimizer)
        entry.step = step;
      if (entry.bound >= limitStep())
        rest = std::min(rest, entry.bound);
      else
        found.entries.push_back(std::move(entry));
    }
  }

  /// The same schedule, bounded by its cuts; one that has none to choose is
  /// simulated.
  Found cutsOf(const Entry &entry) {
    Found found;
    NormalForm form;
    DeviceMap devices;
    if (!place(entry, form, devices))
      return found;
    addOthers(entry, form, devices, found);
    if (fixedCuts || form.stages.size() == 1) {
      found.scored = score(entry.choice, form, devices, toBeat());
      return found;
    }
    auto cuts = std::make_shared<CutBound>(cutBound(
        table, form, replicaCosts(table, form, devices), entry.step,
        mostAlone(problem.hardware, entry.choice.ranks(), limitStep())));
    if (cuts->step == Picoseconds::max())
      return found;
    Entry cut = entry;
    cut.kind = Entry::Kind::Cut;
    cut.bound = std::max(entry.bound, wholeStepOf(entry.choice, cuts->step));
    cut.cuts = std::move(cuts);
    found.entries.push_back(std::move(cut));
    return found;
  }

  /// The same schedule with other shares, bounded by the best cuts of whatever
  /// has more then.
  void addOthers(const Entry &entry, const NormalForm &form,
                 const DeviceMap &devices, Found &found) {
    Picoseconds least = boundOfOthers(
        table, form, devices, entry.step,
        mostAlone(problem.hardware, entry.choice.ranks(), limitStep()));
    if (least == Picoseconds::max())
      return;
    Entry others = entry;
    others.kind = Entry::Kind::Shares;
    others.bound = std::max(entry.bound, wholeStepOf(entry.choice, least));
    found.entries.push_back(std::move(others));
  }

  /// The best of all shares.
  Found sharesOf(const Entry &entry) {
    Found found;
    NormalForm form;
    DeviceMap devices;
    if (!place(entry, form, devices))
      return found;
    ScoreCuts scoring = [&](const NormalForm &shared, Picoseconds below) {
      return score(entry.choice, shared, devices, below).result;
    };
    found.scored = {entry.choice,
                    bestShares(table, form, devices, toBeat(), scoring)};
    return found;
  }

  Found lookInto(const Entry &entry) {
    switch (entry.kind) {
    case Entry::Kind::Widths:
      return widthsOf(entry);
    case Entry::Kind::Shape:
      return familiesOf(entry);
    case Entry::Kind::Family:
      return schedulesOf(entry);
    case Entry::Kind::Scheduled:
      return cutsOf(entry);
    case Entry::Kind::Shares:
      return sharesOf(entry);
    case Entry::Kind::Cut:
      break;
    }
    return simulate(entry);
  }

  Found simulate(const Entry &entry) {
    Found found;
    NormalForm form;
    DeviceMap devices;
    if (place(entry, form, devices))
      found.scored =
          score(entry.choice, form, devices, toBeat(), entry.cuts.get());
    return found;
  }

  /// What is not faster than this is not looked for.
  Picoseconds limitStep() const {
    return toBeat() - toBeat().scaled(problem.options.tolerance);
  }

  Picoseconds toBeat() const { return std::min(bestStep(), below); }

  Picoseconds bestStep() const {
    return best ? best->result.prediction.step : Picoseconds::max();
  }

  /// The best candidate of one choice.
  Scored score(const Choice &choice, const NormalForm &form,
               const DeviceMap &devices, Picoseconds below,
               const CutBound *bound = nullptr) {
    if (fixedCuts)
      return {choice, givenCuts(table, form, devices, *fixedCuts)};
    return {choice, bestCuts(table, form, devices, below,
                             bound ? std::optional(*bound) : std::nullopt)};
  }

  void explore() {
    auto isWorthIt = [&] {
      return !queue.empty() && queue.top().bound < limitStep();
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
                  [&](size_t i) { found[i] = lookInto(batch[i]); });
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
      return entry.bound < limitStep() - toBeat().scaled(muchFaster);
    return entry.kind == Entry::Kind::Scheduled && entry.bound < limitStep();
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
        found.scored->result.prediction.step < below)
      best = std::move(*found.scored);
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
      for (const DeviceMap &map : maps.of(formOf(choice, dims)).maps)
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
    while (!queue.empty() && seen.size() <= 2 * problem.options.alternatives) {
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
    if (!place({{}, 0, Entry::Kind::Cut, choice, 0}, form, devices))
      return result;
    CutResult cuts = score(choice, form, devices, Picoseconds::max()).result;
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
  LeastState state;
  MapTable maps;
  ScheduleTable schedules;
  std::vector<std::string> dims;
  SearchSpace space;
  Throughput throughput;
  ShardTraffic traffic;
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
