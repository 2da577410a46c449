//===- Cover.h - boxes that cover a tensor ----------------------*- C++ -*-===//

#ifndef WHALE_VERIFIER_COVER_H
#define WHALE_VERIFIER_COVER_H

#include <cstdint>
#include <optional>
#include <vector>

namespace whale::verifier {

/// [offsets, offsets + dims) of a tensor; both have its rank.
struct Box {
  std::vector<int64_t> offsets;
  std::vector<int64_t> dims;

  auto operator<=>(const Box &) const = default;
};

/// An element of [0, dims) that no box holds, or nothing when the boxes cover
/// it all. Boxes may overlap. Exact: recursion over the slabs that the boxes'
/// ends cut the outermost dimension into.
std::optional<std::vector<int64_t>> findGap(const std::vector<Box> &boxes,
                                            const std::vector<int64_t> &dims);

} // namespace whale::verifier

#endif // WHALE_VERIFIER_COVER_H
