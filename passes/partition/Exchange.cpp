//===- Exchange.cpp - which boxes go from one mesh to another -------------===//
//
// Problem: a tensor lies in boxes on one mesh and is wanted in boxes on
// another. Every wanted element is sent once. Exact; O(targets * source boxes).
//
//===----------------------------------------------------------------------===//

#include "passes/partition/Exchange.h"

using namespace whale::partition;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace {
/// Equal boxes of the source mesh and who holds them.
struct Holders {
  SmallVector<Range> box;
  SmallVector<size_t> positions;
};
} // namespace

static bool isEmpty(ArrayRef<Range> box) {
  return llvm::any_of(box, [](const Range &range) { return range.count <= 0; });
}

static SmallVector<Range> intersect(ArrayRef<Range> a, ArrayRef<Range> b) {
  SmallVector<Range> common;
  for (auto [left, right] : llvm::zip_equal(a, b)) {
    int64_t begin = std::max(left.begin, right.begin);
    common.push_back({begin, std::min(left.end(), right.end()) - begin});
  }
  return common;
}

SmallVector<Range> whale::partition::relativeTo(ArrayRef<Range> box,
                                                ArrayRef<Range> container) {
  SmallVector<Range> relative;
  for (auto [inner, outer] : llvm::zip_equal(box, container))
    relative.push_back({inner.begin - outer.begin, inner.count});
  return relative;
}

/// The holder that serves target position `wanted`.
static size_t chooseHolder(const Holders &holders, const Mesh &source,
                           const Mesh &target, size_t wanted) {
  SmallVector<size_t> near;
  unsigned outer = std::min(source.outerAxes(), target.outerAxes());
  for (size_t position : holders.positions)
    if (source.coordinates(position).take_front(outer) ==
        target.coordinates(wanted).take_front(outer))
      near.push_back(position);
  ArrayRef<size_t> choice = near.empty() ? ArrayRef(holders.positions) : near;
  return choice[wanted % choice.size()];
}

std::vector<Piece> whale::partition::exchange(const Transfer &transfer,
                                              const Mesh &source,
                                              const Mesh &target) {
  ArrayRef<int64_t> shape = tensorType(transfer.value).getShape();
  std::vector<Holders> boxes;
  for (size_t position = 0; position < source.ranks().size(); ++position) {
    SmallVector<Range> box = boxOf(source, position, transfer.source, shape);
    auto known = llvm::find_if(
        boxes, [&](const Holders &holders) { return holders.box == box; });
    if (known == boxes.end())
      boxes.push_back({box, {position}});
    else
      known->positions.push_back(position);
  }
  std::vector<Piece> pieces;
  for (size_t wanted = 0; wanted < target.ranks().size(); ++wanted) {
    SmallVector<Range> box = boxOf(target, wanted, transfer.target, shape);
    for (const Holders &holders : boxes) {
      SmallVector<Range> common = intersect(box, holders.box);
      if (!isEmpty(common))
        pieces.push_back(
            {chooseHolder(holders, source, target, wanted), wanted, common});
    }
  }
  return pieces;
}
