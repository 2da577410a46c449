//===- Mesh.h - devices of a TaskGraph and how batches are cut --*- C++ -*-===//
//
// One mesh per TaskGraph (pipeline stage). Sets of axes are bit masks; the
// replica axes of a mesh cut the batch together, but for those that an op joins
// because a colocated split cuts another loop of it over them.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PARTITION_MESH_H
#define WHALE_PASSES_PARTITION_MESH_H

#include "compiler/planner/Strategy.h"

#include "llvm/ADT/SmallVector.h"
#include <cstdint>

namespace whale::partition {

using AxisMask = uint32_t;

/// Rows [begin, begin + count) of something.
struct Range {
  int64_t begin = 0, count = 0;
  int64_t end() const { return begin + count; }
  bool operator==(const Range &) const = default;
};

/// Samples of one rank. Micro-batch j of m holds [micro.begin +
/// j * microStride, + micro.count); `share` is the rank's part of a cut of the
/// whole batch without micro-batches (used once per step, for loss counts).
struct Samples {
  Range share, micro;
  int64_t microStride = 0;
};

class Mesh {
public:
  Mesh(const planner::NormalForm &form, unsigned stage, int64_t globalBatch);

  unsigned stage() const { return stageIndex; }
  size_t axisCount() const { return axes.size(); }
  const planner::Axis &axis(unsigned index) const { return axes[index]; }
  int64_t axisSize(unsigned index) const { return axes[index].size; }
  /// Replica axes on whose devices splits are.
  AxisMask colocatedMask() const { return colocated; }
  /// Axes of the kind with more than one device.
  AxisMask replicaMask() const { return replicas; }
  AxisMask splitMask() const { return splits; }

  /// Ranks of this mesh, row-major over the axes.
  llvm::ArrayRef<int64_t> ranks() const { return rankList; }
  /// Coordinates of `ranks()[position]`.
  llvm::ArrayRef<int64_t> coordinates(size_t position) const {
    return coordinateList[position];
  }
  const Samples &samples(size_t position) const { return sampleList[position]; }
  /// The same without the cuts of the replica axes of `joined`.
  Samples samples(size_t position, AxisMask joined) const {
    return joined ? samplesOf(coordinateList[position], joined)
                  : sampleList[position];
  }
  /// Positions of the ranks that differ from `position` only along `mask`,
  /// row-major.
  llvm::SmallVector<size_t> members(size_t position, AxisMask mask) const;
  /// Product of the sizes of the axes of a mask.
  int64_t size(AxisMask mask) const;
  int64_t globalBatch() const { return batch; }
  int64_t microBatches() const { return micro; }
  /// Leading axes that lie above the pipeline, the same in every stage.
  unsigned outerAxes() const { return outer; }

private:
  Samples samplesOf(llvm::ArrayRef<int64_t> coordinates, AxisMask joined) const;

  /// Micro-batches are parts of what the first `aboveMicro` axes leave.
  unsigned stageIndex, outer, aboveMicro;
  int64_t batch, micro;
  std::vector<planner::Axis> axes;
  AxisMask replicas = 0, splits = 0, colocated = 0;
  std::vector<int64_t> rankList;
  std::vector<llvm::SmallVector<int64_t, 4>> coordinateList;
  std::vector<Samples> sampleList;
};

/// Part `index` of `extent` cut in `parts`: the first (extent % parts) parts
/// have one more.
Range evenPart(int64_t extent, int64_t parts, int64_t index);

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_MESH_H
