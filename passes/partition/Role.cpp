//===- Role.cpp - ranks with equal code and their tables ------------------===//

#include "passes/partition/RoleBuilder.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <set>

using namespace whale;
using namespace whale::partition;
using llvm::ArrayRef;
using llvm::SmallVector;

int64_t Role::group(const Mesh &mesh, AxisMask mask) {
  for (auto [index, known] : llvm::enumerate(groups))
    if (known.first == mask)
      return index;
  std::string name = "s" + std::to_string(mesh.stage());
  for (size_t axis = 0; axis < mesh.axisCount(); ++axis)
    if (mask >> axis & 1)
      name += "." + mesh.axis(axis).name;
  groups.emplace_back(mask, name);
  return groups.size() - 1;
}

int64_t Role::peer(ArrayRef<int64_t> ranks) {
  for (auto [index, known] : llvm::enumerate(peers))
    if (ArrayRef<int64_t>(known) == ranks)
      return index;
  peers.emplace_back(ranks.begin(), ranks.end());
  return peers.size() - 1;
}

rank::ScalarAttr Role::scalar(mlir::MLIRContext *context,
                              ArrayRef<int64_t> values, int64_t microStride,
                              llvm::StringRef name) {
  SmallVector<int64_t> terms;
  if (microStride)
    terms.append({rank::ScalarAttr::kMicroBatch, 0, microStride});
  if (llvm::all_equal(values))
    return rank::ScalarAttr::get(context, values.front(), terms);
  auto known = llvm::find_if(scalars, [&](const auto &row) {
    return ArrayRef<int64_t>(row.second) == values;
  });
  if (known == scalars.end()) {
    scalars.emplace_back(name.str(),
                         std::vector<int64_t>(values.begin(), values.end()));
    known = std::prev(scalars.end());
  }
  terms.append({rank::ScalarAttr::kRank, known - scalars.begin(), 1});
  return rank::ScalarAttr::get(context, 0, terms);
}

namespace {
/// Collects what the code of a position depends on.
class Signature {
public:
  Signature(const Assignment &assignment, unsigned graph, size_t position)
      : assignment(assignment), mesh(assignment.mesh(graph)), graph(graph),
        position(position), stream(text) {}

  std::string take() {
    const Samples &samples = mesh.samples(position);
    stream << samples.share.count << ',' << samples.micro.count << ','
           << samples.microStride << ';';
    addCuts();
    addJoined();
    for (const Transfer &transfer : assignment.allTransfers())
      if (transfer.from == graph || transfer.to == graph)
        addTransfer(transfer);
    return text;
  }

private:
  /// Local extents under every even cut of the mesh's ops.
  void addCuts() {
    std::set<std::pair<int64_t, std::vector<unsigned>>> cuts;
    assignment.forEach(graph, [&](const OpPlacement &placement) {
      for (const DimCut &cut : placement.loops)
        if (!cut.axes.empty())
          cuts.emplace(cut.batch ? -cut.basis : cut.basis,
                       std::vector<unsigned>(cut.axes.begin(), cut.axes.end()));
    });
    for (const auto &[basis, axes] : cuts) {
      int64_t extent = std::abs(basis);
      for (unsigned axis : axes)
        extent = evenPart(extent, mesh.axisSize(axis),
                          mesh.coordinates(position)[axis])
                     .count;
      stream << extent << ',';
    }
  }

  /// Parts of the batch that are put together where replicas join theirs.
  void addJoined() {
    std::set<AxisMask> masks;
    assignment.forEach(graph, [&](const OpPlacement &placement) {
      AxisMask cutElsewhere = 0;
      for (const DimCut &cut : placement.loops)
        for (unsigned axis : cut.axes)
          cutElsewhere |= 1u << axis;
      if (AxisMask joined = cutElsewhere & mesh.colocatedMask())
        masks.insert(joined);
    });
    for (AxisMask joined : masks)
      for (size_t member : mesh.members(position, joined))
        stream << mesh.samples(member).share.count << ','
               << mesh.samples(member).micro.count << '+';
  }

  void addTransfer(const Transfer &transfer) {
    const Mesh &from = assignment.mesh(transfer.from);
    const Mesh &to = assignment.mesh(transfer.to);
    ArrayRef<int64_t> shape = tensorType(transfer.value).getShape();
    stream << ";x" << transfer.tag;
    for (const Piece &piece : exchange(transfer, from, to)) {
      bool sends = transfer.from == graph && piece.source == position;
      bool receives = transfer.to == graph && piece.target == position;
      if (!sends && !receives)
        continue;
      auto container = sends ? boxOf(from, position, transfer.source, shape)
                             : boxOf(to, position, transfer.target, shape);
      stream << (sends ? ":s" : ":r");
      for (const Range &range : relativeTo(piece.box, container))
        stream << range.begin << '+' << range.count << ',';
    }
  }

  const Assignment &assignment;
  const Mesh &mesh;
  unsigned graph;
  size_t position;
  std::string text;
  llvm::raw_string_ostream stream;
};
} // namespace

std::string partition::roleSignature(const Assignment &assignment,
                                     unsigned graph, size_t position) {
  return Signature(assignment, graph, position).take();
}
