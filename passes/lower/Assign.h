//===- Assign.h - offsets of buffers in one area ----------------*- C++ -*-===//
//
// Problem:   place intervals of (time, bytes) so that those that live at the
//            same time do not overlap (dynamic storage allocation, NP-hard).
// Objective: the smallest area. The lower bound is the peak of the live set.
// Guarantee: legal; heuristic in size: the best of several greedy orders with
//            best-fit gaps, ending as soon as the bound is met.
// Complexity: O(n * overlaps) per order.
// Source:    greedy by size, Pisarchyk and Lee, "Efficient memory management
//            for deep neural net inference", 2020.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_ASSIGN_H
#define WHALE_PASSES_LOWER_ASSIGN_H

#include <cstdint>
#include <vector>

namespace whale::lower {

/// A buffer lives in [first, last], both included.
struct Lifetime {
  int64_t first = 0, last = 0;
  uint64_t bytes = 0;
};

struct Placement {
  std::vector<uint64_t> offsets; ///< by lifetime, aligned
  uint64_t bytes = 0;            ///< of the whole area
  uint64_t peak = 0;             ///< most bytes alive at once: the lower bound
  int64_t peakTime = 0;          ///< when that is, the first time
};

Placement assignOffsets(const std::vector<Lifetime> &lifetimes,
                        uint64_t alignment);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_ASSIGN_H
