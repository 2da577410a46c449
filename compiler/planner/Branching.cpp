//===- Branching.cpp - what is in an entry of the search ------------------===//

#include "compiler/planner/Branching.h"

#include "compiler/planner/PlacedBounds.h"

#include <algorithm>
#include <map>

namespace whale::planner {

bool Branching::place(const Entry &entry, NormalForm &form,
                      DeviceMap &devices) {
  const std::vector<DeviceMap> &all = maps.of(entry.choice).maps;
  if (entry.map >= all.size())
    return false;
  form = formOf(entry.choice, dims);
  devices = all[entry.map];
  if (entry.widths)
    setWidths(form, *entry.widths);
  // A variant of the shape may need less memory.
  return setShares(table, form, devices, entry.kind >= Entry::Kind::Scheduled);
}

Picoseconds Branching::wholeStepOf(const Choice &choice,
                                   Picoseconds time) const {
  return wholeStep(problem.hardware, choice.ranks(), time);
}

/// What is not faster without `wholeStep` is not looked for.
Picoseconds Branching::mostAloneOf(const Choice &choice) const {
  return mostAlone(problem.hardware, choice.ranks(), limitStep());
}

std::vector<int64_t> Branching::aliveIn(const Choice &choice) {
  if (choice.pipeline == 1)
    return {1};
  return table.alive(choice.schedule, choice.pipeline, choice.virtualStages,
                     choice.microBatches);
}

/// What no schedule beats, in any order of the devices.
Picoseconds Branching::even(const SpreadCosts &costs,
                            const Choice &choice) const {
  return evenBound(costs, choice.pipeline, space.leastTasks(choice));
}

/// What no cuts beat, in the order of the devices that the costs have or in
/// any. Of what is slower than the best plan by a simple bound none is asked
/// that knows more.
Picoseconds Branching::stepBound(const SpreadCosts &costs, const Choice &choice,
                                 bool anyOrder) {
  Picoseconds least = even(costs, choice);
  // Chunks are bounded as if they were dealt out.
  bool isGiven = fixedCuts && isChunked(choice.schedule, choice.pipeline,
                                        choice.virtualStages);
  if (anyOrder || isGiven || wholeStepOf(choice, least) >= limitStep())
    return least;
  return std::max(least,
                  spreadBound(costs, pipelineOf(choice), aliveIn(choice)));
}

/// The same where one of several costs counts.
Picoseconds Branching::stepBound(const std::vector<SpreadCosts> &any,
                                 const Choice &choice, bool anyOrder) {
  Picoseconds least = Picoseconds::max();
  for (const SpreadCosts &one : any)
    least = std::min(least, stepBound(one, choice, anyOrder));
  return least;
}

void Branching::boundShape(Entry &entry) {
  NormalForm form;
  DeviceMap devices;
  Picoseconds known = entry.bound;
  entry.bound = Picoseconds::max();
  if (!state.mayFit(entry.choice) || !place(entry, form, devices))
    return;
  entry.costs = std::make_shared<std::vector<SpreadCosts>>(
      spreadsOf(table, form, devices));
  entry.bound =
      std::max(known, wholeStepOf(entry.choice,
                                  stepBound(*entry.costs, entry.choice, true)));
}

Picoseconds Branching::boundInOrder(const Entry &shape) {
  return wholeStepOf(shape.choice,
                     stepBound(*shape.costs, shape.choice, false));
}

/// What no widths and shares of a shape beat: in some replica, which has no
/// fewer samples than the mean, some coordinate of a split has no less than
/// with equal widths, takes no less than with these, and so does its stage.
/// What is gathered of unequal parts takes no less either.
Picoseconds Branching::widestBound(const Entry &any) {
  const Choice &shape = any.choice;
  const DeviceMap &devices = maps.of(shape).maps[any.map];
  NormalForm form = formOf(shape, dims);
  int64_t unit =
      saturatingMultiply(problem.workload.sampleGroup, shape.microBatches);
  int64_t samples =
      std::max(unit, problem.workload.globalBatch / shape.data / unit * unit);
  SpreadCosts costs;
  for (const workload::Run &run : problem.workload.runs)
    costs.runs.push_back({{}, run.count});
  std::vector<FormCosts::Times> least(costs.runs.size(),
                                      {Picoseconds::max(), Picoseconds::max()});
  for (const ReplicaClass &one :
       replicaClasses(problem.workload, problem.hardware, form, devices)) {
    FormCosts here(table, form, devices, one.coordinates, samples);
    for (unsigned s = 0; s < form.stages.size(); ++s)
      for (size_t r = 0; r < least.size(); ++r) {
        FormCosts::Times times = here.onFastest(s, r);
        least[r].forward = std::min(least[r].forward, times.forward);
        least[r].backward = std::min(least[r].backward, times.backward);
      }
  }
  for (size_t r = 0; r < least.size(); ++r) {
    SpreadCosts::Run &run = costs.runs[r];
    run.each = partsOf(least[r].forward, least[r].backward, {});
    costs.all += run.each * static_cast<double>(run.count);
  }
  return wholeStepOf(shape, even(costs, shape));
}

/// A shape with each of its widths; one entry stands for the slower ones.
Found Branching::widthsOf(const Entry &any) {
  Found found;
  Entry rest = any;
  if (Picoseconds least = widestBound(any); least >= limitStep()) {
    rest.bound = std::max(any.bound, least);
    found.entries.push_back(std::move(rest));
    return found;
  }
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
Found Branching::familiesOf(Entry shape) {
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
    if (entry.choice.recompute == Recompute::Full && !entry.choice.hasLayers())
      entry.bound = std::max(entry.bound, throughputBound(entry));
    family.isBounded = takesTheSame(entry.choice, shape.choice);
    if (family.isBounded)
      family.costs = shape.costs;
    entry.family = std::make_shared<Family>(std::move(family));
    entry.orders = shape.orders;
    found.entries.push_back(std::move(entry));
  }
  return found;
}

/// By the types of its devices, where that is worth its costs.
Picoseconds Branching::throughputBound(const Entry &entry) {
  if (!asksThroughput)
    return {};
  const FormMaps &placed = maps.of(entry.choice);
  return wholeStepOf(entry.choice,
                     throughput.bound(entry.choice, placed.maps[entry.map].kind,
                                      placed.blocks[entry.map],
                                      space.leastTasks(entry.choice)));
}

/// Bounds a family by its own costs, as far as those of its shape are below
/// the best plan; false where no shares fit.
bool Branching::boundFamily(Entry &entry) {
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
      step = std::max(step, stepBound(*costs, choice, entry.orders != nullptr));
    least = std::min(least, wholeStepOf(choice, step));
  }
  entry.family = std::make_shared<Family>(std::move(family));
  entry.bound = std::max(entry.bound, least);
  return true;
}

/// What a member takes by the costs of its family and what it gathers and
/// scatters.
Picoseconds Branching::trafficBound(const Entry &family, const Choice &member) {
  if (!ShardTraffic::has(member) || !family.family->costs)
    return {};
  const FormMaps &placed = maps.of(member);
  if (family.map >= placed.maps.size() || placed.blocks[family.map].empty())
    return {};
  std::vector<Picoseconds> more =
      traffic.of(member, family.map, [&](NormalForm &form, DeviceMap &map) {
        return place({{}, 0, Entry::Kind::Family, member, family.map}, form,
                     map);
      });
  if (more.empty())
    return {};
  Picoseconds least = Picoseconds::max();
  for (const SpreadCosts &costs : *family.family->costs)
    least = std::min(least, even(withTraffic(costs, more), member));
  return wholeStepOf(member, least);
}

/// The schedules of a family's members that may be faster than the best plan
/// and fit; one entry with nothing in it stands for the slower ones.
Found Branching::schedulesOf(Entry entry) {
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
void Branching::addOrders(const Entry &family, const Choice &member,
                          Found &found, Picoseconds &rest) {
  Entry one{family.bound, 0, Entry::Kind::Family, member, family.map};
  NormalForm form;
  DeviceMap devices;
  if (!place(one, form, devices))
    return;
  Picoseconds step = Picoseconds::max();
  for (const ReplicaCosts &costs : anyShares(table, form, devices))
    step = std::min(step, even(spreadCosts(table, form, costs, true), member));
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
void Branching::addSchedules(const Entry &family, const Choice &member,
                             Found &found, Picoseconds &rest) {
  Entry placed{family.bound, 0, Entry::Kind::Scheduled, member, family.map};
  placed.widths = family.widths;
  std::vector<Entry> entries;
  size_t next = 0;
  for (Choice &choice : schedules.of(member)) {
    placed.step = family.family->steps[next++];
    placed.bound = std::max(family.bound, wholeStepOf(choice, placed.step));
    if (!settle(problem, choice) || (family.widths && choice.virtualStages > 1))
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
  PlacedBounds bounds(table, form, devices, space.leastTasks(member),
                      !fixedCuts);
  Picoseconds most = mostAloneOf(member);
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
Found Branching::cutsOf(const Entry &entry) {
  Found found;
  NormalForm form;
  DeviceMap devices;
  if (!place(entry, form, devices))
    return found;
  addOthers(entry, form, devices, found);
  if (fixedCuts || form.stages.size() == 1) {
    found.scored = score(entry.choice, form, devices, limit);
    return found;
  }
  auto cuts = std::make_shared<CutBound>(
      cutBound(table, form, replicaCosts(table, form, devices), entry.step,
               mostAloneOf(entry.choice)));
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
void Branching::addOthers(const Entry &entry, const NormalForm &form,
                          const DeviceMap &devices, Found &found) {
  Picoseconds least = boundOfOthers(table, form, devices, entry.step,
                                    mostAloneOf(entry.choice));
  if (least == Picoseconds::max())
    return;
  Entry others = entry;
  others.kind = Entry::Kind::Shares;
  others.bound = std::max(entry.bound, wholeStepOf(entry.choice, least));
  found.entries.push_back(std::move(others));
}

/// The best of all shares.
Found Branching::sharesOf(const Entry &entry) {
  Found found;
  NormalForm form;
  DeviceMap devices;
  if (!place(entry, form, devices))
    return found;
  ScoreCuts scoring = [&](const NormalForm &shared, Picoseconds below) {
    return score(entry.choice, shared, devices, below).result;
  };
  found.scored = {entry.choice,
                  bestShares(table, form, devices, limit, scoring)};
  return found;
}

Found Branching::lookInto(const Entry &entry) {
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

Found Branching::simulate(const Entry &entry) {
  Found found;
  NormalForm form;
  DeviceMap devices;
  if (place(entry, form, devices))
    found.scored = score(entry.choice, form, devices, limit, entry.cuts.get());
  return found;
}

Scored Branching::score(const Choice &choice, const NormalForm &form,
                        const DeviceMap &devices, Picoseconds below,
                        const CutBound *bound) {
  if (fixedCuts)
    return {choice, givenCuts(table, form, devices, *fixedCuts)};
  return {choice, bestCuts(table, form, devices, below,
                           bound ? std::optional(*bound) : std::nullopt)};
}

} // namespace whale::planner
