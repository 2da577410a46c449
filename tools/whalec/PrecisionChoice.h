//===- PrecisionChoice.h - the precision as a choice ------------*- C++ -*-===//
//
// Problem: of the element types of the arithmetic that a user allows, the one
// with the most samples a second. It changes the training, so it is chosen only
// where that is said. In 'fp8' products of the hidden layers are in 8 bits, and
// what is kept and gathered for them; all else is as in 'bf16'
// (docs/cost-model.md).
// Method: a search for each; at equal speed the model's own, then the first in
// the list. Types that some device of the cluster has no units for are left
// out.
// Guarantee: that of the searches: the gap is to the smallest of their bounds.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_PRECISIONCHOICE_H
#define WHALE_TOOLS_WHALEC_PRECISIONCHOICE_H

#include "tools/whalec/Planning.h"

#include "compiler/planner/Plan.h"
#include "compiler/planner/Search.h"

namespace whale::cli {

/// "bf16,fp8"; reports what is no list of precisions.
std::optional<std::vector<std::string>>
readPrecisions(std::string_view text, Diagnostics &diagnostics);

/// What a choice of precisions asks: the question in another one, and the
/// answer to a question.
struct PrecisionSearch {
  std::function<std::optional<Planning>(const std::string &, Diagnostics &)>
      read;
  std::function<planner::Answer(Planning &, Diagnostics &)> solve;
};

/// The best answer in one of the precisions; `question`, which is in the
/// model's own, becomes that which it answers. No plan after an error.
planner::Answer choosePrecision(Planning &question,
                                const std::vector<std::string> &allowed,
                                const PrecisionSearch &search,
                                Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_PRECISIONCHOICE_H
