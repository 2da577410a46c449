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
            choices < 0 ? 1 : op.loops[choices].extent, op.groups,
            op.groupsChosen};
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

/// Of parts that hold `within` groups each, one that has experts of a row.
static double hitGroups(const Routing &routing, int64_t within) {
  double each = static_cast<double>(routing.experts) /
                static_cast<double>(routing.groups);
  double open = each * static_cast<double>(routing.groupsChosen);
  // Chance of so many open groups in the part, from none on: hypergeometric,
  // C(w, j) C(G - w, g - j) / C(G, g), by its ratio to the last one.
  int64_t others = routing.groups - within;
  int64_t least = std::max<int64_t>(0, routing.groupsChosen - others);
  int64_t most = std::min(within, routing.groupsChosen);
  double sum = 0, hit = 0, chance = 1;
  for (int64_t j = least; j <= most; ++j) {
    sum += chance;
    hit += chance *
           (1 - noneAmong(open, each * static_cast<double>(j), routing.chosen));
    chance *=
        static_cast<double>((within - j) * (routing.groupsChosen - j)) /
        static_cast<double>((j + 1) * (others - routing.groupsChosen + j + 1));
  }
  return hit / sum;
}

/// The same of parts of one group each, `partsOfGroup` of them in it.
static double hitWithin(const Routing &routing, int64_t partsOfGroup) {
  double groups = static_cast<double>(routing.groups);
  double each = static_cast<double>(routing.experts) / groups;
  double chosen = static_cast<double>(routing.groupsChosen);
  return chosen / groups *
         (1 - noneAmong(each * chosen, each / static_cast<double>(partsOfGroup),
                        routing.chosen));
}

double expectedParts(const Routing &routing, int64_t parts) {
  parts = std::min(parts, routing.experts);
  double count = static_cast<double>(parts);
  double experts = static_cast<double>(routing.experts);
  if (routing.groupsChosen < routing.groups && routing.groups % parts == 0)
    return count * hitGroups(routing, routing.groups / parts);
  if (routing.groupsChosen < routing.groups && parts % routing.groups == 0)
    return count * hitWithin(routing, parts / routing.groups);
  return count * (1 - noneAmong(experts, experts / count, routing.chosen));
}

} // namespace whale::cost
