//===- Relief.cpp - what a stage does to fit ------------------------------===//
//
// Problem: of a stage that holds instances first..last-1, how many recompute in
// full (the first ones, as in Megatron-LM's --recompute-num-layers), how many
// behind those selectively, and of how many the host's memory holds
// activations, optimizer state, parameters (granular, as in Mist, arXiv
// 2503.19050, and DeepSpeed's Twin-Flow).
// And where replicas cut the parameters, how many keep theirs gathered (the
// first ones as well: ZeRO-2 beside ZeRO-3, as with a reshard_after_forward for
// each module of FSDP2), which takes memory and saves time.
// Recompute alone (leastRecompute): the least time. With k in full let s(k) be
// the fewest that must recompute selectively. An instance in full frees no less
// than one that recomputes selectively, so k + s(k) never rises with k; and it
// takes no less time, so that from a known k' + s(k') on all smaller k take at
// least what k in full and the rest of these selectively take. Ranges of k in
// which that is not below the best time are left out, others are halved.
// Gathered (leastTime): the least time of all numbers, the fewest of those that
// take it. While some of a run are not gathered, one more needs no less memory
// (once all are, the two copies of the largest instance that is not gathered
// may be smaller): what fits with k + n fits with k. So the least time with k
// is no more than that with k + n and what those n save at most, each in the
// way of recompute in which it saves most. Behind k, numbers are left out up to
// the first that may by this be faster than what is known; that are at first
// the most that fit without recompute, and with all of it. With the host:
// activations whose transfer hides beside compute go first; then one way after
// another is taken, the one with the least time for what it frees (all of it
// against none) first, each for the fewest instances with which the stage fits;
// then each is made as small as goes, the dearest first. Where that takes
// several ways, fixed orders of them are tried, too. All of that from no
// recompute and, where that alone takes less time than what was found, from
// selective recompute of all instances. The least time counts, also that of
// recompute alone. Where that leaves the state on the device, recompute and
// what is gathered are chosen once more, with the activations that it takes
// away. Guarantee: recompute and what is gathered are exact where memory falls
// with each further instance of a run; at the ends of runs nothing is taken for
// granted (a head that recomputes may need more). With the host a heuristic,
// but for one way alone. Complexity: O(runs + log(instances)) evaluations of
// the stage's memory for each way; recompute takes that for each k that it
// looks at, and what is gathered takes recompute for each number that it looks
// at.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <array>
#include <limits>

namespace whale::planner {

namespace {

/// The ways by number.
constexpr size_t recompute = 0, selective = 1, activations = 2, optimizer = 3,
                 parameters = 4;
constexpr size_t ways = 5;

constexpr double infinity = std::numeric_limits<double>::infinity();

int64_t get(const Relief &relief, size_t way) {
  return std::array{relief.recomputeLayers, relief.selectiveLayers,
                    relief.offload.activations, relief.offload.optimizer,
                    relief.offload.parameters}[way];
}

void set(Relief &relief, size_t way, int64_t layers) {
  Offload &offload = relief.offload;
  *std::array{&relief.recomputeLayers, &relief.selectiveLayers,
              &offload.activations, &offload.optimizer,
              &offload.parameters}[way] = layers;
  if (way == parameters)
    offload.optimizer = std::max(offload.optimizer, layers);
}

int64_t waysOf(const Relief &relief) {
  int64_t count = 0;
  for (size_t way = 0; way < ways; ++way)
    count += get(relief, way) > 0;
  return count;
}

/// The last one spares the host's memory.
const std::vector<size_t> fixedOrders[] = {
    {activations, recompute, optimizer, parameters},
    {optimizer, activations, recompute, parameters},
    {optimizer, parameters, activations, recompute},
    {optimizer, recompute, activations, parameters},
    {recompute, optimizer, parameters, activations}};

} // namespace

std::vector<FormCosts::Piece> FormCosts::pieces(unsigned stage, int64_t first,
                                                int64_t last,
                                                const Relief &relief) const {
  // Of activations those of instances that do not recompute in full go first.
  int64_t behindFull = first + relief.recomputeLayers;
  int64_t behindSelective = behindFull + relief.selectiveLayers;
  int64_t away = behindFull + relief.offload.activations;
  int64_t wrapped = first + std::max<int64_t>(0, away - last);
  int64_t hosted = first + relief.offload.parameters;
  int64_t gathered = first + relief.gatheredLayers;
  std::vector<Piece> result;
  result.reserve(table.workload.runs.size() + 6);
  int64_t start = 0;
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t at = std::max(first, start);
    start += table.workload.runs[r].count;
    int64_t end = std::min(last, start);
    while (at < end) {
      int64_t to = end;
      for (int64_t border :
           {behindFull, behindSelective, away, wrapped, hosted, gathered})
        if (border > at)
          to = std::min(to, border);
      Recompute mode = at < behindFull        ? Recompute::Full
                       : at < behindSelective ? Recompute::Selective
                                              : form.stages[stage].recompute;
      bool isAway = at < wrapped || (at >= behindFull && at < away);
      result.push_back({r, to - at, mode, isAway, at < hosted, at < gathered});
      at = to;
    }
  }
  return result;
}

Picoseconds FormCosts::fastest(unsigned stage, size_t run,
                               Picoseconds Times::*time) const {
  // What is gathered takes no longer than what is not.
  Times RunCost::*of = gathers ? &RunCost::gathered : &RunCost::each;
  Picoseconds result = costs[like[stage]][run].*of.*time;
  if (!layered)
    return result;
  for (const auto *mode : {&fullCosts, &selectiveCosts})
    if (const std::vector<RunCost> &runs = (*mode)[like[stage]]; !runs.empty())
      result = std::min(result, runs[run].*of.*time);
  return result;
}

Picoseconds FormCosts::forward(unsigned stage, size_t run) const {
  return fastest(stage, run, &Times::forward);
}

Picoseconds FormCosts::backward(unsigned stage, size_t run) const {
  return fastest(stage, run, &Times::backward);
}

FormCosts::Times FormCosts::relieved(unsigned stage, int64_t first,
                                     int64_t last) const {
  Times more;
  Relief relief = this->relief(stage, first, last);
  if (relief == Relief() && !gathers)
    return more;
  StagePrediction whole;
  whole.first = first, whole.last = last;
  setCompute(stage, relief, whole);
  if (relief.offload != Offload()) {
    whole.memory = memoryWith(stage, first, last, relief);
    setHostTimes(stage, relief, whole);
  }
  more.forward = whole.forward, more.backward = whole.backward;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    more.forward -= forward(stage, r) * n;
    more.backward -= backward(stage, r) * n;
  });
  return more;
}

MemoryParts FormCosts::memory(unsigned stage, int64_t first,
                              int64_t last) const {
  return memoryWith(stage, first, last, relief(stage, first, last));
}

bool FormCosts::fitsWith(const Held &held, const Relief &relief) const {
  if (tried.held != held)
    tried = {held, {}};
  auto [it, isNew] = tried.fits.try_emplace(relief);
  if (isNew)
    it->second = mayHold(held, relief);
  return it->second;
}

bool FormCosts::mayHold(const Held &held, const Relief &relief) const {
  for (const auto &other : views)
    if (!other->mayHold(held, relief))
      return false;
  MemoryParts memory = memoryWith(held.stage, held.first, held.last, relief);
  return memory.total() <= table.hardware.capacity(deviceType(held.stage)) &&
         (relief.offload == Offload() ||
          memory.host() <= hostMemory(held.stage));
}

bool FormCosts::fits(unsigned stage, int64_t first, int64_t last) const {
  return fitsWith({stage, first, last}, relief(stage, first, last));
}

bool FormCosts::isOpen(unsigned stage, size_t way) const {
  return get(reliefOf(form.stages[stage]), way) == asNeeded;
}

Relief FormCosts::relief(unsigned stage, int64_t first, int64_t last) const {
  Relief relief = reliefOf(form.stages[stage]);
  if (relief.isOpen())
    return knownReliefs(stage).of(first, last, [&] {
      return reliefNeeded({stage, first, last});
    });
  for (size_t way = 0; way < ways; ++way)
    set(relief, way, std::min(get(relief, way), last - first));
  relief.gatheredLayers = std::min(relief.gatheredLayers, last - first);
  return relief;
}

/// What all tasks of a stage and its update take.
double FormCosts::timeWith(const Held &held, const Relief &relief) const {
  auto [stage, first, last] = held;
  StagePrediction whole;
  whole.first = first, whole.last = last;
  whole.memory = memoryWith(stage, first, last, relief);
  setCompute(stage, relief, whole);
  setHostTimes(stage, relief, whole);
  setUpdate(stage, relief, stateOf(stage, first, last), whole);
  return (whole.forward + whole.backward).asDouble() *
             static_cast<double>(form.microBatches) +
         whole.update.asDouble();
}

/// Activations of so many instances in the host's memory as cost no time.
Relief FormCosts::hidden(const Held &held, Relief none) const {
  auto [stage, first, last] = held;
  Relief all = none;
  set(all, activations, last - first);
  StagePrediction whole;
  whole.first = first, whole.last = last;
  whole.memory = memoryWith(stage, first, last, all);
  setCompute(stage, all, whole);
  Bytes saved = ceilDivide(whole.memory.hostActivations, slots(stage));
  auto share = [&](Picoseconds compute, const HostTraffic &traffic) {
    Picoseconds transfer = hostTime(stage, traffic);
    return transfer <= compute ? 1 : compute.asDouble() / transfer.asDouble();
  };
  double part = std::min(
      share(whole.forward, forwardTraffic(stage, first, all.offload, saved)),
      share(whole.backward, backwardTraffic(stage, first, all.offload, saved)));
  set(none, activations,
      static_cast<int64_t>(part * static_cast<double>(last - first)));
  return none;
}

/// The fewest instances for one way with which the stage fits, no fewer than
/// `relief` has; all where it does not.
Relief FormCosts::fewest(const Held &held, Relief relief, size_t way) const {
  Relief start = relief;
  auto fitsAt = [&](int64_t layers) {
    relief = start;
    set(relief, way, layers);
    return fitsWith(held, relief);
  };
  // Selective ones begin behind those in full.
  int64_t before = way == selective ? relief.recomputeLayers : 0;
  int64_t bad = get(relief, way);
  int64_t good = held.last - held.first - before, end = -before;
  for (const Piece &run : pieces(held.stage, held.first, held.last, {})) {
    end += run.count;
    if (end <= bad)
      continue;
    good = end;
    if (fitsAt(good))
      break;
    bad = good;
  }
  while (good - bad > 1) {
    int64_t middle = bad + (good - bad) / 2;
    (fitsAt(middle) ? good : bad) = middle;
  }
  fitsAt(good);
  return relief;
}

/// Forward and backward part of a micro-batch.
Picoseconds FormCosts::computeTime(const Held &held,
                                   const Relief &relief) const {
  Picoseconds time;
  for (const Piece &piece : pieces(held.stage, held.first, held.last, relief)) {
    const Times &one = timesOf(held.stage, piece);
    time += (one.forward + one.backward) * piece.count;
  }
  return time;
}

/// The recompute with which the stage fits that takes the least time; all in
/// full where it does not fit.
Relief FormCosts::leastRecompute(const Held &held, Relief start) const {
  bool mayFull = isOpen(held.stage, recompute);
  bool maySelective = isOpen(held.stage, selective);
  if (mayFull)
    set(start, recompute, 0);
  if (maySelective)
    set(start, selective, 0);
  if ((!mayFull && !maySelective) || fitsWith(held, start))
    return start;
  if (!mayFull || !maySelective)
    return fewest(held, start, mayFull ? recompute : selective);
  Relief cheap = fewest(held, start, selective);
  Relief full = fewest(held, start, recompute);
  bool isEnough = fitsWith(held, cheap);
  if (!fitsWith(held, full))
    return isEnough ? cheap : full;
  int64_t first = 1;
  if (!isEnough) {
    // All that are not in full selectively.
    cheap = fewest(held, cheap, recompute);
    first = cheap.recomputeLayers;
    set(cheap, selective, held.last - held.first - first);
  }
  Relief best = full;
  takeFaster(held, cheap, best);
  mix(held, first, full, best);
  return best;
}

/// Takes the faster one of two that fit.
void FormCosts::takeFaster(const Held &held, const Relief &other,
                           Relief &best) const {
  if (fitsWith(held, other) &&
      computeTime(held, other) < computeTime(held, best))
    best = other;
}

/// The same for those with `first` instances in full or more, but fewer than
/// `full` has, which fits without others.
void FormCosts::mix(const Held &held, int64_t first, const Relief &full,
                    Relief &best) const {
  /// Of numbers in full: how many instances recompute with them at least.
  struct Numbers {
    int64_t first = 0, last = 0, together = 0;
  };
  auto with = [&](int64_t inFull, int64_t together) {
    Relief relief = full;
    set(relief, recompute, inFull);
    set(relief, selective, together - inFull);
    return relief;
  };
  std::vector<Numbers> open = {
      {first, full.recomputeLayers - 1, full.recomputeLayers}};
  while (!open.empty()) {
    Numbers some = open.back();
    open.pop_back();
    if (some.first > some.last ||
        computeTime(held, with(some.first, some.together)) >=
            computeTime(held, best))
      continue;
    int64_t middle = some.first + (some.last - some.first) / 2;
    Relief one = fewest(held, with(middle, some.together - 1), selective);
    takeFaster(held, one, best);
    int64_t together = std::max(some.together, middle + one.selectiveLayers);
    open.push_back({middle + 1, some.last, some.together});
    open.push_back({some.first, middle - 1, together});
  }
}

bool FormCosts::mayGather(unsigned stage) const {
  return form.stages[stage].gatheredLayers == asNeeded &&
         cutsParameters(form.stages[stage]);
}

/// The most of `first` .. `last` that may be gathered, or less than `first`:
/// what fits with some fits with fewer.
int64_t FormCosts::mostGathered(const Held &held, Relief relief, int64_t first,
                                int64_t last) const {
  auto fitsAt = [&](int64_t gathered) {
    relief.gatheredLayers = gathered;
    return fitsWith(held, relief);
  };
  int64_t good = first - 1, bad = last + 1;
  while (bad - good > 1) {
    int64_t middle = good + (bad - good) / 2;
    (fitsAt(middle) ? good : bad) = middle;
  }
  return good;
}

/// What instances first..last-1 of the stage save at most where they are
/// gathered, whatever they recompute.
Picoseconds FormCosts::mostSaved(const Held &held, int64_t first,
                                 int64_t last) const {
  Picoseconds sum;
  forEachRun(held.first + first, held.first + last, [&](size_t r, int64_t n) {
    Picoseconds most;
    for (const auto *mode : {&costs, &fullCosts, &selectiveCosts})
      if (const std::vector<RunCost> &runs = (*mode)[like[held.stage]];
          !runs.empty()) {
        const auto &[each, gathered] = std::tie(runs[r].each, runs[r].gathered);
        most = std::max(most, each.forward - gathered.forward + each.backward -
                                  gathered.backward);
      }
    sum += most * n;
  });
  return sum;
}

/// Takes what is faster, or as fast with fewer gathered, with first..last of
/// them, where what fits with some fits with fewer.
void FormCosts::gatherMore(const Held &held, const Relief &start, int64_t first,
                           int64_t last, Relief &best) const {
  using Rank = std::pair<Picoseconds, int64_t>;
  auto rank = [&](const Relief &relief) {
    return fitsWith(held, relief)
               ? Rank(computeTime(held, relief), relief.gatheredLayers)
               : Rank(Picoseconds::max(), INT64_MAX);
  };
  auto with = [&](Relief relief, int64_t gathered) {
    relief.gatheredLayers = gathered;
    return relief;
  };
  Rank least = rank(best);
  auto tryAt = [&](int64_t gathered) {
    Relief one = leastRecompute(held, with(start, gathered));
    Rank here = rank(one);
    if (here < least)
      best = one, least = here;
    return here.first;
  };
  if (Rank(computeTime(held, with(start, last)), first) >= least)
    return;
  Relief all = start;
  if (isOpen(held.stage, recompute))
    set(all, recompute, held.last - held.first);
  else if (isOpen(held.stage, selective))
    set(all, selective, held.last - held.first);
  for (const Relief &some : {start, all})
    if (int64_t most = mostGathered(held, some, first, last); most >= first)
      tryAt(most);
  for (int64_t at = first; at <= last;) {
    Picoseconds here = tryAt(at);
    if (here == Picoseconds::max())
      return;
    auto maySave = [&](int64_t next) {
      return Rank(here - mostSaved(held, at, next), next) < least;
    };
    int64_t bad = at, good = last + 1;
    while (good - bad > 1) {
      int64_t middle = bad + (good - bad) / 2;
      (maySave(middle) ? good : bad) = middle;
    }
    at = good;
  }
}

/// The recompute, and what is gathered, with which the stage fits that takes
/// the least time.
Relief FormCosts::leastTime(const Held &held, const Relief &start) const {
  Relief best = leastRecompute(held, start);
  if (!mayGather(held.stage))
    return best;
  int64_t first = 0;
  for (const Piece &run : pieces(held.stage, held.first, held.last, {})) {
    gatherMore(held, start, first, first + run.count - 1, best);
    first += run.count;
  }
  gatherMore(held, start, first, first, best);
  return best;
}

Relief FormCosts::filled(const Held &held, Relief relief,
                         const std::vector<size_t> &order) const {
  for (size_t way : order) {
    if (!isOpen(held.stage, way))
      continue;
    relief = way == recompute ? leastRecompute(held, relief)
                              : fewest(held, relief, way);
    if (fitsWith(held, relief))
      break;
  }
  return relief;
}

/// The fewest instances for each way with which the stage still fits, the last
/// ones of `order` first.
Relief FormCosts::trimmed(const Held &held, Relief relief,
                          const std::vector<size_t> &order) const {
  if (!fitsWith(held, relief))
    return relief;
  for (auto way = order.rbegin(); way != order.rend(); ++way) {
    if (!isOpen(held.stage, *way) || get(relief, *way) == 0)
      continue;
    Relief least = relief;
    if (*way == recompute) {
      takeFaster(held, leastRecompute(held, relief), relief);
      continue;
    }
    // Parameters keep their optimizer state there.
    set(least, *way, *way == optimizer ? get(relief, parameters) : 0);
    if (!fitsWith(held, least))
      least = fewest(held, least, *way);
    if (fitsWith(held, least) && get(least, *way) < get(relief, *way))
      relief = least;
  }
  return relief;
}

/// The ways that free memory, by time for each byte.
std::vector<size_t> FormCosts::byPrice(const Held &held,
                                       const Relief &none) const {
  auto bytesWith = [&](const Relief &relief) {
    return memoryWith(held.stage, held.first, held.last, relief)
        .total()
        .asDouble();
  };
  double time = timeWith(held, none), bytes = bytesWith(none);
  std::vector<std::pair<double, size_t>> prices;
  for (size_t way = 0; way < ways; ++way) {
    if (!isOpen(held.stage, way))
      continue;
    Relief all = none;
    set(all, way, held.last - held.first);
    double freed = bytes - bytesWith(all);
    if (freed > 0)
      prices.emplace_back((timeWith(held, all) - time) / freed, way);
  }
  std::sort(prices.begin(), prices.end());
  std::vector<size_t> order;
  for (auto [price, way] : prices)
    order.push_back(way);
  return order;
}

Relief FormCosts::reliefNeeded(const Held &held) const {
  Relief none = reliefOf(form.stages[held.stage]);
  for (size_t way = 0; way < ways; ++way)
    set(none, way,
        std::clamp<int64_t>(get(none, way), 0, held.last - held.first));
  none.gatheredLayers =
      std::clamp<int64_t>(none.gatheredLayers, 0, held.last - held.first);
  bool isEnough = fitsWith(held, none);
  if (isEnough && !mayGather(held.stage))
    return none;
  Relief alone = leastTime(held, none);
  if (isEnough || !mayOffload() || hostMemory(held.stage) == Bytes())
    return alone;
  Relief best = alone;
  double least = fitsWith(held, best) ? timeWith(held, best) : infinity;
  auto judge = [&](const Relief &found) {
    double time = fitsWith(held, found) ? timeWith(held, found) : infinity;
    if (time < least || least == infinity)
      best = found, least = time;
  };
  auto consider = [&](const Relief &from, const std::vector<size_t> &order) {
    Relief found = trimmed(held, filled(held, from, order), order);
    judge(found);
    if (mayGather(held.stage) && found.offload.optimizer == 0)
      judge(leastTime(held, found));
    return found;
  };
  auto considerFrom = [&](const Relief &base) {
    Relief start = isOpen(held.stage, activations) ? hidden(held, base) : base;
    Relief found = consider(start, byPrice(held, base));
    if (waysOf(found) > 1 || !fitsWith(held, found))
      for (const std::vector<size_t> &order : fixedOrders)
        consider(base, order);
  };
  considerFrom(none);
  // What goes to the host is less then, and so more of it hides.
  Relief all = none;
  set(all, selective, held.last - held.first);
  if (isOpen(held.stage, selective) && timeWith(held, all) < least)
    considerFrom(all);
  return best;
}

} // namespace whale::planner
