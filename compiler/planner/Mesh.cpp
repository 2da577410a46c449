//===- Mesh.cpp - a stage's axes as the cost model sees them --------------===//

#include "compiler/planner/Evaluate.h"

#include "compiler/support/PathPattern.h"

#include <algorithm>
#include <numeric>

namespace whale::planner {

using workload::Run;
using workload::Workload;

namespace {

/// Which ops of the run's class lie below `paths`; empty = all.
std::vector<bool> heldOps(const workload::ModuleClass &module, const Run &run,
                          const std::vector<std::string> &paths) {
  if (paths.empty())
    return {};
  std::vector<bool> held(module.ops.size(), false);
  Diagnostics ignored;
  for (const std::string &text : paths)
    if (auto pattern = PathPattern::parse(text, {}, ignored))
      for (size_t i = 0; i < held.size(); ++i) {
        std::string_view name = module.ops[i].name;
        std::string forward(name.substr(0, name.find('#')));
        held[i] = held[i] || pattern->covers(forward) ||
                  pattern->covers(run.path(0) + "/" + forward);
      }
  return held;
}

/// A replica axis with its splits joined: one list of dims, all their ops.
cost::SplitAxis colocatedAxis(const workload::ModuleClass &module,
                              const Run &run, const Axis &axis) {
  cost::SplitAxis result;
  result.size = axis.size;
  result.replica = true;
  result.shardsState = axis.shard != Shard::None;
  std::vector<std::string> paths;
  bool all = false;
  for (const ColocatedSplit &split : axis.colocated) {
    result.dims.insert(result.dims.end(), split.dims.begin(), split.dims.end());
    if (split.dims.size() == 1)
      result.required.push_back(split.dims.front());
    paths.insert(paths.end(), split.paths.begin(), split.paths.end());
    all |= split.paths.empty();
  }
  if (!all)
    result.holds = heldOps(module, run, paths);
  return result;
}

} // namespace

bool isMeshAxis(const Axis &axis) {
  return axis.kind == AxisKind::Split || !axis.colocated.empty();
}

/// Of the rank at a coordinate of a split.
static std::optional<cost::Widths> widthsOf(const Axis &axis,
                                            int64_t coordinate) {
  if (axis.shares.empty())
    return std::nullopt;
  auto [least, most] =
      std::minmax_element(axis.shares.begin(), axis.shares.end());
  return cost::Widths{
      axis.shares[coordinate], *least, *most,
      std::accumulate(axis.shares.begin(), axis.shares.end(), int64_t(0))};
}

cost::LocalMesh meshOf(const Workload &workload, const StageForm &stage,
                       const Run &run, int64_t samples,
                       const std::vector<int64_t> &rank) {
  const workload::ModuleClass &module = workload.classes[run.moduleClass];
  cost::LocalMesh mesh;
  mesh.samples = samples;
  for (size_t a = 0; a < stage.axes.size(); ++a) {
    const Axis &axis = stage.axes[a];
    if (!isMeshAxis(axis))
      continue;
    if (axis.kind == AxisKind::Split) {
      mesh.axes.push_back({axis.size, axis.dims, axis.shard != Shard::None,
                           heldOps(module, run, axis.paths)});
      if (axis.dims.size() == 1)
        mesh.axes.back().required = axis.dims;
      mesh.axes.back().widths = widthsOf(axis, rank.empty() ? 0 : rank[a]);
      continue;
    }
    mesh.axes.push_back(colocatedAxis(module, run, axis));
    // As many on every replica as on this one.
    mesh.samples = saturatingMultiply(mesh.samples, axis.size);
  }
  for (auto &axis : mesh.axes)
    for (std::vector<std::string> *dims : {&axis.dims, &axis.required})
      std::replace(dims->begin(), dims->end(), std::string(sampleDim),
                   workload.batchDim);
  return mesh;
}

std::optional<ShortDim> shortDim(const Workload &workload,
                                 const StageForm &stage, int64_t first,
                                 int64_t last) {
  int64_t start = 0;
  for (const Run &run : workload.runs) {
    int64_t from = std::max(first, start) - start;
    int64_t to = std::min(last, start + run.count) - start;
    start += run.count;
    if (from >= to)
      continue;
    const workload::ModuleClass &module = workload.classes[run.moduleClass];
    auto found = cost::shortLoop(
        workload, module, meshOf(workload, stage, run, workload.globalBatch));
    if (!found)
      continue;
    const workload::Op &op = module.ops[found->op];
    const workload::LoopDim &loop = op.loops[found->loop];
    return ShortDim{run.path(from) + "/" + op.name, loop.name, loop.extent,
                    found->pieces};
  }
  return std::nullopt;
}

bool joinsNext(const cost::Stack &stack, const StageForm &form, size_t axis) {
  if (!stack.joinsSequenceReplicas || axis + 1 >= form.axes.size() ||
      form.axes[axis].kind != AxisKind::Replica)
    return false;
  const Axis &next = form.axes[axis + 1];
  return next.kind == AxisKind::Split && next.dims.size() > 1 &&
         next.dims.front() == "sequence";
}

int64_t shardDegree(const StageForm &stage) {
  int64_t degree = 1;
  for (const Axis &axis : stage.axes)
    // With colocated splits classes know what is cut (WeightBytes::owned).
    if (axis.kind == AxisKind::Replica && axis.shard != Shard::None &&
        axis.colocated.empty())
      degree *= axis.size;
  return degree;
}

static bool cuts(const StageForm &stage, Shard least) {
  return std::any_of(
      stage.axes.begin(), stage.axes.end(),
      [&](const Axis &axis) { return axis.shard >= least && axis.size > 1; });
}
bool cutsState(const StageForm &stage) { return cuts(stage, Shard::Optimizer); }
bool cutsParameters(const StageForm &stage) {
  return cuts(stage, Shard::Parameters);
}
bool cutsGradients(const StageForm &stage) {
  return cuts(stage, Shard::Gradients);
}

} // namespace whale::planner
