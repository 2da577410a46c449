//===- StepTime.cpp - a candidate on the simulator ------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

namespace {

/// Runs the simulator over one replica class' stages.
class Simulated {
public:
  Simulated(CostTable &table, const Candidate &candidate,
            const ReplicaClass &replica)
      : table(table), candidate(candidate),
        costs(table, candidate.form, candidate.devices, replica.coordinates,
              replica.samples) {}

  /// What the simulator runs; predicts the stages on the way.
  simulator::Problem pipeline() {
    const NormalForm &form = candidate.form;
    problem.order = form.schedule;
    problem.microBatches = form.microBatches;
    problem.chunks = form.virtualStages;
    if (isChunked(form))
      addChunks();
    else
      addStages();
    addTies();
    return problem;
  }

  /// Its schedule.
  simulator::TaskLists takeTasks() {
    return tasks.empty() ? makeSchedule(simulator::specOf(problem))
                         : std::move(tasks);
  }

  Prediction run() {
    pipeline();
    if (mayBeTooLong(problem)) {
      prediction.step = Picoseconds::max();
      return std::move(prediction);
    }
    simulator::Timeline line = simulator::simulate(problem, takeTasks());
    prediction.step = line.step;
    for (size_t s = 0; s < prediction.stages.size(); ++s) {
      prediction.stages[s].busy = line.stages[s].busy;
      prediction.stages[s].bubble = line.stages[s].bubble;
      prediction.stages[s].inFlight = line.stages[s].inFlight;
    }
    breakDown();
    return std::move(prediction);
  }

private:
  /// Whether all tasks and messages one after another take more than times can
  /// say (107 days): these saturate, and the simulator would never end.
  static bool mayBeTooLong(const simulator::Problem &problem) {
    Picoseconds sum;
    for (const simulator::Stage &part : problem.stages)
      sum += (part.forward + part.backward + part.sendForward +
              part.sendBackward) *
                 problem.microBatches +
             part.gradientSync + part.update;
    return sum == Picoseconds::max();
  }

  /// One part of the model on each stage, or in DualPipe's two directions.
  void addStages() {
    const NormalForm &form = candidate.form;
    for (unsigned s = 0; s < form.stages.size(); ++s)
      prediction.stages.push_back(
          costs.stage(s, candidate.cuts[s], candidate.cuts[s + 1]));
    layout = layoutOf(simulator::specOf(problem));
    layout.stages = static_cast<int64_t>(form.stages.size());
    for (int64_t part = 0; part < layout.parts(); ++part) {
      int64_t stage = layout.site(part, 0).stage;
      int64_t parts = layout.parts() / layout.stages;
      problem.stages.push_back(partOf(stage, prediction.stages[stage], parts));
      problem.stages.back().saved =
          ceilDivide(prediction.stages[stage].memory.activations,
                     costs.slots(stage) * parts);
      problem.stages.back().weightSaved = problem.stages.back().saved;
    }
  }

  /// Several parts on each stage. How much is alive at once depends on the
  /// schedule, which may depend on the parts' times.
  void addChunks() {
    const NormalForm &form = candidate.form;
    layout = partLayout(form);
    problem.stages.resize(layout.parts());
    std::vector<std::vector<Bytes>> saved;
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      FormCosts::Chunked chunked = costs.chunked(s, candidate.cuts);
      saved.emplace_back();
      for (int64_t c = 0; c < layout.chunks; ++c) {
        saved.back().push_back(chunked.parts[c].memory.activations);
        simulator::Stage &part = problem.stages[layout.part({s, c})];
        part = partOf(s, chunked.parts[c], 1);
        part.saved = part.weightSaved = saved.back().back();
      }
      prediction.stages.push_back(std::move(chunked.whole));
    }
    if (mayBeTooLong(problem))
      return;
    tasks = makeSchedule(simulator::specOf(problem));
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      MemoryParts &memory = prediction.stages[s].memory;
      memory.activations += simulator::mostSaved(tasks[s], saved[s]);
      costs.addAllowance(s, memory);
      for (int64_t c = 0; c < layout.chunks; ++c)
        setOnce(s, problem.stages[layout.part({s, c})]);
    }
  }

  /// Of a stage's `parts` equal parts one.
  simulator::Stage partOf(unsigned stage, const StagePrediction &whole,
                          int64_t parts) const {
    auto part = [&](Picoseconds time) { return ceilDivide(time, parts); };
    simulator::Stage result;
    result.forward = part(whole.forward);
    result.backward = part(whole.backward);
    result.weight = std::min(part(whole.weight), result.backward);
    result.sendForward = whole.sendForward;
    result.sendBackward = whole.sendBackward;
    if (!isChunked(candidate.form))
      setOnce(stage, result);
    return result;
  }

  /// What a stage has, and does, once: its chunks share its lane in the
  /// simulator.
  void setOnce(unsigned stage, simulator::Stage &part) const {
    const StagePrediction &whole = prediction.stages[stage];
    int64_t parts = layout.parts() / layout.stages;
    part.gradientSync = ceilDivide(whole.gradientSync, parts);
    part.update = ceilDivide(whole.update, parts);
    const MemoryParts &memory = whole.memory;
    part.resident =
        ceilDivide(memory.total() - memory.activations - memory.transients,
                   candidate.form.virtualStages);
    part.forwardTransient = part.backwardTransient = memory.transients;
  }

  void addTies() {
    const std::vector<int64_t> &cuts = candidate.cuts;
    // Any part of a stage stands for it.
    auto partOnStage = [&](int64_t stage) {
      return static_cast<uint32_t>(layout.part({stage, 0}));
    };
    for (const Tie &tie : table.ties) {
      int64_t user = stageAt(candidate.form, cuts, tie.user);
      int64_t owner = stageAt(candidate.form, cuts, tie.owner);
      if (user == owner)
        continue;
      problem.shared.push_back({{partOnStage(owner), partOnStage(user)},
                                costs.tieTime(tie, user, owner)});
    }
  }

  void breakDown() {
    auto busiest = std::max_element(
        prediction.stages.begin(), prediction.stages.end(),
        [](const auto &a, const auto &b) { return a.busy < b.busy; });
    const StagePrediction &stage = *busiest;
    int64_t m = candidate.form.microBatches;
    Breakdown &parts = prediction.breakdown;
    parts.recompute = stage.recompute * m;
    parts.splitCommunication = stage.communication * m;
    parts.hostTransfers = stage.hostWait * m;
    parts.compute = stage.busy - parts.recompute - parts.splitCommunication -
                    parts.hostTransfers;
    parts.gradientSync = stage.gradientSync;
    parts.update = stage.update;
    parts.pipelineIdle =
        prediction.step - stage.busy - stage.gradientSync - stage.update;
  }

  CostTable &table;
  const Candidate &candidate;
  FormCosts costs;
  Prediction prediction;
  simulator::Problem problem;
  /// Where its parts lie.
  simulator::Layout layout;
  /// Its schedule, where that was needed before.
  simulator::TaskLists tasks;
};

void finish(CostTable &table, const Candidate &candidate,
            Prediction &prediction) {
  Picoseconds alone = prediction.step;
  prediction.step = wholeStep(table.hardware, rankCount(candidate.form), alone);
  prediction.breakdown.overhead = prediction.step - alone;
  double peak = 0;
  const cost::Hardware &hardware = table.hardware;
  for (const cost::Pool &pool : hardware.pools())
    peak += hardware.peak(pool.type, table.workload.precision).value *
            static_cast<double>(pool.count);
  peak *= static_cast<double>(rankCount(candidate.form)) /
          static_cast<double>(hardware.deviceCount());
  double seconds = toSeconds(prediction.step);
  if (seconds <= 0 || peak <= 0)
    return;
  prediction.samplesPerSecond =
      static_cast<double>(table.workload.globalBatch) / seconds;
  prediction.utilization =
      workload::stepFlops(table.workload).asDouble() / seconds / peak;
}

} // namespace

/// The share by which many devices make a step longer.
static double stragglers(const cost::Hardware &hardware, int64_t ranks) {
  double loss = 0;
  int64_t perNode = hardware.pools().front().perNode;
  for (; ranks > perNode; ranks /= 2)
    loss += hardware.execution.parameters.stragglersPerDoubling;
  return loss;
}

static Picoseconds hostTime(const cost::Hardware &hardware) {
  return picosecondsFromSeconds(hardware.execution.parameters.stepSeconds);
}

Picoseconds wholeStep(const cost::Hardware &hardware, int64_t ranks,
                      Picoseconds time) {
  return time.scaled(1 + stragglers(hardware, ranks)) + hostTime(hardware);
}

Picoseconds wholeStep(const CostTable &table, const NormalForm &form,
                      Picoseconds time) {
  return time == Picoseconds::max()
             ? time
             : wholeStep(table.hardware, rankCount(form), time);
}

Picoseconds mostAlone(const cost::Hardware &hardware, int64_t ranks,
                      Picoseconds step) {
  if (step == Picoseconds::max())
    return step;
  Picoseconds most = std::max(Picoseconds(), step - hostTime(hardware));
  // A hair more, for the rounding of doubles.
  return most.scaled((1 + 1e-9) / (1 + stragglers(hardware, ranks))) +
         Picoseconds(1);
}

void StagePrediction::takeMemory(const StagePrediction &other) {
  memory = other.memory;
  capacity = other.capacity;
  hostCapacity = other.hostCapacity;
  deviceType = other.deviceType;
}

Prediction evaluate(CostTable &table, const Candidate &candidate) {
  Prediction slowest;
  for (const ReplicaClass &replica : replicaClasses(
           table.workload, table.hardware, candidate.form, candidate.devices)) {
    Prediction one = Simulated(table, candidate, replica).run();
    if (slowest.stages.empty()) {
      slowest = std::move(one);
      continue;
    }
    Prediction &kept = one.step > slowest.step ? one : slowest;
    const Prediction &other = &kept == &one ? slowest : one;
    // Of each stage the replica with the least room.
    for (size_t s = 0; s < kept.stages.size(); ++s)
      if (other.stages[s].deficit() > kept.stages[s].deficit())
        kept.stages[s].takeMemory(other.stages[s]);
    if (&kept == &one)
      slowest = std::move(one);
  }
  finish(table, candidate, slowest);
  return slowest;
}

Picoseconds stepOfReplica(CostTable &table, const Candidate &candidate,
                          const ReplicaClass &replica) {
  Prediction found = Simulated(table, candidate, replica).run();
  return found.deficit() > Bytes() ? Picoseconds::max() : found.step;
}

simulator::Timeline timeline(CostTable &table, const Candidate &candidate) {
  simulator::Timeline slowest;
  for (const ReplicaClass &replica : replicaClasses(
           table.workload, table.hardware, candidate.form, candidate.devices)) {
    simulator::Problem pipeline =
        Simulated(table, candidate, replica).pipeline();
    simulator::Timeline one = simulator::simulate(pipeline, true);
    if (slowest.stages.empty() || one.step > slowest.step)
      slowest = std::move(one);
  }
  return slowest;
}

} // namespace whale::planner
