//===- WhatIf.cpp - plans for several questions as a table ----------------===//

#include "compiler/report/WhatIf.h"

#include "compiler/report/PlanReport.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>

namespace whale::report {

using namespace planner;

/// The stage with most memory.
static const StagePrediction &fullest(const Prediction &prediction) {
  return *std::max_element(prediction.stages.begin(), prediction.stages.end(),
                           [](const auto &a, const auto &b) {
                             return a.memory.total() < b.memory.total();
                           });
}

static std::vector<std::string> rowOf(const WhatIfPoint &point) {
  std::vector<std::string> row = {point.change, formatCount(point.devices),
                                  formatCount(point.globalBatch)};
  if (!point.plan) {
    row.insert(row.end(), {"-", "-", "-", "-", "-", "does not fit"});
    return row;
  }
  const Prediction &p = point.plan->prediction;
  const std::optional<double> &dollars = point.plan->economics->dollarsPerStep;
  row.insert(row.end(),
             {formatTime(p.step), fmt::format("{:.4g}/s", p.samplesPerSecond),
              fmt::format("{:.1f} %", 100 * p.utilization),
              formatBytes(fullest(p).memory.total()),
              dollars ? fmt::format("{:.4g}", *dollars) : "-",
              printCompact(point.plan->strategy)});
  return row;
}

std::string print(const std::vector<WhatIfPoint> &points) {
  std::vector<std::vector<std::string>> rows;
  std::string notes;
  for (const WhatIfPoint &point : points) {
    rows.push_back(rowOf(point));
    if (!point.plan)
      notes += fmt::format(
          "{} devices, batch {}, {}: {}\n", formatCount(point.devices),
          formatCount(point.globalBatch), point.change, point.reason);
  }
  return table({"cluster", "devices", "batch", "step", "samples", "MFU",
                "memory", "$/step", "plan"},
               rows, 0) +
         notes;
}

static void writePoint(json::Writer &w, const WhatIfPoint &point) {
  w.beginObject(json::Writer::Layout::Inline);
  w.field("change", point.change).field("devices", point.devices);
  w.field("global_batch", point.globalBatch);
  if (!point.plan) {
    w.field("reason", point.reason).endObject();
    return;
  }
  const Prediction &p = point.plan->prediction;
  w.field("step_seconds", toSeconds(p.step));
  w.field("samples_per_second", p.samplesPerSecond);
  w.field("model_flops_utilization", p.utilization);
  w.field("memory_bytes", fullest(p).memory.total().value());
  w.field("capacity_bytes", fullest(p).capacity.value());
  w.field("strategy", printStrategy(point.plan->strategy));
  w.field("gap", point.plan->gap).key("economics");
  writeEconomics(w, *point.plan->economics);
  w.endObject();
}

void write(json::Writer &w, const std::vector<WhatIfPoint> &points) {
  w.beginObject().key("points").beginArray();
  for (const WhatIfPoint &point : points)
    writePoint(w, point);
  w.endArray().endObject();
}

} // namespace whale::report
