//===- Enumerate.cpp - the space of choices -------------------------------===//

#include "compiler/planner/Search.h"

#include <algorithm>
#include <map>
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

/// Sizes of a split: within a node any divisor, beyond it whole nodes.
std::vector<int64_t> splitSizes(const cost::Hardware &hardware) {
  std::set<int64_t> sizes;
  for (const cost::Pool &pool : hardware.pools()) {
    for (int64_t d : divisors(std::min(pool.perNode, pool.count)))
      sizes.insert(d);
    for (int64_t nodes = 2;
         nodes * pool.perNode <= std::min<int64_t>(64, pool.count); nodes *= 2)
      sizes.insert(nodes * pool.perNode);
  }
  return {sizes.begin(), sizes.end()};
}

/// Adds the micro-batch counts, orders and recompute modes of given degrees.
void addGroups(const Problem &problem, int64_t tensor, int64_t pipeline,
               int64_t data, std::vector<Choice> &choices) {
  const Workload &workload = problem.workload;
  const Pins &pins = problem.options.pins;
  int64_t groups = workload.globalBatch / workload.sampleGroup;
  if (data > groups || (pins.data && *pins.data != data) ||
      (pins.zero == 1 && data == 1))
    return;
  bool even = groups % data == 0;
  for (int64_t m : divisors(even ? groups / data : groups)) {
    if (groups / m < data || (pins.microBatches && *pins.microBatches != m))
      continue;
    for (Recompute recompute :
         {Recompute::None, Recompute::Selective, Recompute::Full}) {
      if (pins.recompute && *pins.recompute != recompute)
        continue;
      Choice choice;
      choice.data = data;
      choice.tensor = tensor;
      choice.pipeline = pipeline;
      choice.microBatches = m;
      choice.recompute = recompute;
      choices.push_back(choice);
      choice.pipelineOutside = true;
      if (data > 1 && pipeline > 1)
        choices.push_back(choice);
    }
  }
}

} // namespace

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

NormalForm formOf(const Choice &choice, const std::vector<std::string> &dims) {
  NormalForm form;
  form.microBatches = choice.microBatches;
  form.schedule = choice.schedule;
  StageForm stage;
  stage.recompute = choice.recompute;
  if (choice.data > 1) {
    Axis replica;
    replica.name = "r0";
    replica.kind = AxisKind::Replica;
    replica.size = choice.data;
    replica.shard = choice.zero ? Shard::Optimizer : Shard::None;
    if (choice.experts)
      replica.colocated.push_back({{std::string(expertDim)}, {}});
    stage.axes.push_back(replica);
    form.outerAxes = choice.pipelineOutside ? 0 : 1;
  }
  if (choice.tensor > 1) {
    Axis split;
    split.name = "t0";
    split.kind = AxisKind::Split;
    split.size = choice.tensor;
    split.dims = dims;
    // Experts are not cut twice.
    if (choice.experts)
      std::erase(split.dims, expertDim);
    stage.axes.push_back(split);
  }
  form.stages.assign(choice.pipeline, stage);
  return form;
}

std::vector<Choice> enumerate(const Problem &problem) {
  const Pins &pins = problem.options.pins;
  int64_t devices = problem.hardware.deviceCount();
  int64_t instances = instanceCount(problem.workload);
  int64_t groups = problem.workload.globalBatch / problem.workload.sampleGroup;
  std::vector<int64_t> tensors = splitSizes(problem.hardware);
  if (pins.tensor)
    tensors = {*pins.tensor};
  std::vector<Choice> choices;
  for (int64_t t : tensors)
    for (int64_t p = 1; p <= std::min(instances, devices / t); ++p) {
      bool regular = (devices / t) % p == 0;
      if (pins.pipeline ? p != *pins.pipeline : !regular && devices > 64)
        continue;
      int64_t most = std::min(devices / (t * p), groups), even = 1;
      // All devices, with unequal shares if need be; or the most that share
      // the batch equally.
      std::set<int64_t> degrees = {most};
      for (int64_t d : divisors(groups))
        if (d <= most)
          even = d;
      degrees.insert(even);
      if (pins.data)
        degrees = {*pins.data};
      for (int64_t d : degrees)
        if (d <= most)
          addGroups(problem, t, p, d, choices);
    }
  int64_t experts = expertCount(problem);
  for (size_t i = 0, known = choices.size(); i < known; ++i)
    if (Choice choice = choices[i]; choice.data > 1 && choice.data <= experts) {
      choice.experts = true;
      choices.push_back(choice);
    }
  return choices;
}

} // namespace whale::planner
