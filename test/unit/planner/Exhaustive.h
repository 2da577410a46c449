//===- Exhaustive.h - every plan of a small problem -------------*- C++ -*-===//
//
// An oracle for the search that shares the cost functions with it (CostTable,
// evaluate) and nothing else: no bounds, no water-filling, no partitions, no
// choice of degrees.
//
// Covered: degrees of replica, split and pipeline in any product up to the
// number of devices; micro-batches; replicas within or outside of the pipeline;
// every contiguous cut; every distribution of the batch over replicas on
// unequal devices; which pool each replica or stage lies in, or where some
// lie in several, of which pools ranks take how many devices one after another,
// in every order; recompute, and of
// each stage that does not fit all numbers of layers that recompute in full and
// selectively, and of each whose parameters are cut also of those that stay
// gathered (the least time of a micro-batch counts), or where there is memory
// of the host, the numbers of layers by the cost model's rule for recompute and
// offload (FormCosts::relief; OffloadTest.cpp compares that with all numbers);
// the schedules and virtual stages of any parts; ZeRO-1, in the full space
// ZeRO-2 and -3 and their sharding within a group; the split of experts, of a
// table (vocabulary, classes) and of the sequence; in the full space splits of
// sizes that two pools have together, and where a stage's split lies on several
// types of devices (without context parallelism and with one chunk a stage) all
// widths of its parts, equal on coordinates with the same types, that sum to no
// more than 32 (16, 8 or 4 where a form has more than 32 of them) and come out
// even in all loops but those of tables. Taken as given: the dimensions of a
// split (splitDims), which table is large enough (largeTable) and its sizes
// (divisors of a node, whole nodes); parts of a sequence (powers of two of
// 1,024 positions or more); the parts at the turn of a V share equally;
// interleaving, whose micro-batches are a multiple of the stages; how rows
// reach experts without a limit of rows (no such model is here); DualPipe,
// which is only tried when asked for. On request:
// replicas, splits and ZeRO of each stage by itself, where stages have equally
// many devices and one chunk and share the batch equally. Not covered, since no
// plan has it: unequal numbers of devices in the stages, widths finer than
// that, precision and global batch.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_PLANNER_EXHAUSTIVE_H
#define WHALE_TEST_PLANNER_EXHAUSTIVE_H

#include "compiler/planner/Search.h"

namespace whale::test {

struct Exhausted {
  /// The best that fits; nothing where none does.
  std::optional<planner::Candidate> best;
  Picoseconds step = Picoseconds::max();
  int64_t tried = 0;
  /// More than `limit` candidates: the rest was not tried.
  bool limited = false;
};

/// What the stages of a pipeline may have each for itself.
enum class Stages {
  /// All alike but for their cuts and devices.
  Alike,
  /// Also replicas, splits and ZeRO, where the replicas stand within the
  /// stages: what the search looks for.
  Different,
};

Exhausted tryEverything(const planner::Problem &problem, int64_t limit,
                        Stages stages = Stages::Alike);

} // namespace whale::test

#endif // WHALE_TEST_PLANNER_EXHAUSTIVE_H
