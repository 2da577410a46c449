//===- Relief.cpp - what a stage does to fit ------------------------------===//
//
// Problem: of a stage that holds instances first..last-1, how many recompute in
// full (the first ones, as in Megatron-LM's --recompute-num-layers), and of how
// many the host's memory holds activations, optimizer state, parameters
// (granular, as in Mist, arXiv 2503.19050, and DeepSpeed's Twin-Flow).
// Rule: activations whose transfer hides beside compute go first; then one way
// after another is taken, the one with the least time for what it frees (all of
// it against none) first, each for the fewest instances with which the stage
// fits; then each is made as small as goes, the dearest first. That is compared
// with recompute alone and, where it takes several ways, with fixed orders of
// them; the least time counts.
// Guarantee: of a way by itself exact where memory falls with each further
// instance of a run; at the ends of runs nothing is taken for granted (a head
// that recomputes may need more). Of several ways together a heuristic.
// Complexity: O(runs + log(instances)) evaluations of the stage's memory for
// each way.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <array>

namespace whale::planner {

namespace {

/// The ways by number.
constexpr size_t recompute = 0, activations = 1, optimizer = 2, parameters = 3;
constexpr size_t ways = 4;

int64_t get(const Relief &relief, size_t way) {
  return std::array{relief.recomputeLayers, relief.offload.activations,
                    relief.offload.optimizer, relief.offload.parameters}[way];
}

void set(Relief &relief, size_t way, int64_t layers) {
  Offload &offload = relief.offload;
  *std::array{&relief.recomputeLayers, &offload.activations, &offload.optimizer,
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

std::vector<FormCosts::Piece> FormCosts::pieces(int64_t first, int64_t last,
                                                const Relief &relief) const {
  // Of activations those of instances that do not recompute go first.
  int64_t again = first + relief.recomputeLayers;
  int64_t away = again + relief.offload.activations;
  int64_t wrapped = first + std::max<int64_t>(0, away - last);
  int64_t hosted = first + relief.offload.parameters;
  std::vector<Piece> result;
  result.reserve(table.workload.runs.size() + 4);
  int64_t start = 0;
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t at = std::max(first, start);
    start += table.workload.runs[r].count;
    int64_t end = std::min(last, start);
    while (at < end) {
      int64_t to = end;
      for (int64_t border : {again, away, wrapped, hosted})
        if (border > at)
          to = std::min(to, border);
      bool isAway = at < wrapped || (at >= again && at < away);
      result.push_back({r, to - at, at < again, isAway, at < hosted});
      at = to;
    }
  }
  return result;
}

Picoseconds FormCosts::forward(unsigned stage, size_t run) const {
  Picoseconds time = costs[like[stage]][run].forward;
  return layered ? std::min(time, again[like[stage]][run].forward) : time;
}

Picoseconds FormCosts::backward(unsigned stage, size_t run) const {
  Picoseconds time = costs[like[stage]][run].backward;
  return layered ? std::min(time, again[like[stage]][run].backward) : time;
}

FormCosts::Times FormCosts::relieved(unsigned stage, int64_t first,
                                     int64_t last) const {
  Times more;
  Relief relief = this->relief(stage, first, last);
  if (relief == Relief())
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

/// The fewest instances for one way with which the stage fits; all where it
/// does not.
Relief FormCosts::fewest(const Held &held, Relief relief, size_t way) const {
  Relief start = relief;
  auto fitsAt = [&](int64_t layers) {
    relief = start;
    set(relief, way, layers);
    return fitsWith(held, relief);
  };
  int64_t bad = get(relief, way), good = held.last - held.first, end = 0;
  for (const Piece &run : pieces(held.first, held.last, {})) {
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

Relief FormCosts::filled(const Held &held, Relief relief,
                         const std::vector<size_t> &order) const {
  for (size_t way : order) {
    if (!isOpen(held.stage, way))
      continue;
    relief = fewest(held, relief, way);
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
  if (fitsWith(held, none))
    return none;
  Relief alone = filled(held, none, {recompute});
  if (!mayOffload() || hostMemory(held.stage) == Bytes())
    return alone;
  std::vector<Relief> found = {alone};
  Relief start = isOpen(held.stage, activations) ? hidden(held, none) : none;
  std::vector<size_t> order = byPrice(held, none);
  auto consider = [&](const Relief &from, const std::vector<size_t> &order) {
    found.push_back(trimmed(held, filled(held, from, order), order));
  };
  consider(start, order);
  if (waysOf(found.back()) > 1 || !fitsWith(held, found.back()))
    for (const std::vector<size_t> &other : fixedOrders)
      consider(none, other);
  const Relief *best = nullptr;
  double least = 0;
  for (const Relief &one : found) {
    if (!fitsWith(held, one))
      continue;
    double time = timeWith(held, one);
    if (!best || time < least)
      best = &one, least = time;
  }
  return best ? *best : found.back();
}

} // namespace whale::planner
