//===- Rebatch.cpp - a workload at another global batch -------------------===//

#include "compiler/workload/Rebatch.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>
#include <fmt/format.h>

using namespace whale;
using namespace whale::workload;

namespace {
class Rebatcher {
public:
  Rebatcher(const Workload &workload, int64_t batch, Diagnostics &diagnostics)
      : name(workload.batchDim), from(workload.globalBatch), to(batch),
        diagnostics(diagnostics) {}

  bool run(ModuleClass &moduleClass);

private:
  bool isBatch(const LoopDim &loop) const { return loop.hasName(name); }
  /// extent * to / from.
  bool scale(int64_t &extent, const std::string &what);
  void mark(const Op &op, const std::vector<Access> &accesses,
            std::vector<std::vector<bool>> &marks) const;
  /// Whether the op knows which dimensions of its values are the batch.
  bool knows(const Op &op, const std::vector<Access> &accesses,
             const std::vector<std::vector<bool>> &marks) const;
  bool refuse(const Op &op);

  const std::string name;
  int64_t from, to;
  Diagnostics &diagnostics;
};
} // namespace

bool Rebatcher::scale(int64_t &extent, const std::string &what) {
  std::optional<int64_t> product = checkedMultiply(extent, to);
  if (!product || *product % from != 0 || *product / from < 1) {
    diagnostics.error(Place(),
                      fmt::format("'{}' of size {} cannot follow the global "
                                  "batch from {} to {} samples",
                                  what, extent, from, to));
    return false;
  }
  extent = *product / from;
  return true;
}

void Rebatcher::mark(const Op &op, const std::vector<Access> &accesses,
                     std::vector<std::vector<bool>> &marks) const {
  for (const Access &access : accesses)
    for (size_t dim = 0; dim < access.dims.size(); ++dim)
      for (uint32_t loop : access.dims[dim])
        if (isBatch(op.loops[loop]))
          marks[access.value][dim] = true;
}

bool Rebatcher::knows(const Op &op, const std::vector<Access> &accesses,
                      const std::vector<std::vector<bool>> &marks) const {
  auto isOver = [&](uint32_t loop) { return isBatch(op.loops[loop]); };
  for (const Access &access : accesses)
    for (size_t dim = 0; dim < access.dims.size(); ++dim)
      if (const auto &loops = access.dims[dim];
          marks[access.value][dim] &&
          std::none_of(loops.begin(), loops.end(), isOver))
        return false;
  return true;
}

bool Rebatcher::refuse(const Op &op) {
  diagnostics
      .error(Place(), fmt::format("'{}' has no loop over a batch of one "
                                  "sample, which cannot become {}",
                                  op.name, to))
      .note(Place(), "import the model with that batch instead");
  return false;
}

bool Rebatcher::run(ModuleClass &moduleClass) {
  std::vector<std::vector<bool>> marks;
  for (const Value &value : moduleClass.values)
    marks.emplace_back(value.extents.size(), false);
  for (const Op &op : moduleClass.ops) {
    mark(op, op.operands, marks);
    mark(op, op.results, marks);
  }
  // A reshape has no loop over a dimension of size 1, nor have its users a name
  // for it.
  for (const Op &op : moduleClass.ops)
    if (from == 1 &&
        !(knows(op, op.operands, marks) && knows(op, op.results, marks)))
      return refuse(op);
  for (Op &op : moduleClass.ops)
    for (LoopDim &loop : op.loops)
      if (isBatch(loop) && !scale(loop.extent, op.name))
        return false;
  for (size_t i = 0; i < moduleClass.values.size(); ++i)
    for (size_t dim = 0; dim < marks[i].size(); ++dim)
      if (marks[i][dim] && !scale(moduleClass.values[i].extents[dim],
                                  moduleClass.values[i].name))
        return false;
  return true;
}

bool workload::rebatch(Workload &workload, int64_t globalBatch,
                       Diagnostics &diagnostics) {
  if (globalBatch == workload.globalBatch)
    return true;
  if (workload.sampleGroup > 1 && globalBatch % workload.sampleGroup != 0) {
    diagnostics
        .error(Place(), fmt::format("global batch of {} samples is not a "
                                    "multiple of {}, the samples that the "
                                    "model couples",
                                    globalBatch, workload.sampleGroup))
        .note(Place(), "import the model with that batch instead");
    return false;
  }
  Rebatcher rebatcher(workload, globalBatch, diagnostics);
  for (ModuleClass &moduleClass : workload.classes)
    if (!rebatcher.run(moduleClass))
      return false;
  // Summed over the classes again.
  workload.modelFlops = Flops();
  workload.globalBatch = globalBatch;
  return true;
}
