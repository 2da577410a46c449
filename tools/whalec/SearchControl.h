//===- SearchControl.h - a search that people wait for ----------*- C++ -*-===//
//
// Ends a search after a time or at the first interruption, and shows on a
// terminal how far it is. The only place where a clock or a signal reaches the
// planner: what it ends is marked so in plan.json.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_SEARCHCONTROL_H
#define WHALE_TOOLS_WHALEC_SEARCHCONTROL_H

#include "compiler/planner/Problem.h"

#include <chrono>
#include <csignal>
#include <optional>

namespace whale::cli {

/// While it lives, the first SIGINT is noted and a second ends whalec.
class SearchControl {
public:
  /// `seconds`: how long the search may take; nothing = as long as it takes.
  explicit SearchControl(std::optional<double> seconds);
  ~SearchControl();
  SearchControl(const SearchControl &) = delete;
  SearchControl &operator=(const SearchControl &) = delete;

  /// For planner::Options::proceed.
  std::function<bool(const planner::Progress &)> proceed();
  static bool isInterrupted();

private:
  using Clock = std::chrono::steady_clock;

  bool mayGoOn() const;
  void show(const planner::Progress &progress);
  void clearLine();

  Clock::time_point started = Clock::now(), shown = started;
  std::optional<double> seconds;
  bool onTerminal, lineShown = false;
  struct sigaction before = {};
};

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_SEARCHCONTROL_H
