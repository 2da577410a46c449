//===- WhaleRun.h - starting whale-run --------------------------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_WHALERUN_H
#define WHALE_TOOLS_WHALEC_WHALERUN_H

#include "compiler/support/Diagnostics.h"

#include <optional>
#include <string>
#include <vector>

namespace whale::cli {

/// Path of the whale-run beside this executable; reports where there is none.
std::optional<std::string> findWhaleRun(Diagnostics &diagnostics);

/// Becomes whale-run: signals and the exit code are then its own. Returns only
/// after an error.
void becomeWhaleRun(const std::vector<std::string> &arguments,
                    Diagnostics &diagnostics);

/// How a started whale-run ended.
struct RunResult {
  /// Exit code, or 128 + the signal that ended it.
  int code = 0;
  std::string output;
};

/// Runs whale-run to its end with stdout collected; stderr stays ours. Nothing
/// after an error of starting it.
std::optional<RunResult> callWhaleRun(const std::vector<std::string> &arguments,
                                      Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_WHALERUN_H
