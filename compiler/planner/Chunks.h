//===- Chunks.h - several parts of the model on one stage -------*- C++ -*-===//
//
// Problem: in interleaved and V-shaped schedules a stage holds several parts of
// the model, its chunks, which need not be equal: 126 layers do not divide into
// 16 stages of 8 chunks, and an embedding and a head take their time too. Which
// instances are in which part?
// Objective: the smallest simulated step that fits in memory, as everywhere.
//
// Rule of the search (dealtCuts): the layers (all but single instances at the
// ends, Dealing.h) are dealt out evenly, as if there were up to 4 more at the
// end and one for each at the front, for which these stand; what does not divide
// goes to the parts in the middle. All of these cuts are bounded, and simulated
// where they might be the best: exact for the rule. Written strategies may cut
// the parts in any way, and on small problems the search does too. The two
// parts next to the turn of a V share what the stage there has between them
// equally, since paths do not tell them apart.
// Complexity O(parts) for each way to cut.
// Source: Megatron-LM deals layers out evenly, or counts the embedding and the
// head as layers (`account_for_embedding_in_pipeline_split`), as Llama 3 405B
// was trained (Grattafiori et al., 2024, section 3.3.2: one layer less on the
// first and the last stage).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_CHUNKS_H
#define WHALE_PLANNER_CHUNKS_H

#include "compiler/planner/Strategy.h"
#include "compiler/workload/Workload.h"

#include <vector>

namespace whale::planner {

/// Instances first..last-1.
struct Range {
  int64_t first = 0, last = 0;

  bool holds(int64_t position) const {
    return position >= first && position < last;
  }
  bool operator==(const Range &) const = default;
};

/// Whether stages hold several parts of the model.
bool isChunked(Schedule schedule, int64_t stages, int64_t chunks);
bool isChunked(const NormalForm &form);
/// Where the parts of the model lie: one on each stage, or several.
simulator::Layout partLayout(const NormalForm &form);
int64_t partCount(const NormalForm &form);
/// What a stage holds with these cuts, by chunk.
std::vector<Range> rangesOf(const NormalForm &form,
                            const std::vector<int64_t> &cuts, int64_t stage);
/// The stage that holds an instance.
int64_t stageAt(const NormalForm &form, const std::vector<int64_t> &cuts,
                int64_t position);

/// Whether the layers can be dealt out to so many parts so that they divide.
bool dealsEvenly(const workload::Workload &workload, int64_t parts);
/// The rule's cuts of a chunked form, the even ones only where there are some;
/// none where the model has too few instances.
std::vector<std::vector<int64_t>> dealtCuts(const workload::Workload &workload,
                                            const NormalForm &form);
/// Every way to cut a chunked form; for small ones.
std::vector<std::vector<int64_t>> allCuts(const workload::Workload &workload,
                                          const NormalForm &form);

} // namespace whale::planner

#endif // WHALE_PLANNER_CHUNKS_H
