//===- SplitWidths.h - parts of unequal widths on unequal devices -*- C++
//-*-===//
//
// Problem: a tensor split whose ranks lie on several types of devices waits for
// the slowest, and no rank holds more than the smallest has room for. Parts of
// unequal widths (Axis::shares) let each device have what suits it.
//
// Space: of each stage whose split lies on several types of devices, a width
// for each kind of its coordinates (the types of the devices there, in every
// replica), in whole numbers whose sum divides what all loops along the split's
// dims can be cut into, so that every part is a whole number; those of a table
// (Tables.h) may have parts that are not. The sum is 32 at most, or 16, 8 or 4
// where a form would have more than 32 widths on its devices. Looked for in the
// full space, where nobody has written how the model is parallel, on few
// devices (or some more of a small model), without context parallelism and
// with one chunk a stage. Complexity: all widths are looked at, each as a shape
// of its own.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SPLITWIDTHS_H
#define WHALE_PLANNER_SPLITWIDTHS_H

#include "compiler/planner/Search.h"

#include <set>

namespace whale::planner {

/// Whether unequal widths are looked for at all.
bool seeksWidths(const Problem &problem);

/// Sizes of splits on devices of two pools, of sizes for each.
std::set<int64_t> sizesAcross(const std::vector<std::set<int64_t>> &ofPools);

/// Widths of the splits of some form's stages; of a stage with equal ones
/// nothing.
using SplitWidths = std::vector<std::vector<int64_t>>;

/// All that are looked for, without those that are all equal. The form's stages
/// have no more than one split each, as their last axis.
std::vector<SplitWidths> splitWidths(const Problem &problem,
                                     const NormalForm &form,
                                     const DeviceMap &devices);
void setWidths(NormalForm &form, const SplitWidths &widths);

} // namespace whale::planner

#endif // WHALE_PLANNER_SPLITWIDTHS_H
