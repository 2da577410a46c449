//===- CoverTest.cpp - against counting every element
//----------------------===//

#include "compiler/verifier/Cover.h"

#include <catch2/catch.hpp>
#include <random>

using namespace whale::verifier;

namespace {

bool isCovered(const std::vector<Box> &boxes, int64_t i, int64_t j) {
  for (const Box &box : boxes)
    if (i >= box.offsets[0] && i < box.offsets[0] + box.dims[0] &&
        j >= box.offsets[1] && j < box.offsets[1] + box.dims[1])
      return true;
  return false;
}

} // namespace

TEST_CASE("a gap is found exactly when an element is not covered") {
  std::mt19937 random(7);
  auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  unsigned covered = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::vector<int64_t> dims = {1 + below(5), 1 + below(5)};
    std::vector<Box> boxes(1 + below(6));
    for (Box &box : boxes)
      for (int64_t dim : dims) {
        box.offsets.push_back(below(dim));
        box.dims.push_back(1 + below(dim - box.offsets.back()));
      }
    bool all = true;
    for (int64_t i = 0; i < dims[0]; ++i)
      for (int64_t j = 0; j < dims[1]; ++j)
        all &= isCovered(boxes, i, j);
    auto gap = findGap(boxes, dims);
    CHECK(gap.has_value() == !all);
    if (gap)
      CHECK_FALSE(isCovered(boxes, (*gap)[0], (*gap)[1]));
    covered += all;
  }
  CHECK(covered > 100);
}

TEST_CASE("scalars and empty tensors") {
  CHECK(findGap({}, {}).has_value());
  CHECK_FALSE(findGap({Box()}, {}).has_value());
  CHECK_FALSE(findGap({}, {0, 3}).has_value());
}
