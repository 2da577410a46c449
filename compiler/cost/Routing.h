//===- Routing.h - how rows choose their experts ----------------*- C++ -*-===//
//
// A row that has chosen several experts need not travel to each of them by
// itself: it goes once to every part of the machine (device, node) that holds
// any (DeepEP, HybridEP). How many parts these are follows from the choice.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_ROUTING_H
#define WHALE_COST_ROUTING_H

#include "compiler/workload/Workload.h"

namespace whale::cost {

struct Routing {
  /// All experts, and those that each row has chosen.
  int64_t experts = 1, chosen = 1;
  /// Experts lie in equal groups; those of a row in so many of them.
  int64_t groups = 1, groupsChosen = 1;
};

/// That of the class's experts; one expert where rows do not choose.
Routing routingOf(const workload::ModuleClass &module);

/// Expected number of parts that hold at least one of a row's experts, where
/// experts lie in equal parts and every choice is as likely:
///   parts * (1 - C(E - E / parts, k) / C(E, k))
/// and, where of G groups g are chosen first, the mean of that over the groups
/// of a part that are among these. Parts need not divide the experts; more
/// parts than experts count as many. Groups count where they lie in whole
/// parts, or parts in whole groups.
double expectedParts(const Routing &routing, int64_t parts);

} // namespace whale::cost

#endif // WHALE_COST_ROUTING_H
