//===- ExitCode.h - what whalec tells the shell -----------------*- C++ -*-===//

#ifndef WHALE_SUPPORT_EXITCODE_H
#define WHALE_SUPPORT_EXITCODE_H

namespace whale {

/// Exit codes of every whalec command (docs/cli.md). The numbers are part of
/// the command line's contract.
enum class ExitCode : int {
  Ok = 0,
  /// The input (model, cluster, options, file) is wrong.
  BadInput = 1,
  /// whalec contradicted itself: a bug, with a reproducer.
  Bug = 2,
  /// The question is well put and the answer is "no plan fits".
  Infeasible = 3,
  /// A check or comparison found what it looks for.
  Finding = 4,
  /// A limit of time or memory was reached; the best so far was given.
  Limit = 5,
  /// A format version or feature that this version does not know.
  Unsupported = 6,
  /// SIGINT.
  Interrupted = 130,
};

} // namespace whale

#endif // WHALE_SUPPORT_EXITCODE_H
