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

/// What the busiest stage takes for a micro-batch with the best of the cuts
/// that are tried: those of several chunks give each part about as much,
/// whatever the device.
Picoseconds PlacedBounds::newBusy(size_t i, const NormalForm &chunked) const {
  std::vector<std::vector<Picoseconds>> sums;
  for (const auto &one : any[i])
    for (unsigned s = 0; s < chunked.stages.size(); ++s) {
      if (one->likeStage(s) != s) {
        sums.push_back(sums[sums.size() - s + one->likeStage(s)]);
        continue;
      }
      sums.emplace_back(1);
      for (size_t r = 0; r < table.workload.runs.size(); ++r)
        for (int64_t n = 0; n < table.workload.runs[r].count; ++n)
          sums.back().push_back(sums.back().back() + one->forward(s, r) +
                                one->backward(s, r));
    }
  simulator::Layout layout = partLayout(chunked);
  Picoseconds least = Picoseconds::max();
  for (const std::vector<int64_t> &cuts : chunkCuts(table, chunked)) {
    std::vector<Picoseconds> held(sums.size());
    for (int64_t part = 0; part < layout.parts(); ++part)
      for (size_t s = layout.site(part, 0).stage; s < sums.size();
           s += chunked.stages.size())
        held[s] += sums[s][cuts[part + 1]] - sums[s][cuts[part]];
    least = std::min(least, *std::max_element(held.begin(), held.end()));
  }
  return least;
}

/// The same for all micro-batches of a schedule, without idle time.
Picoseconds PlacedBounds::busyWith(size_t i, const PipelineShape &shape) {
  if (shape.schedule == Schedule::DualPipe ||
      !isChunked(shape.schedule, shape.stages, shape.chunks))
    return {};
  NormalForm chunked = form;
  chunked.schedule = shape.schedule;
  chunked.virtualStages = shape.chunks;
  auto [it, isNew] =
      busy[i].try_emplace({partLayout(chunked).placement, shape.chunks});
  if (isNew)
    it->second = newBusy(i, chunked);
  return it->second == Picoseconds::max() ? it->second
                                          : it->second * shape.microBatches;
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
  if (!anyCuts && isChunked(shape.schedule, shape.stages, shape.chunks))
    return own[i]->even;
  Picoseconds least = std::max(own[i]->even, busyWith(i, shape));
  return least > most
             ? least
             : std::max(least, spreadBound(own[i]->costs, shape, alive));
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
