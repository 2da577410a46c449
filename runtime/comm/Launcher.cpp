//===- Launcher.cpp -------------------------------------------------------===//

#include "runtime/comm/Launcher.h"

#include <csignal>
#include <map>
#include <mutex>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace whale::runtime {

using namespace format;

WorldPlan planWorld(const ProgramSet &set) {
  WorldPlan plan;
  plan.ranks = static_cast<uint32_t>(set.manifest.ranks.size());
  plan.communicators = set.manifest.communicators;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> capacities;
  for (uint32_t rank = 0; rank < plan.ranks; ++rank) {
    const ProgramT &program = set.programOf(rank);
    plan.arenaBytes.push_back(program.arenaBytes);
    for (const auto &entry : program.entries) {
      std::map<uint32_t, uint64_t> sent;
      for (const Visit &visit : entry->schedule)
        for (const auto &node : program.sections[visit.section()]->instructions)
          if (const SendT *send = node->operation.AsSend())
            sent[set.manifest.ranks[rank].peers[send->peer]] +=
                *bytesOf(*send->operand) + 64;
      for (const auto &[peer, bytes] : sent) {
        uint64_t &capacity = capacities[{rank, peer}];
        capacity = std::max(capacity, bytes);
      }
      for (uint32_t peer : set.manifest.ranks[rank].peers) {
        capacities[{rank, peer}];
        capacities[{peer, rank}];
      }
    }
  }
  for (const auto &[ends, bytes] : capacities)
    plan.channels.push_back({ends.first, ends.second, bytes});
  return plan;
}

namespace {

/// The error that the job ends with: a rank's own failure says more than
/// another's "rank x ended the job".
class FirstError {
public:
  void add(const Status &status) {
    if (status.ok())
      return;
    std::lock_guard<std::mutex> lock(Guard);
    bool better = Kept.ok() || (Kept.error().kind == ErrorKind::PeerLost &&
                                status.error().kind != ErrorKind::PeerLost);
    if (better)
      Kept = status;
  }
  const Status &status() const { return Kept; }

private:
  std::mutex Guard;
  Status Kept;
};

Status runThreads(World &world, const RankMain &rankMain) {
  FirstError first;
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < world.plan().ranks; ++rank)
    threads.emplace_back([&, rank] {
      Status status = rankMain(rank, world);
      if (status.failed())
        world.abort(rank, status.error().text());
      first.add(status);
    });
  for (std::thread &thread : threads)
    thread.join();
  return first.status();
}

/// Exit code of a rank whose error is in the world's abort state.
constexpr int failedExit = 1;

[[noreturn]] void runChild(World &world, uint32_t rank, pid_t parent,
                           const RankMain &rankMain) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(failedExit); // it died before the line above
  Status status = rankMain(rank, world);
  if (status.failed())
    world.abort(rank, status.error().text());
  fflush(stdout);
  fflush(stderr);
  _exit(status.failed() ? failedExit : 0);
}

/// Gives the others this long to say why they end, then kills them.
constexpr int64_t graceMilliseconds = 2000;

void reapAll(std::map<pid_t, uint32_t> &children) {
  int64_t deadline = nowMilliseconds() + graceMilliseconds;
  while (!children.empty()) {
    if (nowMilliseconds() >= deadline)
      for (const auto &[pid, rank] : children)
        kill(pid, SIGKILL);
    for (auto it = children.begin(); it != children.end();)
      it = waitpid(it->first, nullptr, WNOHANG) == 0 ? std::next(it)
                                                     : children.erase(it);
    if (!children.empty())
      usleep(2000);
  }
}

/// How a child ended, when not well.
std::string endOf(int state) {
  if (WIFSIGNALED(state))
    return std::string("was killed by signal ") +
           std::to_string(WTERMSIG(state)) + " (" +
           strsignal(WTERMSIG(state)) + ")";
  return "ended with code " + std::to_string(WEXITSTATUS(state));
}

Status superviseChildren(World &world, std::map<pid_t, uint32_t> children) {
  while (!children.empty()) {
    // Only our own children are waited for: no other code may lose its own.
    bool progress = false;
    for (auto it = children.begin(); it != children.end();) {
      int state = 0;
      if (waitpid(it->first, &state, WNOHANG) == 0) {
        ++it;
        continue;
      }
      uint32_t rank = it->second;
      it = children.erase(it);
      progress = true;
      if (WIFEXITED(state) && WEXITSTATUS(state) == 0)
        continue;
      if (!WIFEXITED(state) || WEXITSTATUS(state) != failedExit)
        world.abort(rank, "rank " + std::to_string(rank) + " " + endOf(state));
      reapAll(children);
      Status status = world.aborted();
      if (status.ok())
        status = Status::error(ErrorKind::PeerLost,
                               "rank " + std::to_string(rank) + " " +
                                   endOf(state));
      return status;
    }
    if (!progress && !children.empty())
      usleep(2000);
  }
  return Status();
}

Status runProcesses(World &world, const RankMain &rankMain) {
  std::map<pid_t, uint32_t> children;
  pid_t parent = getpid();
  fflush(stdout);
  fflush(stderr);
  for (uint32_t rank = 0; rank < world.plan().ranks; ++rank) {
    pid_t pid = fork();
    if (pid == 0)
      runChild(world, rank, parent, rankMain);
    if (pid < 0) {
      world.abort(rank, "rank " + std::to_string(rank) +
                            " cannot be started");
      reapAll(children);
      return world.aborted();
    }
    children[pid] = rank;
  }
  return superviseChildren(world, std::move(children));
}

} // namespace

Status runRanks(World &world, Sharing sharing, const RankMain &rankMain) {
  return sharing == Sharing::Threads ? runThreads(world, rankMain)
                                     : runProcesses(world, rankMain);
}

} // namespace whale::runtime
