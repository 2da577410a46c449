//===- PlanReport.h - a plan for people -------------------------*- C++ -*-===//

#ifndef WHALE_REPORT_PLANREPORT_H
#define WHALE_REPORT_PLANREPORT_H

#include "compiler/planner/Plan.h"

#include <string>
#include <vector>

namespace whale::report {

/// What `whalec plan --explain` prints: the plan in words, where the step's
/// time goes, per stage its time, memory by part and traffic, and the runner-up
/// plans with the reason each lost. Plain ASCII text, lines of at most 100
/// columns where names allow, the same bytes for the same plan.
std::string explain(const planner::Plan &plan);

/// Two lines: the strategy, and step time, rate, utilisation, fullest memory.
std::string summary(const planner::Plan &plan);

/// A table with columns aligned (the first left, the others right) and two
/// spaces between them; `indent` spaces before each line. Neighbouring rows
/// that begin with a number and are equal from the third cell on are joined:
/// the first cell shows the range, the second that of the first row, and "..."
/// where it differs.
std::string table(const std::vector<std::string> &header,
                  const std::vector<std::vector<std::string>> &rows,
                  size_t indent = 2);

} // namespace whale::report

#endif // WHALE_REPORT_PLANREPORT_H
