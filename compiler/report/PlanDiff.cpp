//===- PlanDiff.cpp - what changed between two plans ----------------------===//

#include "compiler/report/PlanDiff.h"

#include "compiler/planner/Explain.h"
#include "compiler/report/PlanReport.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace whale::report {

using namespace planner;

namespace {

//===----------------------------------------------------------------------===//
// The strategy
//===----------------------------------------------------------------------===//

using Traits = std::vector<std::pair<std::string, std::string>>;

/// The degrees of one kind as words: "4 x 2 of heads, ffn".
std::string degrees(const StageForm &stage, AxisKind kind) {
  std::vector<std::string> words;
  for (const Axis &axis : stage.axes)
    if (axis.kind == kind && axis.size > 1)
      words.push_back(
          axis.dims.empty()
              ? fmt::format("{}", axis.size)
              : fmt::format("{} of {}", axis.size, fmt::join(axis.dims, ", ")));
  return words.empty() ? "1" : fmt::format("{}", fmt::join(words, " x "));
}

std::string shardOf(const StageForm &stage) {
  Shard most = Shard::None;
  for (const Axis &axis : stage.axes)
    most = std::max(most, axis.shard);
  std::string text(nameOf(most));
  if (stage.gatheredLayers > 0)
    text += fmt::format(", {} layers gathered", stage.gatheredLayers);
  return text;
}

std::string sharesOf(const StageForm &stage) {
  std::vector<std::string> words;
  for (const Axis &axis : stage.axes)
    if (!axis.shares.empty())
      words.push_back(fmt::format("{}", fmt::join(axis.shares, ", ")));
  return words.empty() ? "equal" : fmt::format("{}", fmt::join(words, "; "));
}

std::string colocatedOf(const StageForm &stage) {
  std::vector<std::string> words;
  for (const Axis &axis : stage.axes)
    for (const ColocatedSplit &split : axis.colocated)
      words.push_back(fmt::format("{}", fmt::join(split.dims, ", ")));
  return words.empty() ? "-" : fmt::format("{}", fmt::join(words, "; "));
}

/// What `of` says of each stage: once where all say the same, else with the
/// stages' numbers, "0-2: full; 3: none".
template <class F> std::string overStages(const Plan &plan, F of) {
  size_t count = plan.chosen.form.stages.size();
  std::vector<std::string> words;
  for (size_t first = 0; first < count;) {
    std::string value = of(first);
    size_t next = first + 1;
    while (next < count && of(next) == value)
      ++next;
    if (first == 0 && next == count)
      return value;
    words.push_back(next == first + 1
                        ? fmt::format("{}: {}", first, value)
                        : fmt::format("{}-{}: {}", first, next - 1, value));
    first = next;
  }
  return fmt::format("{}", fmt::join(words, "; "));
}

/// "optimizer 4, activations 2".
std::string offloadOf(const StageForm &stage) {
  std::vector<std::string> words;
  forEachOffload(
      [&](std::string_view name, int64_t layers) {
        if (layers > 0)
          words.push_back(
              fmt::format("{} {}", name.substr(sizeof("offload")), layers));
      },
      stage.offload);
  return words.empty() ? "-" : fmt::format("{}", fmt::join(words, ", "));
}

/// All decisions of a plan by name, in a fixed order.
Traits traitsOf(const Plan &plan) {
  const NormalForm &form = plan.chosen.form;
  auto each = [&](auto of) {
    return overStages(plan, [&](size_t s) { return of(form.stages[s]); });
  };
  return {{"global batch", fmt::format("{}", plan.globalBatch)},
          {"precision", plan.precision ? plan.precision->to : "the model's"},
          {"ranks", fmt::format("{}", rankCount(form))},
          {"idle devices", fmt::format("{}", plan.idleDevices)},
          {"devices",
           overStages(
               plan,
               [&](size_t s) {
                 return plan.deviceTypes[plan.prediction.stages[s].deviceType];
               })},
          {"stages", fmt::format("{}", form.stages.size())},
          {"chunks per stage", fmt::format("{}", form.virtualStages)},
          {"micro-batches", fmt::format("{}", form.microBatches)},
          {"schedule", form.stages.size() > 1
                           ? std::string(nameOf(form.schedule))
                           : std::string("-")},
          {"replicas", each([](const StageForm &stage) {
             return degrees(stage, AxisKind::Replica);
           })},
          {"split", each([](const StageForm &stage) {
             return degrees(stage, AxisKind::Split);
           })},
          {"shard", each(shardOf)},
          {"shares", each(sharesOf)},
          {"colocated splits", each(colocatedOf)},
          {"recompute", each([](const StageForm &stage) {
             std::string mode(nameOf(stage.recompute));
             if (stage.recomputeLayers > 0)
               mode += fmt::format(", {} layers full", stage.recomputeLayers);
             if (stage.selectiveLayers > 0)
               mode += fmt::format(", {} layers selective",
                                   stage.selectiveLayers);
             return mode;
           })},
          {"offload", each(offloadOf)}};
}

std::vector<Change> changes(const Plan &before, const Plan &after) {
  Traits old = traitsOf(before), now = traitsOf(after);
  std::vector<Change> result;
  for (size_t i = 0; i < old.size(); ++i)
    if (old[i].second != now[i].second)
      result.push_back({old[i].first, old[i].second, now[i].second});
  const auto &was = before.chosen.form.stages, &is = after.chosen.form.stages;
  for (size_t s = 0; s < was.size() && was.size() == is.size(); ++s)
    if (was[s].paths != is[s].paths)
      result.push_back({fmt::format("stage {} holds", s),
                        fmt::format("{}", fmt::join(was[s].paths, " ")),
                        fmt::format("{}", fmt::join(is[s].paths, " "))});
  return result;
}

//===----------------------------------------------------------------------===//
// The figures
//===----------------------------------------------------------------------===//

/// The largest over the stages.
template <class F> double most(const Plan &plan, F bytes) {
  Bytes result;
  for (const StagePrediction &stage : plan.prediction.stages)
    result = std::max(result, bytes(stage));
  return result.asDouble();
}

template <class F>
Figure largest(std::string name, const Plan &before, const Plan &after,
               F bytes) {
  return {std::move(name), most(before, bytes), most(after, bytes)};
}

std::vector<Figure> timeOf(const Plan &before, const Plan &after) {
  const Prediction &old = before.prediction, &now = after.prediction;
  std::vector<Figure> result = {
      {"step_seconds", toSeconds(old.step), toSeconds(now.step)}};
  auto was = namedTimes(old.breakdown), is = namedTimes(now.breakdown);
  for (size_t i = 0; i < was.size(); ++i) {
    std::string name(was[i].first);
    std::replace(name.begin(), name.end(), ' ', '_');
    result.push_back(
        {name + "_seconds", toSeconds(was[i].second), toSeconds(is[i].second)});
  }
  result.push_back(
      {"samples_per_second", old.samplesPerSecond, now.samplesPerSecond});
  return result;
}

std::vector<Figure> memoryOf(const Plan &before, const Plan &after) {
  std::vector<Figure> result;
  for (size_t part = 0; part < namedParts({}).size(); ++part)
    result.push_back(
        largest(fmt::format("memory_{}_bytes", namedParts({})[part].first),
                before, after, [&](const StagePrediction &stage) {
                  return namedParts(stage.memory)[part].second;
                }));
  result.push_back(
      largest("memory_total_bytes", before, after,
              [](const StagePrediction &s) { return s.memory.total(); }));
  if (before.prediction.usesHost() || after.prediction.usesHost())
    result.push_back(
        largest("memory_host_bytes", before, after,
                [](const StagePrediction &s) { return s.memory.host(); }));
  return result;
}

std::vector<Figure> trafficOf(const Plan &before, const Plan &after) {
  using S = const StagePrediction &;
  return {
      largest("split_bytes", before, after, [](S s) { return s.splitTraffic; }),
      largest("boundary_bytes", before, after,
              [](S s) { return s.boundaryTraffic; }),
      largest("gradient_bytes", before, after,
              [](S s) { return s.gradientTraffic; }),
      largest("traffic_total_bytes", before, after, [](S s) {
        return s.splitTraffic + s.boundaryTraffic + s.gradientTraffic;
      })};
}

//===----------------------------------------------------------------------===//
// Limits and text
//===----------------------------------------------------------------------===//

/// What can be limited, the figure that it means, and whether more is worse.
struct Limitable {
  std::string_view what, figure;
  bool moreIsWorse;
};
constexpr Limitable limitables[] = {
    {"time", "step_seconds", true},
    {"memory", "memory_total_bytes", true},
    {"traffic", "traffic_total_bytes", true},
    {"throughput", "samples_per_second", false}};

const Limitable *limitableOf(std::string_view what) {
  for (const Limitable &each : limitables)
    if (each.what == what)
      return &each;
  return nullptr;
}

/// "+5%" as 0.05.
std::optional<double> percent(std::string_view text) {
  if (text.empty() || text.back() != '%')
    return std::nullopt;
  text.remove_suffix(1);
  if (!text.empty() && text.front() == '+')
    text.remove_prefix(1);
  double value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(value))
    return std::nullopt;
  return value / 100;
}

bool isBytes(const Figure &figure) { return figure.name.ends_with("_bytes"); }
bool isRate(const Figure &figure) {
  return figure.name.ends_with("_per_second");
}

std::string shown(const Figure &figure, double value) {
  if (isBytes(figure))
    return formatBytes(Bytes::fromDouble(value));
  if (isRate(figure))
    return fmt::format("{:.4g}/s", value);
  return formatTime(picosecondsFromSeconds(value));
}

std::string changeText(const Figure &figure) {
  double change = figure.change();
  if (std::isinf(change))
    return "new";
  return change == 0 ? "" : fmt::format("{:+.1f} %", 100 * change);
}

/// "memory_total_bytes" -> "memory total".
std::string words(const Figure &figure) {
  std::string name = figure.name;
  for (std::string_view unit : {"_per_second", "_seconds", "_bytes"})
    if (name.ends_with(unit)) {
      name.resize(name.size() - unit.size());
      break;
    }
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

void printFigures(std::string_view title, const std::vector<Figure> &figures,
                  std::string &out) {
  std::vector<std::vector<std::string>> rows;
  for (const Figure &figure : figures)
    if (figure.before != 0 || figure.after != 0)
      rows.push_back({words(figure), shown(figure, figure.before),
                      shown(figure, figure.after), changeText(figure)});
  out += fmt::format("\n{}\n", title);
  out += table({"", "before", "after", "change"}, rows);
}

void writeFigures(json::Writer &w, std::string_view name,
                  const std::vector<Figure> &figures) {
  w.key(name).beginObject();
  for (const Figure &figure : figures) {
    w.key(figure.name).beginObject(json::Writer::Layout::Inline);
    auto number = [&](std::string_view key, double value) {
      if (isBytes(figure))
        w.field(key, static_cast<int64_t>(value));
      else
        w.field(key, value);
    };
    number("before", figure.before);
    number("after", figure.after);
    if (double change = figure.change(); std::isfinite(change))
      w.field("change", change);
    w.endObject();
  }
  w.endObject();
}

} // namespace

double Figure::change() const {
  if (before == 0)
    return after == 0 ? 0 : std::numeric_limits<double>::infinity();
  return after / before - 1;
}

PlanDiff diff(const Plan &before, const Plan &after) {
  return {changes(before, after), timeOf(before, after),
          memoryOf(before, after), trafficOf(before, after)};
}

bool checkComparable(const Plan &before, std::string_view beforeName,
                     const Plan &after, std::string_view afterName,
                     Diagnostics &diagnostics) {
  auto model = [](const Plan &plan) {
    for (const InputHash &input : plan.inputs)
      if (input.name == "model")
        return input.sha256;
    return std::string();
  };
  if (model(before) == model(after))
    return true;
  auto line = [](const Plan &plan) {
    return fmt::format("it is of '{}', {} parameters", plan.modelName,
                       formatCount(plan.parameters));
  };
  diagnostics.error(Place(afterName), "the plans are of different models")
      .hint(line(after))
      .note(Place(beforeName), line(before));
  return false;
}

std::optional<std::vector<Limit>> readLimits(std::string_view text,
                                             Diagnostics &diagnostics) {
  std::vector<Limit> limits;
  size_t errorsBefore = diagnostics.errorCount();
  for (const auto &[what, value] : splitAssignments(text)) {
    if (!limitableOf(what)) {
      std::vector<std::string> known;
      for (const Limitable &each : limitables)
        known.emplace_back(each.what);
      diagnostics.error({}, fmt::format("unknown limit {}", quoted(what)))
          .hint(fmt::format("known are {}", quotedList(known)));
    } else if (std::optional<double> fraction = percent(value)) {
      limits.push_back({what, *fraction});
    } else {
      diagnostics.error({}, fmt::format("limit '{}' is '{}', expected a change "
                                        "in percent, such as +5%",
                                        what, value));
    }
  }
  if (diagnostics.errorCount() != errorsBefore)
    return std::nullopt;
  return limits;
}

void checkLimits(const PlanDiff &diff, const std::vector<Limit> &limits,
                 std::string_view file, Diagnostics &diagnostics) {
  for (const Limit &limit : limits) {
    const Limitable &what = *limitableOf(limit.what);
    for (const auto *figures : {&diff.time, &diff.memory, &diff.traffic})
      for (const Figure &figure : *figures) {
        if (figure.name != what.figure)
          continue;
        double change = figure.change();
        if (what.moreIsWorse ? change <= limit.fraction
                             : change >= limit.fraction)
          continue;
        diagnostics
            .error(Place(file),
                   fmt::format(
                       "{} changes by {:+.1f} %, the limit is {:+.1f} %",
                       quoted(limit.what), 100 * change, 100 * limit.fraction),
                   ExitCode::Finding)
            .hint(fmt::format("it was {}, it is {}",
                              shown(figure, figure.before),
                              shown(figure, figure.after)));
      }
  }
}

std::string print(const PlanDiff &diff) {
  std::string out;
  if (diff.strategy.empty()) {
    out += "the strategy is the same\n";
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const Change &change : diff.strategy)
      rows.push_back({change.what, change.before, change.after});
    out += "strategy\n" + table({"", "before", "after"}, rows);
  }
  printFigures("time", diff.time, out);
  printFigures("memory of one rank (the stage with most of it)", diff.memory,
               out);
  printFigures("bytes sent by one rank in a step (the stage that sends most)",
               diff.traffic, out);
  return out;
}

void write(json::Writer &w, const PlanDiff &diff) {
  w.beginObject().key("strategy").beginArray();
  for (const Change &change : diff.strategy)
    w.beginObject(json::Writer::Layout::Inline)
        .field("what", change.what)
        .field("before", change.before)
        .field("after", change.after)
        .endObject();
  w.endArray();
  writeFigures(w, "time", diff.time);
  writeFigures(w, "memory", diff.memory);
  writeFigures(w, "traffic", diff.traffic);
  w.endObject();
}

} // namespace whale::report
