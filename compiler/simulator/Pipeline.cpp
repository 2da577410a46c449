//===- Pipeline.cpp - event-driven execution of a pipeline ----------------===//
//
// Every stage runs as far as its inputs allow; a stage that lacks one says
// which, and whoever delivers it wakes the stage. No event queue: times of a
// stage depend only on what it and its senders did before. Only what several
// stages send over one link waits in order of time (Network.h).
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Pipeline.h"

#include "compiler/simulator/Network.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <tuple>

namespace whale::simulator {

namespace {

/// Arrival of a value that has not been sent yet.
constexpr Picoseconds notYet = Picoseconds::max();
constexpr size_t nowhere = std::numeric_limits<size_t>::max();

/// The first `i` of `n` equal parts of a time, rounded down.
Picoseconds share(Picoseconds time, int64_t i, int64_t n) {
  int64_t whole = time.value() / n, rest = time.value() % n;
  return Picoseconds(whole * i + rest * i / n);
}

/// A value on its way to a task.
struct Arrival {
  Picoseconds time = notYet;
  /// When its sender had it.
  Picoseconds ready;
};

/// Parameters on their way; share i + 1 of n is there for piece i of n.
struct Gather {
  Picoseconds start, time;
};

/// A chunk on its stage, and where its results go.
struct Chunk {
  const Stage *part = nullptr;
  size_t stage = 0;
  /// What its forwards and backwards wait for, by micro-batch.
  Arrival *forwardInputs = nullptr, *backwardInputs = nullptr;
  /// Chunks before and after it in the model, by number, and the links there.
  size_t before = nowhere, after = nowhere;
  size_t linkBefore = nowhere, linkAfter = nowhere;
  /// Tasks to come that give gradients of weights.
  int64_t gradientsLeft = 0;
  /// For its next task.
  std::optional<Gather> gather;
};

/// One stage while it runs.
struct Lane {
  size_t next = 0;
  Picoseconds free, dataLink;
  int64_t alive = 0;
  Bytes resident, saved;
  /// The input for which it waits.
  const Arrival *lacks = nullptr;
  /// Sends that wait for a shared link.
  int64_t waitingSends = 0;
  CommunicationTimes communication;
};

/// How tasks meet the data link: in `count` equal pieces, each of which needs
/// its share of the gathers and completes its share of the reductions.
struct Pieces {
  int64_t count = 1;
  std::array<std::optional<Gather>, 2> gathers;
  std::array<const Task *, 2> reductions{};
};

/// Does the task end the life of saved values and complete gradients?
bool givesGradients(TaskKind kind) {
  return kind == TaskKind::Backward || kind == TaskKind::BackwardWeight;
}

Picoseconds timeOf(const Stage &part, TaskKind kind) {
  switch (kind) {
  case TaskKind::Forward:
    return part.forward;
  case TaskKind::Backward:
    return part.backward;
  case TaskKind::BackwardInput:
    return part.backward - part.weight;
  case TaskKind::BackwardWeight:
    return part.weight;
  }
  return {};
}

Event::Kind eventOf(TaskKind kind) {
  constexpr Event::Kind kinds[] = {Event::Kind::Forward, Event::Kind::Backward,
                                   Event::Kind::BackwardInput,
                                   Event::Kind::BackwardWeight};
  return kinds[static_cast<size_t>(kind)];
}

class Simulation {
public:
  Simulation(const Problem &problem, const TaskLists &lists, bool keepEvents)
      : problem(problem), lists(lists), keepEvents(keepEvents),
        count(lists.size()), microBatches(problem.microBatches), lanes(count),
        events(count), transfers(count) {
    Layout layout = layoutOf(specOf(problem));
    perStage = layout.chunks;
    chunks.resize(count * perStage);
    arrivals.resize(2 * chunks.size() * microBatches);
    timeline.stages.resize(count);
    usesDataLink = std::ranges::any_of(problem.stages, [](const Stage &part) {
      return part.buckets > 0 || part.gatherEvery == GatherEvery::Task ||
             part.parameterGather != Picoseconds();
    });
    place(layout);
    for (size_t s = 0; usesDataLink && s < count; ++s)
      gatherFirst(s);
  }

  Timeline run();

private:
  void place(const Layout &layout);
  void connect(const Layout &layout, int64_t part, int64_t microBatch);
  size_t link(size_t from, size_t to, int64_t name);

  size_t numberOf(Site site) const {
    return site.stage * perStage + site.chunk;
  }
  Chunk &chunkOf(size_t s, const Task &task) {
    return chunks[s * perStage + task.chunk];
  }
  const Arrival *inputOf(size_t s, const Task &task);

  void advance(size_t s);
  void start(size_t s, std::span<const Task> together);
  void compute(size_t s, std::span<const Task> together, Picoseconds work);
  Pieces prepare(size_t s, std::span<const Task> together);
  void runPieces(size_t s, const Pieces &pieces, Picoseconds work);
  void runFor(size_t s, Picoseconds work);
  void reduceAlone(size_t s, std::span<const Task> together);
  Bytes hold(size_t s, std::span<const Task> together);
  void release(size_t s, const Task &task);

  void gatherFirst(size_t s);
  void gatherNext(size_t s);
  Gather useDataLink(size_t s, Transfer::Kind kind, const Task &task,
                     Picoseconds ready, Picoseconds time);
  void deliver(size_t s, const Task &task, Picoseconds end);
  void send(size_t s, size_t link, Picoseconds time, const Message &message,
            Picoseconds ready);
  void arrive(size_t from, const Message &message, Picoseconds ready,
              Picoseconds start, Picoseconds end);
  Arrival &arrivalOf(const Message &message) {
    const Chunk &chunk = chunks[message.chunk];
    return (message.forward ? chunk.forwardInputs
                            : chunk.backwardInputs)[message.microBatch];
  }

  void finishStep();
  void finishGradients(size_t s);
  /// Holds the stage up.
  void spend(size_t s, Event::Kind kind, const Task &task, Picoseconds time);
  void note(size_t s, Event::Kind kind, const Task &task, Picoseconds start,
            Picoseconds end, Bytes memory);

  const Problem &problem;
  const TaskLists &lists;
  bool keepEvents;
  /// Does any part communicate over its replicas but at the end of the step?
  bool usesDataLink = false;
  size_t count;
  int64_t microBatches, perStage = 1;
  std::vector<Lane> lanes;
  /// By stage, then chunk.
  std::vector<Chunk> chunks;
  /// By chunk, then direction, then micro-batch.
  std::vector<Arrival> arrivals;
  Network network;
  std::vector<size_t> awake;
  std::vector<std::vector<Event>> events;
  std::vector<std::vector<Transfer>> transfers;
  Timeline timeline;
};

//===----------------------------------------------------------------------===//
// Setting up
//===----------------------------------------------------------------------===//

void Simulation::place(const Layout &layout) {
  for (size_t s = 0; s < count; ++s)
    for (int64_t c = 0; c < perStage; ++c) {
      int64_t part = layout.part({static_cast<int64_t>(s), c});
      size_t number = s * perStage + c;
      Arrival *inputs = arrivals.data() + 2 * number * microBatches;
      chunks[number].part = &problem.stages[part];
      chunks[number].stage = s;
      chunks[number].forwardInputs = inputs;
      chunks[number].backwardInputs = inputs + microBatches;
      lanes[s].resident += problem.stages[part].resident;
    }
  // Where micro-batches enter at both ends, the last takes the other way.
  bool both = layout.placement == Placement::Bidirectional;
  for (int64_t part = 0; part < layout.parts(); ++part) {
    connect(layout, part, 0);
    if (both)
      connect(layout, part, microBatches - 1);
  }
  for (size_t s = 0; usesDataLink && s < count; ++s)
    for (const Task &task : lists[s])
      chunkOf(s, task).gradientsLeft += givesGradients(task.kind);
  for (int64_t j = 0; j < microBatches; ++j)
    chunks[numberOf(layout.site(0, j))].forwardInputs[j].time = {};
}

void Simulation::connect(const Layout &layout, int64_t part,
                         int64_t microBatch) {
  Site site = layout.site(part, microBatch);
  Chunk &chunk = chunks[numberOf(site)];
  if (part + 1 < layout.parts()) {
    Site after = layout.site(part + 1, microBatch);
    chunk.after = numberOf(after);
    chunk.linkAfter = link(site.stage, after.stage, chunk.part->forwardLink);
  }
  if (part > 0) {
    Site before = layout.site(part - 1, microBatch);
    chunk.before = numberOf(before);
    chunk.linkBefore = link(site.stage, before.stage, chunk.part->backwardLink);
  }
}

size_t Simulation::link(size_t from, size_t to, int64_t name) {
  if (from == to)
    return nowhere;
  return name < 0 ? network.linkBetween(from, to)
                  : network.namedLink(from, name);
}

//===----------------------------------------------------------------------===//
// Running tasks
//===----------------------------------------------------------------------===//

Timeline Simulation::run() {
  for (size_t s = count; s-- > 0;)
    awake.push_back(s);
  for (;;) {
    while (!awake.empty()) {
      size_t s = awake.back();
      awake.pop_back();
      advance(s);
    }
    std::optional<Request> request = network.nextRequest();
    if (!request)
      break;
    Picoseconds start =
        network.occupy(request->link, request->ready, request->time);
    arrive(request->stage, request->message, request->ready, start,
           start + request->time);
    --lanes[request->stage].waitingSends;
    awake.push_back(request->stage);
  }
  finishStep();
  for (size_t s = 0; s < count; ++s) {
    assert(lanes[s].next == lists[s].size() && "a schedule that cannot run");
    timeline.events.insert(timeline.events.end(), events[s].begin(),
                           events[s].end());
    std::ranges::sort(transfers[s], {}, [](const Transfer &t) {
      return std::tuple(t.start, t.end, t.kind, t.chunk, t.microBatch);
    });
    timeline.transfers.insert(timeline.transfers.end(), transfers[s].begin(),
                              transfers[s].end());
  }
  return std::move(timeline);
}

/// Runs all tasks of a stage whose inputs have arrived.
void Simulation::advance(size_t s) {
  Lane &lane = lanes[s];
  const TaskList &tasks = lists[s];
  while (lane.next < tasks.size()) {
    // Its own sends slow it down, so they must be known.
    if (lane.waitingSends > 0 && problem.slowDown != 1)
      return;
    std::span<const Task> together(&tasks[lane.next],
                                   tasks[lane.next].paired ? 2 : 1);
    for (const Task &task : together) {
      const Arrival *input = inputOf(s, task);
      if (input && input->time == notYet) {
        lane.lacks = input;
        return;
      }
    }
    lane.lacks = nullptr;
    start(s, together);
  }
}

const Arrival *Simulation::inputOf(size_t s, const Task &task) {
  if (task.kind == TaskKind::BackwardWeight)
    return nullptr;
  const Chunk &chunk = chunkOf(s, task);
  bool forward = task.kind == TaskKind::Forward;
  return (forward ? chunk.forwardInputs : chunk.backwardInputs) +
         task.microBatch;
}

void Simulation::start(size_t s, std::span<const Task> together) {
  Lane &lane = lanes[s];
  StageResult &result = timeline.stages[s];
  Picoseconds start = lane.free, underWay, work;
  for (const Task &task : together) {
    work += timeOf(*chunkOf(s, task).part, task.kind);
    const Arrival *input = inputOf(s, task);
    if (!input || input->time <= start)
      continue;
    start = input->time;
    underWay = input->time - input->ready;
  }
  if (together.size() > 1)
    work = work.scaled(problem.pairedTime);
  result.exposedTransfer += std::min(start - lane.free, underWay);
  result.bubble += start - lane.free;
  if (lane.next == 0)
    result.start = start;
  lane.free = start;
  lane.next += together.size();
  compute(s, together, work);
}

void Simulation::compute(size_t s, std::span<const Task> together,
                         Picoseconds work) {
  Lane &lane = lanes[s];
  std::optional<Pieces> pieces;
  if (usesDataLink) {
    pieces = prepare(s, together);
    gatherNext(s);
  }
  Picoseconds start = lane.free;
  Bytes memory = hold(s, together);
  if (pieces)
    runPieces(s, *pieces, work);
  else
    runFor(s, work);
  timeline.stages[s].computed = lane.free;
  for (const Task &task : together) {
    note(s, eventOf(task.kind), task, start, lane.free, memory);
    release(s, task);
    deliver(s, task, lane.free);
  }
  if (usesDataLink)
    reduceAlone(s, together);
}

/// Reductions of single tasks that do not overlap.
void Simulation::reduceAlone(size_t s, std::span<const Task> together) {
  for (const Task &task : together) {
    const Stage &part = *chunkOf(s, task).part;
    if (part.buckets > 0 || part.gatherEvery == GatherEvery::Step ||
        !givesGradients(task.kind))
      continue;
    timeline.stages[s].exposedGradients += part.gradientSync;
    spend(s, Event::Kind::GradientSync, task, part.gradientSync);
  }
}

/// Waits for gathers that do not overlap, and collects those that do.
Pieces Simulation::prepare(size_t s, std::span<const Task> together) {
  Pieces pieces;
  for (size_t i = 0; i < together.size(); ++i) {
    const Task &task = together[i];
    Chunk &chunk = chunkOf(s, task);
    const Stage &part = *chunk.part;
    bool overlaps = part.buckets > 0;
    if (chunk.gather && task.kind != TaskKind::BackwardWeight) {
      if (overlaps)
        pieces.gathers[i] = chunk.gather;
      else {
        timeline.stages[s].exposedGather += part.parameterGather;
        spend(s, Event::Kind::ParameterGather, task, part.parameterGather);
      }
      chunk.gather.reset();
    }
    bool last = givesGradients(task.kind) && --chunk.gradientsLeft == 0;
    if (overlaps && part.gradientSync != Picoseconds() &&
        givesGradients(task.kind) &&
        (last || part.gatherEvery == GatherEvery::Task))
      pieces.reductions[i] = &task;
    if (pieces.gathers[i] || pieces.reductions[i])
      pieces.count = std::max(pieces.count, part.buckets);
  }
  return pieces;
}

void Simulation::runPieces(size_t s, const Pieces &pieces, Picoseconds work) {
  Lane &lane = lanes[s];
  StageResult &result = timeline.stages[s];
  int64_t n = pieces.count;
  for (int64_t i = 0; i < n; ++i) {
    for (const std::optional<Gather> &gather : pieces.gathers) {
      if (!gather)
        continue;
      Picoseconds there = gather->start + share(gather->time, i + 1, n);
      result.exposedGather += std::max(there - lane.free, Picoseconds());
      lane.free = std::max(lane.free, there);
    }
    runFor(s, share(work, i + 1, n) - share(work, i, n));
    for (const Task *task : pieces.reductions) {
      if (!task)
        continue;
      Picoseconds sync = chunkOf(s, *task).part->gradientSync;
      useDataLink(s, Transfer::Kind::GradientSync, *task, lane.free,
                  share(sync, i + 1, n) - share(sync, i, n));
    }
  }
}

void Simulation::runFor(size_t s, Picoseconds work) {
  Lane &lane = lanes[s];
  Picoseconds end =
      problem.slowDown == 1
          ? lane.free + work
          : lane.communication.end(lane.free, work, problem.slowDown);
  timeline.stages[s].busy += end - lane.free;
  timeline.stages[s].slowed += end - lane.free - work;
  lane.free = end;
}

Bytes Simulation::hold(size_t s, std::span<const Task> together) {
  Lane &lane = lanes[s];
  StageResult &result = timeline.stages[s];
  Bytes transient;
  for (const Task &task : together) {
    const Stage &part = *chunkOf(s, task).part;
    bool forward = task.kind == TaskKind::Forward;
    transient += forward ? part.forwardTransient : part.backwardTransient;
    if (!forward)
      continue;
    lane.saved += part.saved;
    result.inFlight = std::max(result.inFlight, ++lane.alive);
  }
  Bytes memory = lane.resident + lane.saved + transient;
  if (memory > result.peak) {
    result.peak = memory;
    result.peakAt = lane.free;
  }
  return memory;
}

void Simulation::release(size_t s, const Task &task) {
  Lane &lane = lanes[s];
  const Stage &part = *chunkOf(s, task).part;
  if (task.kind == TaskKind::BackwardInput)
    lane.saved -= part.saved - part.weightSaved;
  if (task.kind == TaskKind::BackwardWeight)
    lane.saved -= part.weightSaved;
  if (task.kind == TaskKind::Backward)
    lane.saved -= part.saved;
  lane.alive -= givesGradients(task.kind);
}

//===----------------------------------------------------------------------===//
// Communication
//===----------------------------------------------------------------------===//

/// At the start of the step: parameters of all chunks, in order of use.
void Simulation::gatherFirst(size_t s) {
  int64_t left = perStage;
  std::vector<bool> seen(perStage);
  for (size_t i = 0; i < lists[s].size() && left > 0; ++i) {
    const Task &task = lists[s][i];
    if (seen[task.chunk])
      continue;
    seen[task.chunk] = true;
    --left;
    Chunk &chunk = chunkOf(s, task);
    const Stage &part = *chunk.part;
    if (part.parameterGather == Picoseconds() ||
        (part.gatherEvery == GatherEvery::Task && i > 0))
      continue;
    chunk.gather = part.buckets == 0
                       ? Gather()
                       : useDataLink(s, Transfer::Kind::ParameterGather, task,
                                     {}, part.parameterGather);
  }
}

/// While a task runs: parameters for the task, or pair, that follows.
void Simulation::gatherNext(size_t s) {
  Lane &lane = lanes[s];
  const TaskList &tasks = lists[s];
  size_t end = lane.next;
  while (end < tasks.size() && tasks[end].kind == TaskKind::BackwardWeight)
    ++end;
  end = std::min(tasks.size(),
                 end + (end < tasks.size() && tasks[end].paired ? 2 : 1));
  for (size_t i = lane.next; i < end; ++i) {
    const Task &task = tasks[i];
    Chunk &chunk = chunkOf(s, task);
    const Stage &part = *chunk.part;
    if (part.gatherEvery == GatherEvery::Step ||
        part.parameterGather == Picoseconds() || chunk.gather ||
        task.kind == TaskKind::BackwardWeight)
      continue;
    chunk.gather = part.buckets == 0
                       ? Gather()
                       : useDataLink(s, Transfer::Kind::ParameterGather, task,
                                     lane.free, part.parameterGather);
  }
}

Gather Simulation::useDataLink(size_t s, Transfer::Kind kind, const Task &task,
                               Picoseconds ready, Picoseconds time) {
  Lane &lane = lanes[s];
  Picoseconds start = std::max(lane.dataLink, ready);
  lane.dataLink = start + time;
  if (problem.slowDown != 1)
    lane.communication.add(start, lane.dataLink);
  auto stage = static_cast<uint32_t>(s);
  if (keepEvents)
    transfers[s].push_back({kind, stage, stage, task.chunk, task.microBatch,
                            start, lane.dataLink});
  return {start, time};
}

void Simulation::deliver(size_t s, const Task &task, Picoseconds end) {
  const Chunk &chunk = chunkOf(s, task);
  const Stage &part = *chunk.part;
  if (task.kind == TaskKind::Forward && chunk.after == nowhere)
    chunk.backwardInputs[task.microBatch] = {end, end};
  else if (task.kind == TaskKind::Forward)
    send(s, chunk.linkAfter, part.sendForward,
         {chunk.after, task.microBatch, true}, end);
  else if (task.kind != TaskKind::BackwardWeight && chunk.before != nowhere)
    send(s, chunk.linkBefore, part.sendBackward,
         {chunk.before, task.microBatch, false}, end);
}

void Simulation::send(size_t s, size_t link, Picoseconds time,
                      const Message &message, Picoseconds ready) {
  if (link == nowhere) {
    arrivalOf(message) = {ready, ready};
  } else if (network.isShared(link)) {
    ++lanes[s].waitingSends;
    network.request({link, s, ready, time, message});
  } else {
    Picoseconds start = network.occupy(link, ready, time);
    arrive(s, message, ready, start, start + time);
  }
}

void Simulation::arrive(size_t from, const Message &message, Picoseconds ready,
                        Picoseconds start, Picoseconds end) {
  Arrival &arrival = arrivalOf(message);
  arrival = {end, ready};
  size_t to = chunks[message.chunk].stage;
  if (lanes[to].lacks == &arrival)
    awake.push_back(to);
  if (problem.slowDown != 1)
    lanes[from].communication.add(start, end);
  if (keepEvents && start != end)
    transfers[from].push_back(
        {message.forward ? Transfer::Kind::Forward : Transfer::Kind::Backward,
         static_cast<uint32_t>(from), static_cast<uint32_t>(to),
         static_cast<uint32_t>(message.chunk % perStage), message.microBatch,
         start, end});
}

//===----------------------------------------------------------------------===//
// The end of the step
//===----------------------------------------------------------------------===//

void Simulation::finishStep() {
  for (size_t s = 0; s < count; ++s)
    finishGradients(s);
  Layout layout = layoutOf(specOf(problem));
  for (const SharedVariables &shared : problem.shared) {
    Picoseconds start;
    auto laneOf = [&](uint32_t part) { return layout.site(part, 0).stage; };
    for (uint32_t part : shared.stages)
      start = std::max(start, lanes[laneOf(part)].free);
    for (uint32_t part : shared.stages) {
      Lane &lane = lanes[laneOf(part)];
      timeline.stages[laneOf(part)].exposedGradients +=
          start + shared.sync - lane.free;
      lane.free = start;
      spend(laneOf(part), Event::Kind::SharedSync, {}, shared.sync);
    }
  }
  for (size_t s = 0; s < count; ++s) {
    for (int64_t c = 0; c < perStage; ++c)
      spend(s, Event::Kind::Update, {.chunk = static_cast<uint16_t>(c)},
            chunks[s * perStage + c].part->update);
    timeline.stages[s].finish = lanes[s].free;
    timeline.step = std::max(timeline.step, lanes[s].free);
  }
}

/// Reductions that do not overlap, and the end of those that do.
void Simulation::finishGradients(size_t s) {
  Lane &lane = lanes[s];
  Picoseconds before = lane.free;
  for (int64_t c = 0; c < perStage; ++c) {
    const Stage &part = *chunks[s * perStage + c].part;
    if (part.buckets == 0 && part.gatherEvery == GatherEvery::Step)
      spend(s, Event::Kind::GradientSync, {.chunk = static_cast<uint16_t>(c)},
            part.gradientSync);
  }
  lane.free = std::max(lane.free, lane.dataLink);
  timeline.stages[s].exposedGradients += lane.free - before;
}

void Simulation::spend(size_t s, Event::Kind kind, const Task &task,
                       Picoseconds time) {
  Lane &lane = lanes[s];
  if (time == Picoseconds())
    return;
  note(s, kind, task, lane.free, lane.free + time, lane.resident + lane.saved);
  lane.free += time;
}

void Simulation::note(size_t s, Event::Kind kind, const Task &task,
                      Picoseconds start, Picoseconds end, Bytes memory) {
  if (keepEvents)
    events[s].push_back({static_cast<uint32_t>(s), kind, task.microBatch, start,
                         end, memory, task.chunk});
}

} // namespace

Picoseconds Timeline::longestStage() const {
  Picoseconds most;
  for (const StageResult &stage : stages)
    most = std::max(most, stage.computed - stage.start);
  return most;
}

double Timeline::bubbleRate() const {
  double busy = 0;
  for (const StageResult &stage : stages)
    busy += stage.busy.asDouble();
  double all = longestStage().asDouble() * static_cast<double>(stages.size());
  return all > 0 ? 1 - busy / all : 0;
}

ScheduleSpec specOf(const Problem &problem) {
  ScheduleSpec spec;
  spec.order = problem.order;
  spec.chunks = chunksOf(problem.order, problem.chunks);
  spec.microBatches = problem.microBatches;
  spec.savedLimit = problem.savedLimit;
  auto parts = static_cast<int64_t>(problem.stages.size());
  bool oneEach = layoutOf(spec).placement == Placement::Bidirectional;
  spec.stages = oneEach ? parts : parts / std::max<int64_t>(1, spec.chunks);
  if (usesCosts(spec.order))
    for (const Stage &part : problem.stages)
      spec.costs.push_back({part.forward, part.backward - part.weight,
                            part.weight, part.sendForward, part.sendBackward,
                            part.saved, part.weightSaved});
  return spec;
}

std::optional<std::string> brokenRule(const Problem &problem) {
  ScheduleSpec spec = specOf(problem);
  auto parts = static_cast<int64_t>(problem.stages.size());
  if (spec.chunks > 0 && parts > 0 && layoutOf(spec).parts() != parts)
    return "'" + std::string(nameOf(problem.order)) +
           "' needs parts of the model in multiples of the chunks per stage (" +
           std::to_string(spec.chunks) + "), found " + std::to_string(parts);
  if (auto broken = brokenRule(spec))
    return broken;
  if (problem.slowDown < 1 || problem.pairedTime <= 0)
    return "compute beside communication cannot be faster than alone";
  return std::nullopt;
}

Timeline simulate(const Problem &problem, bool keepEvents) {
  return simulate(problem, makeSchedule(specOf(problem)), keepEvents);
}

Timeline simulate(const Problem &problem, const TaskLists &lists,
                  bool keepEvents) {
  return Simulation(problem, lists, keepEvents).run();
}

} // namespace whale::simulator
