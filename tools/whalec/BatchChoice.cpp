//===- BatchChoice.cpp - the global batch as a choice ---------------------===//

#include "tools/whalec/BatchChoice.h"

#include "compiler/planner/Search.h"
#include "compiler/workload/Rebatch.h"
#include "tools/whalec/CommandLine.h"

#include <charconv>
#include <fmt/format.h>
#include <set>

using namespace whale;
using namespace whale::cli;

std::optional<BatchRange> cli::readBatchRange(std::string_view text,
                                              Diagnostics &diagnostics) {
  BatchRange range;
  const char *end = text.data() + text.size();
  auto first = std::from_chars(text.data(), end, range.least);
  bool good = first.ec == std::errc() && first.ptr != end && *first.ptr == ':';
  if (good) {
    auto second = std::from_chars(first.ptr + 1, end, range.most);
    good = second.ec == std::errc() && second.ptr == end && range.least >= 1 &&
           range.most >= range.least;
  }
  if (good)
    return range;
  diagnostics.error(
      Place(), fmt::format("'{}' are no batches, expected least:most as in "
                           "256:4096",
                           text));
  return std::nullopt;
}

/// In ascending order.
static std::set<int64_t> batchesOf(const BatchRange &range) {
  std::set<int64_t> batches = {range.least, range.most};
  for (int64_t power = 1; power <= range.most / range.least; power *= 2)
    for (int64_t factor : {power, power + power / 2})
      if (factor <= range.most / range.least)
        batches.insert(range.least * factor);
  return batches;
}

bool cli::chooseBatch(Planning &question, const BatchRange &range,
                      Diagnostics &diagnostics) {
  std::optional<workload::Workload> best;
  double most = 0;
  planner::Experience experience, ofBest;
  for (int64_t batch : batchesOf(range)) {
    Diagnostics ignored;
    workload::Workload workload = question.workload;
    if (!workload::rebatch(workload, batch, ignored))
      continue;
    planner::Options options = question.options;
    options.alternatives = 0;
    options.freesPins = false;
    planner::Problem problem{workload, *question.hardware, options};
    if (!planner::check(problem, ignored))
      continue;
    // Only what has more samples per second matters.
    if (best)
      problem.options.below = picosecondsFromSeconds(
          static_cast<double>(batch) / most * (1 + 1e-9));
    experience.costs = std::make_shared<planner::ClassCosts>();
    std::optional<planner::Plan> plan =
        planner::solve(problem, ignored, experience).plan;
    if (!plan || plan->prediction.samplesPerSecond <= most)
      continue;
    most = plan->prediction.samplesPerSecond;
    best = std::move(workload);
    ofBest = experience;
  }
  if (!best) {
    diagnostics.error(Place(),
                      fmt::format("no plan fits with a global batch of {} to "
                                  "{}",
                                  range.least, range.most),
                      ExitCode::Infeasible);
    return false;
  }
  question.workload = std::move(*best);
  // Its costs belong to the workload where that was.
  ofBest.costs = std::make_shared<planner::ClassCosts>();
  question.experience = std::move(ofBest);
  return true;
}
