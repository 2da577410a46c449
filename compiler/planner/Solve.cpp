//===- Solve.cpp - what is searched, and in which order -------------------===//

#include "compiler/planner/CutInside.h"
#include "compiler/planner/Restrict.h"
#include "compiler/planner/SearchEntry.h"

namespace whale::planner {

/// On more devices something is in the host's memory only where nothing fits
/// without: a few percent of the step at most, for several times the search.
static constexpr int64_t mostOffloadDevices = 64;

/// The same problem with nothing in the host's memory but what is pinned; that
/// nothing fits is not explained.
static Problem withoutOffload(Problem problem) {
  for (auto pin : {&Pins::offloadOptimizer, &Pins::offloadParameters,
                   &Pins::offloadActivations})
    problem.options.pins.*pin = (problem.options.pins.*pin).value_or(0);
  problem.options.below = problem.options.below.value_or(Picoseconds::max());
  return problem;
}

static Answer solvePinned(const Problem &pinned, const Restriction &restriction,
                          Experience &experience, Diagnostics &diagnostics) {
  if (pinned.options.space == Space::Full &&
      pinned.hardware.deviceCount() > mostOffloadDevices) {
    Diagnostics first;
    Problem kept = withoutOffload(pinned);
    Answer answer = searchPinned(kept, restriction, experience, first);
    if (answer.plan || answer.outcome != Outcome::Infeasible) {
      diagnostics.append(first);
      return answer;
    }
  }
  return searchPinned(pinned, restriction, experience, diagnostics);
}

Answer solve(const Problem &problem, Diagnostics &diagnostics) {
  Experience none;
  return solve(problem, diagnostics, none);
}

Answer solve(const Problem &problem, Diagnostics &diagnostics,
             Experience &experience) {
  Restriction restriction = restrictionOf(problem.options.strategy);
  if (restriction.asWritten)
    return asWritten(problem, diagnostics);
  std::optional<Pins> pins = mergePins(problem.options.pins, restriction,
                                       problem.options.strategy, diagnostics);
  if (!pins)
    return {};
  Problem pinned = problem;
  pinned.options.pins = *pins;
  // What is written stays where it is.
  bool inside = problem.options.cutInside && restriction.stagePaths.empty();
  if (!inside)
    return solvePinned(pinned, restriction, experience, diagnostics);
  // A plan of whole instances may be slower before it is cut.
  pinned.options.below.reset();
  Answer answer = solvePinned(pinned, restriction, experience, diagnostics);
  if (!answer.plan)
    return answer;
  answer.plan->gapOfInner = answer.plan->chosen.form.stages.size() == 1;
  if (answer.outcome != Outcome::LimitReached &&
      answer.outcome != Outcome::Interrupted)
    if (auto cut = cutInside(pinned, *answer.plan)) {
      answer.plan = std::move(cut->plan);
      answer.plan->gapOfInner = false;
      answer.outcome = answer.plan->outcome;
      answer.inside = std::move(cut->workload);
    }
  if (problem.options.below &&
      answer.plan->prediction.step >= *problem.options.below)
    return {};
  return answer;
}

} // namespace whale::planner
