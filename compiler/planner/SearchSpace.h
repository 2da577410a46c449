//===- SearchSpace.h - the choices that a search may make -------*- C++ -*-===//
//
// Shapes and variants (Search.h) as far as the restriction of a problem allows
// them and its model is large enough for them.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SEARCHSPACE_H
#define WHALE_PLANNER_SEARCHSPACE_H

#include "compiler/planner/MapTable.h"
#include "compiler/planner/SearchEntry.h"
#include "compiler/planner/Throughput.h"

#include <map>

namespace whale::planner {

/// All arguments must outlive it.
class SearchSpace {
public:
  SearchSpace(const Problem &problem, const Restriction &restriction,
              const std::vector<std::string> &dims)
      : problem(problem), restriction(restriction), dims(dims) {}

  /// Shapes that the model is large enough for, those with replicas inside and
  /// outside of the pipeline apart where their costs depend on that.
  std::vector<Choice> shapes();
  /// These on groups of maps that differ in their order, by number; with what
  /// the devices let them do, if there is a throughput.
  std::vector<Entry> entries(MapTable &maps, Throughput *throughput);
  /// A shape with each of the unequal widths of its splits on its devices.
  std::vector<Entry> withWidths(const Entry &any, MapTable &maps) const;
  /// Micro-batches that each stage has whatever the schedule: all, of DualPipe
  /// half of them.
  int64_t leastTasks(const Choice &choice) const;
  /// The first op that was too short for a shape, if any.
  const std::optional<ShortDim> &tooShort() const { return firstShort; }

  bool allowed(const Choice &choice) const;
  ChoiceFilter isAllowed() const {
    return [this](const Choice &choice) { return allowed(choice); };
  }
  std::vector<Choice> variantsOf(const Choice &shape) const;

  bool isMixed() const { return problem.hardware.pools().size() > 1; }
  /// The order decides which devices there are to choose from, how far those
  /// are apart that share what is cut, and which splits lie across nodes.
  bool dependsOnOrder(const Choice &shape) const;

private:
  bool isLongEnough(const Choice &shape);

  const Problem &problem;
  const Restriction &restriction;
  const std::vector<std::string> &dims;
  /// By shapes that differ in their splits; and the first one met.
  std::map<Choice, std::optional<ShortDim>> shortDims;
  std::optional<ShortDim> firstShort;
};

/// Shapes on all devices, by replica and by stage: those of equal degrees
/// together, all in the order of what is known of them, nothing last.
std::vector<std::vector<size_t>> byDegrees(const std::vector<Entry> &entries);

} // namespace whale::planner

#endif // WHALE_PLANNER_SEARCHSPACE_H
