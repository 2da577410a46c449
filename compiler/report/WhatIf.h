//===- WhatIf.h - plans for several questions as a table --------*- C++ -*-===//

#ifndef WHALE_REPORT_WHATIF_H
#define WHALE_REPORT_WHATIF_H

#include "compiler/report/Economics.h"

namespace whale::report {

/// One question and its answer.
struct WhatIfPoint {
  int64_t devices = 0, globalBatch = 0;
  /// What is other than in the cluster file: "inter=2x links".
  std::string change;
  /// With economics; nothing where none fits, for `reason`.
  std::optional<planner::Plan> plan;
  std::string reason;
};

std::string print(const std::vector<WhatIfPoint> &points);
void write(json::Writer &writer, const std::vector<WhatIfPoint> &points);

} // namespace whale::report

#endif // WHALE_REPORT_WHATIF_H
