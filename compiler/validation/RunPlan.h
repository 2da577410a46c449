//===- RunPlan.h - the plan of a measured run -------------------*- C++ -*-===//

#ifndef WHALE_VALIDATION_RUNPLAN_H
#define WHALE_VALIDATION_RUNPLAN_H

#include "compiler/planner/Evaluate.h"
#include "compiler/validation/MeasuredRun.h"

namespace whale::validation {

/// The global batch, in whole micro-batches on all replicas, at least one:
/// the nearest number.
int64_t wholeBatch(const MeasuredRun &run);

/// The candidate that a run's columns pin, or nothing and why. Ranks are
/// numbered as in Megatron-LM: tensor fastest, then context, data, pipeline;
/// experts over the data axis.
std::optional<planner::Candidate> planOf(const MeasuredRun &run,
                                         const workload::Workload &workload,
                                         std::string &reason);

} // namespace whale::validation

#endif // WHALE_VALIDATION_RUNPLAN_H
