//===- CutCosts.cpp - what stages take, by what they hold -----------------===//

#include "compiler/planner/CutCosts.h"

#include <algorithm>

namespace whale::planner {

CutCosts::CutCosts(const CostTable &table, const NormalForm &form,
                   const ReplicaCosts &costs)
    : table(table), form(form), costs(costs),
      instanceCount(workload::instanceCount(table.workload)),
      stageCount(std::ssize(form.stages)) {
  for (const auto &one : costs)
    addPrefixes(*one);
  findRuns();
  findLike();
}

void CutCosts::addPrefixes(const FormCosts &one) {
  const std::vector<workload::Run> &all = table.workload.runs;
  std::vector<Prefix> ofStages;
  std::vector<Parts> previous;
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    std::vector<Parts> times;
    for (size_t r = 0; r < all.size(); ++r)
      times.push_back(
          partsOf(one.forward(s, r), one.backward(s, r), one.run(s, r).weight));
    if (s > 0 && times == previous) {
      ofStages.push_back(ofStages.back());
      continue;
    }
    ofStages.push_back(prefixOf(times));
    previous = times;
  }
  prefixes.push_back(std::move(ofStages));
}

Prefix CutCosts::prefixOf(const std::vector<Parts> &times) const {
  Prefix result{{}};
  for (size_t r = 0; r < times.size(); ++r)
    for (int64_t i = 0; i < table.workload.runs[r].count; ++i) {
      result.push_back(result.back());
      result.back() += times[r];
    }
  return result;
}

/// Variables that are shared within runs make their instances unlike.
void CutCosts::findRuns() {
  int64_t start = 0;
  for (const workload::Run &run : table.workload.runs) {
    for (int64_t i = 0; i < run.count; ++i)
      runs.emplace_back(start, start + run.count);
    start += run.count;
  }
  for (const Tie &tie : table.ties)
    for (int64_t i : {tie.user, tie.owner})
      if (runs[i].second - runs[i].first > 1)
        shiftable = false;
}

void CutCosts::findLike() {
  for (int64_t s = 0; s < stageCount; ++s) {
    bool same = s > 0;
    for (size_t c = 0; c < costs.size() && same; ++c)
      same = costs[c]->likeStage(s) == costs[c]->likeStage(s - 1);
    like.push_back(same ? like.back() : s);
  }
}

/// The first of the ranges that hold the same as this one: those inside a run
/// without its ends.
std::pair<int64_t, int64_t> CutCosts::shifted(int64_t first,
                                              int64_t last) const {
  auto [start, end] = runs[first];
  if (shiftable && first > start && last < end)
    return {start + 1, start + 1 + last - first};
  return {first, last};
}

uint64_t CutCosts::keyOf(int64_t stage, int64_t first, int64_t last) const {
  auto positions = static_cast<uint64_t>(instanceCount + 1);
  return (static_cast<uint64_t>(stage) * positions + first) * positions + last;
}

/// A number that stages with equal memory for equal instances share.
int64_t CutCosts::memoryLike(unsigned stage) const {
  if (stage == 0 || stage + 1 == form.stages.size())
    return stage;
  return stageCount + like[stage] * (form.microBatches + 1) +
         costs[0]->slots(stage);
}

Parts CutCosts::relieved(size_t replicaClass, unsigned stage, int64_t first,
                         int64_t last) const {
  auto [from, to] = shifted(first, last);
  uint64_t key =
      keyOf(memoryLike(stage), from, to) * costs.size() + replicaClass;
  auto [it, isNew] = reliefs.try_emplace(key);
  if (isNew) {
    FormCosts::Times more = costs[replicaClass]->relieved(stage, first, last);
    it->second = {more.forward.asDouble(), more.backward.asDouble(), 0};
  }
  return it->second;
}

double CutCosts::ownTail(unsigned stage, int64_t first, int64_t last) const {
  auto [from, to] = shifted(first, last);
  auto [it, isNew] = tails.try_emplace(keyOf(like[stage], from, to), 1e300);
  if (isNew)
    for (const auto &one : costs)
      it->second =
          std::min(it->second, one->tail(stage, first, last).asDouble());
  return it->second;
}

double CutCosts::tailOf(size_t replicaClass, unsigned stage, int64_t first,
                        int64_t last) const {
  auto [from, to] = shifted(first, last);
  uint64_t key = keyOf(like[stage], from, to) * costs.size() + replicaClass;
  auto [it, isNew] = tailsOf.try_emplace(key);
  if (isNew)
    it->second = costs[replicaClass]->tail(stage, first, last).asDouble();
  return it->second + tiesOf(replicaClass, stage, first, last);
}

double CutCosts::tiesOf(size_t replicaClass, unsigned stage, int64_t first,
                        int64_t last) const {
  double sum = 0;
  for (size_t t = 0; t < table.ties.size(); ++t) {
    auto holds = [&](int64_t at) { return first <= at && at < last; };
    bool isUser = holds(table.ties[t].user);
    if (isUser != holds(table.ties[t].owner))
      sum += leastTime(replicaClass, t, stage, isUser);
  }
  return sum;
}

/// Of an exchange with the best of the stages that may hold the other one.
double CutCosts::leastTime(size_t replicaClass, size_t tie, unsigned stage,
                           bool isUser) const {
  uint64_t key =
      ((replicaClass * table.ties.size() + tie) * stageCount + stage) * 2 +
      isUser;
  auto [it, isNew] = tieTimes.try_emplace(key, 1e300);
  if (!isNew)
    return it->second;
  const Tie &one = table.ties[tie];
  int64_t other = isUser ? one.owner : one.user;
  // Each stage has an instance.
  int64_t least = std::max<int64_t>(0, stageCount - (instanceCount - other));
  for (int64_t s = least; s <= std::min(other, stageCount - 1); ++s)
    if (s != stage) {
      Picoseconds time = isUser ? costs[replicaClass]->tieTime(one, stage, s)
                                : costs[replicaClass]->tieTime(one, s, stage);
      it->second = std::min(it->second, time.asDouble());
    }
  return it->second;
}

double CutCosts::ties(unsigned stage, int64_t first, int64_t last) const {
  if (table.ties.empty())
    return 0;
  auto [it, isNew] = tied.try_emplace(keyOf(stage, first, last), 1e300);
  if (isNew)
    for (const auto &one : costs)
      it->second =
          std::min(it->second, one->leastTies(stage, first, last).asDouble());
  return it->second;
}

bool CutCosts::fits(unsigned stage, int64_t first, int64_t last) const {
  auto [from, to] = shifted(first, last);
  auto [it, isNew] =
      fitting.try_emplace(keyOf(memoryLike(stage), from, to), true);
  if (isNew)
    it->second = planner::fits(costs, stage, first, last);
  return it->second;
}

} // namespace whale::planner
