//===- Launcher.h - Starts and supervises the ranks of one host -*- C++ -*-===//

#ifndef WHALE_RUNTIME_COMM_LAUNCHER_H
#define WHALE_RUNTIME_COMM_LAUNCHER_H

#include "runtime/comm/World.h"
#include "runtime/core/Loader.h"

#include <functional>

namespace whale::runtime {

/// Communicators, channels and arenas that a program set needs. A channel
/// holds all messages of the entry that sends most.
WorldPlan planWorld(const ProgramSet &set);

/// What one rank does.
using RankMain = std::function<Status(uint32_t rank, World &world)>;

/// Runs all ranks and waits for them. Gives the error of the rank that failed
/// first. With Sharing::Threads ranks are threads; with Sharing::Processes
/// they are forked (call it before any thread is started) and die with the
/// caller; a rank that is killed ends the job at once with PeerLost and its
/// name.
Status runRanks(World &world, Sharing sharing, const RankMain &rankMain);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_COMM_LAUNCHER_H
