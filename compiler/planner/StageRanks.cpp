//===- StageRanks.cpp - the ranks of a stage ------------------------------===//
//
// A stage of a replica has one rank for each shard of its splits. Where these
// lie in one pool, they are alike; where they lie in several, each kind of them
// is looked at: an instance takes what it takes on the slowest, a collective or
// a message what it takes between those that are slowest, and the least memory
// counts. Where splits have shares, ranks hold different amounts, too: each
// kind (share, type of device) has a view of its own, with its own memory,
// gradients and update; a stage does what all of them need and waits for the
// slowest.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <set>

namespace whale::planner {

using cost::ClassCost;
using cost::Group;

void FormCosts::addStage(unsigned s, int64_t samples) {
  const cost::Hardware &hardware = table.hardware;
  types.push_back(hardware.poolOf(place.stages[s]).type);
  std::vector<Coordinates> ranks =
      unlikeRanks(form, devices, place, s, replica, hardware);
  if (!ranks.empty()) {
    std::set<unsigned> here;
    for (const Coordinates &rank : ranks)
      here.insert(typeOf(rank));
    types[s] = *std::min_element(
        here.begin(), here.end(), [&](unsigned a, unsigned b) {
          return hardware.usable(a) < hardware.usable(b);
        });
    unlike[s] = {ranks, ranks, {here.begin(), here.end()}};
    if (form.stages[s].hasUnequalSplits()) {
      auto each = kindsOf(s, std::move(ranks), samples);
      kinds = std::max(kinds, each.size());
      unlike[s].own = each[std::min(view, each.size() - 1)];
      types[s] = typeOf(unlike[s].own.front());
      unlike[s].types = {types[s]};
    }
  }
  costs[s] = runCosts(s, samples, form.stages[s].recompute);
  auto some = [&](int64_t StageForm::*layers) {
    return std::any_of(
        form.stages.begin(), form.stages.end(),
        [&](const StageForm &stage) { return stage.*layers != 0; });
  };
  if (some(&StageForm::recomputeLayers))
    fullCosts[s] = runCosts(s, samples, Recompute::Full);
  if (some(&StageForm::selectiveLayers))
    selectiveCosts[s] = runCosts(s, samples, Recompute::Selective);
  if (!cutsGradients(form.stages[s]))
    return;
  std::vector<ShardTimes> times = shardTimes(s, costs[s]);
  addShardTimes(times, form.stages[s].recompute, costs[s]);
  if (!fullCosts[s].empty())
    addShardTimes(times, Recompute::Full, fullCosts[s]);
  if (!selectiveCosts[s].empty())
    addShardTimes(times, Recompute::Selective, selectiveCosts[s]);
}

const std::vector<FormCosts::RunCost> &
FormCosts::costsOf(unsigned stage, Recompute mode) const {
  unsigned first = like[stage];
  if (mode == form.stages[first].recompute)
    return costs[first];
  return (mode == Recompute::Full ? fullCosts : selectiveCosts)[first];
}

/// Ranks with equal parts on equal devices together, the slowest first.
std::vector<std::vector<Coordinates>>
FormCosts::kindsOf(unsigned stage, std::vector<Coordinates> ranks,
                   int64_t samples) {
  const StageForm &shape = form.stages[stage];
  auto timeOf = [&](const Coordinates &rank) {
    const auto &here = table.ofStage(shape, contextOf(rank, shape.recompute),
                                     samples / form.microBatches, rank.axes);
    Picoseconds time;
    for (size_t r = 0; r < here.size(); ++r)
      time +=
          (here[r]->forward + here[r]->backward) * table.workload.runs[r].count;
    return time;
  };
  std::map<std::vector<int64_t>, std::vector<Coordinates>> found;
  for (Coordinates &rank : ranks) {
    std::vector<int64_t> key = {typeOf(rank)};
    for (size_t a = 0; a < shape.axes.size(); ++a)
      if (const Axis &axis = shape.axes[a];
          axis.kind == AxisKind::Split && !axis.shares.empty())
        key.push_back(axis.shares[rank.axes[a]]);
    found[std::move(key)].push_back(std::move(rank));
  }
  std::vector<std::pair<Picoseconds, std::vector<Coordinates>>> timed;
  for (auto &[key, same] : found)
    timed.emplace_back(timeOf(same.front()), std::move(same));
  std::stable_sort(
      timed.begin(), timed.end(),
      [](const auto &a, const auto &b) { return a.first > b.first; });
  std::vector<std::vector<Coordinates>> result;
  for (auto &[time, same] : timed)
    result.push_back(std::move(same));
  return result;
}

/// The ranks of a stage wait for each other, also where what they gather and
/// scatter for an instance differs.
void FormCosts::addViews(int64_t samples) {
  for (size_t other = 1; other < kinds; ++other)
    views.emplace_back(
        new FormCosts(table, form, devices, replica, samples, other));
  auto takeSlowest = [&](auto FormCosts::*ofRuns) {
    for (const auto &other : views)
      for (size_t s = 0; s < (this->*ofRuns).size(); ++s)
        for (size_t r = 0; r < (this->*ofRuns)[s].size(); ++r) {
          RunCost &mine = (this->*ofRuns)[s][r];
          const RunCost &theirs = (other.get()->*ofRuns)[s][r];
          for (Times RunCost::*times : {&RunCost::each, &RunCost::gathered})
            for (Picoseconds Times::*time : {&Times::forward, &Times::backward})
              mine.*times.*time =
                  std::max(mine.*times.*time, theirs.*times.*time);
        }
  };
  takeSlowest(&FormCosts::costs);
  takeSlowest(&FormCosts::fullCosts);
  takeSlowest(&FormCosts::selectiveCosts);
}

std::vector<Coordinates> FormCosts::ranksOf(unsigned stage) const {
  auto it = unlike.find(stage);
  return it == unlike.end() ? std::vector{coordinatesIn(form, stage, replica)}
                            : it->second.ranks;
}

std::vector<Coordinates> FormCosts::ownRanks(unsigned stage) const {
  auto it = unlike.find(stage);
  return it == unlike.end() ? ranksOf(stage) : it->second.own;
}

std::vector<FormCosts::RunCost> FormCosts::runCosts(unsigned s, int64_t samples,
                                                    Recompute recompute) {
  const StageForm &stage = form.stages[s];
  std::vector<RunCost> result;
  auto costsOn = [&](const Coordinates &rank) -> auto & {
    return table.ofStage(stage, contextOf(rank, recompute),
                         samples / form.microBatches, rank.axes);
  };
  for (const Coordinates &rank : ranksOf(s)) {
    const auto &here = costsOn(rank);
    result.resize(here.size());
    for (size_t r = 0; r < here.size(); ++r)
      takeSlower(*here[r], result[r]);
  }
  if (stage.hasUnequalSplits()) {
    const auto &own = costsOn(ownRanks(s).front());
    for (size_t r = 0; r < own.size(); ++r)
      result[r].cost = own[r];
  }
  for (RunCost &one : result)
    one.gathered = one.each;
  return result;
}

/// The ranks of a stage wait for each other in every instance.
void FormCosts::takeSlower(const ClassCost &cost, RunCost &slowest) {
  Times &fastest = slowest.fastest;
  if (!slowest.cost)
    fastest = {cost.forward, cost.backward};
  fastest.forward = std::min(fastest.forward, cost.forward);
  fastest.backward = std::min(fastest.backward, cost.backward);
  if (!slowest.cost || slowest.cost->forward + slowest.cost->backward <
                           cost.forward + cost.backward)
    slowest.cost = &cost;
  Times &each = slowest.each;
  each.forward = std::max(each.forward, cost.forward);
  each.backward = std::max(each.backward, cost.backward);
}

cost::ClassContext FormCosts::contextOf(const Coordinates &rank,
                                        Recompute recompute) const {
  const StageForm &stage = form.stages[rank.stage];
  cost::ClassContext context;
  context.recompute = recompute;
  context.deviceType = typeOf(rank);
  for (unsigned a = 0; a < stage.axes.size(); ++a)
    if (isMeshAxis(stage.axes[a]))
      context.groups.push_back(
          axisGroup(form, devices, rank, a, table.hardware));
  return context;
}

const std::vector<Group> &FormCosts::groupsOf(unsigned stage,
                                              unsigned axis) const {
  auto [it, isNew] = groups.try_emplace({like[stage], axis});
  std::vector<Group> &different = it->second;
  if (!isNew)
    return different;
  for (const Coordinates &rank : ownRanks(like[stage])) {
    Group group = groupThrough(rank, axis);
    if (std::find(different.begin(), different.end(), group) == different.end())
      different.push_back(std::move(group));
  }
  return different;
}

Group FormCosts::groupThrough(const Coordinates &rank, unsigned axis) const {
  Group group = axisGroup(form, devices, rank, axis, table.hardware);
  if (joinsNext(table.hardware.execution.stack, form.stages[rank.stage],
                axis)) {
    const Group next = axisGroup(form, devices, rank, axis + 1, table.hardware);
    group.size *= next.size;
    group.stride = next.stride;
    for (RankGroup &other : group.others)
      other.size *= next.size, other.stride = next.stride;
    shareNode(group, table.hardware.poolOf(group.first));
  }
  return group;
}

/// A message of which each rank of `to` gets so much.
Picoseconds FormCosts::sendTime(unsigned from, unsigned to, Bytes bytes) const {
  auto [it, isNew] = sent.try_emplace({linkOf(from, to), bytes});
  if (isNew)
    it->second = newSendTime(from, to, bytes);
  return it->second;
}

/// Of unequal numbers of ranks those of the smaller one have several partners,
/// one after another.
Picoseconds FormCosts::newSendTime(unsigned from, unsigned to,
                                   Bytes bytes) const {
  const cost::Hardware &hardware = table.hardware;
  int64_t senders = innerDevices(from), receivers = innerDevices(to);
  Bytes sent = ceilDivide(bytes * receivers, senders);
  Picoseconds time;
  auto consider = [&](int64_t sender, int64_t receiver) {
    auto through = [&](int64_t device, int64_t ranks, Bytes each) {
      int64_t pairs = std::min(ranks, hardware.poolOf(device).perNode);
      time = std::max(time, hardware.sendTime(sender, receiver, pairs, each));
    };
    through(sender, senders, sent);
    if (receivers < senders)
      through(receiver, receivers, bytes);
  };
  if (place.inPools)
    consider(place.stages[from], place.stages[to]);
  else
    for (auto [sender, receiver] : routes(from, to))
      consider(sender, receiver);
  return time;
}

const std::vector<FormCosts::Route> &FormCosts::routes(unsigned from,
                                                       unsigned to) const {
  auto [it, isNew] = sends.try_emplace({from, to});
  if (!isNew)
    return it->second;
  const cost::Hardware &hardware = table.hardware;
  auto devicesOf = [&](unsigned stage) {
    std::vector<int64_t> result;
    for (const Coordinates &rank : ranksIn(form, stage, replica))
      result.push_back(devices.deviceOf(form, rank));
    return result;
  };
  std::vector<int64_t> senders = devicesOf(from), receivers = devicesOf(to);
  std::set<std::tuple<int64_t, int64_t, bool>> seen;
  for (size_t i = 0; i < std::max(senders.size(), receivers.size()); ++i) {
    int64_t a = senders[i % senders.size()];
    int64_t b = receivers[i % receivers.size()];
    bool isNear = hardware.nodeOf(a) == hardware.nodeOf(b);
    if (seen.insert(
                {hardware.poolOf(a).first, hardware.poolOf(b).first, isNear})
            .second)
      it->second.emplace_back(a, b);
  }
  return it->second;
}

Bytes FormCosts::hostMemory(unsigned stage) const {
  auto it = unlike.find(stage);
  Bytes least = table.hardware.host(types[stage]).memory;
  if (it != unlike.end())
    for (unsigned type : it->second.types)
      least = std::min(least, table.hardware.host(type).memory);
  return least;
}

} // namespace whale::planner
