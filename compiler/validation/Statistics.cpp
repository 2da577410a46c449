//===- Statistics.cpp - predicted against measured ------------------------===//

#include "compiler/validation/Statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <tuple>

namespace whale::validation {

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

void Errors::add(double predicted, double measured) {
  signedErrors.push_back(predicted / measured - 1);
}

double Errors::mean() const {
  double sum = 0;
  for (double error : signedErrors)
    sum += std::abs(error);
  return sum / static_cast<double>(count());
}

double Errors::bias() const {
  double sum = 0;
  for (double error : signedErrors)
    sum += error;
  return sum / static_cast<double>(count());
}

double Errors::quantile(double q) const {
  std::vector<double> sorted;
  for (double error : signedErrors)
    sorted.push_back(std::abs(error));
  std::sort(sorted.begin(), sorted.end());
  double rank = std::ceil(q * static_cast<double>(count()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

//===----------------------------------------------------------------------===//
// Regret
//===----------------------------------------------------------------------===//

namespace {

auto questionOf(const MeasuredRun &r) {
  return std::tuple(r.family, r.parameters, r.layers, r.hidden, r.ffn, r.heads,
                    r.keyHeads, r.sequence, r.vocabulary, r.experts,
                    r.chosenExperts, r.gpuType, r.gpus, r.gpusPerNode,
                    r.intraNodeLink, r.nodeLink, r.globalBatch, r.precision);
}

auto planOf(const MeasuredRun &r) {
  return std::tuple(r.microBatch, r.tensor, r.pipeline, r.virtualStages,
                    r.context, r.expert, r.data, r.zero, r.sequenceParallel,
                    r.recompute);
}

bool hasBothTimes(const Outcome &outcome) {
  return outcome.measuredSeconds && outcome.predictedSeconds;
}

Ranking rank(const std::vector<const Outcome *> &group) {
  Ranking result;
  result.id = group.front()->run->id;
  std::set<decltype(planOf(*group.front()->run))> plans;
  double predicted = INFINITY, best = INFINITY, chosen = 0;
  for (const Outcome *outcome : group) {
    plans.insert(planOf(*outcome->run));
    best = std::min(best, *outcome->measuredSeconds);
    if (*outcome->predictedSeconds < predicted) {
      predicted = *outcome->predictedSeconds;
      chosen = 0;
    }
    if (*outcome->predictedSeconds == predicted)
      chosen = std::max(chosen, *outcome->measuredSeconds);
  }
  result.plans = plans.size();
  result.regret = chosen / best - 1;
  return result;
}

} // namespace

std::vector<Ranking> rankings(const std::vector<Outcome> &outcomes) {
  using Question = decltype(questionOf(MeasuredRun()));
  std::map<Question, std::vector<const Outcome *>> groups;
  std::vector<Question> order;
  for (const Outcome &outcome : outcomes) {
    if (!hasBothTimes(outcome))
      continue;
    auto [it, isNew] = groups.try_emplace(questionOf(*outcome.run));
    it->second.push_back(&outcome);
    if (isNew)
      order.push_back(it->first);
  }
  std::vector<Ranking> result;
  for (const Question &question : order)
    if (Ranking ranking = rank(groups[question]); ranking.plans >= 5)
      result.push_back(std::move(ranking));
  return result;
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

namespace {

using KeyOf = std::function<std::string(const MeasuredRun &)>;
struct Grouping {
  std::string_view title;
  KeyOf keyOf;
};

const Grouping groupings[] = {
    {"tier", [](const MeasuredRun &r) { return std::string(r.tier()); }},
    {"family of runs",
     [](const MeasuredRun &r) { return std::string(r.prefix()); }},
    {"GPU type", [](const MeasuredRun &r) { return r.gpuType; }},
};

struct GroupErrors {
  size_t rows = 0, unsupported = 0;
  Errors time, memory;
};

std::map<std::string, GroupErrors>
groupErrors(const std::vector<Outcome> &outcomes, const KeyOf &keyOf) {
  std::map<std::string, GroupErrors> groups;
  for (const Outcome &outcome : outcomes) {
    GroupErrors &group = groups[keyOf(*outcome.run)];
    ++group.rows;
    group.unsupported += !outcome.supported();
    if (hasBothTimes(outcome))
      group.time.add(*outcome.predictedSeconds, *outcome.measuredSeconds);
    if (outcome.measuredMemory && outcome.predictedMemory)
      group.memory.add(*outcome.predictedMemory, *outcome.measuredMemory);
  }
  return groups;
}

std::string errorCells(const Errors &errors) {
  if (errors.count() == 0)
    return fmt::format("{:>5}", 0);
  return fmt::format("{:>5} {:>7.1f} {:>7.1f} {:>7.1f} {:>7.1f} {:>+7.1f}",
                     errors.count(), 100 * errors.mean(), 100 * errors.median(),
                     100 * errors.p90(), 100 * errors.largest(),
                     100 * errors.bias());
}

void printGroups(std::string &text, const Grouping &grouping,
                 const std::vector<Outcome> &outcomes, bool memory) {
  std::string rows;
  for (const auto &[key, group] : groupErrors(outcomes, grouping.keyOf)) {
    const Errors &errors = memory ? group.memory : group.time;
    if (memory && errors.count() == 0)
      continue;
    rows += fmt::format("  {:<16} {:>5} {:>6} {}\n", key, group.rows,
                        group.unsupported, errorCells(errors));
  }
  if (rows.empty())
    return;
  text += fmt::format("{} by {} (percent)\n  {:<16} {:>5} {:>6} {:>5} {:>7} "
                      "{:>7} {:>7} {:>7} {:>7}\n{}\n",
                      memory ? "memory" : "step time", grouping.title, "",
                      "rows", "unsup.", "used", "mean", "median", "p90", "max",
                      "bias", rows);
}

void printReasons(std::string &text, const std::vector<Outcome> &outcomes) {
  std::map<std::string, size_t> reasons;
  for (const Outcome &outcome : outcomes)
    if (!outcome.supported())
      ++reasons[outcome.reason];
  if (!reasons.empty())
    text += "rows without a prediction\n";
  for (const auto &[reason, count] : reasons)
    text += fmt::format("  {:>5}  {}\n", count, reason);
  if (!reasons.empty())
    text += "\n";
}

double meanRegret(const std::vector<Ranking> &groups) {
  double sum = 0;
  for (const Ranking &group : groups)
    sum += group.regret;
  return groups.empty() ? 0 : sum / static_cast<double>(groups.size());
}

void printRegret(std::string &text, const std::vector<Outcome> &outcomes) {
  std::vector<Ranking> groups = rankings(outcomes);
  if (groups.empty())
    return;
  size_t right = std::count_if(groups.begin(), groups.end(),
                               [](const Ranking &g) { return g.regret == 0; });
  auto worst = std::max_element(
      groups.begin(), groups.end(),
      [](const Ranking &a, const Ranking &b) { return a.regret < b.regret; });
  text += fmt::format("regret of the plan ranked first\n  {} groups of five "
                      "plans or more, mean {:.1f} %, right in {}, largest "
                      "{:.1f} % ({})\n",
                      groups.size(), 100 * meanRegret(groups), right,
                      100 * worst->regret, worst->id);
}

void writeOptional(json::Writer &writer, std::string_view key,
                   std::optional<double> value) {
  writer.key(key);
  value ? writer.value(*value) : writer.null();
}

void writeRow(json::Writer &writer, const Outcome &outcome) {
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("id", outcome.run->id);
  writeOptional(writer, "measured_s", outcome.measuredSeconds);
  writeOptional(writer, "predicted_s", outcome.predictedSeconds);
  writeOptional(writer, "measured_memory_gb", outcome.measuredMemory);
  writeOptional(writer, "predicted_memory_gb", outcome.predictedMemory);
  writer.field("supported", outcome.supported());
  writer.field("reason", outcome.reason).endObject();
}

} // namespace

std::string printStatistics(const std::vector<Outcome> &outcomes) {
  std::string text;
  for (bool memory : {false, true})
    for (const Grouping &grouping : groupings)
      printGroups(text, grouping, outcomes, memory);
  printReasons(text, outcomes);
  printRegret(text, outcomes);
  return text;
}

void writeStatistics(json::Writer &writer,
                     const std::vector<Outcome> &outcomes) {
  writer.beginObject().key("rows").beginArray();
  for (const Outcome &outcome : outcomes)
    writeRow(writer, outcome);
  writer.endArray();
  writer.key("regret").beginArray();
  for (const Ranking &group : rankings(outcomes)) {
    writer.beginObject(json::Writer::Layout::Inline);
    writer.field("id", group.id).field("plans", group.plans);
    writer.field("regret", group.regret).endObject();
  }
  writer.endArray().endObject();
}

} // namespace whale::validation
