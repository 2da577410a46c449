//===- Placement.cpp - where a value is on a mesh -------------------------===//

#include "passes/partition/Placement.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace whale;
using namespace whale::partition;
using llvm::ArrayRef;
using llvm::SmallVector;

bool DimCut::operator==(const DimCut &other) const {
  if (batch != other.batch || axes != other.axes)
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
        const Samples &samples = mesh.samples(position);
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
