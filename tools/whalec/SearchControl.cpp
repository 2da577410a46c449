//===- SearchControl.cpp - a search that people wait for ------------------===//

#include "tools/whalec/SearchControl.h"

#include "compiler/support/Text.h"

#include <atomic>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

using namespace whale;
using namespace whale::cli;

static std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

/// Between two showings of the progress.
static constexpr std::chrono::milliseconds showInterval(100);

static void noteInterruption(int) { interrupted = true; }

SearchControl::SearchControl(std::optional<double> seconds)
    : seconds(seconds), onTerminal(isatty(STDERR_FILENO) == 1) {
  interrupted = false;
  struct sigaction action = {};
  action.sa_handler = noteInterruption;
  // Who interrupts twice does not want to wait.
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &before);
}

SearchControl::~SearchControl() {
  sigaction(SIGINT, &before, nullptr);
  clearLine();
}

bool SearchControl::isInterrupted() { return interrupted; }

bool SearchControl::mayGoOn() const {
  std::chrono::duration<double> passed = Clock::now() - started;
  return !interrupted && (!seconds || passed.count() < *seconds);
}

void SearchControl::show(const planner::Progress &progress) {
  if (!onTerminal || Clock::now() - shown < showInterval)
    return;
  shown = Clock::now();
  std::string line = fmt::format(
      "\r\033[K{} candidates of {} parts of the space, best {}",
      formatCount(progress.simulated), formatCount(progress.groups),
      progress.best ? formatTime(*progress.best) : std::string("none yet"));
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  lineShown = true;
}

void SearchControl::clearLine() {
  if (lineShown)
    std::fputs("\r\033[K", stderr);
  lineShown = false;
}

std::function<bool(const planner::Progress &)> SearchControl::proceed() {
  return [this](const planner::Progress &progress) {
    show(progress);
    return mayGoOn();
  };
}
