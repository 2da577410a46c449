//===- Signals.h - interruptions wait while outputs are written -*- C++ -*-===//
//
// SIGINT, SIGTERM and SIGHUP end whalec at once, except while something is
// being written: then they wait until it is whole and in its place. The main
// thread blocks them from the start, so that they reach the command's thread.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_SIGNALS_H
#define WHALE_TOOLS_WHALEC_SIGNALS_H

#include <csignal>

namespace whale::cli {

/// Blocks, or allows, interruptions of this thread in its scope.
class InterruptionScope {
public:
  enum class Mode { Block, Allow };

  explicit InterruptionScope(Mode mode) {
    sigset_t signals;
    sigemptyset(&signals);
    for (int signal : {SIGINT, SIGTERM, SIGHUP})
      sigaddset(&signals, signal);
    pthread_sigmask(mode == Mode::Block ? SIG_BLOCK : SIG_UNBLOCK, &signals,
                    &before);
  }
  InterruptionScope(const InterruptionScope &) = delete;
  InterruptionScope &operator=(const InterruptionScope &) = delete;
  /// What was blocked meanwhile arrives now.
  ~InterruptionScope() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }

private:
  sigset_t before;
};

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_SIGNALS_H
