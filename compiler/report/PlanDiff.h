//===- PlanDiff.h - what changed between two plans --------------*- C++ -*-===//

#ifndef WHALE_REPORT_PLANDIFF_H
#define WHALE_REPORT_PLANDIFF_H

#include "compiler/planner/Plan.h"

#include <string>
#include <string_view>
#include <vector>

namespace whale::report {

/// A decision that differs; "-" where a plan does not have it.
struct Change {
  std::string what, before, after;
};

/// A figure of both plans: seconds, bytes or a rate, as its name says.
struct Figure {
  /// As in JSON: "step_seconds", "memory_total_bytes".
  std::string name;
  double before = 0, after = 0;

  /// after / before - 1; infinite where only `before` is 0, 0 where both are.
  double change() const;
};

struct PlanDiff {
  std::vector<Change> strategy;
  /// Step time, its parts, samples per second.
  std::vector<Figure> time;
  /// By part, and in total: of the stage that has most of it.
  std::vector<Figure> memory;
  /// Sent by one rank in a step, by purpose and in total: of the stage that
  /// sends most.
  std::vector<Figure> traffic;
};

/// Requires plans of one model (checkComparable).
PlanDiff diff(const planner::Plan &before, const planner::Plan &after);

/// Whether both plans are of one model; reports where not. `beforeName` and
/// `afterName` are the files' names.
bool checkComparable(const planner::Plan &before, std::string_view beforeName,
                     const planner::Plan &after, std::string_view afterName,
                     Diagnostics &diagnostics);

/// By how much of its old value a figure may change for the worse.
struct Limit {
  /// "time", "memory", "traffic": may grow; "throughput": may shrink.
  std::string what;
  double fraction = 0;
};

/// Reads "time=+5%,memory=+2%,throughput=-1%".
std::optional<std::vector<Limit>> readLimits(std::string_view text,
                                             Diagnostics &diagnostics);
/// Reports each limit that is passed, with ExitCode::Finding at `file`.
void checkLimits(const PlanDiff &diff, const std::vector<Limit> &limits,
                 std::string_view file, Diagnostics &diagnostics);

std::string print(const PlanDiff &diff);
void write(json::Writer &writer, const PlanDiff &diff);

} // namespace whale::report

#endif // WHALE_REPORT_PLANDIFF_H
