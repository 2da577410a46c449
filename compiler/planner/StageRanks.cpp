//===- StageRanks.cpp - the ranks of a stage ------------------------------===//
//
// A stage of a replica has one rank for each shard of its splits. Where these
// lie in one pool, they are alike; where they lie in several, each kind of them
// is looked at: an instance takes what it takes on the slowest, a collective or
// a message what it takes between those that are slowest, and the least memory
// counts.
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
      here.insert(hardware.poolOf(devices.deviceOf(form, rank)).type);
    types[s] = *std::min_element(
        here.begin(), here.end(), [&](unsigned a, unsigned b) {
          return hardware.usable(a) < hardware.usable(b);
        });
    straddling[s] = {std::move(ranks), {here.begin(), here.end()}};
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

/// Those that may differ.
std::vector<Coordinates> FormCosts::ranksOf(unsigned stage) const {
  auto it = straddling.find(stage);
  return it == straddling.end()
             ? std::vector{coordinatesIn(form, stage, replica)}
             : it->second.ranks;
}

std::vector<FormCosts::RunCost> FormCosts::runCosts(unsigned s, int64_t samples,
                                                    Recompute recompute) {
  const StageForm &stage = form.stages[s];
  std::vector<RunCost> result;
  for (const Coordinates &rank : ranksOf(s)) {
    const auto &here = table.ofStage(stage, contextOf(rank, recompute),
                                     samples / form.microBatches);
    result.resize(here.size());
    for (size_t r = 0; r < here.size(); ++r)
      takeSlower(*here[r], result[r]);
  }
  for (RunCost &one : result)
    one.gathered = one.each;
  return result;
}

/// The ranks of a stage wait for each other in every instance.
void FormCosts::takeSlower(const ClassCost &cost, RunCost &slowest) {
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
  context.deviceType = table.hardware.poolOf(devices.deviceOf(form, rank)).type;
  for (unsigned a = 0; a < stage.axes.size(); ++a)
    if (isMeshAxis(stage.axes[a]))
      context.groups.push_back(
          axisGroup(form, devices, rank, a, table.hardware));
  return context;
}

const std::vector<Group> &FormCosts::groupsOf(unsigned stage,
                                              unsigned axis) const {
  auto [it, isNew] = groups.try_emplace({like[stage], axis});
  std::vector<Group> &unlike = it->second;
  if (!isNew)
    return unlike;
  for (const Coordinates &rank : ranksOf(like[stage])) {
    Group group = groupThrough(rank, axis);
    if (std::find(unlike.begin(), unlike.end(), group) == unlike.end())
      unlike.push_back(std::move(group));
  }
  return unlike;
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
  auto it = straddling.find(stage);
  Bytes least = table.hardware.host(types[stage]).memory;
  if (it != straddling.end())
    for (unsigned type : it->second.types)
      least = std::min(least, table.hardware.host(type).memory);
  return least;
}

} // namespace whale::planner
