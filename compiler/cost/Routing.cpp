//===- Routing.cpp - how rows choose their experts ------------------------===//

#include "compiler/cost/Routing.h"

#include <algorithm>

namespace whale::cost {

using workload::Op;

Routing routingOf(const workload::ModuleClass &module) {
  for (const Op &op : module.ops) {
    int32_t experts = op.routingLoop();
    if (experts < 0)
      continue;
    int32_t choices = op.findLoop("choices");
    return {op.loops[experts].extent,
            choices < 0 ? 1 : op.loops[choices].extent};
  }
  return {};
}

/// Probability that none of `chosen` different ones of `all` is among `marked`.
static double noneAmong(double all, double marked, int64_t chosen) {
  double probability = 1;
  for (int64_t i = 0; i < chosen; ++i) {
    double left = all - static_cast<double>(i);
    if (left > 0)
      probability *= std::max(0.0, left - marked) / left;
  }
  return probability;
}

double expectedParts(const Routing &routing, int64_t parts) {
  double count = static_cast<double>(std::min(parts, routing.experts));
  double experts = static_cast<double>(routing.experts);
  return count * (1 - noneAmong(experts, experts / count, routing.chosen));
}

} // namespace whale::cost
