//===- Enumerate.cpp - the space of choices -------------------------------===//

#include "compiler/planner/SplitWidths.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <set>

namespace whale::planner {

using namespace workload;

namespace {

std::vector<int64_t> divisors(int64_t n) {
  std::vector<int64_t> result;
  for (int64_t d = 1; d * d <= n; ++d)
    if (n % d == 0) {
      result.push_back(d);
      if (d != n / d)
        result.push_back(n / d);
    }
  std::sort(result.begin(), result.end());
  return result;
}

/// Work and communication of the model cut two ways along `dims`: what
/// splitDims() makes small. One byte over a link counts as `flopsPerByte`.
double splitMeasure(const Workload &workload,
                    const std::vector<std::string> &dims, double flopsPerByte) {
  cost::LocalMesh mesh;
  mesh.samples = workload.globalBatch;
  if (!dims.empty())
    mesh.axes.push_back({2, dims});
  double measure = 0;
  for (const Run &run : workload.runs) {
    const ModuleClass &module = workload.classes[run.moduleClass];
    cost::ShardedClass sharded = cost::shard(workload, module, mesh);
    double one = 0;
    for (size_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      double points = static_cast<double>(op.flopsPerPoint) * op.usedNumerator /
                      op.usedDenominator;
      for (int64_t extent : sharded.ops[i].extents)
        points *= static_cast<double>(extent);
      one += points;
    }
    for (const cost::Transfer &transfer : sharded.transfers)
      one += flopsPerByte * transfer.bytes.asDouble();
    measure += one * static_cast<double>(run.count);
  }
  return measure;
}

/// Ops whose loops over a variable are worth cutting. An elementwise use (a
/// bias, learned positions) would add the activations' dimensions: that is
/// sequence parallelism, which keeps whole weights on every rank.
bool readsWeights(const Op &op) {
  return op.kind != OpKind::Elementwise && op.kind != OpKind::Reduction &&
         op.kind != OpKind::Movement;
}

/// Names of loops that cut a variable, in order of first use.
std::vector<std::string> variableDims(const Workload &workload) {
  std::vector<std::string> names;
  for (const Run &run : workload.runs) {
    const ModuleClass &module = workload.classes[run.moduleClass];
    for (const Op &op : module.ops)
      for (const Access &operand : op.operands) {
        if (!readsWeights(op) ||
            module.values[operand.value].kind != ValueKind::Variable)
          continue;
        for (const auto &loops : operand.dims)
          for (uint32_t l : loops) {
            const LoopDim &loop = op.loops[l];
            if (!loop.name.empty() && !loop.hasName(workload.batchDim) &&
                std::find(names.begin(), names.end(), loop.name) == names.end())
              names.push_back(loop.name);
          }
      }
  }
  // A model with very many names is rare; the first ones are enough then.
  if (names.size() > 24)
    names.resize(24);
  return names;
}

/// Name of the loops over experts (dialects/whale, importers).
constexpr std::string_view expertDim = "experts";

/// Whether rows choose their experts, without a limit of rows for each.
bool routesRows(const Workload &workload) {
  return std::any_of(workload.classes.begin(), workload.classes.end(),
                     [](const ModuleClass &module) {
                       return std::any_of(
                           module.ops.begin(), module.ops.end(),
                           [](const Op &op) { return op.routingLoop() >= 0; });
                     });
}

/// Fewest experts of an op that reads their weights; 0 where there are none, or
/// a person has said how the model is parallel.
int64_t expertCount(const Problem &problem) {
  int64_t fewest = 0;
  if (!problem.options.strategy.body.empty())
    return fewest;
  for (const ModuleClass &module : problem.workload.classes)
    for (const Op &op : module.ops)
      for (const LoopDim &loop : op.loops)
        if (readsWeights(op) && loop.name == expertDim)
          fewest = fewest ? std::min(fewest, loop.extent) : loop.extent;
  return fewest;
}

/// splitMeasure() of lists that were asked for before.
class Measures {
public:
  Measures(const Workload &workload, double flopsPerByte)
      : workload(workload), flopsPerByte(flopsPerByte) {}
  double of(const std::vector<std::string> &dims) {
    auto it = known.find(dims);
    if (it == known.end())
      it =
          known.emplace(dims, splitMeasure(workload, dims, flopsPerByte)).first;
    return it->second;
  }

private:
  const Workload &workload;
  double flopsPerByte;
  std::map<std::vector<std::string>, double> known;
};

/// Appends the name that helps most, as long as one does.
std::vector<std::string> greedyDims(Measures &measures,
                                    const std::vector<std::string> &names,
                                    double &measure) {
  std::vector<std::string> chosen;
  measure = measures.of(chosen);
  while (true) {
    std::string best;
    for (const std::string &name : names) {
      if (std::find(chosen.begin(), chosen.end(), name) != chosen.end())
        continue;
      chosen.push_back(name);
      double with = measures.of(chosen);
      chosen.pop_back();
      if (with < measure) {
        measure = with;
        best = name;
      }
    }
    if (best.empty())
      return chosen;
    chosen.push_back(best);
  }
}

/// Sizes of a split: within a node any divisor, beyond it whole nodes; of few
/// devices any number of nodes, else powers of two. Where widths may be
/// unequal, also those of two types together.
std::vector<int64_t> splitSizes(const Problem &problem, bool small) {
  std::vector<std::set<int64_t>> ofPools;
  std::set<int64_t> sizes;
  for (const cost::Pool &pool : problem.hardware.pools()) {
    std::set<int64_t> &here = ofPools.emplace_back();
    for (int64_t d : divisors(std::min(pool.perNode, pool.count)))
      here.insert(d);
    for (int64_t nodes = 2;
         nodes * pool.perNode <= std::min<int64_t>(64, pool.count);
         nodes += small ? 1 : nodes)
      here.insert(nodes * pool.perNode);
    sizes.insert(here.begin(), here.end());
  }
  if (seeksWidths(problem))
    sizes.merge(sizesAcross(ofPools));
  return {sizes.begin(), sizes.end()};
}

/// The name of positions in a text (dialects/whale, importers).
constexpr std::string_view sequenceDim = "sequence";

/// What all loops over positions can be cut by: their greatest common divisor;
/// 0 where there are none.
int64_t sequenceParts(const Workload &workload) {
  int64_t parts = 0;
  for (const ModuleClass &module : workload.classes)
    for (const Op &op : module.ops)
      for (const LoopDim &loop : op.loops)
        if (loop.hasName(sequenceDim))
          parts = std::gcd(parts, loop.extent);
  return parts;
}

/// Fewest positions of a context part that the search tries by itself.
constexpr int64_t leastContextPart = 1024;

std::vector<int64_t> contextSizes(const Problem &problem) {
  if (problem.options.pins.context)
    return {*problem.options.pins.context};
  std::vector<int64_t> sizes = {1};
  int64_t parts = sequenceParts(problem.workload);
  if (problem.options.strategy.body.empty())
    for (int64_t c = 2; c <= 64 && parts % c == 0; c *= 2)
      if (parts / c >= leastContextPart)
        sizes.push_back(c);
  return sizes;
}

/// Numbers of neighbouring replicas over which experts are cut; 1 = not.
std::vector<int64_t> expertGroups(const Problem &problem, int64_t data,
                                  int64_t experts) {
  const std::optional<int64_t> &pin = problem.options.pins.experts;
  if (pin)
    return data % *pin == 0 && (*pin == 1 || *pin <= experts)
               ? std::vector<int64_t>{*pin}
               : std::vector<int64_t>{};
  std::vector<int64_t> groups = {1};
  for (int64_t g : divisors(data))
    if (g > 1 && g <= experts)
      groups.push_back(g);
  return groups;
}

bool isSmall(const Problem &problem) {
  return planner::isSmall(problem.workload, problem.hardware);
}

/// Adds the shapes of given degrees.
class ShapeAdder {
public:
  ShapeAdder(const Problem &problem, std::vector<Choice> &shapes)
      : problem(problem), pins(problem.options.pins), shapes(shapes),
        experts(expertCount(problem)), table(largeTable(problem.workload)),
        parts(sequenceParts(problem.workload)),
        groups(problem.workload.globalBatch / problem.workload.sampleGroup),
        routed(problem.options.space == Space::Full &&
               routesRows(problem.workload)) {}

  void add(const Choice &degrees) {
    int64_t data = degrees.data;
    if (data > groups || (pins.data && *pins.data != data) ||
        (pins.zero.value_or(0) > 0 && data == 1))
      return;
    bool even = groups % data == 0 && !isSmall(problem);
    for (int64_t m : divisors(even ? groups / data : groups)) {
      if (groups / m < data || m > mostMicroBatches ||
          (pins.microBatches && *pins.microBatches != m))
        continue;
      Choice shape = degrees;
      shape.microBatches = m;
      for (bool sequence : sequenceModes(shape))
        addGroups(shape, sequence);
    }
  }

private:
  /// Of replicas that cut experts or a table, not both.
  void addGroups(Choice shape, bool sequence) {
    shape.sequence = sequence;
    std::vector<int64_t> tables =
        tableGroups(problem, table, shape.data, shape.tensor * shape.context);
    for (int64_t group : expertGroups(problem, shape.data, experts)) {
      if (group == 1 ? tables.empty() || tables.front() > 1
                     : pins.vocabulary.value_or(1) > 1)
        continue;
      shape.experts = group > 1;
      shape.routed = shape.experts && routed;
      shape.group = group;
      shapes.push_back(shape);
    }
    if (pins.experts.value_or(1) > 1)
      return;
    shape.experts = shape.routed = false;
    shape.table = table.table;
    for (int64_t group : tables)
      if (shape.group = group; group > 1)
        shapes.push_back(shape);
  }

  std::vector<bool> sequenceModes(const Choice &shape) const {
    bool can = shape.tensor > 1 && parts > 0 &&
               parts % (shape.tensor * shape.context) == 0 &&
               problem.options.strategy.body.empty();
    if (pins.sequence)
      return *pins.sequence && !can ? std::vector<bool>{}
                                    : std::vector<bool>{*pins.sequence};
    return can ? std::vector<bool>{false, true} : std::vector<bool>{false};
  }

  const Problem &problem;
  const Pins &pins;
  std::vector<Choice> &shapes;
  int64_t experts;
  LargeTable table;
  int64_t parts, groups;
  bool routed;
};

/// Whether the search cuts stages into so many chunks: layers that do not
/// divide make some stage longer, which rarely pays.
bool dealsOut(const Problem &problem, Schedule schedule, int64_t stages,
              int64_t chunks) {
  return !isChunked(schedule, stages, chunks) ||
         problem.options.pins.virtualStages || isSmall(problem) ||
         dealsEvenly(problem.workload, stages * chunks);
}

/// A schedule and its virtual stages.
using Rounds = std::pair<Schedule, int64_t>;

std::vector<Rounds> schedules(const Problem &problem, const Choice &shape) {
  const Pins &pins = problem.options.pins;
  if (shape.pipeline == 1) {
    // One stage has one order, and nothing to interleave with.
    bool isOther =
        pins.schedule.value_or(Schedule::OneFOneB) != Schedule::OneFOneB ||
        pins.virtualStages.value_or(1) > 1;
    return isOther ? std::vector<Rounds>{}
                   : std::vector<Rounds>{{Schedule::OneFOneB, 1}};
  }
  int64_t instances = instanceCount(problem.workload);
  std::vector<Rounds> all;
  for (Schedule schedule : simulator::allOrders()) {
    // GPipe is faster than 1F1B only where messages are slow, and never
    // smaller; the automatic zero-bubble schedules are those by hand where
    // stages are alike; DualPipe is for experts on other ranks, which its pairs
    // of tasks hide.
    bool rare = schedule == Schedule::GPipe ||
                schedule == Schedule::ZeroBubble1p ||
                schedule == Schedule::ZeroBubble2p;
    bool known =
        problem.options.space == Space::Full
            ? schedule != Schedule::DualPipe
            : schedule == Schedule::OneFOneB || schedule == Schedule::GPipe;
    bool wanted = known && (!rare || isSmall(problem));
    if (pins.schedule ? *pins.schedule != schedule : !wanted)
      continue;
    for (int64_t v = 1; v == 1 || v * shape.pipeline <= instances; ++v) {
      if (simulator::chunksOf(schedule, v) != v ||
          !dealsOut(problem, schedule, shape.pipeline, v))
        continue;
      simulator::ScheduleSpec spec;
      spec.order = schedule;
      spec.stages = shape.pipeline;
      spec.chunks = v;
      spec.microBatches = shape.microBatches;
      // Bounds know interleaved groups of as many micro-batches as stages.
      bool isWhole = schedule != Schedule::Interleaved ||
                     shape.microBatches % shape.pipeline == 0;
      if ((!pins.virtualStages || *pins.virtualStages == v) && isWhole &&
          !simulator::brokenRule(spec))
        all.emplace_back(schedule, v);
    }
  }
  return all;
}

/// What is cut over which replicas.
struct Sharding {
  Shard shard = Shard::None;
  int64_t group = 1;
  bool hybrid = false;
};

/// Replicas that cut the state among themselves: those within a node, or an
/// NVLink domain; on few devices any; those over which something else is cut
/// already.
std::set<int64_t> hybridGroups(const Problem &problem, const Choice &shape) {
  if (shape.colocates())
    return shape.group < shape.data ? std::set{shape.group}
                                    : std::set<int64_t>{};
  const cost::Pool &pool = problem.hardware.pools().front();
  int64_t inner = shape.tensor * shape.context;
  std::set<int64_t> groups;
  for (int64_t span : {pool.perNode, pool.perDomain})
    if (span % inner == 0 && shape.data % (span / inner) == 0)
      groups.insert(span / inner);
  if (isSmall(problem))
    for (int64_t g : divisors(shape.data))
      groups.insert(g);
  groups.erase(1);
  groups.erase(shape.data);
  return groups;
}

std::vector<Sharding> shardings(const Problem &problem, const Choice &shape) {
  const std::optional<int64_t> &zero = problem.options.pins.zero;
  bool full = problem.options.space == Space::Full;
  std::vector<Sharding> all;
  for (Shard shard :
       {Shard::None, Shard::Optimizer, Shard::Gradients, Shard::Parameters}) {
    if (zero ? *zero != static_cast<int64_t>(shard)
             : !full && shard > Shard::Optimizer)
      continue;
    if (shard != Shard::None && shape.data == 1)
      continue;
    all.push_back({shard, shape.group, false});
    if (shard == Shard::None || !full)
      continue;
    for (int64_t group : hybridGroups(problem, shape))
      all.push_back({shard, group, true});
  }
  return all;
}

/// Unequal devices among which layers that recompute as needed are tried beside
/// whole modes, for time.
constexpr int64_t mostMixedDevices = 128;

/// Whether numbers of layers may be left to memory: on few unequal devices.
bool leavesLayers(const cost::Hardware &hardware) {
  return hardware.pools().size() == 1 ||
         hardware.deviceCount() <= mostMixedDevices;
}

/// Whether one mode for all layers is a case of as many layers as needed. On
/// unequal devices the shares of the batch depend on the mode.
bool coversModes(const Problem &problem) {
  const Pins &pins = problem.options.pins;
  return !pins.recompute && !pins.recomputeLayers && !pins.selectiveLayers &&
         problem.hardware.pools().size() == 1;
}

/// What all instances do, and how many of each stage recompute in full and how
/// many selectively.
struct RecomputeMode {
  Recompute rest = Recompute::None;
  int64_t full = 0, selective = 0;
};

/// Those in which single layers recompute. Numbers that are not pinned are as
/// needed, where the rest is not pinned either: then one that recomputes
/// selectively is a case of none.
std::vector<RecomputeMode> layerModes(const Problem &problem) {
  const Pins &pins = problem.options.pins;
  bool pinned = pins.recomputeLayers.value_or(0) > 0 ||
                pins.selectiveLayers.value_or(0) > 0;
  bool isFew = leavesLayers(problem.hardware);
  RecomputeMode mode;
  mode.rest = pins.recompute.value_or(Recompute::None);
  bool isOpen = !pins.recompute && isFew;
  mode.full = pins.recomputeLayers.value_or(isOpen ? asNeeded : 0);
  mode.selective = pins.selectiveLayers.value_or(isOpen ? asNeeded : 0);
  // What contradicts itself.
  if ((pinned && mode.rest == Recompute::Full) ||
      (mode.selective > 0 && mode.rest == Recompute::Selective))
    return {};
  std::vector<RecomputeMode> modes;
  if (mode.full != 0 || mode.selective != 0)
    modes.push_back(mode);
  if (pinned && !isFew && !pins.recompute && !pins.selectiveLayers)
    modes.push_back({Recompute::Selective, mode.full, 0});
  return modes;
}

std::vector<RecomputeMode> recomputeModes(const Problem &problem) {
  const Pins &pins = problem.options.pins;
  std::vector<RecomputeMode> modes = layerModes(problem);
  if (pins.recomputeLayers.value_or(0) > 0 ||
      pins.selectiveLayers.value_or(0) > 0 ||
      (coversModes(problem) && problem.options.space != Space::Full))
    return modes;
  for (Recompute recompute :
       {Recompute::None, Recompute::Selective, Recompute::Full})
    if (!pins.recompute || *pins.recompute == recompute)
      modes.push_back({recompute, 0, 0});
  return modes;
}

/// Gives a placement what it keeps gathered; false where that does not go with
/// its sharding, or with what the host's memory holds.
bool setGathered(const Problem &problem, Choice &choice) {
  const std::optional<int64_t> &pin = problem.options.pins.gatheredLayers;
  choice.gatheredLayers = 0;
  if (choice.shard != Shard::Parameters)
    return pin.value_or(0) == 0;
  Offload &offload = choice.offload;
  bool isHosted = offload.optimizer > 0;
  if (!isHosted && leavesLayers(problem.hardware))
    choice.gatheredLayers = asNeeded;
  choice.gatheredLayers = pin.value_or(choice.gatheredLayers);
  if (choice.gatheredLayers > 0)
    offload.optimizer = offload.parameters = 0;
  return choice.gatheredLayers <= 0 || !isHosted;
}

} // namespace

Offload offloadOf(const Problem &problem) {
  const Pins &pins = problem.options.pins;
  const cost::Hardware &hardware = problem.hardware;
  bool isOpen = problem.options.space == Space::Full &&
                leavesLayers(hardware) &&
                std::any_of(hardware.pools().begin(), hardware.pools().end(),
                            [&](const cost::Pool &pool) {
                              return hardware.host(pool.type).memory > Bytes();
                            });
  int64_t rest = isOpen ? asNeeded : 0;
  Offload offload;
  offload.parameters = pins.offloadParameters.value_or(rest);
  offload.activations = pins.offloadActivations.value_or(rest);
  offload.optimizer =
      pins.offloadOptimizer.value_or(std::max(rest, offload.parameters));
  // Parameters stay where their optimizer state does.
  if (pins.offloadOptimizer && !pins.offloadParameters)
    offload.parameters = 0;
  return offload;
}

bool isSmall(const Workload &workload, const cost::Hardware &hardware) {
  return hardware.deviceCount() <= 16 && instanceCount(workload) <= 32 &&
         workload.globalBatch / workload.sampleGroup <= 64;
}

/// splitDims() at one weight of communication.
static std::vector<std::string> dimsAt(const Workload &workload,
                                       double flopsPerByte) {
  std::vector<std::string> names = variableDims(workload);
  Measures measures(workload, flopsPerByte);
  double least = 0;
  std::vector<std::string> best = greedyDims(measures, names, least);
  for (size_t without = 0; without < names.size(); ++without) {
    std::vector<std::string> fewer = names;
    fewer.erase(fewer.begin() + static_cast<int64_t>(without));
    double measure = 0;
    std::vector<std::string> dims = greedyDims(measures, fewer, measure);
    if (measure < least) {
      least = measure;
      best = dims;
    }
  }
  return best;
}

std::vector<std::string> splitDims(const Workload &workload) {
  // The balance of an A100 (312 TFLOP/s in bf16) and its NVLink (300 GB/s one
  // way), whether to split at all being the search's matter; less where no dim
  // saves that much per byte (convolutions, tiny models).
  for (double flopsPerByte : {1000.0, 16.0, 1.0, 0.0})
    if (auto dims = dimsAt(workload, flopsPerByte); !dims.empty())
      return dims;
  return {};
}

/// Replicas, those of a group apart.
static std::vector<Axis> replicaAxes(const Choice &choice) {
  std::vector<Axis> axes;
  auto add = [&](int64_t size, Shard shard) -> Axis & {
    Axis axis;
    axis.name = fmt::format("r{}", axes.size());
    axis.size = size;
    axis.shard = shard;
    axes.push_back(axis);
    return axes.back();
  };
  if (choice.data > choice.group)
    add(choice.data / choice.group, choice.hybrid ? Shard::None : choice.shard);
  if (choice.group > 1) {
    Axis &group = add(choice.group, choice.shard);
    if (choice.experts)
      group.colocated.push_back({{std::string(expertDim)}, {}});
    if (choice.table != Table::None)
      group.colocated.push_back({{std::string(dimOf(choice.table))}, {}});
    if (choice.routed)
      group.colocated.back().dims.emplace_back(sampleDim);
  }
  return axes;
}

static Axis splitAxis(std::string name, int64_t size,
                      std::vector<std::string> dims) {
  Axis axis;
  axis.name = std::move(name);
  axis.kind = AxisKind::Split;
  axis.size = size;
  axis.dims = std::move(dims);
  return axis;
}

NormalForm formOf(const Choice &choice, const std::vector<std::string> &dims) {
  NormalForm form;
  form.microBatches = choice.microBatches;
  form.schedule = choice.schedule;
  form.virtualStages = choice.virtualStages;
  StageForm stage;
  stage.recompute = choice.recompute;
  stage.recomputeLayers = choice.recomputeLayers;
  stage.selectiveLayers = choice.selectiveLayers;
  stage.offload = choice.offload;
  stage.gatheredLayers = choice.gatheredLayers;
  stage.axes = replicaAxes(choice);
  if (!choice.pipelineOutside)
    form.outerAxes = stage.axes.size();
  static const std::vector<std::string> positions = {std::string(sequenceDim),
                                                     "keys"};
  int splits = 0;
  if (choice.context > 1)
    stage.axes.push_back(
        splitAxis(fmt::format("t{}", splits++), choice.context, positions));
  if (choice.tensor > 1) {
    std::vector<std::string> inner = dims;
    // Experts are not cut twice.
    if (choice.experts)
      std::erase(inner, expertDim);
    if (choice.sequence)
      inner.insert(inner.end(), positions.begin(), positions.end());
    stage.axes.push_back(
        splitAxis(fmt::format("t{}", splits), choice.tensor, inner));
  }
  form.stages.assign(choice.pipeline, stage);
  return form;
}

/// Devices of every set of pools; of the whole cluster where there are many.
static std::set<int64_t> deviceCounts(const cost::Hardware &hardware) {
  std::set<int64_t> counts = {0};
  if (hardware.pools().size() <= 6)
    for (const cost::Pool &pool : hardware.pools()) {
      std::set<int64_t> before = counts;
      for (int64_t n : before)
        counts.insert(n + pool.count);
    }
  counts.insert(hardware.deviceCount());
  return counts;
}

/// Numbers of replicas of `each` devices: on all devices of a set of pools,
/// with unequal shares if need be, and the most that share the batch equally.
static std::set<int64_t> dataDegrees(const Problem &problem, int64_t each,
                                     int64_t limit) {
  int64_t groups = problem.workload.globalBatch / problem.workload.sampleGroup;
  std::set<int64_t> degrees;
  for (int64_t devices : deviceCounts(problem.hardware)) {
    int64_t most = std::min(devices / each, limit);
    if (most < 1)
      continue;
    degrees.insert(most);
    while (groups % most)
      --most;
    degrees.insert(most);
  }
  if (isSmall(problem))
    for (int64_t d = 1; d <= limit; ++d)
      degrees.insert(d);
  return degrees;
}

std::vector<Choice> enumerate(const Problem &problem) {
  const Pins &pins = problem.options.pins;
  int64_t devices = problem.hardware.deviceCount();
  int64_t instances = instanceCount(problem.workload);
  int64_t groups = problem.workload.globalBatch / problem.workload.sampleGroup;
  std::vector<int64_t> tensors = splitSizes(problem, isSmall(problem));
  if (pins.tensor)
    tensors = {*pins.tensor};
  // Of many devices all have a stage, or those of some types.
  std::set<int64_t> counts = deviceCounts(problem.hardware);
  std::vector<Choice> shapes;
  ShapeAdder adder(problem, shapes);
  for (int64_t t : tensors)
    for (int64_t c : contextSizes(problem))
      for (int64_t p = 1, room = devices / saturatingMultiply(t, c);
           p <= std::min(instances, room); ++p) {
        // Powers of two, so that devices more leave what there was without.
        bool regular =
            std::has_single_bit(static_cast<uint64_t>(p)) ||
            std::any_of(counts.begin(), counts.end(), [&](int64_t n) {
              return n >= t * c && n / (t * c) % p == 0;
            });
        if (pins.pipeline ? p != *pins.pipeline : !regular && devices > 64)
          continue;
        int64_t most = std::min(room / p, groups);
        std::set<int64_t> degrees = dataDegrees(problem, t * c * p, most);
        if (pins.data)
          degrees = {*pins.data};
        for (int64_t d : degrees)
          if (d <= most) {
            Choice shape;
            shape.tensor = t, shape.context = c, shape.pipeline = p;
            shape.data = d;
            adder.add(shape);
          }
      }
  return shapes;
}

std::vector<Choice> placements(const Problem &problem, const Choice &shape) {
  const std::optional<Layout> &layout = problem.options.pins.layout;
  const std::vector<Sharding> cuts = shardings(problem, shape);
  const auto modes = recomputeModes(problem);
  std::vector<Choice> result;
  result.reserve(2 * modes.size() * cuts.size());
  Choice choice = shape;
  const Offload offload = offloadOf(problem);
  for (const RecomputeMode &mode : modes)
    for (const Sharding &sharding : cuts)
      for (bool outside : {false, true}) {
        bool both = shape.data > 1 && shape.pipeline > 1;
        if (both ? layout && outside != (layout == Layout::Column) : outside)
          continue;
        choice.recompute = mode.rest;
        choice.recomputeLayers = mode.full;
        choice.selectiveLayers = mode.selective;
        choice.shard = sharding.shard;
        choice.group = sharding.group;
        choice.hybrid = sharding.hybrid;
        choice.pipelineOutside = outside;
        choice.offload = offload;
        if (setGathered(problem, choice))
          result.push_back(choice);
      }
  return result;
}

std::vector<Choice> scheduled(const Problem &problem, const Choice &placed) {
  std::vector<Choice> result;
  Choice choice = placed;
  for (auto [schedule, virtualStages] : schedules(problem, placed)) {
    choice.schedule = schedule;
    choice.virtualStages = virtualStages;
    result.push_back(choice);
  }
  return result;
}

std::vector<Choice> ScheduleTable::of(const Choice &placed) {
  std::vector<Choice> all;
  {
    std::lock_guard lock(mutex);
    auto [it, isNew] =
        known.try_emplace({placed.pipeline, placed.microBatches});
    if (isNew)
      it->second = scheduled(problem, placed);
    all = it->second;
  }
  for (Choice &choice : all) {
    Schedule schedule = choice.schedule;
    int64_t chunks = choice.virtualStages;
    choice = placed;
    choice.schedule = schedule, choice.virtualStages = chunks;
  }
  return all;
}

bool settle(const Problem &problem, Choice &choice) {
  bool layers = choice.hasLayers();
  if (choice.virtualStages == 1)
    return layers || !coversModes(problem);
  const Pins &pins = problem.options.pins;
  bool offloads = pins.offloadOptimizer.value_or(0) > 0 ||
                  pins.offloadParameters.value_or(0) > 0 ||
                  pins.offloadActivations.value_or(0) > 0;
  bool gathers = choice.gatheredLayers > 0;
  choice.offload = Offload();
  choice.gatheredLayers = 0;
  return !layers && !offloads && !gathers;
}

std::vector<Choice> variants(const Problem &problem, const Choice &shape) {
  const std::vector<Choice> placed = placements(problem, shape),
                            orders = scheduled(problem, shape);
  std::vector<Choice> result;
  result.reserve(orders.size() * placed.size());
  for (const Choice &order : orders)
    for (Choice choice : placed) {
      choice.schedule = order.schedule;
      choice.virtualStages = order.virtualStages;
      if (settle(problem, choice))
        result.push_back(choice);
    }
  return result;
}

} // namespace whale::planner
