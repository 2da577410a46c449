//===- Measuring.h - plans whose memory the compiler has seen ---*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_MEASURING_H
#define WHALE_TOOLS_WHALEC_MEASURING_H

#include "compiler/planner/Search.h"
#include "tools/whalec/Planning.h"

namespace whale::cli {

/// Answers a question. The plan's memory is measured (passes/StageMemory.h);
/// where it does not fit after all, the search is asked again for plans that
/// leave as much room as was missing. A plan that the compiler refuses is no
/// answer, and its errors are reported; with `--space full` it keeps the
/// model's memory.
planner::Answer solveMeasured(const Planning &question,
                              Diagnostics &diagnostics);

/// The same on another cluster than the question's, with what a search there
/// has left.
planner::Answer solveMeasured(const Planning &question, const Cluster &cluster,
                              const cost::Hardware &hardware,
                              Diagnostics &diagnostics,
                              planner::Experience experience = {});

/// Whether the memory that a plan says it has is what the compiler lays out
/// now; errors (ExitCode::Finding) where not.
bool checkMeasured(const Planning &question, const planner::Plan &plan,
                   Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_MEASURING_H
