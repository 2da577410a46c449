//===- RunPlan.cpp - the plan of a measured run ---------------------------===//

#include "compiler/validation/RunPlan.h"

#include "compiler/planner/Search.h"
#include "compiler/support/CheckedMath.h"
#include "compiler/validation/ExpertWidth.h"
#include "compiler/validation/RunSoftware.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace whale::validation {

using planner::Axis;
using planner::AxisKind;
using planner::NormalForm;
using planner::Recompute;
using planner::Shard;

namespace {

int64_t atLeastOne(int64_t degree) { return std::max<int64_t>(degree, 1); }

/// Degrees with what is not given filled in.
struct Degrees {
  explicit Degrees(const MeasuredRun &run)
      : tensor(atLeastOne(run.tensor)), context(atLeastOne(run.context)),
        pipeline(atLeastOne(run.pipeline)),
        data(std::max<int64_t>(run.gpus / (tensor * context * pipeline), 1)),
        expert(run.experts ? atLeastOne(run.expert) : 1),
        hasWholeExperts(splitsWholeExperts(run)),
        micro(atLeastOne(run.microBatch)) {
    // torchtitan's pipelines cut the local batch that its tables print.
    if (run.says("torchtitan") && pipeline > 1)
      micro = 1;
  }

  int64_t tensor, context, pipeline, data, expert;
  bool hasWholeExperts;
  /// How experts lie over the ranks that attention has otherwise (Megatron-
  /// Core's mesh of experts: the expert's own split fastest, then experts). The
  /// split of attention goes on as far as experts leave it ranks.
  int64_t expertOverTensor() const {
    if (hasWholeExperts)
      return std::gcd(expert, tensor);
    int64_t lacking = expert / std::gcd(expert, context * data);
    return std::gcd(lacking, tensor);
  }
  int64_t expertOverData() const {
    return std::gcd(expert / expertOverTensor(), data);
  }
  int64_t expertOverContext() const {
    int64_t left = expert / expertOverTensor() / expertOverData();
    return left == context ? context : 1;
  }
  /// Samples of a micro-batch; 1 where the table does not say.
  int64_t micro;
};

Shard shardOf(int64_t zero) {
  switch (zero) {
  case 0:
    return Shard::None;
  case 1:
    return Shard::Optimizer;
  case 2:
    return Shard::Gradients;
  default:
    return Shard::Parameters;
  }
}

Axis replica(std::string name, int64_t size, Shard shard) {
  Axis axis;
  axis.name = std::move(name);
  axis.size = size;
  axis.shard = shard;
  return axis;
}

Axis split(std::string name, int64_t size, std::vector<std::string> dims,
           Shard shard = Shard::None) {
  Axis axis;
  axis.name = std::move(name);
  axis.kind = AxisKind::Split;
  axis.size = size;
  axis.dims = std::move(dims);
  axis.shard = shard;
  return axis;
}

/// Of `replicas`, how many groups hold all state that is cut over replicas:
/// Megatron-Core's num_distributed_optimizer_instances, of which its tests with
/// several have two; or as many as the group of FSDP that the notes name
/// leaves.
int64_t stateInstances(const MeasuredRun &run, int64_t replicas) {
  int64_t group = run.noted("FSDP group=");
  if (group > 0 && replicas % group == 0)
    return replicas / group;
  int64_t instances = run.says("multi dist optimizer instances") ? 2 : 1;
  return std::gcd(replicas, instances);
}

/// The dimensions of tensor parallelism. Experts are cut along their width,
/// unless a rank has whole ones.
std::vector<std::string> tensorDims(const MeasuredRun &run,
                                    const workload::Workload &workload) {
  std::vector<std::string> dims = planner::splitDims(workload);
  if (run.experts) {
    std::erase_if(dims, [](const std::string &dim) {
      return dim == "experts" || dim == "candidates" || dim == "in" ||
             dim == "out";
    });
    if (!splitsWholeExperts(run))
      dims.insert(dims.begin(), expertWidth);
  }
  if (run.sequenceParallel)
    dims.insert(dims.end(), {"sequence", "keys"});
  return dims;
}

std::vector<Axis> axesOf(const MeasuredRun &run, const Degrees &degrees,
                         const workload::Workload &workload) {
  Shard shard = shardOf(run.zero);
  std::vector<Axis> axes;
  int64_t overData = degrees.expertOverData();
  int64_t overTensor = degrees.expertOverTensor();
  int64_t replicas = degrees.data / overData;
  int64_t instances = stateInstances(run, replicas);
  if (instances > 1)
    axes.push_back(replica("r1", instances, Shard::None));
  // With shards of a sequence also a single one: state is cut over both.
  if (replicas > instances || degrees.context > 1)
    axes.push_back(replica("r0", replicas / instances, shard));
  if (overData > 1)
    axes.push_back(
        split("e0", overData, {"experts", workload.batchDim}, shard));
  std::vector<std::string> positions = {"sequence", "keys"};
  if (degrees.expertOverContext() > 1)
    positions.insert(positions.begin(), "experts");
  if (degrees.context > 1)
    axes.push_back(split("c0", degrees.context, positions, shard));
  std::vector<std::string> dims = tensorDims(run, workload);
  if (degrees.tensor > overTensor)
    axes.push_back(split("t0", degrees.tensor / overTensor, dims));
  if (overTensor > 1) {
    dims.insert(dims.begin(), "experts");
    axes.push_back(split("t1", overTensor, dims));
  }
  return axes;
}

/// Parts with equal numbers of layers, of which `known` are known to be there;
/// embedding and head at the ends. Where they do not divide, embedding and head
/// count as a layer each (as in MLPerf's 405B runs), else the first parts get
/// more.
std::vector<int64_t> cutsOf(const workload::Workload &workload, int64_t known,
                            int64_t parts) {
  int64_t before = 0, after = 0;
  size_t first = 0, last = workload.runs.size();
  while (first < last && workload.runs[first].count == 1)
    before += workload.runs[first++].count;
  while (last > first && workload.runs[last - 1].count == 1)
    after += workload.runs[--last].count;
  int64_t total = workload::instanceCount(workload);
  // Single layers of a kind of their own, as a first dense one, are no ends.
  if (before + after > total - known && total - known >= after)
    before = total - known - after;
  int64_t layers = total - before - after;
  bool endsCount = layers % parts != 0 && (layers + 2) % parts == 0;
  int64_t counted = endsCount ? layers + 2 : layers;
  std::vector<int64_t> cuts = {0};
  int64_t done = 0;
  for (int64_t s = 0; s + 1 < parts; ++s) {
    done += counted / parts + (s < counted % parts ? 1 : 0);
    cuts.push_back(before + done - (endsCount ? 1 : 0));
  }
  cuts.push_back(total);
  return cuts;
}

} // namespace

int64_t wholeBatch(const MeasuredRun &run) {
  Degrees degrees(run);
  int64_t unit = degrees.data * degrees.micro;
  return std::max<int64_t>((run.globalBatch + unit / 2) / unit, 1) * unit;
}

std::optional<planner::Candidate> planOf(const MeasuredRun &run,
                                         const workload::Workload &workload,
                                         std::string &reason) {
  auto refuse = [&](std::string why) {
    reason = std::move(why);
    return std::nullopt;
  };
  Degrees degrees(run);
  int64_t ranks =
      degrees.tensor * degrees.context * degrees.pipeline * degrees.data;
  if (ranks != run.gpus)
    return refuse(
        fmt::format("degrees make {} ranks of {} GPUs", ranks, run.gpus));
  if (run.globalBatch < degrees.data)
    return refuse(fmt::format("a global batch of {} is less than one sample on "
                              "each of {} replicas",
                              run.globalBatch, degrees.data));
  planner::Candidate candidate;
  NormalForm &form = candidate.form;
  form.microBatches = wholeBatch(run) / (degrees.data * degrees.micro);
  // Instances of several layers may be fewer than the run's parts.
  int64_t instances = workload::instanceCount(workload);
  int64_t chunks = std::min(run.virtualStages, instances / degrees.pipeline);
  if (degrees.pipeline > 1 && chunks > 1 &&
      form.microBatches >= degrees.pipeline) {
    form.schedule = planner::Schedule::Interleaved;
    form.virtualStages = chunks;
  }
  planner::StageForm stage;
  stage.axes = axesOf(run, degrees, workload);
  stage.recompute = run.recompute == "full"        ? Recompute::Full
                    : run.recompute == "selective" ? Recompute::Selective
                                                   : Recompute::None;
  form.stages.assign(degrees.pipeline, stage);
  if (instances < degrees.pipeline)
    return refuse("more stages than layers");
  candidate.cuts = cutsOf(workload, run.layers, planner::partCount(form));
  return candidate;
}

} // namespace whale::validation
