//===- PrecisionChoice.cpp - the precision as a choice --------------------===//

#include "tools/whalec/PrecisionChoice.h"

#include "tools/whalec/CommandLine.h"

#include <algorithm>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

/// What a model can be planned in.
static constexpr std::string_view known[] = {"f64", "f32", "bf16", "fp8"};

std::optional<std::vector<std::string>>
cli::readPrecisions(std::string_view text, Diagnostics &diagnostics) {
  std::vector<std::string> names;
  while (true) {
    std::string_view name = text.substr(0, text.find(','));
    if (std::find(std::begin(known), std::end(known), name) ==
        std::end(known)) {
      diagnostics.error(Place(),
                        fmt::format("unknown precision '{}', expected f64, "
                                    "f32, bf16 or fp8",
                                    name));
      return std::nullopt;
    }
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.emplace_back(name);
    if (name.size() == text.size())
      return names;
    text.remove_prefix(name.size() + 1);
  }
}

/// A device type without units for 8 bits, which would compute in 16 instead.
static const DeviceType *lacking(const Cluster &cluster,
                                 std::string_view precision) {
  for (const NodeClass &nodes : cluster.classes)
    if (precision == "fp8" &&
        !nodes.type.device.peaks[static_cast<size_t>(Precision::FP8)])
      return &nodes.type.device;
  return nullptr;
}

/// The precisions that all devices have; an error where there are none.
static std::vector<std::string>
supported(const Cluster &cluster, const std::vector<std::string> &allowed,
          Diagnostics &diagnostics) {
  std::vector<std::string> names;
  std::string why;
  for (const std::string &name : allowed) {
    if (const DeviceType *type = lacking(cluster, name)) {
      why = fmt::format("precision '{}' is left out: '{}' has no units for it",
                        name, type->name);
      continue;
    }
    names.push_back(name);
  }
  if (names.empty())
    diagnostics.error(Place(), why);
  else if (!why.empty())
    say(why);
  return names;
}

namespace {
/// The best answer so far, and what no answer beats.
class Best {
public:
  void consider(planner::Answer other) {
    if (!other.plan)
      return;
    double rate = other.plan->prediction.samplesPerSecond;
    ofUnlike &= other.plan->gapOfUnlike;
    ofInner &= other.plan->gapOfInner;
    most = std::max(most, rate / (1 - other.plan->gap));
    if (!answer.plan || rate > answer.plan->prediction.samplesPerSecond) {
      answer = std::move(other);
      isNew = true;
    }
  }

  /// Whether the last one is the best.
  bool tookLast() { return std::exchange(isNew, false); }

  planner::Answer take() {
    if (answer.plan && most > 0) {
      double rate = answer.plan->prediction.samplesPerSecond;
      double gap = std::max(answer.plan->gap, 1 - rate / most);
      if (gap > answer.plan->gap && answer.outcome == planner::Outcome::Optimal)
        answer.outcome = answer.plan->outcome = planner::Outcome::Feasible;
      answer.plan->gap = gap;
      answer.plan->gapOfUnlike = ofUnlike;
      answer.plan->gapOfInner = ofInner;
    }
    return std::move(answer);
  }

private:
  planner::Answer answer;
  double most = 0;
  /// What the gaps of all of them hold for.
  bool ofUnlike = true, ofInner = true;
  bool isNew = false;
};
} // namespace

static planner::Alternative alternativeOf(const planner::Plan &plan) {
  planner::Alternative other;
  other.strategy = plan.strategy;
  other.step = plan.prediction.step;
  for (const planner::StagePrediction &stage : plan.prediction.stages)
    other.memory = std::max(other.memory, stage.memory.total());
  other.reason = "it computes in the model's precision";
  return other;
}

planner::Answer cli::choosePrecision(Planning &question,
                                     const std::vector<std::string> &allowed,
                                     const PrecisionSearch &search,
                                     Diagnostics &diagnostics) {
  std::string own = question.workload.precision;
  std::vector<std::string> names =
      supported(*question.cluster, allowed, diagnostics);
  if (names.empty())
    return {};
  Diagnostics failures;
  planner::Answer without = search.solve(question, failures);
  Best best;
  std::optional<Planning> chosen;
  if (std::find(names.begin(), names.end(), own) != names.end())
    best.consider(without);
  best.tookLast();
  for (const std::string &name : names) {
    if (name == own)
      continue;
    std::optional<Planning> other = search.read(name, diagnostics);
    if (!other)
      return {};
    best.consider(search.solve(*other, failures));
    // What was chosen before ends first: a model before its context.
    if (best.tookLast()) {
      chosen.reset();
      chosen.emplace(std::move(*other));
    }
  }
  planner::Answer answer = best.take();
  if (!answer.plan) {
    diagnostics.append(failures);
    return answer;
  }
  if (chosen) {
    answer.plan->precision = {own, chosen->workload.precision, std::nullopt};
    if (without.plan)
      answer.plan->precision->without = alternativeOf(*without.plan);
    std::swap(question, *chosen);
    // Its costs belong to the workload where that was.
    question.experience.costs = std::make_shared<planner::ClassCosts>();
  }
  return answer;
}
