//===- Evaluate.h - what a candidate costs ----------------------*- C++ -*-===//
//
// Candidate = normal form + cuts + devices. Its prediction comes from costs of
// classes (computed once each) and the pipeline simulator. Nothing here
// searches.
//
// Memory of a rank, by part: parameters, gradient accumulators, optimizer state
// (over the replicas with `shard = optimizer`), saved activations (slots *
// bytes of a micro-batch), transients (largest live set of values that are not
// saved), communication (a second receive buffer each way at a stage boundary),
// layout (allowance for buffer assignment: layoutPercent of activations,
// transients and communication), reserve (catalogue).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_EVALUATE_H
#define WHALE_PLANNER_EVALUATE_H

#include "compiler/cost/ClassCost.h"
#include "compiler/planner/Chunks.h"
#include "compiler/planner/Devices.h"
#include "compiler/simulator/Pipeline.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>

namespace whale::planner {

/// What buffer assignment may need beyond the live set, in percent of what is
/// no state; measured: up to 3.6 for experts and selective recompute, below 0.1
/// for most models (docs/cost-model.md).
constexpr int64_t layoutPercent = 4;

struct MemoryParts {
  Bytes parameters, gradients, optimizer, other;
  Bytes activations, transients, communication, layout, reserve;
  /// In the memory of the host.
  Bytes hostParameters, hostGradients, hostOptimizer, hostActivations;

  Bytes total() const;
  Bytes host() const;
  /// What the program's arena may be: all but the reserve.
  Bytes arena() const { return total() - reserve; }
};
/// The parts by name, in a fixed order.
std::vector<std::pair<std::string_view, Bytes>>
namedParts(const MemoryParts &memory);
std::vector<std::pair<std::string_view, Bytes>>
namedHostParts(const MemoryParts &memory);

struct StagePrediction {
  /// Instances first..last-1; of several chunks those of the first one.
  int64_t first = 0, last = 0;
  /// What each of several chunks holds.
  std::vector<Range> chunks;
  unsigned deviceType = 0;
  /// One micro-batch.
  Picoseconds forward, backward, communication, recompute;
  /// Of both directions, what waits for transfers from or to the host.
  Picoseconds hostWait;
  /// Of `backward`, what only the gradients of weights need.
  Picoseconds weight;
  Picoseconds sendForward, sendBackward;
  /// Once per step.
  Picoseconds gradientSync, update;
  /// Of the whole step.
  Picoseconds busy, bubble;
  int64_t inFlight = 0;
  /// Per step and rank: split collectives, boundary, gradients.
  Bytes splitTraffic, boundaryTraffic, gradientTraffic;
  /// Per step and rank, both directions.
  Bytes hostTraffic;
  MemoryParts memory;
  Bytes capacity;
  /// What the rank can use of the host's memory.
  Bytes hostCapacity;

  std::vector<Range> held() const {
    return chunks.empty() ? std::vector<Range>{{first, last}} : chunks;
  }

  /// What is missing on the device or in the host; not positive = it fits.
  Bytes deficit() const {
    return std::max(memory.total() - capacity, memory.host() - hostCapacity);
  }
  /// That of another rank or replica of the stage.
  void takeMemory(const StagePrediction &other);
  /// Whether the host's memory is what is short, or shortest.
  bool isHostShort() const {
    return memory.host() - hostCapacity > memory.total() - capacity &&
           memory.host() > hostCapacity;
  }
};

/// Where the step's time goes, on the stage that is busy longest.
struct Breakdown {
  Picoseconds compute, recompute, splitCommunication, pipelineIdle;
  Picoseconds gradientSync, update;
  /// Waiting for transfers from or to the host's memory.
  Picoseconds hostTransfers;
  /// The host's, and waiting for the slowest of many devices.
  Picoseconds overhead;
};

struct Prediction {
  Picoseconds step;
  double samplesPerSecond = 0;
  /// Model FLOPs over peak FLOPs of the devices used.
  double utilization = 0;
  std::vector<StagePrediction> stages;
  Breakdown breakdown;
  /// The stages' memory is that of programs laid out for this plan, not that of
  /// the model the search goes by.
  bool memoryMeasured = false;

  /// Of the stage that is most short; positive = does not fit.
  Bytes deficit() const;
  /// Whether something lies in the host's memory.
  bool usesHost() const;
};

/// What instances of a stage do so that it fits and takes the least time, by
/// number.
struct Relief {
  int64_t recomputeLayers = 0, selectiveLayers = 0;
  Offload offload;
  /// No relief, but what memory to spare is good for.
  int64_t gatheredLayers = 0;

  auto operator<=>(const Relief &) const = default;
  bool isOpen() const;
};
struct ReliefHash {
  size_t operator()(const Relief &relief) const {
    size_t hash = 0;
    for (int64_t number : {relief.recomputeLayers, relief.selectiveLayers,
                           relief.offload.optimizer, relief.offload.parameters,
                           relief.offload.activations, relief.gatheredLayers})
      hash = hash * 0x9e3779b97f4a7c15 + static_cast<size_t>(number);
    return hash;
  }
};
Relief reliefOf(const StageForm &stage);
void setRelief(StageForm &stage, const Relief &relief);

struct Candidate {
  NormalForm form;
  /// Positions at which the parts of the model begin and the last one ends: one
  /// part a stage, or one a chunk (isChunked()).
  std::vector<int64_t> cuts;
  DeviceMap devices;
};

/// Whether an axis is in the meshes of the cost model: splits, and replicas
/// with colocated splits.
bool isMeshAxis(const Axis &axis);
/// A stage's axes as the ops of a run see them; `samples` on one rank, or those
/// of all ranks of a split that also cuts the batch (`split(d, [experts,
/// batch])`). `rank` has a coordinate for each axis, which matter where splits
/// have shares; empty = all 0.
cost::LocalMesh meshOf(const workload::Workload &workload,
                       const StageForm &stage, const workload::Run &run,
                       int64_t samples, const std::vector<int64_t> &rank = {});

/// Whether the shards of a sequence, which lie next to the replicas of this
/// axis, count as such.
bool joinsNext(const cost::Stack &stack, const StageForm &stage, size_t axis);
/// Over how many replicas ZeRO cuts what a rank of the stage's mesh owns of the
/// state (StateBytes::owned): those that are no axis of that mesh.
int64_t shardDegree(const StageForm &stage);
/// Whether replicas keep no more than a share of some state; of gradients and
/// of parameters.
bool cutsState(const StageForm &stage);
bool cutsParameters(const StageForm &stage);
bool cutsGradients(const StageForm &stage);

/// An op's dimension with fewer elements than the pieces that an axis must make
/// of it.
struct ShortDim {
  std::string op, dim;
  int64_t extent = 1, pieces = 1;
};
/// The first among instances first..last-1, if any: `compile` refuses them.
std::optional<ShortDim> shortDim(const workload::Workload &workload,
                                 const StageForm &stage, int64_t first,
                                 int64_t last);

/// Instances that share a variable: positions of the tied one and the owner.
struct Tie {
  int64_t user = 0, owner = 0;
  uint32_t variable = 0;
};
std::vector<Tie> ties(const workload::Workload &workload);

/// Costs of classes of one workload, which must outlive them where it is, on
/// hardware that differs in the number of its nodes at most; safe for several
/// threads.
struct ClassCosts {
  std::mutex mutex;
  /// By class and context as text; of `works` without the groups, of `alike`
  /// without samples and device type.
  std::unordered_map<std::string, cost::ClassCost> costs;
  std::unordered_map<std::string, cost::ClassWork> works;
  std::unordered_map<std::string, cost::ClassWorks> alike;
};

/// What stages do to fit, by their first instance and the one behind their
/// last; safe for several threads.
class KnownReliefs {
public:
  /// `find` says what is not known yet.
  template <class F> Relief of(int64_t first, int64_t last, F find) {
    {
      std::lock_guard lock(mutex);
      auto it = known.find({first, last});
      if (it != known.end())
        return it->second;
    }
    Relief made = find();
    std::lock_guard lock(mutex);
    return known.emplace(std::pair(first, last), made).first->second;
  }

private:
  std::mutex mutex;
  std::map<std::pair<int64_t, int64_t>, Relief> known;
};

/// Costs of classes for one problem; safe for several threads.
class CostTable {
public:
  /// `costs` may be those of other problems, as far as they are alike.
  CostTable(const workload::Workload &workload, const cost::Hardware &hardware,
            std::shared_ptr<ClassCosts> costs = std::make_shared<ClassCosts>())
      : workload(workload), hardware(hardware), ties(planner::ties(workload)),
        classes(std::move(costs)) {}

  const cost::ClassCost &of(uint32_t moduleClass,
                            const cost::ClassContext &context);

  /// Of each run on a rank (its coordinates) of a stage whose micro-batches
  /// have so many samples; recompute, device type and groups are those of
  /// `context`.
  const std::vector<const cost::ClassCost *> &
  ofStage(const StageForm &stage, cost::ClassContext context, int64_t samples,
          const std::vector<int64_t> &rank);

  /// Of all stages that are alike in what decides it, as text.
  KnownReliefs &reliefs(const std::string &key);

  /// Of each stage of several: (chunk, micro-batch) pairs whose activations it
  /// holds at once.
  std::vector<int64_t> alive(Schedule schedule, int64_t stages, int64_t chunks,
                             int64_t microBatches);

  const workload::Workload &workload;
  const cost::Hardware &hardware;
  const std::vector<Tie> ties;

private:
  const cost::ClassWork &workOf(const std::string &key,
                                const std::string &worksKey,
                                uint32_t moduleClass,
                                const cost::ClassContext &context);

  std::shared_ptr<ClassCosts> classes;
  std::mutex mutex;
  std::unordered_map<std::string, std::vector<const cost::ClassCost *>> stages;
  std::unordered_map<std::string, KnownReliefs> reliefsByKey;
  /// By order, stages, chunks and micro-batches; of each stage.
  std::map<std::tuple<Schedule, int64_t, int64_t, int64_t>,
           std::vector<int64_t>>
      inFlight;
};

/// A form on its devices, with the costs of each run in each stage looked up.
/// `coordinates` picks the replica whose devices are meant, which has so many
/// samples; where stages cut the batch differently, that is a pipeline, and the
/// fullest replica of each stage counts. Where splits have shares, ranks of a
/// stage differ in all that they hold: one kind of them is looked at, and
/// `views` look at the others.
class FormCosts {
public:
  FormCosts(CostTable &table, const NormalForm &form, const DeviceMap &devices,
            const std::vector<int64_t> &replica, int64_t samples)
      : FormCosts(table, form, devices, replica, samples, 0) {}

  const cost::ClassCost &run(unsigned stage, size_t run) const {
    return *costs[like[stage]][run].cost;
  }
  /// One micro-batch of one instance at least, whatever it may recompute;
  /// parameters gathered and gradients scattered where they are cut over
  /// the replicas (ZeRO-3).
  Picoseconds forward(unsigned stage, size_t run) const;
  Picoseconds backward(unsigned stage, size_t run) const;
  struct Times {
    Picoseconds forward, backward;
  };
  /// On the fastest of the stage's ranks, where all have parts of equal widths.
  Times onFastest(unsigned stage, size_t run) const {
    return costs[like[stage]][run].fastest;
  }
  /// What the relief of a stage adds to forward() and backward().
  Times relieved(unsigned stage, int64_t first, int64_t last) const;
  /// As the form says, or what it takes to fit (Relief.cpp).
  Relief relief(unsigned stage, int64_t first, int64_t last) const;
  /// That of the stage's devices which has the least memory.
  unsigned deviceType(unsigned stage) const { return types[stage]; }
  /// Of the host of each of them, at least.
  Bytes hostMemory(unsigned stage) const;
  /// The first stage whose classes cost what this one's do.
  unsigned likeStage(unsigned stage) const { return like[stage]; }
  /// Whether some stage recomputes single layers, keeps some gathered, or has
  /// something in the host's memory.
  bool hasRelief() const { return layered || offloads || gathers; }
  bool mayOffload() const { return offloads; }
  /// Micro-batches whose activations the stage holds at once, in whole stages;
  /// and in chunks of them.
  int64_t slots(unsigned stage) const {
    return slotsOf(aliveChunks[stage], form.virtualStages);
  }
  int64_t alive(unsigned stage) const { return aliveChunks[stage]; }
  /// What a stage does once per step, after its last task.
  Picoseconds tail(unsigned stage, int64_t first, int64_t last) const;
  /// The exchange of gradients between instances on two stages that share a
  /// variable; it follows the stages' own.
  Picoseconds tieTime(const Tie &tie, unsigned user, unsigned owner) const;
  /// The least that such exchanges add to tail(), whatever the other stages
  /// hold. More instances make it no less.
  Picoseconds leastTies(unsigned stage, int64_t first, int64_t last) const;
  /// A message to the next stage, and one back, where that begins at
  /// `position`.
  Picoseconds messageThere(unsigned stage, int64_t position) const;
  Picoseconds messageBack(unsigned stage, int64_t position) const;
  /// What decides what messages between a stage and the next one take.
  struct Link {
    unsigned from = 0, to = 0;
    int64_t device = 0, distance = 0;

    auto operator<=>(const Link &) const = default;
  };
  Link linkFrom(unsigned stage) const { return linkOf(stage, stage + 1); }
  MemoryParts memory(unsigned stage, int64_t first, int64_t last) const;
  /// With as many recomputed layers as that takes, where the form leaves them
  /// open.
  bool fits(unsigned stage, int64_t first, int64_t last) const;
  /// The most that relief may add to forward() and backward(), and to what the
  /// device takes for the update, in picoseconds.
  struct Spare {
    double forward = 1e300, backward = 1e300, update = 1e300;
  };
  /// False where no relief that the form leaves open makes instances
  /// first..last-1 fit and adds no more (ReliefBound.cpp).
  bool mayRelieve(unsigned stage, int64_t first, int64_t last,
                  const Spare &spare) const;
  enum class Fit {
    /// All stages together have too little memory.
    Never,
    /// The same of as many instances as they do within a time.
    NotWithin,
    May,
  };
  /// Of stages that hold these (chunk, micro-batch) pairs each, in as many
  /// chunks, and take no longer than `limit` for a micro-batch.
  Fit mayFit(const std::vector<int64_t> &alive, int64_t chunks,
             Picoseconds limit = Picoseconds::max()) const;
  /// Everything of a stage but busy and bubble.
  StagePrediction stage(unsigned stage, int64_t first, int64_t last) const;
  /// A stage of several chunks.
  struct Chunked {
    /// Its activations are what it keeps of one micro-batch only; its layout is
    /// not known yet.
    StagePrediction whole;
    /// By chunk: times, messages, and the activations of a micro-batch.
    std::vector<StagePrediction> parts;
  };
  Chunked chunked(unsigned stage, const std::vector<int64_t> &cuts) const;
  /// The times alone of a part of the model.
  StagePrediction partOf(int64_t part, const std::vector<int64_t> &cuts) const;
  /// Completes the memory of a stage whose other parts are there.
  void addAllowance(unsigned stage, MemoryParts &parts) const;

private:
  /// Of the `view`-th kind of ranks in each stage, as far as it has so many.
  FormCosts(CostTable &table, const NormalForm &form, const DeviceMap &devices,
            const std::vector<int64_t> &replica, int64_t samples, size_t view);
  Picoseconds gradientTime(unsigned stage, int64_t first, int64_t last,
                           const cost::StateBytes &state) const;
  int64_t replicas(unsigned stage) const {
    return form.stages[stage].degree(AxisKind::Replica);
  }
  int64_t innerDevices(unsigned stage) const {
    return form.stages[stage].innerDevices(form.outerAxes);
  }
  /// Of each kind of ranks in the stage. Looked up once: a FormCosts belongs to
  /// one thread.
  const std::vector<cost::Group> &groupsOf(unsigned stage, unsigned axis) const;
  cost::Group groupThrough(const Coordinates &rank, unsigned axis) const;
  /// What the slowest of the stage's types takes.
  template <class F> Picoseconds slowest(unsigned stage, F time) const;
  /// So many (chunk, micro-batch) pairs in whole stages.
  int64_t slotsOf(int64_t alive, int64_t chunks) const {
    return std::min(ceilDivide(alive, chunks), form.microBatches);
  }
  int64_t leastSlots(int64_t alive, int64_t chunks) const;
  unsigned likeEarlier(unsigned stage) const;
  unsigned typeOf(const Coordinates &rank) const {
    return table.hardware.poolOf(devices.deviceOf(form, rank)).type;
  }
  struct RunCost {
    /// On the slowest rank.
    const cost::ClassCost *cost = nullptr;
    /// With what is gathered and scattered; and where its parameters stay
    /// gathered.
    Times each, gathered;
    /// On the fastest one, without what is gathered.
    Times fastest;
  };
  static void takeSlower(const cost::ClassCost &cost, RunCost &slowest);
  std::vector<std::vector<Coordinates>>
  kindsOf(unsigned stage, std::vector<Coordinates> ranks, int64_t samples);
  void addViews(int64_t samples);
  /// Over the ways in which instances of the stage may recompute, gathered or
  /// not.
  Picoseconds fastest(unsigned stage, size_t run,
                      Picoseconds Times::*time) const;
  /// Instances of one run that follow each other and have the same relief.
  struct Piece {
    size_t run = 0;
    int64_t count = 0;
    Recompute recompute = Recompute::None;
    /// In the host's memory: what is saved; parameters and gradients.
    bool savedAway = false, parametersAway = false;
    bool gathered = false;
  };
  std::vector<Piece> pieces(unsigned stage, int64_t first, int64_t last,
                            const Relief &relief) const;
  const RunCost &costOf(unsigned stage, const Piece &piece) const {
    return costsOf(stage, piece.recompute)[piece.run];
  }
  const Times &timesOf(unsigned stage, const Piece &piece) const {
    const RunCost &one = costOf(stage, piece);
    return piece.gathered ? one.gathered : one.each;
  }
  const std::vector<RunCost> &costsOf(unsigned stage, Recompute mode) const;
  /// A stage, and what it holds.
  struct Held {
    unsigned stage = 0;
    int64_t first = 0, last = 0;

    auto operator<=>(const Held &) const = default;
  };
  Relief reliefNeeded(const Held &held) const;
  KnownReliefs &knownReliefs(unsigned stage) const;
  Relief fewest(const Held &held, Relief relief, size_t way) const;
  Relief leastRecompute(const Held &held, Relief start) const;
  Relief leastTime(const Held &held, const Relief &start) const;
  /// Of the ranks that are looked at.
  StagePrediction stageWith(const Held &held, const Relief &relief) const;
  void gatherMore(const Held &held, const Relief &start, int64_t first,
                  int64_t last, Relief &best) const;
  int64_t mostGathered(const Held &held, Relief relief, int64_t first,
                       int64_t last) const;
  Picoseconds mostSaved(const Held &held, int64_t first, int64_t last) const;
  bool mayGather(unsigned stage) const;
  void takeFaster(const Held &held, const Relief &other, Relief &best) const;
  void mix(const Held &held, int64_t first, const Relief &full,
           Relief &best) const;
  Picoseconds computeTime(const Held &held, const Relief &relief) const;
  Relief filled(const Held &held, Relief relief,
                const std::vector<size_t> &order) const;
  Relief trimmed(const Held &held, Relief relief,
                 const std::vector<size_t> &order) const;
  std::vector<size_t> byPrice(const Held &held, const Relief &none) const;
  Relief hidden(const Held &held, Relief none) const;
  bool isOpen(unsigned stage, size_t way) const;
  double timeWith(const Held &held, const Relief &relief) const;
  MemoryParts memoryWith(unsigned stage, int64_t first, int64_t last,
                         const Relief &relief) const;
  bool fitsWith(const Held &held, const Relief &relief) const;
  bool mayHold(const Held &held, const Relief &relief) const;
  /// Between a device and its host.
  struct HostTraffic {
    /// To the device, and from it.
    Bytes in, out;
    /// What the host's processor reads and writes besides.
    Bytes touched;
  };
  Picoseconds hostTime(unsigned stage, const HostTraffic &traffic) const;
  /// Of a micro-batch that saves so much in the host's memory.
  HostTraffic forwardTraffic(unsigned stage, int64_t first,
                             const Offload &offload, Bytes saved) const;
  HostTraffic backwardTraffic(unsigned stage, int64_t first,
                              const Offload &offload, Bytes saved) const;
  void setHostTimes(unsigned stage, const Relief &relief,
                    StagePrediction &result) const;
  /// Once a step, where the host's processor updates; and where the device
  /// does.
  HostTraffic hostUpdate(unsigned stage, int64_t first,
                         const Offload &offload) const;
  HostTraffic deviceUpdate(unsigned stage, int64_t first,
                           const Offload &offload) const;
  void setUpdate(unsigned stage, const Relief &relief,
                 const cost::StateBytes &state, StagePrediction &result) const;
  Bytes weightsOf(unsigned stage, int64_t first, int64_t last) const;
  Bytes updatedWeights(unsigned stage, int64_t first, int64_t last) const;
  Bytes hostedGradients(unsigned stage, int64_t first,
                        const Offload &offload) const;
  Bytes updatedState(unsigned stage, int64_t first, int64_t last) const;
  MemoryParts offloadedState(unsigned stage, int64_t first,
                             const cost::StateBytes &state,
                             const Offload &offload) const;
  void addMiddle(unsigned stage, int64_t first, int64_t last,
                 MemoryParts &parts) const;
  Bytes stagedMemory(unsigned stage, int64_t first,
                     const Offload &offload) const;
  void addStage(unsigned stage, int64_t samples);
  /// Of the stage's fullest replica.
  int64_t samplesOn(unsigned stage) const;
  std::vector<RunCost> runCosts(unsigned stage, int64_t samples,
                                Recompute recompute);
  cost::ClassContext contextOf(const Coordinates &rank,
                               Recompute recompute) const;
  /// Those that may differ; and of them those that are looked at.
  std::vector<Coordinates> ranksOf(unsigned stage) const;
  std::vector<Coordinates> ownRanks(unsigned stage) const;
  /// Devices that send to one another, one pair of each kind.
  using Route = std::pair<int64_t, int64_t>;
  const std::vector<Route> &routes(unsigned from, unsigned to) const;
  Link linkOf(unsigned from, unsigned to) const;
  Picoseconds sendTime(unsigned from, unsigned to, Bytes bytes) const;
  Picoseconds newSendTime(unsigned from, unsigned to, Bytes bytes) const;
  /// Calls `visit(run, count)` for the instances of each run in a range.
  template <class F>
  void forEachRun(int64_t first, int64_t last, F visit) const;
  cost::StateBytes stateOf(unsigned stage, int64_t first, int64_t last) const {
    const Range one[] = {{first, last}};
    return stateOf(stage, one);
  }
  cost::StateBytes stateOf(unsigned stage, std::span<const Range> held) const;
  /// Calls `visit(cost, argument)` for what an instance at the beginning of a
  /// stage is sent.
  template <class F>
  void forEachReceived(unsigned stage, int64_t position, F visit) const;
  Bytes boundary(unsigned stage, int64_t position, bool gradient) const;
  cost::Message message(unsigned stage, int64_t position) const;
  /// Saved values of a run's instances in a stage: of the first one, less those
  /// that other instances of the stage save too, and of each further one.
  struct Saved {
    Bytes first, each;
  };
  /// By piece.
  std::vector<Saved> savedOf(unsigned stage, int64_t first, int64_t last,
                             const std::vector<Piece> &pieces) const;
  /// By run of the workload: gradients of values from before the run that
  /// instances after it, or further ones of it, have added to.
  std::vector<Bytes> waitingGradients(unsigned stage, int64_t first,
                                      int64_t last) const;
  /// What instances keep and need of a micro-batch.
  struct Peak {
    /// What is saved; of it what is there only once; what lies in the host's
    /// memory.
    Bytes saved, once, away;
    /// The most of a task beside what is saved; with what is saved by then; and
    /// what is on its way from or to the host.
    Bytes transient, total, staged;
  };
  Peak peakOf(unsigned stage, int64_t first, int64_t last,
              const std::vector<Piece> &pieces) const;
  void setPeak(MemoryParts &parts, const Peak &peak, int64_t slots) const;
  void setSinglePeak(MemoryParts &parts, unsigned stage, int64_t first,
                     int64_t last, const std::vector<Piece> &pieces) const;
  /// The least that an instance of a run takes beside others of its run: state,
  /// and what it saves of a micro-batch; and what the stage needs once, on the
  /// device: beside what is saved, and of one micro-batch alone.
  struct LeastMemory {
    Bytes state, saved, once, alone;
    /// Whether the device has room for that with several slots, or with one.
    bool fitsSlots = true, fitsOne = true;
  };
  bool hasSinglePeak() const;
  void addLeast(const cost::ClassMemory &memory, LeastMemory &least) const;
  void setRooms(unsigned stage, LeastMemory &least) const;
  const LeastMemory &leastMemory(unsigned stage, size_t run) const;
  LeastMemory newLeastMemory(unsigned stage, size_t run) const;
  Bytes roomOf(unsigned stage) const;
  int64_t mostWithin(unsigned stage, size_t run, Picoseconds limit) const;
  int64_t mostHeld(unsigned stage, const LeastMemory &least,
                   int64_t slots) const;
  /// Of an instance of a run, in bytes and picoseconds.
  struct ReliefRates {
    /// What it needs at least: state, and what it saves of a micro-batch, but
    /// once for all of its run `shared` of that; and what the stage needs once.
    double state = 0, saved = 0, shared = 0, once = 0;
    /// Of what is saved, the most that recompute frees, and for each
    /// picosecond.
    double recomputed = 0, perTime = 0;
    /// Of the state, what its optimizer state frees, which takes so long; and
    /// what parameters free then, of so many bytes.
    double optimizer = 0, update = 0, parameters = 0, weights = 0;
    /// The update on the device.
    double deviceUpdate = 0;
  };
  const ReliefRates &reliefRates(unsigned stage, size_t run) const;
  void addSaved(unsigned stage, size_t which, ReliefRates &rates) const;
  void addState(unsigned stage, size_t which, ReliefRates &rates) const;
  /// What ZeRO-2 and -3 exchange for an instance and a micro-batch.
  struct ShardTimes {
    Picoseconds gather, scatter;
  };
  std::vector<ShardTimes> shardTimes(unsigned stage,
                                     const std::vector<RunCost> &runs) const;
  void addShardTimes(const std::vector<ShardTimes> &times, Recompute recompute,
                     std::vector<RunCost> &runs) const;
  Picoseconds copies(unsigned stage, int64_t count, Bytes bytes) const;
  Picoseconds summedAlone(unsigned stage, const cost::ClassCost &cost) const;
  /// A collective of `bytes(axis)` over each replica axis that is sharded, or
  /// over each other one.
  Picoseconds overReplicas(unsigned stage, CollectiveKind kind, bool sharded,
                           const std::function<Bytes(unsigned)> &bytes) const;
  Bytes wireGradients(const cost::WeightBytes &weights) const;
  /// What a rank keeps of them where they are cut over the replicas.
  Bytes keptGradients(unsigned stage, const cost::StateBytes &state) const;
  double overlapWindow() const;
  void setSynchronisation(unsigned stage, const cost::StateBytes &state,
                          StagePrediction &result) const;
  void setCompute(unsigned stage, const Relief &relief,
                  StagePrediction &result) const;
  void setMessages(unsigned stage, int64_t first, int64_t last,
                   StagePrediction &result) const;
  void setPartMessages(int64_t part, const std::vector<int64_t> &cuts,
                       StagePrediction &result) const;
  MemoryParts chunkedMemory(unsigned stage, const std::vector<int64_t> &cuts,
                            const cost::StateBytes &state,
                            std::vector<StagePrediction> &parts) const;
  Bytes gatheredMemory(unsigned stage, int64_t first, int64_t last,
                       const cost::StateBytes &state,
                       const Relief &relief) const;
  bool keepsCopies(unsigned stage, bool gathered) const;
  /// Of instances whose parameters stay gathered, if they are cut, or not.
  MemoryParts stateMemory(unsigned stage, const cost::StateBytes &state,
                          bool gathered) const;
  /// The same of all parts of the model that the schedule gives the stage; the
  /// state of so many instances from the first on stays gathered.
  MemoryParts heldState(unsigned stage, int64_t first,
                        const cost::StateBytes &state, int64_t gathered) const;
  cost::StateBytes gatheredState(unsigned stage, int64_t first,
                                 int64_t gathered) const;
  /// Some state, and what of it splits on the devices of each replica axis cut
  /// (ClassCost::cut).
  struct CutState {
    cost::StateBytes all;
    std::vector<cost::StateBytes> cut;
  };
  bool isSharded(unsigned stage, unsigned axis) const;
  std::vector<cost::StateBytes> cutOf(unsigned stage,
                                      std::span<const Range> held) const;
  cost::StateBytes cutOver(unsigned stage, unsigned axis,
                           const CutState &state) const;
  /// What a replica axis has copies of once the axes in it have scattered
  /// theirs.
  cost::StateBytes sharesOver(unsigned stage, unsigned axis,
                              const CutState &state) const;
  cost::StateBytes scattered(unsigned stage, const CutState &state) const;

  CostTable &table;
  const NormalForm &form;
  const DeviceMap &devices;
  std::vector<int64_t> replica;
  /// By stage and run, of stages that are the first of their like: of instances
  /// that recompute as their stage says, and of those that recompute in full
  /// and selectively where it has such layers.
  std::vector<std::vector<RunCost>> costs, fullCosts, selectiveCosts;
  /// By stage, of the device with the least memory.
  std::vector<unsigned> types;
  /// Ranks of a stage that may differ; those that are looked at, and the types
  /// of their devices.
  struct Unlike {
    std::vector<Coordinates> ranks, own;
    std::vector<unsigned> types;
  };
  std::map<unsigned, Unlike> unlike;
  /// Which kind of ranks is looked at; and the other ones, of the first.
  size_t view, kinds = 1;
  std::vector<std::unique_ptr<FormCosts>> views;
  std::vector<int64_t> aliveChunks;
  ReplicaPlace place;
  /// Of each stage: the first one with the same costs.
  std::vector<unsigned> like;
  /// Instances of some stage recompute in a way of their own; stay gathered; or
  /// have something in the host's memory.
  bool layered = false, gathers = false, offloads = false;
  mutable std::map<std::pair<unsigned, unsigned>, std::vector<cost::Group>>
      groups;
  mutable std::map<std::pair<unsigned, unsigned>, std::vector<Route>> sends;
  mutable std::map<std::pair<Link, Bytes>, Picoseconds> sent;
  /// By stage, of those that are the first of their like, and run.
  mutable std::map<std::pair<unsigned, size_t>, LeastMemory> least;
  mutable std::map<std::pair<unsigned, size_t>, ReliefRates> rates;
  /// By stage, once they are asked for.
  mutable std::vector<KnownReliefs *> known;
  /// Of what a search for relief asks again and again, the last stage's.
  struct Tried {
    std::optional<Held> held;
    std::unordered_map<Relief, bool, ReliefHash> fits;
  };
  mutable Tried tried;
};

template <class F>
Picoseconds FormCosts::slowest(unsigned stage, F time) const {
  auto it = unlike.find(stage);
  if (it == unlike.end())
    return time(types[stage]);
  Picoseconds most;
  for (unsigned type : it->second.types)
    most = std::max(most, time(type));
  return most;
}

template <class F>
void FormCosts::forEachRun(int64_t first, int64_t last, F visit) const {
  int64_t start = 0;
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t end = start + table.workload.runs[r].count;
    int64_t n = std::min(last, end) - std::max(first, start);
    if (n > 0)
      visit(r, n);
    start = end;
  }
}

/// Replicas that differ in devices or share: one representative each.
struct ReplicaClass {
  /// One per replica axis, outermost first.
  std::vector<int64_t> coordinates;
  /// Of the global batch.
  int64_t samples = 0;
};
std::vector<ReplicaClass> replicaClasses(const workload::Workload &workload,
                                         const cost::Hardware &hardware,
                                         const NormalForm &form,
                                         const DeviceMap &devices);

/// Neighbouring coordinates along the outermost replica axis that have equal
/// devices, whatever their shares.
struct ReplicaGroup {
  int64_t first = 0, count = 1;
  /// One replica of each kind at one of these coordinates: coordinates along
  /// all replica axes.
  std::vector<std::vector<int64_t>> replicas;
};
/// Whether all replicas have equal devices, whatever their shares.
bool areReplicasAlike(const cost::Hardware &hardware, const NormalForm &form,
                      const DeviceMap &devices);
/// Requires a replica axis.
std::vector<ReplicaGroup> replicaGroups(const cost::Hardware &hardware,
                                        const NormalForm &form,
                                        const DeviceMap &devices);

/// A step that takes `time` on the devices alone: what the host adds, and what
/// many devices lose by waiting for the slowest (execution parameters).
Picoseconds wholeStep(const cost::Hardware &hardware, int64_t ranks,
                      Picoseconds time);
/// The same of a form; max stays.
Picoseconds wholeStep(const CostTable &table, const NormalForm &form,
                      Picoseconds time);

/// No time that is longer has a whole step below `step`.
Picoseconds mostAlone(const cost::Hardware &hardware, int64_t ranks,
                      Picoseconds step);

/// Requires cuts that fit the form, and shares that are multiples of the
/// micro-batches.
Prediction evaluate(CostTable &table, const Candidate &candidate);

/// The step of one class of replicas alone, without `wholeStep`, whatever the
/// form says of shares; max where it does not fit.
Picoseconds stepOfReplica(CostTable &table, const Candidate &candidate,
                          const ReplicaClass &replica);

/// The time line, with events, of the slowest replica of the candidate; same
/// requirements. What `wholeStep` adds and virtual stages save is not in it.
simulator::Timeline timeline(CostTable &table, const Candidate &candidate);

} // namespace whale::planner

#endif // WHALE_PLANNER_EVALUATE_H
