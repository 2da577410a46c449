//===- Placement.cpp - where a value is on a mesh -------------------------===//

#include "passes/partition/Placement.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace whale;
using namespace whale::partition;
using llvm::ArrayRef;
using llvm::SmallVector;

AxisMask DimCut::axisMask(const Mesh &mesh) const {
  AxisMask mask = batchAxes(mesh);
  for (unsigned axis : axes)
    mask |= 1u << axis;
  return mask;
}

/// Whether all axes of `outer` come before all of `inner`.
static bool precedes(AxisMask outer, AxisMask inner) {
  return !inner || outer < (inner & -inner);
}

bool DimCut::isPrefixOf(const DimCut &finer, const Mesh &mesh) const {
  if (empty())
    return true;
  AxisMask own = batchAxes(mesh), within = finer.batchAxes(mesh) & ~own;
  if (batch != finer.batch || (own & ~finer.batchAxes(mesh)) ||
      !precedes(own, within) || (within && !axes.empty()))
    return false;
  return axes.empty() ||
         (basis == finer.basis && axes.size() <= finer.axes.size() &&
          std::equal(axes.begin(), axes.end(), finer.axes.begin()));
}

std::optional<DimCut> DimCut::without(AxisMask last, const Mesh &mesh) const {
  DimCut rest = *this;
  unsigned after = mesh.axisCount();
  while (!rest.axes.empty() && (last >> rest.axes.back() & 1)) {
    if (rest.axes.back() >= after)
      return std::nullopt;
    after = rest.axes.pop_back_val();
    last &= ~(1u << after);
  }
  if (!last)
    return rest;
  AxisMask own = batchAxes(mesh);
  if (!rest.axes.empty() || (last & ~own) || !precedes(own & ~last, last) ||
      !precedes(last, after < mesh.axisCount() ? 1u << after : 0))
    return std::nullopt;
  rest.joined |= last;
  // Where nothing cuts it any more, it is no cut.
  return own == last && mesh.microBatches() == 1 ? DimCut() : rest;
}

AxisMask DimCut::gatheredFirst(const DimCut &goal, const Mesh &mesh) const {
  if (!axes.empty())
    return 1u << axes.back();
  AxisMask own = batchAxes(mesh), kept = own & goal.batchAxes(mesh);
  // Those kept are the first of both.
  while (!precedes(kept, own & ~kept) ||
         !precedes(kept, goal.batchAxes(mesh) & ~kept))
    kept &= ~(1u << llvm::Log2_32(kept));
  return own & ~kept;
}

bool DimCut::operator==(const DimCut &other) const {
  if (batch != other.batch || joined != other.joined || axes != other.axes)
    return false;
  return empty() || axes.empty() || basis == other.basis;
}

Placement Placement::replicated(unsigned graph, Rhythm rhythm, int64_t rank) {
  Placement placement;
  placement.graph = graph;
  placement.rhythm = rhythm;
  placement.dims.resize(rank);
  return placement;
}

bool Placement::sameCuts(const Placement &other) const {
  bool batch = llvm::any_of(dims, [](const DimCut &cut) { return cut.batch; });
  return graph == other.graph && dims == other.dims &&
         (!batch || rhythm == other.rhythm);
}

bool Placement::operator==(const Placement &other) const {
  return sameCuts(other) && partial == other.partial &&
         partialMicro == other.partialMicro &&
         (!isPartial() || reduction == other.reduction);
}

SmallVector<Range> partition::boxOf(const Mesh &mesh, size_t position,
                                    const Placement &placement,
                                    ArrayRef<int64_t> shape) {
  SmallVector<Range> box;
  ArrayRef<int64_t> coordinates = mesh.coordinates(position);
  for (auto [cut, extent] : llvm::zip_equal(placement.dims, shape)) {
    Range range{0, extent};
    if (!cut.empty()) {
      range.count = cut.basis;
      if (cut.batch) {
        Samples samples = mesh.samples(position, cut.joined);
        Range own = placement.rhythm == Rhythm::Micro ? samples.micro
                                                      : samples.share;
        range = {own.begin * cut.basis / mesh.globalBatch(),
                 own.count * cut.basis / mesh.globalBatch()};
      }
      for (unsigned axis : cut.axes) {
        Range part = evenPart(range.count, mesh.axisSize(axis), coordinates[axis]);
        range = {range.begin + part.begin, part.count};
      }
      int64_t scale = extent / cut.basis;
      range = {range.begin * scale, range.count * scale};
    }
    box.push_back(range);
  }
  return box;
}

int64_t partition::microStrideOf(const Mesh &mesh, size_t position,
                                 const Placement &placement, unsigned dim,
                                 int64_t extent) {
  if (placement.rhythm != Rhythm::Micro || !placement.dims[dim].batch)
    return 0;
  return mesh.samples(position).microStride * extent / mesh.globalBatch();
}

std::string partition::describe(const Placement &placement, const Mesh &mesh) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << '[';
  llvm::interleaveComma(placement.dims, stream, [&](const DimCut &cut) {
    if (cut.empty())
      stream << '-';
    if (cut.batch)
      stream << "batch";
    for (size_t axis = 0; axis < mesh.axisCount(); ++axis)
      if (cut.joined >> axis & 1)
        stream << '/' << mesh.axis(axis).name;
    for (auto [index, axis] : llvm::enumerate(cut.axes))
      stream << (index || cut.batch ? "*" : "") << mesh.axis(axis).name;
  });
  stream << ']';
  if (placement.partial) {
    stream << " partial";
    for (size_t axis = 0; axis < mesh.axisCount(); ++axis)
      if (placement.partial >> axis & 1)
        stream << ' ' << mesh.axis(axis).name;
  }
  return text;
}
