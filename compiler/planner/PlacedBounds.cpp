//===- PlacedBounds.cpp - what no cuts of a placement beat ----------------===//

#include "compiler/planner/PlacedBounds.h"

#include <algorithm>

namespace whale::planner {

/// What a stage takes for a micro-batch at most, if its tasks take `most`.
static Picoseconds mostOfTask(const PipelineShape &shape, Picoseconds most) {
  if (most == Picoseconds::max())
    return most;
  // DualPipe's stages have one half of the micro-batches, and those of the
  // opposite stage the other.
  int64_t tasks = shape.schedule == Schedule::DualPipe ? shape.microBatches / 2
                                                       : shape.microBatches;
  // Times of chunks are rounded.
  return Picoseconds(most.value() / std::max<int64_t>(1, tasks) +
                     2 * shape.chunks + 1);
}

/// Of the replica that is least likely to fit.
static FormCosts::Fit fitOf(const ReplicaCosts &costs,
                            const PipelineShape &shape,
                            const std::vector<int64_t> &alive,
                            Picoseconds most) {
  FormCosts::Fit least = FormCosts::Fit::May;
  for (const auto &one : costs)
    least = std::min(least,
                     one->mayFit(alive, shape.chunks, mostOfTask(shape, most)));
  return least;
}

Picoseconds PlacedBounds::stepOf(size_t i, const PipelineShape &shape,
                                 const std::vector<int64_t> &alive,
                                 Picoseconds most) {
  if (own[i] && own[i]->even > most)
    return own[i]->even;
  FormCosts::Fit fit = fitOf(any[i], shape, alive, most);
  if (fit != FormCosts::Fit::May)
    return fit == FormCosts::Fit::Never ? Picoseconds::max() : most;
  if (!own[i]) {
    SpreadCosts costs = spreadCosts(table, form, any[i], true);
    Picoseconds even = evenBound(costs, shape.stages, leastTasks);
    own[i] = {std::move(costs), even};
  }
  if (own[i]->even > most)
    return own[i]->even;
  return std::max(own[i]->even, spreadBound(own[i]->costs, shape, alive));
}

Picoseconds PlacedBounds::step(const PipelineShape &shape,
                               const std::vector<int64_t> &alive,
                               Picoseconds most) {
  Picoseconds least = Picoseconds::max();
  for (size_t i = 0; i < any.size(); ++i)
    least = std::min(least, stepOf(i, shape, alive, most));
  return least;
}

} // namespace whale::planner
