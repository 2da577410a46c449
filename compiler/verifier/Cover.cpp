//===- Cover.cpp ----------------------------------------------------------===//

#include "compiler/verifier/Cover.h"

#include <algorithm>

namespace whale::verifier {

namespace {

using Boxes = std::vector<const Box *>;

/// Whether all boxes have equal extents from `dim` on: then one stands for all.
bool areEqualFrom(const Boxes &boxes, size_t dim) {
  auto tail = [&](const std::vector<int64_t> &v) { return v.begin() + dim; };
  return std::all_of(boxes.begin(), boxes.end(), [&](const Box *box) {
    return std::equal(tail(box->offsets), box->offsets.end(),
                      tail(boxes[0]->offsets)) &&
           std::equal(tail(box->dims), box->dims.end(), tail(boxes[0]->dims));
  });
}

/// Fills `gap` from `dim` on and returns true when an element is not covered.
bool findGapFrom(Boxes boxes, const std::vector<int64_t> &dims, size_t dim,
                 std::vector<int64_t> &gap) {
  if (dim == dims.size() || boxes.empty()) {
    std::fill(gap.begin() + static_cast<long>(dim), gap.end(), 0);
    return boxes.empty();
  }
  if (areEqualFrom(boxes, dim))
    boxes.resize(1);
  std::vector<int64_t> cuts = {0};
  for (const Box *box : boxes)
    for (int64_t cut : {box->offsets[dim], box->offsets[dim] + box->dims[dim]})
      if (cut > 0 && cut < dims[dim])
        cuts.push_back(cut);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  for (int64_t cut : cuts) {
    Boxes inside;
    for (const Box *box : boxes)
      if (box->offsets[dim] <= cut && cut < box->offsets[dim] + box->dims[dim])
        inside.push_back(box);
    gap[dim] = cut;
    if (findGapFrom(std::move(inside), dims, dim + 1, gap))
      return true;
  }
  return false;
}

} // namespace

std::optional<std::vector<int64_t>> findGap(const std::vector<Box> &boxes,
                                            const std::vector<int64_t> &dims) {
  for (int64_t dim : dims)
    if (dim == 0)
      return std::nullopt;
  Boxes all;
  for (const Box &box : boxes)
    all.push_back(&box);
  std::vector<int64_t> gap(dims.size(), 0);
  if (findGapFrom(std::move(all), dims, 0, gap))
    return gap;
  return std::nullopt;
}

} // namespace whale::verifier
