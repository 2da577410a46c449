//===- Bound.h - what no cuts of a form can beat ----------------*- C++ -*-===//
//
// Problem: a lower bound of the step time over all ways to cut a model into
// stages, and cuts that come near it.
//
// Notation: p stages, m micro-batches; forward F_s and backward B_s of a stage,
// T_s their sum, T that of all stages; w = min(m, p - s) micro-batches in
// flight; v virtual stages. Any schedule of the kind takes at least, for every
// stage s,
//   GPipe, 1F1B   sum_{i<s} T_i + m T_s, and
//                 T + (m - w) F_s + (m - 1) B_s: until the first micro-batch is
//                 back, s runs w forwards, and from then on all the rest; and
//                 for k w < m also T + k sum_{i>=s} T_i + (m - k w - 1) T_s: a
//                 forward waits for the backward w micro-batches before, which
//                 had the stages behind s before it, k times and at the end
//   interleaved   sum_{i<s} T_i / v + m T_s: its first micro-batch comes
//                 through a chunk of every stage before s, the last one returns
//                 through them
//   zero bubble   sum_{i<s} F_i / v + m T_s: gradients of weights may come last
//   DualPipe      (m / 2) T_s, and m T / p on average
// and after the last task of stage 0 its gradients and its update; where the
// last task may be another stage's, that stage's.
//
// spreadBound: stages cut anywhere, so that all bounds are met at once; O(p).
// cutBound: whole instances, memory and the end of the step, by bisection over
// the step; for a limit, filling the stages from the last one as far as it goes
// is feasible if anything is, where stages may be empty (each bound grows with
// what a stage holds and not with what the stages behind it hold more).
// O(p log(instances) log(1/1e-5)).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_BOUND_H
#define WHALE_PLANNER_BOUND_H

#include "compiler/planner/Evaluate.h"

#include <memory>

namespace whale::planner {

/// One for each class of replicas.
using ReplicaCosts = std::vector<std::unique_ptr<FormCosts>>;
ReplicaCosts replicaCosts(CostTable &table, const NormalForm &form,
                          const DeviceMap &devices);

/// Whether instances first..last-1 fit a stage of every class.
bool fits(const ReplicaCosts &costs, unsigned stage, int64_t first,
          int64_t last);

/// What a model takes on one micro-batch, whatever its cuts.
struct SpreadCosts {
  /// Of all instances: forward, backward.
  Picoseconds forward, backward;
  /// The least share that forwards are of an instance, and the largest ratio of
  /// forward and backward to backward.
  double forwardShare = 0, ratio = 1;

  Picoseconds total() const { return forward + backward; }
};
SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const FormCosts &costs);

/// The bound of a schedule without `wholeStep`.
Picoseconds spreadBound(const SpreadCosts &costs, Schedule schedule,
                        int64_t virtualStages, int64_t stages,
                        int64_t microBatches);

struct CutBound {
  /// Without `wholeStep`; max where nothing fits.
  Picoseconds step;
  /// Of the stages; empty where nothing fits.
  std::vector<int64_t> cuts;
};
/// Requires several stages.
CutBound cutBound(CostTable &table, const NormalForm &form,
                  const ReplicaCosts &costs);

} // namespace whale::planner

#endif // WHALE_PLANNER_BOUND_H
