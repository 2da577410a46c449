//===- PlacedBounds.h - what no cuts of a placement beat --------*- C++ -*-===//
//
// Bounds of the schedules of one placement on its devices, from its own costs,
// which are looked up once: of what does not fit, or is slower by a simple
// bound, none is asked that knows more.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_PLACEDBOUNDS_H
#define WHALE_PLANNER_PLACEDBOUNDS_H

#include "compiler/planner/Sharing.h"

namespace whale::planner {

/// All arguments must outlive it. For one thread.
class PlacedBounds {
public:
  /// A stage has `leastTasks` micro-batches at least, whatever the schedule.
  /// With given cuts nothing is known of those of several chunks.
  PlacedBounds(CostTable &table, const NormalForm &form,
               const DeviceMap &devices, int64_t leastTasks, bool anyCuts)
      : table(table), form(form), leastTasks(leastTasks), anyCuts(anyCuts),
        any(anyShares(table, form, devices)), own(any.size()),
        busy(any.size()) {}

  /// Of a schedule that holds `alive` (CostTable) pairs, without `wholeStep`;
  /// max where none fits, and `most` or more where none that is no slower does.
  Picoseconds step(const PipelineShape &shape,
                   const std::vector<int64_t> &alive, Picoseconds most);

private:
  /// Of one of several costs.
  struct Own {
    SpreadCosts costs;
    Picoseconds even;
  };
  Picoseconds stepOf(size_t i, const PipelineShape &shape,
                     const std::vector<int64_t> &alive, Picoseconds most);
  Picoseconds busyWith(size_t i, const PipelineShape &shape);
  Picoseconds newBusy(size_t i, const NormalForm &chunked) const;

  CostTable &table;
  const NormalForm &form;
  int64_t leastTasks;
  bool anyCuts;
  std::vector<ReplicaCosts> any;
  std::vector<std::optional<Own>> own;
  /// By where parts of the model lie, and their number on a stage.
  std::vector<std::map<std::pair<simulator::Placement, int64_t>, Picoseconds>>
      busy;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_PLACEDBOUNDS_H
