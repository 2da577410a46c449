//===- Pins.cpp - decisions fixed on the command line ---------------------===//

#include "compiler/planner/Problem.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace whale::planner {

namespace {

const std::vector<std::string> keys = {
    "tp", "pp", "dp", "micro_batches", "zero", "recompute", "schedule"};

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
    return pins.schedule || bad("gpipe or 1f1b");
  }
  std::optional<int64_t> n = number(value);
  if (key == "zero") {
    pins.zero = n;
    return (n && *n <= 3) || bad("0, 1, 2 or 3");
  }
  std::optional<int64_t> &field = key == "tp"   ? pins.tensor
                                  : key == "pp" ? pins.pipeline
                                  : key == "dp" ? pins.data
                                                : pins.microBatches;
  field = n;
  return (n && *n > 0) || bad("a positive number");
}

} // namespace

std::optional<Pins> readPins(std::string_view text, Diagnostics &diagnostics) {
  Pins pins;
  bool ok = true;
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view pin = text.substr(0, comma);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    size_t equals = pin.find('=');
    std::string key(pin.substr(0, equals));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      Diag &error =
          diagnostics.error({}, fmt::format("unknown pin {}", quoted(key)));
      if (auto near = suggest(key, keys))
        error.hint(fmt::format("did you mean '{}'?", *near));
      else
        error.hint(fmt::format("known are {}", quotedList(keys)));
      ok = false;
      continue;
    }
    std::string_view value =
        equals == pin.npos ? std::string_view() : pin.substr(equals + 1);
    ok &= readPin(key, value, pins, diagnostics);
  }
  if (!ok)
    return std::nullopt;
  return pins;
}

std::string printPins(const Pins &pins) {
  std::vector<std::string> words;
  auto add = [&](std::string_view key, const std::optional<int64_t> &value) {
    if (value)
      words.push_back(fmt::format("{}={}", key, *value));
  };
  add("tp", pins.tensor);
  add("pp", pins.pipeline);
  add("dp", pins.data);
  add("micro_batches", pins.microBatches);
  add("zero", pins.zero);
  if (pins.recompute)
    words.push_back(fmt::format("recompute={}", nameOf(*pins.recompute)));
  if (pins.schedule)
    words.push_back(fmt::format("schedule={}", nameOf(*pins.schedule)));
  return fmt::format("{}", fmt::join(words, ","));
}

bool check(const Problem &problem, Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  workload::check(problem.workload, diagnostics);
  check(problem.options.strategy, diagnostics);
  if (problem.hardware.deviceCount() <= 0)
    diagnostics.error({}, "the cluster has no devices");
  const Pins &pins = problem.options.pins;
  if (pins.zero && *pins.zero > 1 && problem.options.space == Space::Default)
    diagnostics.error(
        {}, fmt::format("pin 'zero={}' is not compilable yet", *pins.zero),
        ExitCode::Unsupported);
  return diagnostics.errorCount() == before;
}

} // namespace whale::planner
