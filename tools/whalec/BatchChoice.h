//===- BatchChoice.h - the global batch as a choice -------------*- C++ -*-===//
//
// Problem: of the global batches that a user allows, the one with the most
// samples (and so tokens) a second. The batch changes the training, so it is
// chosen only where that is said.
// Method: a search for each of LO times 1, 2, 3, 4, 6, 8, 12..., and HI, less
// those that the samples which the model couples do not divide; at equal speed
// the smallest.
// Guarantee: that of the searches, for these batches.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_BATCHCHOICE_H
#define WHALE_TOOLS_WHALEC_BATCHCHOICE_H

#include "tools/whalec/Planning.h"

namespace whale::cli {

/// Both ends belong to it.
struct BatchRange {
  int64_t least = 1, most = 1;
};

/// "64:1024"; reports what is no range.
std::optional<BatchRange> readBatchRange(std::string_view text,
                                         Diagnostics &diagnostics);

/// Gives the question's model the best batch of a range. False, with an error,
/// where no plan fits any.
bool chooseBatch(Planning &question, const BatchRange &range,
                 Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_BATCHCHOICE_H
