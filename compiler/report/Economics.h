//===- Economics.h - what training with a plan costs ------------*- C++ -*-===//
//
// Closed forms over a plan's step time: money, energy, and the time to so many
// tokens with failures.
//
// Checkpoints: with a mean time between failures M of the whole cluster, C to
// write a checkpoint and R to start again, the interval that wastes least and
// the expected wall time are those of J. T. Daly, "A higher order estimate of
// the optimum checkpoint interval for restart dumps", Future Generation
// Computer Systems 22(3), 2006, equations 37 and 20; the first term of the
// interval, sqrt(2 C M), is J. W. Young's, CACM 17(9), 1974. Assumes failures
// that are independent and exponentially distributed, also during restarts.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_REPORT_ECONOMICS_H
#define WHALE_REPORT_ECONOMICS_H

#include "compiler/cluster/Cluster.h"
#include "compiler/planner/Plan.h"

namespace whale::report {

/// Seconds of work between two checkpoints. Requires positive arguments.
double bestCheckpointInterval(double checkpointSeconds, double mtbfSeconds);

/// Expected wall time of `work` seconds with a checkpoint after every
/// `interval` of them. Requires positive work, interval and mtbf.
double timeWithFailures(double work, double interval, double checkpointSeconds,
                        double restartSeconds, double mtbfSeconds);

/// Positions of a sample of the model: the longest loop named `sequence`; 1
/// where there is none (a token is a sample then).
int64_t tokensPerSample(const workload::Workload &workload);

/// What the plan costs on `cluster`, all of whose devices are paid for; those
/// that the plan uses draw their greatest power. `tokens`: also for a training
/// of so many.
planner::Economics economicsOf(const planner::Plan &plan,
                               const workload::Workload &workload,
                               const Cluster &cluster,
                               std::optional<int64_t> tokens);

/// Lines for people; empty where nothing is known but what the summary says.
std::string print(const planner::Economics &economics);

/// "3.2 days", "12.1 h".
std::string formatDuration(double seconds);

} // namespace whale::report

#endif // WHALE_REPORT_ECONOMICS_H
