//===- Restrict.h - what a written strategy leaves free ---------*- C++ -*-===//

#ifndef WHALE_PLANNER_RESTRICT_H
#define WHALE_PLANNER_RESTRICT_H

#include "compiler/planner/Search.h"

namespace whale::planner {

/// What a strategy tree says, as restrictions of the space of choices.
struct Restriction {
  Pins pins;
  /// Preference list of the split scope.
  std::optional<std::vector<std::string>> dims;
  /// Where replicas stand relative to the pipeline.
  std::optional<bool> pipelineOutside;
  /// Of stages that were written out; empty = the planner cuts.
  std::vector<std::vector<std::string>> stagePaths;
  /// The tree is none of the shapes that the search knows (nested axes of one
  /// kind, unequal stages, given shares...): its normal form is costed as it
  /// is.
  bool asWritten = false;
};

Restriction restrictionOf(const Node &strategy);

/// Adds the restriction's pins to the user's. Errors where both say different
/// things, with the places.
std::optional<Pins> mergePins(const Pins &pins, const Restriction &restriction,
                              const Node &strategy, Diagnostics &diagnostics);

} // namespace whale::planner

#endif // WHALE_PLANNER_RESTRICT_H
