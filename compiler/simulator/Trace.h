//===- Trace.h - a time line for Chrome and Perfetto ------------*- C++ -*-===//
//
// Trace Event Format (JSON object form): one process per stage, with a thread
// for compute, one for what it sends and one for what it exchanges with its
// replicas, and a counter of live bytes. Times in microseconds. The same time
// line gives the same bytes.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SIMULATOR_TRACE_H
#define WHALE_SIMULATOR_TRACE_H

#include "compiler/simulator/Pipeline.h"

namespace whale::simulator {

/// Requires a time line with events.
std::string chromeTrace(const Timeline &timeline);

} // namespace whale::simulator

#endif // WHALE_SIMULATOR_TRACE_H
