//===- Pins.cpp - decisions fixed on the command line ---------------------===//

#include "compiler/planner/Problem.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

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
  if (key == "recompute_layers") {
    pins.recomputeLayers = n;
    return n || bad("0 or a positive number");
  }
  forEachPin([&]<class T>(std::string_view name, std::optional<T> Pins::*pin) {
    if constexpr (std::is_same_v<T, int64_t>)
      if (name == key)
        pins.*pin = n;
  });
  return (n && *n > 0) || bad("a positive number");
}

} // namespace

std::string_view nameOf(Layout layout) {
  return layout == Layout::Row ? "row" : "column";
}

std::optional<Pins> readPins(std::string_view text, Diagnostics &diagnostics) {
  Pins pins;
  bool ok = true;
  for (const auto &[key, value] : splitAssignments(text)) {
    const std::vector<std::string> known = keys();
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
    ok &= readPin(key, value, pins, diagnostics);
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
    if constexpr (std::is_arithmetic_v<T>)
      words.push_back(fmt::format("{}={}", name, int64_t(*(pins.*pin))));
    else
      words.push_back(fmt::format("{}={}", name, nameOf(*(pins.*pin))));
  });
  return fmt::format("{}", fmt::join(words, ","));
}

/// What is written and only planned yet, with its place.
static void refuseNotLowered(const Node &node, Diagnostics &diagnostics) {
  if (auto why = notLowered(node))
    diagnostics.error(node.place, *why, ExitCode::Unsupported);
  for (const Node &inner : node.body)
    refuseNotLowered(inner, diagnostics);
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
  if (pins.zero && *pins.zero > 1 && problem.options.space == Space::Default)
    diagnostics
        .error({},
               fmt::format("pin 'zero={}' is not compilable yet", *pins.zero),
               ExitCode::Unsupported)
        .hint("--space full plans it");
  bool compiles = !pins.schedule || *pins.schedule == Schedule::GPipe ||
                  *pins.schedule == Schedule::OneFOneB;
  if ((!compiles || pins.virtualStages.value_or(1) > 1) &&
      problem.options.space == Space::Default)
    diagnostics
        .error({},
               fmt::format("pin '{}' is not compilable yet",
                           compiles ? fmt::format("vp={}", *pins.virtualStages)
                                    : fmt::format("schedule={}",
                                                  nameOf(*pins.schedule))),
               ExitCode::Unsupported)
        .hint("--space full plans it");
  return diagnostics.errorCount() == before;
}

} // namespace whale::planner
