//===- Mesh.cpp - a stage's axes as the cost model sees them --------------===//

#include "compiler/planner/Evaluate.h"

#include "compiler/support/PathPattern.h"

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

cost::LocalMesh meshOf(const Workload &workload, const StageForm &stage,
                       const Run &run, int64_t samples) {
  const workload::ModuleClass &module = workload.classes[run.moduleClass];
  cost::LocalMesh mesh;
  mesh.samples = samples;
  for (const Axis &axis : stage.axes) {
    if (!isMeshAxis(axis))
      continue;
    if (axis.kind == AxisKind::Split) {
      mesh.axes.push_back({axis.size, axis.dims, axis.shard != Shard::None,
                           heldOps(module, run, axis.paths)});
      continue;
    }
    mesh.axes.push_back(colocatedAxis(module, run, axis));
    // As many on every replica as on this one.
    mesh.samples = saturatingMultiply(mesh.samples, axis.size);
  }
  return mesh;
}

} // namespace whale::planner
