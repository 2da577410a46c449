//===- Pins.cpp - decisions fixed on the command line ---------------------===//

#include "compiler/planner/Problem.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace whale::planner {

namespace {

std::vector<std::string> keys() {
  std::vector<std::string> result;
  forEachPin([&](std::string_view name, auto) { result.emplace_back(name); });
  return result;
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

/// One `key=value`; false after a report.
bool readPin(std::string_view key, std::string_view value, Pins &pins,
             Diagnostics &diags) {
  auto bad = [&](std::string_view wanted) {
    diags.error(
        {}, fmt::format("pin '{}' is '{}', expected {}", key, value, wanted));
    return false;
  };
  if (key == "recompute") {
    pins.recompute = recomputeOf(value);
    return pins.recompute || bad("none, selective or full");
  }
  if (key == "schedule") {
    pins.schedule = scheduleOf(value);
    return pins.schedule || bad("gpipe, 1f1b or another schedule");
  }
  if (key == "layout") {
    for (Layout layout : {Layout::Row, Layout::Column})
      if (value == nameOf(layout))
        pins.layout = layout;
    return pins.layout || bad("row or column");
  }
  std::optional<int64_t> n = number(value);
  if (key == "zero") {
    pins.zero = n;
    return (n && *n <= 3) || bad("0, 1, 2 or 3");
  }
  if (key == "sp") {
    pins.sequence = n.value_or(0) == 1;
    return (n && *n <= 1) || bad("0 or 1");
  }
  bool offloads = key.starts_with("offload_");
  if (offloads && value == "all")
    n = allLayers;
  forEachPin([&]<class T>(std::string_view name, std::optional<T> Pins::*pin) {
    if constexpr (std::is_same_v<T, int64_t>)
      if (name == key)
        pins.*pin = n;
  });
  if (offloads)
    return n || bad("'all', 0 or a positive number");
  if (key.ends_with("_layers"))
    return n || bad("0 or a positive number");
  return (n && *n > 0) || bad("a positive number");
}

} // namespace

std::string_view nameOf(Layout layout) {
  return layout == Layout::Row ? "row" : "column";
}

std::optional<Pins> readPins(std::string_view text, Diagnostics &diagnostics) {
  Pins pins;
  bool ok = true;
  std::map<std::string, std::string> given;
  const std::vector<std::string> known = keys();
  for (const auto &[key, value] : splitAssignments(text)) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      Diag &error =
          diagnostics.error({}, fmt::format("unknown pin {}", quoted(key)));
      if (auto near = suggest(key, known))
        error.hint(fmt::format("did you mean '{}'?", *near));
      else
        error.hint(fmt::format("known are {}", quotedList(known)));
      ok = false;
      continue;
    }
    auto [first, isNew] = given.emplace(key, value);
    if (!isNew)
      diagnostics.error({}, fmt::format("pin '{}' is given twice, as '{}' and "
                                        "'{}'",
                                        key, first->second, value));
    ok &= isNew && readPin(key, value, pins, diagnostics);
  }
  if (!ok)
    return std::nullopt;
  return pins;
}

std::string printPins(const Pins &pins) {
  std::vector<std::string> words;
  forEachPin([&]<class T>(std::string_view name, std::optional<T> Pins::*pin) {
    if (!(pins.*pin))
      return;
    if constexpr (std::is_same_v<T, int64_t>)
      words.push_back(name.starts_with("offload_")
                          ? fmt::format("{}={}", name, layerCount(*(pins.*pin)))
                          : fmt::format("{}={}", name, *(pins.*pin)));
    else if constexpr (std::is_arithmetic_v<T>)
      words.push_back(fmt::format("{}={}", name, int64_t(*(pins.*pin))));
    else
      words.push_back(fmt::format("{}={}", name, nameOf(*(pins.*pin))));
  });
  return fmt::format("{}", fmt::join(words, ","));
}

/// What is written and only planned yet, with its place.
static void refuseNotLowered(const Node &node, Diagnostics &diagnostics) {
  if (auto why = notLowered(node))
    diagnostics.error(node.place, *why, ExitCode::Unsupported)
        .hint(std::string(notLoweredHint));
  for (const Node &inner : node.body)
    refuseNotLowered(inner, diagnostics);
}

/// Pins of what compile does not lower yet, as "zero=2".
static std::vector<std::string> pinsNotLowered(const Pins &pins) {
  Pins kept;
  if (pins.zero.value_or(0) > 1)
    kept.zero = pins.zero;
  if (pins.virtualStages.value_or(1) > 1)
    kept.virtualStages = pins.virtualStages;
  Node pipeline;
  pipeline.schedule = pins.schedule;
  if (notLowered(pipeline))
    kept.schedule = pins.schedule;
  for (auto pin : {&Pins::gatheredLayers, &Pins::offloadOptimizer,
                   &Pins::offloadParameters, &Pins::offloadActivations})
    if ((pins.*pin).value_or(0) > 0)
      kept.*pin = pins.*pin;
  std::string text = printPins(kept);
  std::vector<std::string> words;
  for (const auto &[key, value] : splitAssignments(text))
    words.push_back(fmt::format("{}={}", key, value));
  return words;
}

/// A number of layers that no stage can have.
static void refuseTooManyLayers(const Problem &problem,
                                Diagnostics &diagnostics) {
  int64_t most = workload::instanceCount(problem.workload);
  forEachPin([&]<class T>(std::string_view name, std::optional<T> Pins::*pin) {
    bool ofLayers = name.ends_with("_layers") || name.starts_with("offload_");
    if constexpr (std::is_same_v<T, int64_t>)
      if (const auto &layers = problem.options.pins.*pin;
          ofLayers && layers && *layers != allLayers && *layers > most)
        diagnostics.error({}, fmt::format("pin '{}' is {}, the model has {} "
                                          "instances",
                                          name, *layers, most));
  });
}

bool check(const Problem &problem, Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  workload::check(problem.workload, diagnostics);
  check(problem.options.strategy, diagnostics);
  if (problem.options.space == Space::Default)
    refuseNotLowered(problem.options.strategy, diagnostics);
  if (problem.hardware.deviceCount() <= 0)
    diagnostics.error({}, "the cluster has no devices");
  const Pins &pins = problem.options.pins;
  refuseTooManyLayers(problem, diagnostics);
  if (problem.options.space == Space::Default)
    for (const std::string &pin : pinsNotLowered(pins))
      diagnostics
          .error({}, fmt::format("pin '{}' is not compilable yet", pin),
                 ExitCode::Unsupported)
          .hint("--space full plans it");
  if (pins.offloadOptimizer &&
      pins.offloadParameters.value_or(0) > *pins.offloadOptimizer)
    diagnostics.error(
        {}, fmt::format("pin 'offload_parameters={}' needs at least as many "
                        "layers in 'offload_optimizer', found {}",
                        layerCount(*pins.offloadParameters),
                        layerCount(*pins.offloadOptimizer)));
  return diagnostics.errorCount() == before;
}

} // namespace whale::planner
