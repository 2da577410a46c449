//===- Job.h - One run of a program set -------------------------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALERUN_JOB_H
#define WHALE_TOOLS_WHALERUN_JOB_H

#include "runtime/format/Status.h"

#include <cstdint>
#include <optional>
#include <string>

namespace whale::runtime {

using format::Status;

/// What the command line says.
struct JobOptions {
  std::string programs;
  int64_t ranks = 0; ///< 0 = as many as the manifest has
  std::string data;  ///< empty = random tokens
  unsigned tokenBytes = 2;
  int64_t steps = 1;
  int64_t evalEvery = 0; ///< 0 = at the end only
  int64_t evalBatches = 4;
  std::string communicator = "local";
  std::string checkpointDirectory;
  int64_t checkpointEvery = 0; ///< 0 = at the end only
  bool resume = false;
  std::optional<int64_t> seed; ///< instead of the manifest's
  std::string log;
  std::string dumpDirectory;
  int64_t dumpEvery = 1;
  bool json = false;
  bool profile = false;
  bool useBlas = true;
  int threads = 1;
  double timeoutSeconds = 60;
  bool noEval = false;
};

/// Loads, starts the ranks and waits for them.
Status runJob(const JobOptions &options);

/// When two tensors count as equal.
struct CompareOptions {
  /// Largest difference relative to the largest magnitude of the tensor.
  double tolerance = 0;
  /// Equal bits instead; the first element that differs is said.
  bool bits = false;
  bool json = false;
};

/// Prints per tensor of two checkpoints or dumps the largest difference, and
/// whether it is within what `options` allow. `within` says so for all.
Status compareDumps(const std::string &left, const std::string &right,
                    const CompareOptions &options, bool &within);

} // namespace whale::runtime

#endif // WHALE_TOOLS_WHALERUN_JOB_H
