//===- Mesh.cpp - devices of a TaskGraph and how batches are cut ----------===//

#include "passes/partition/Mesh.h"

#include <numeric>

using namespace whale::partition;
using whale::planner::Axis;
using whale::planner::AxisKind;
using whale::planner::NormalForm;

Range whale::partition::evenPart(int64_t extent, int64_t parts, int64_t index) {
  int64_t quotient = extent / parts, rest = extent % parts;
  return {index * quotient + std::min(index, rest),
          quotient + (index < rest ? 1 : 0)};
}

/// Cuts `range` among the coordinates of a replica axis: by its shares, which
/// are proportions, or evenly.
static Range replicaPart(const Axis &axis, Range range, int64_t coordinate) {
  if (axis.shares.empty()) {
    Range part = evenPart(range.count, axis.size, coordinate);
    return {range.begin + part.begin, part.count};
  }
  auto shares = axis.shares.begin();
  int64_t total = std::accumulate(shares, axis.shares.end(), int64_t(0));
  int64_t before = std::accumulate(shares, shares + coordinate, int64_t(0));
  // Exact where the shares sum to the batch; an inner axis scales them.
  return {range.begin + range.count * before / total,
          range.count * (before + shares[coordinate]) / total -
              range.count * before / total};
}

Samples Mesh::samplesOf(llvm::ArrayRef<int64_t> coordinates,
                        AxisMask joined) const {
  auto cut = [&](Range range, unsigned from, unsigned to) {
    for (unsigned index = from; index < to; ++index)
      if (axes[index].kind == AxisKind::Replica && !(joined >> index & 1))
        range = replicaPart(axes[index], range, coordinates[index]);
    return range;
  };
  Range whole = cut({0, batch}, 0, aboveMicro);
  Samples samples;
  samples.share = cut(whole, aboveMicro, axes.size());
  samples.microStride = whole.count / micro;
  samples.micro =
      cut({whole.begin, samples.microStride}, aboveMicro, axes.size());
  return samples;
}

Mesh::Mesh(const NormalForm &form, unsigned stage, int64_t globalBatch)
    : stageIndex(stage),
      outer(std::min<unsigned>(form.outerAxes, form.stages[stage].axes.size())),
      aboveMicro(outer), batch(globalBatch), micro(form.microBatches),
      axes(form.stages[stage].axes) {
  for (auto [index, axis] : llvm::enumerate(axes)) {
    if (axis.size <= 1)
      continue;
    (axis.kind == AxisKind::Replica ? replicas : splits) |= 1u << index;
    if (axis.colocated.empty())
      continue;
    colocated |= 1u << index;
    // Where replicas join their batches, they join parts of a micro-batch:
    // consecutive samples.
    aboveMicro = std::min<unsigned>(aboveMicro, index);
  }
  int64_t count = 1;
  for (const Axis &axis : axes)
    count *= axis.size;
  for (int64_t position = 0; position < count; ++position) {
    planner::Coordinates place;
    place.stage = stage;
    place.axes.resize(axes.size());
    int64_t rest = position;
    for (size_t index = axes.size(); index-- > 0; rest /= axes[index].size)
      place.axes[index] = rest % axes[index].size;
    rankList.push_back(rankOf(form, place));
    coordinateList.emplace_back(place.axes.begin(), place.axes.end());
    sampleList.push_back(samplesOf(coordinateList.back(), 0));
  }
}

int64_t Mesh::size(AxisMask mask) const {
  int64_t product = 1;
  for (auto [index, axis] : llvm::enumerate(axes))
    if (mask >> index & 1)
      product *= axis.size;
  return product;
}

llvm::SmallVector<size_t> Mesh::members(size_t position, AxisMask mask) const {
  llvm::SmallVector<size_t> found;
  llvm::ArrayRef<int64_t> own = coordinateList[position];
  for (auto [candidate, other] : llvm::enumerate(coordinateList)) {
    bool same = true;
    for (size_t index = 0; index < axes.size() && same; ++index)
      same = (mask >> index & 1) || own[index] == other[index];
    if (same)
      found.push_back(candidate);
  }
  return found;
}
