// Galvatron's published profile, asked of ours: a plan in its space must be at
// least as good by its own objective as what it published.

#include "test/unit/planner/Galvatron.h"
#include "compiler/planner/Search.h"
#include "test/unit/planner/Profile.h"
#include "test/unit/planner/RoundHardware.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <set>

using namespace whale;
using namespace whale::planner;
namespace galvatron = whale::test::galvatron;

namespace {

// The golden results of tests/search_engine/test_parallelsim_optimization.py:
// 32 micro-batches, choices by layer; and 8, one choice for all.
const galvatron::Plan fine = {
    1, 4,    32, {{{14, true, true}, {12, false, true}, {2, false, false}}},
    8, false};
const galvatron::Plan coarse = {1, 1, 8, {{{28, true, true}}}, 1, true};
constexpr double fineThroughput = 2.6485091403918064,
                 coarseThroughput = 2.5246283459057333;

} // namespace

TEST_CASE("Galvatron's objective is what it published") {
  CHECK(galvatron::throughput(fine) == Approx(fineThroughput).epsilon(1e-8));
  CHECK(galvatron::throughput(coarse) ==
        Approx(coarseThroughput).epsilon(1e-8));
  CHECK(galvatron::memory(fine) <= galvatron::memoryLimit);
  CHECK(galvatron::memory(coarse) <= galvatron::memoryLimit);
}

namespace {

constexpr double mebi = 1024 * 1024;

/// One node of 8 GPUs on which ops take what the profile says. The profile's
/// state is 16 bytes a parameter and 20 with several micro-batches: here 5 of
/// parameters, 10 of gradients and 25 of the optimizer for each two of them.
class GalvatronNode : public test::RoundHardware {
public:
  GalvatronNode(int64_t stages, int64_t tensor, double memory)
      : RoundHardware({{"gpu", 1e9, 1e30, static_cast<int64_t>(memory * mebi)}},
                      {{0, galvatron::devices, galvatron::devices}}),
        stages(stages), tensor(tensor) {
    execution.stack.overlapsPipeline = false;
    execution.stack.overlapsGradients = true;
    execution.parameters.gradientOverlap = 1;
  }

  Picoseconds collectiveTime(const cost::Group &group, CollectiveKind kind,
                             Bytes bytes) const override {
    double size = bytes.asDouble() / mebi;
    auto n = static_cast<double>(group.size);
    if (group.role == cost::Group::Role::Split)
      return milliseconds(galvatron::exchangeTime(group.size, size));
    // A vocabulary on the devices of replicas: its split is so much larger;
    // samples change hands for nothing.
    if (std::fmod(size, galvatron::message) == 0)
      return kind == CollectiveKind::ReduceScatter
                 ? milliseconds(exchange(group.stride * group.size, size) -
                                exchange(group.stride, size))
                 : Picoseconds();
    // Gradients are reduced once a step; parameters that are cut are gathered
    // for both parts of every micro-batch.
    if (kind == CollectiveKind::ReduceScatter)
      return {};
    bool gathers = kind == CollectiveKind::AllGather;
    double stored = gathers ? 0.625 : 1.25;
    double share = (gathers ? 0.25 : 1) / stored;
    double bandwidth =
        galvatron::replicaBandwidth(group.size, group.stride == 1);
    if (isOfLayers(size / stored))
      // Over all replicas, also where some of them share a vocabulary.
      bandwidth = galvatron::replicaBandwidth(
          galvatron::devices / stages / tensor, tensor == 1);
    else if (gathers)
      // A vocabulary's runs beside its computation.
      share *= 1 - 1 / galvatron::overlapSlowdown;
    return milliseconds(share * size * (n - 1) / n / bandwidth);
  }
  Picoseconds sendTime(int64_t, int64_t, int64_t, Bytes bytes) const override {
    return milliseconds(galvatron::sendTime(stages, bytes.asDouble() / mebi));
  }

private:
  static double exchange(int64_t tensor, double size) {
    return tensor > 1 ? galvatron::exchangeTime(tensor, size) : 0;
  }
  static Picoseconds milliseconds(double time) {
    return picosecondsFromSeconds(time / 1000);
  }
  /// Parameters of a layer or a part of one, not of a vocabulary.
  static bool isOfLayers(double size) {
    double parts = galvatron::layerParameters / size;
    return std::abs(parts - std::round(parts)) < 1e-3;
  }
  int64_t stages, tensor;
};

/// A module with `exchanges` sums over the tensor split each way, weights and
/// what it keeps cut by it.
class ModuleBuilder {
public:
  ModuleBuilder(std::string name, std::string dim, double forward,
                double parameters, double kept, bool isFirst = false)
      : dim(std::move(dim)), forward(forward) {
    module.name = std::move(name);
    keptBytes = static_cast<int64_t>(kept * mebi) / parts;
    elements = static_cast<int64_t>(parameters * mebi / 8) / parts;
    x = value("x", workload::ValueKind::Argument, isFirst ? 4 : message, false);
    module.arguments = {x};
  }

  workload::ModuleClass take(int there, int back) {
    using workload::Phase;
    addWeights();
    uint32_t kept =
        value("kept", workload::ValueKind::Temporary, keptBytes, true);
    uint32_t y = chain("forward", Phase::Forward, x, there, forward, {weights});
    op("keep", Phase::Forward, 0, {whole(y)}, {cut(kept)});
    module.results = {y};
    uint32_t dy =
        value("dy", workload::ValueKind::ResultGradient, message, false);
    uint32_t dx = chain("input", Phase::BackwardInput, dy, back, forward, {});
    module.argumentGradients = {dx};
    op("weight", Phase::BackwardWeight, forward,
       {whole(x), cut(kept), whole(dy)}, {{gradient, {{1}, {}}}});
    return std::move(module);
  }

private:
  /// What a tensor split can cut anything into.
  static constexpr int64_t parts = 8;
  static constexpr int64_t message =
      static_cast<int64_t>(galvatron::message * mebi);

  static workload::Access whole(uint32_t value) { return {value, {{0}, {}}}; }
  static workload::Access cut(uint32_t value) {
    return {value, {{0}, {1}, {}}};
  }

  uint32_t value(std::string name, workload::ValueKind kind, int64_t bytes,
                 bool isCut) {
    workload::Value made;
    made.name = std::move(name);
    made.kind = kind;
    made.elementBytes = 1;
    made.extents = {galvatron::batch, bytes};
    if (isCut)
      made.extents = {galvatron::batch, parts, bytes};
    module.values.push_back(made);
    return static_cast<uint32_t>(module.values.size() - 1);
  }

  void addWeights() {
    workload::Variable variable;
    variable.name = "weights";
    variable.extents = {parts, elements};
    variable.dimNames = {dim, ""};
    variable.elementBytes = 5;
    module.variables.push_back(variable);
    workload::Value made;
    made.name = "weights";
    made.kind = workload::ValueKind::Variable;
    made.elementBytes = 5;
    made.extents = variable.extents;
    module.values.push_back(made);
    weights = {static_cast<uint32_t>(module.values.size() - 1), {{1}, {}}};
    made.name = "weights#d";
    made.kind = workload::ValueKind::VariableGradient;
    made.elementBytes = 10;
    module.values.push_back(made);
    gradient = static_cast<uint32_t>(module.values.size() - 1);
  }

  /// `sums` ops after each other, or one whose result is whole.
  uint32_t chain(const std::string &name, workload::Phase phase, uint32_t from,
                 int sums, double time,
                 std::vector<workload::Access> operands) {
    int ops = std::max(sums, 1);
    for (int i = 0; i < ops; ++i) {
      uint32_t to = value(name + std::to_string(i),
                          workload::ValueKind::Temporary, message, false);
      operands.push_back(whole(from));
      op(name + std::to_string(i), phase, time / ops, operands, {whole(to)});
      operands.pop_back();
      from = to;
    }
    return from;
  }

  void op(std::string name, workload::Phase phase, double milliseconds,
          std::vector<workload::Access> operands,
          std::vector<workload::Access> results) {
    workload::Op made;
    made.name = std::move(name);
    made.kind = workload::OpKind::Contraction;
    made.phase = phase;
    workload::LoopDim samples, cut;
    samples.name = "batch";
    samples.extent = galvatron::batch;
    cut.name = dim;
    cut.extent = parts;
    made.loops = {samples, cut};
    made.operands = std::move(operands);
    made.results = std::move(results);
    made.flopsPerPoint = std::llround(milliseconds * 1e6 / parts);
    module.ops.push_back(std::move(made));
  }

  std::string dim;
  double forward;
  int64_t keptBytes, elements;
  workload::ModuleClass module;
  uint32_t x = 0, gradient = 0;
  workload::Access weights;
};

workload::Workload llama() {
  workload::ParameterGroup group;
  group.name = "all";
  group.slotBytes = {25};
  group.gradientBytes = 10;
  double half = galvatron::vocabularyForward / 2;
  workload::Workload model = test::layeredModel(
      "llama", galvatron::batch, galvatron::layerCount,
      {ModuleBuilder("embedding", "vocabulary", half,
                     galvatron::embedding.state / 4,
                     galvatron::embedding.activations, true)
           .take(1, 0),
       ModuleBuilder("layer", "heads", galvatron::layerForward,
                     galvatron::layerParameters,
                     galvatron::layerActivations - galvatron::layerInput)
           .take(3, 3),
       ModuleBuilder("head", "vocabulary", half, galvatron::head.state / 4,
                     galvatron::head.activations)
           .take(0, 1)});
  model.groups = {group};
  return model;
}

/// In Galvatron's terms; what is not its layers' is neither recomputed nor
/// counted among them.
galvatron::Plan asGalvatron(const Candidate &candidate) {
  const NormalForm &form = candidate.form;
  galvatron::Plan plan;
  plan.pipeline = static_cast<int64_t>(form.stages.size());
  plan.tensor = form.stages.front().degree(AxisKind::Split);
  plan.vocabularyTensor = plan.tensor;
  for (const Axis &axis : form.stages.front().axes)
    if (!axis.colocated.empty())
      plan.vocabularyTensor *= axis.size;
  plan.microBatches = form.microBatches;
  plan.vocabularySharded = cutsParameters(form.stages.front());
  for (size_t s = 0; s < form.stages.size(); ++s) {
    const StageForm &stage = form.stages[s];
    std::map<std::pair<bool, bool>, int64_t> counts;
    for (int64_t at = candidate.cuts[s]; at < candidate.cuts[s + 1]; ++at)
      if (int64_t position = at - candidate.cuts[s];
          at > 0 && at <= galvatron::layerCount)
        ++counts[{stage.recomputeOf(position) == Recompute::Full,
                  cutsParameters(stage) && position >= stage.gatheredLayers}];
    plan.stages.emplace_back();
    for (auto [what, count] : counts)
      plan.stages.back().push_back({count, what.first, what.second});
  }
  return plan;
}

/// State is cut over all replicas or over none, and where embedding and head
/// are cut over replicas, both stay gathered or none.
bool isGalvatrons(const Candidate &candidate) {
  const NormalForm &form = candidate.form;
  std::set<Shard> shards;
  for (const StageForm &stage : form.stages)
    for (const Axis &axis : stage.axes)
      if (axis.kind == AxisKind::Replica)
        shards.insert(axis.shard);
  galvatron::Plan plan = asGalvatron(candidate);
  bool isWhole = plan.vocabularyTensor * plan.pipeline == galvatron::devices;
  return shards.size() <= 1 &&
         (isWhole || form.stages.front().gatheredLayers == 0);
}

struct Found {
  galvatron::Plan plan;
  Picoseconds step = Picoseconds::max();
};

/// Our plan of given degrees on devices with so much memory.
std::optional<Found> planFor(const workload::Workload &model, const Pins &pins,
                             double memory) {
  GalvatronNode node(*pins.pipeline, *pins.tensor, memory);
  Problem problem{model, node, {}};
  problem.options.space = Space::Full;
  problem.options.pins = pins;
  problem.options.freesPins = false;
  Diagnostics diags;
  REQUIRE(check(problem, diags));
  Answer answer = solve(problem, diags);
  if (!answer.plan || !isGalvatrons(answer.plan->chosen))
    return std::nullopt;
  return Found{asGalvatron(answer.plan->chosen), answer.plan->prediction.step};
}

/// Takes our plan of given degrees if it fits by Galvatron's formula, and is
/// faster: with each per cent of memory, and each part in a thousand of those
/// around the last one that fits.
void considerPlans(const workload::Workload &model, const Pins &pins,
                   Found &best) {
  int last = 0;
  auto consider = [&](int permille) {
    std::optional<Found> found =
        planFor(model, pins, galvatron::memoryLimit * permille / 1000);
    if (!found || galvatron::memory(found->plan) > galvatron::memoryLimit)
      return;
    last = permille;
    if (found->step < best.step)
      best = *found;
  };
  for (int permille = 940; permille <= 1600; permille += 10)
    consider(permille);
  for (int from = last, more = 1; last > 0 && more < 10; ++more)
    consider(from + more);
}

/// The best of our plans with so many micro-batches in Galvatron's space (all
/// devices, powers of two), by our costs. Galvatron counts nothing for what
/// lives only while a layer runs: our plans may have that much more memory, as
/// long as they fit by its formula.
Found bestPlan(int64_t microBatches, const std::vector<int64_t> &pipelines) {
  workload::Workload model = llama();
  Found best;
  for (int64_t pipeline : pipelines)
    for (int64_t tensor = 1; tensor * pipeline <= galvatron::devices;
         tensor *= 2) {
      Pins pins;
      pins.microBatches = microBatches;
      pins.pipeline = pipeline;
      pins.tensor = tensor;
      pins.data = galvatron::devices / pipeline / tensor;
      if (pipeline > 1)
        pins.schedule = Schedule::OneFOneB;
      if (microBatches * *pins.data > galvatron::batch)
        continue;
      for (int64_t vocabulary = 1; vocabulary <= *pins.data; vocabulary *= 2) {
        pins.vocabulary = vocabulary;
        considerPlans(model, pins, best);
      }
    }
  return best;
}

} // namespace

// Its formula has only the first and the last stage keep others waiting: plans
// whose middle stages are the longest look 20 % faster by it than by ours, so
// that four stages are not asked here with 32 micro-batches.
TEST_CASE("our plans by Galvatron's own objective") {
  Found ours = bestPlan(8, {1, 2, 4, 8});
  CHECK(galvatron::throughput(ours.plan) >= coarseThroughput * (1 - 1e-8));
  ours = bestPlan(32, {1, 2});
  CHECK(ours.plan.vocabularyTensor == fine.vocabularyTensor);
  CHECK(galvatron::throughput(ours.plan) >= fineThroughput * (1 - 1e-8));
}
