//===- Job.cpp ------------------------------------------------------------===//

#include "Job.h"

#include "runtime/comm/Launcher.h"
#include "runtime/core/Checkpoint.h"
#include "runtime/cpu/CpuDevice.h"
#include "runtime/cuda/Cuda.h"
#include "runtime/format/Json.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <set>

namespace whale::runtime {

using namespace format;

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What all ranks share; made before they start, read only.
struct Job {
  const JobOptions &options;
  ProgramSet set;
  std::unique_ptr<TokenData> tokens;
  std::vector<std::string> metricNames; ///< of all roles, sorted
  std::optional<CheckpointIndex> resumeFrom;
  int64_t seed = 0;
  int64_t firstStep = 0;
  double unitsPerStep = 0; ///< tokens or samples of the global batch
  const char *unit = "samples";
};

//===----------------------------------------------------------------------===//
// Output: one line per step, from rank 0
//===----------------------------------------------------------------------===//

class Printer {
public:
  Printer(const Job &job, bool isLeader) : Owner(job), Leader(isLeader) {
    if (Leader && !job.options.log.empty())
      Log = std::fopen(job.options.log.c_str(), job.resumeFrom ? "a" : "w");
  }
  ~Printer() {
    if (Log)
      std::fclose(Log);
  }
  Printer(const Printer &) = delete;
  Printer &operator=(const Printer &) = delete;

  Status status() const {
    if (Leader && !Owner.options.log.empty() && !Log)
      return badInput("cannot write '" + Owner.options.log + "'");
    return Status();
  }

  /// `line` is what a person reads.
  void print(const Json &record, const std::string &line) {
    if (!Leader)
      return;
    const std::string text = printJson(record);
    if (Log) {
      std::fprintf(Log, "%s\n", text.c_str());
      std::fflush(Log);
    }
    std::printf("%s\n", Owner.options.json ? text.c_str() : line.c_str());
    std::fflush(stdout);
  }

private:
  const Job &Owner;
  bool Leader;
  std::FILE *Log = nullptr;
};

std::string formatted(const char *pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

//===----------------------------------------------------------------------===//
// One rank
//===----------------------------------------------------------------------===//

using MetricTotals = std::map<std::string, double>;

class RankRun {
public:
  RankRun(const Job &job, Executor &executor, Communicator &network)
      : Owner(job), Program(executor), Network(network),
        Out(job, executor.rank() == 0) {}

  Status run();

private:
  Status start();
  Status step(int64_t number);
  Status evaluate(int64_t afterStep);
  Status afterStep(int64_t number);
  Status finish();
  Result<MetricTotals> combine(const Metrics &mine);
  Json record(const char *event, int64_t step,
              const MetricTotals &totals) const;
  static double lossOf(const MetricTotals &totals);
  void printProfile() const;

  const Job &Owner;
  Executor &Program;
  Communicator &Network;
  Printer Out;
  double StepSeconds = 0; ///< sum, without the first step
  int64_t StepsTimed = 0;
};

/// Sums over the ranks that report, in rank order; or the lowest one's.
Result<MetricTotals> RankRun::combine(const Metrics &mine) {
  size_t count = Owner.metricNames.size();
  std::vector<double> sent(3 * count), all(3 * count * Network.size());
  for (size_t i = 0; i < count; ++i)
    if (auto it = mine.find(Owner.metricNames[i]); it != mine.end()) {
      sent[3 * i] = 1;
      sent[3 * i + 1] = it->second.combine == Combine::Sum;
      sent[3 * i + 2] = it->second.value;
    }
  if (Status status = Network.exchange(sent.data(), sent.size(), all.data());
      status.failed())
    return status;
  MetricTotals totals;
  for (uint32_t rank = 0; rank < Network.size(); ++rank)
    for (size_t i = 0; i < count; ++i) {
      const double *report = &all[(rank * count + i) * 3];
      if (report[0] == 0)
        continue;
      auto [slot, isNew] = totals.emplace(Owner.metricNames[i], report[2]);
      if (!isNew && report[1] != 0)
        slot->second += report[2];
    }
  return totals;
}

double RankRun::lossOf(const MetricTotals &totals) {
  if (auto it = totals.find("loss"); it != totals.end())
    return it->second;
  double sum = 0;
  for (const auto &[name, value] : totals)
    sum += value;
  return sum;
}

Json RankRun::record(const char *event, int64_t step,
                     const MetricTotals &totals) const {
  Json out{{"event", event}, {"step", step}};
  if (!totals.empty())
    out["loss"] = lossOf(totals);
  out["metrics"] = totals;
  return out;
}

/// A checkpoint holds the variables; what else `init` makes is made again.
Status RankRun::start() {
  if (Program.has(entryInit))
    if (auto metrics = Program.run(entryInit, 0); metrics.failed())
      return metrics.status();
  if (Owner.resumeFrom)
    if (Status s = loadCheckpoint(*Owner.resumeFrom, Program); s.failed())
      return s;
  // Nobody may take part in a step before everybody's state is there.
  return Network.barrier();
}

Status RankRun::step(int64_t number) {
  Clock::time_point begin = Clock::now();
  Result<Metrics> mine = Program.run(entryStep, number);
  if (mine.failed())
    return mine.status();
  Result<MetricTotals> totals = combine(*mine);
  if (totals.failed())
    return totals.status();
  double seconds = secondsSince(begin);
  if (number > Owner.firstStep) {
    StepSeconds += seconds;
    ++StepsTimed;
  }
  double rate = Owner.unitsPerStep / seconds;
  double arena = static_cast<double>(Program.program().arenaBytes);
  Json line = record("step", number, *totals);
  line["seconds"] = seconds;
  line[std::string(Owner.unit) + "_per_second"] = rate;
  line["arena_bytes"] = Program.program().arenaBytes;
  Out.print(line, "step " + std::to_string(number) + "  loss " +
                      formatted("%.6f", lossOf(*totals)) + "  " +
                      formatted("%.0f ", rate) + Owner.unit + "/s  " +
                      formatted("%.1f ms  ", seconds * 1e3) + "memory " +
                      formatted("%.1f MiB", arena / (1 << 20)));
  return Status();
}

Status RankRun::evaluate(int64_t afterStep) {
  if (!Program.has(entryEval) || Owner.options.noEval)
    return Status();
  MetricTotals mean;
  for (int64_t batch = 0; batch < Owner.options.evalBatches; ++batch) {
    Result<Metrics> mine = Program.run(entryEval, batch);
    if (mine.failed())
      return mine.status();
    Result<MetricTotals> totals = combine(*mine);
    if (totals.failed())
      return totals.status();
    for (const auto &[name, value] : *totals)
      mean[name] += value / static_cast<double>(Owner.options.evalBatches);
  }
  Out.print(record("eval", afterStep, mean),
            "held out after step " + std::to_string(afterStep) + "  loss " +
                formatted("%.6f", lossOf(mean)));
  return Status();
}

Status RankRun::afterStep(int64_t number) {
  const JobOptions &options = Owner.options;
  int64_t next = number + 1;
  bool last = next == options.steps;
  auto isDue = [&](int64_t every) { return every > 0 && next % every == 0; };
  if (!options.dumpDirectory.empty() && isDue(options.dumpEvery))
    if (Status s =
            saveCheckpoint(Owner.set, Program, Network, options.dumpDirectory,
                           next, Owner.seed, SavedKinds::Everything);
        s.failed())
      return s;
  if (!options.checkpointDirectory.empty() &&
      (last || isDue(options.checkpointEvery)))
    if (Status s = saveCheckpoint(Owner.set, Program, Network,
                                  options.checkpointDirectory, next, Owner.seed,
                                  SavedKinds::State);
        s.failed())
      return s;
  return last || isDue(options.evalEvery) ? evaluate(number) : Status();
}

void RankRun::printProfile() const {
  struct Row {
    double seconds;
    uint64_t runs;
    std::string what;
  };
  std::vector<Row> rows;
  double total = 0;
  for (size_t s = 0; s < Program.profile().size(); ++s)
    for (size_t i = 0; i < Program.profile()[s].size(); ++i) {
      const InstructionTime &time = Program.profile()[s][i];
      const InstructionT &node =
          *Program.program().sections[s]->instructions[i];
      std::string what = EnumNameOperation(node.operation.type);
      if (const CallT *call = node.operation.AsCall())
        what += " " + call->function;
      if (const LaunchT *launch = node.operation.AsLaunch())
        what += " " + Program.program().kernels[launch->kernel]->symbol;
      Error place;
      locate(Program.program(), s, i, place);
      rows.push_back({time.seconds, time.runs, what + "  " + place.path});
      total += time.seconds;
    }
  std::sort(rows.begin(), rows.end(),
            [](const Row &a, const Row &b) { return a.seconds > b.seconds; });
  std::fprintf(stderr, "rank 0: %.3f s in instructions\n", total);
  for (size_t i = 0; i < rows.size() && i < 40; ++i)
    std::fprintf(stderr, "%8.2f ms %5.1f %% %8" PRIu64 " x  %s\n",
                 rows[i].seconds * 1e3, 100 * rows[i].seconds / total,
                 rows[i].runs, rows[i].what.c_str());
}

/// Measured against predicted, where the manifest carries a prediction.
Status RankRun::finish() {
  if (Owner.options.profile && Program.rank() == 0)
    printProfile();
  if (StepsTimed == 0)
    return Status();
  double mean = StepSeconds / static_cast<double>(StepsTimed);
  Json out{{"event", "summary"}, {"mean_step_seconds", mean}};
  std::string line = "mean step " + formatted("%.2f ms", mean * 1e3);
  Result<Json> predicted = parseJson(Owner.set.manifest.predicted, "predicted");
  if (predicted.ok() && predicted->is_object() &&
      predicted->contains("step_seconds") &&
      (*predicted)["step_seconds"].is_number()) {
    double expected = (*predicted)["step_seconds"].get<double>();
    out["predicted_step_seconds"] = expected;
    line += ", predicted " + formatted("%.2f ms", expected * 1e3);
  }
  Out.print(out, line);
  return Status();
}

Status RankRun::run() {
  if (Status s = Out.status(); s.failed())
    return s;
  if (Status s = start(); s.failed())
    return s;
  if (Owner.options.profile)
    Program.startProfile();
  for (int64_t number = Owner.firstStep; number < Owner.options.steps;
       ++number) {
    if (Status s = step(number); s.failed())
      return s;
    if (Status s = afterStep(number); s.failed())
      return s;
  }
  return finish();
}

//===----------------------------------------------------------------------===//
// The job
//===----------------------------------------------------------------------===//

/// Tokens, or samples, that a step takes in.
void findUnits(Job &job) {
  for (const auto &[role, program] : job.set.programs)
    for (const auto &input : program.inputs) {
      if (input->name == "tokens") {
        job.unitsPerStep = static_cast<double>(*elementsOf(input->dims));
        job.unit = "tokens";
        return;
      }
      if (job.unitsPerStep == 0 && !input->dims.empty())
        job.unitsPerStep = static_cast<double>(input->dims[0]);
    }
}

Status openResume(Job &job) {
  if (job.options.checkpointDirectory.empty())
    return badInput("--resume needs --checkpoint-dir");
  Result<std::string> latest = findLatest(job.options.checkpointDirectory);
  if (latest.failed())
    return latest.status();
  Result<CheckpointIndex> index = readIndex(*latest);
  if (index.failed())
    return index.status();
  if (index->modelHash != job.set.manifest.modelHash)
    return badInput("checkpoint '" + *latest + "' is of another model");
  job.seed = index->seed;
  job.firstStep = index->nextStep;
  job.resumeFrom = std::move(*index);
  return Status();
}

Status prepareJob(Job &job) {
  const JobOptions &options = job.options;
  Result<ProgramSet> set = loadPrograms(options.programs);
  if (set.failed())
    return set.status();
  job.set = std::move(*set);
  size_t ranks = job.set.manifest.ranks.size();
  if (options.ranks != 0 && options.ranks != static_cast<int64_t>(ranks))
    return badInput("'" + options.programs + "' is compiled for " +
                    std::to_string(ranks) + " ranks, not " +
                    std::to_string(options.ranks));
  job.seed = options.seed.value_or(job.set.manifest.seed);
  if (!options.data.empty()) {
    auto tokens = TokenData::open(options.data, options.tokenBytes);
    if (tokens.failed())
      return tokens.status();
    job.tokens = std::move(*tokens);
  }
  std::set<std::string> names;
  for (const auto &[role, program] : job.set.programs) {
    names.insert(program.metrics.begin(), program.metrics.end());
    if (job.tokens)
      if (Status s = checkData(program, *job.tokens); s.failed())
        return s;
  }
  job.metricNames.assign(names.begin(), names.end());
  if (3 * names.size() > Communicator::maxExchange)
    return badInput(
        "there are " + std::to_string(names.size()) + " metrics; at most " +
        std::to_string(Communicator::maxExchange / 3) + " can be reported");
  findUnits(job);
  return options.resume ? openResume(job) : Status();
}

Result<std::unique_ptr<Device>> makeDevice(const Job &job, uint32_t rank,
                                           World &world) {
  if (job.set.programOf(rank).target == "cuda")
    return makeCudaDevice(static_cast<int>(rank));
  CpuOptions cpu;
  cpu.useBlas = job.options.useBlas;
  cpu.threads = job.options.threads;
  cpu.arena = world.arena(rank);
  return makeCpuDevice(cpu);
}

/// NCCL between the devices, over what the ranks of this host share.
Result<std::unique_ptr<Communicator>>
makeNccl(Device &device, Communicator &host, World &world, int64_t timeout) {
  NcclOptions options{host,
                      world.plan().communicators,
                      {},
                      [&world] { return world.aborted(); },
                      timeout};
  for (const ChannelPlan &channel : world.plan().channels)
    options.channels.emplace_back(channel.from, channel.to);
  return makeNcclCommunicator(device, options);
}

Status rankMain(const Job &job, uint32_t rank, World &world) {
  Result<std::unique_ptr<Device>> device = makeDevice(job, rank, world);
  if (device.failed())
    return device.status();
  const int64_t timeout =
      static_cast<int64_t>(job.options.timeoutSeconds * 1e3);
  std::unique_ptr<Communicator> host = makeCommunicator(world, rank, timeout);
  std::unique_ptr<Communicator> devices;
  if ((*device)->name() == "cuda") {
    auto nccl = makeNccl(**device, *host, world, timeout);
    if (nccl.failed())
      return nccl.status();
    devices = std::move(*nccl);
  }
  Communicator &network = devices ? *devices : *host;
  auto executor = Executor::prepare(job.set, rank, **device, network,
                                    job.tokens.get(), job.seed);
  if (executor.failed())
    return executor.status();
  return RankRun(job, **executor, network).run();
}

} // namespace

Status runJob(const JobOptions &options) {
  Job job{options, {}, nullptr, {}, std::nullopt, 0, 0, 0, "samples"};
  if (Status s = prepareJob(job); s.failed())
    return s;
  Sharing sharing =
      options.communicator == "shm" ? Sharing::Processes : Sharing::Threads;
  auto world = World::create(planWorld(job.set), sharing);
  if (world.failed())
    return world.status();
  return runRanks(**world, sharing, [&](uint32_t rank, World &shared) {
    return rankMain(job, rank, shared);
  });
}

} // namespace whale::runtime
