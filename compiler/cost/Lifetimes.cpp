//===- Lifetimes.cpp - live bytes while a class runs ----------------------===//

#include "compiler/cost/Lifetimes.h"

#include <algorithm>

namespace whale::cost {

using namespace workload;

namespace {

/// One direction's ops in running order; positions count in `order`.
struct Walk {
  std::vector<uint32_t> order;
  /// Number of leading entries of `order` that are repeated forward ops.
  size_t repeated = 0;
};

struct Interval {
  int64_t first = -1, last = -1;
  bool isEmpty() const { return first < 0; }
  void use(int64_t position) {
    if (first < 0)
      first = position;
    last = std::max(last, position);
  }
};

class Lifetimes {
public:
  Lifetimes(const Workload &workload, const ModuleClass &module,
            const ShardedClass &sharded, const ResidualPlan &plan)
      : workload(workload), module(module), sharded(sharded), plan(plan),
        isSaved(module.values.size(), false),
        materialised(module.values.size(), true) {
    for (uint32_t v : plan.saved)
      isSaved[v] = true;
    for (const Op &op : module.ops)
      for (const Access &made : op.results)
        if (op.fused && !isSaved[made.value])
          materialised[made.value] = false;
    for (uint32_t v = 0; v < module.values.size(); ++v)
      if (module.values[v].kind == ValueKind::Variable)
        materialised[v] = false;
  }

  ClassMemory run() {
    Walk forward, backward;
    backward.order = plan.recomputed;
    backward.repeated = plan.recomputed.size();
    for (uint32_t i = 0; i < module.ops.size(); ++i)
      (module.ops[i].phase == Phase::Forward ? forward : backward)
          .order.push_back(i);
    ClassMemory memory;
    for (uint32_t v : plan.saved)
      memory.saved += sharded.valueBytes[v];
    for (size_t k = 0; k < module.arguments.size(); ++k)
      if (k < module.results.size() && isSaved[module.arguments[k]] &&
          isSaved[module.results[k]])
        memory.savedTwice += sharded.valueBytes[module.arguments[k]];
    walk(forward, false, memory.forwardTransient, memory.forwardTotal);
    walk(backward, true, memory.backwardTransient, memory.backwardTotal);
    return memory;
  }

private:
  /// Gradients of variables go straight to the accumulator.
  bool accumulatesInPlace(const Op &op, uint32_t v) const {
    const Value &value = module.values[v];
    return value.kind == ValueKind::VariableGradient &&
           (op.kind == OpKind::Contraction || op.kind == OpKind::Elementwise) &&
           value.elementBytes ==
               workload.groups[module.variables[value.index].group]
                   .gradientBytes;
  }

  std::vector<Interval> intervals(const Walk &walk, bool backward) const {
    int64_t end = static_cast<int64_t>(walk.order.size());
    std::vector<Interval> live(module.values.size());
    for (int64_t p = 0; p < end; ++p) {
      const Op &op = module.ops[walk.order[p]];
      for (const Access &operand : op.operands)
        live[operand.value].use(p);
      for (const Access &made : op.results)
        if (!accumulatesInPlace(op, made.value))
          live[made.value].use(p);
    }
    auto fromStart = [&](uint32_t v) {
      live[v].use(std::max<int64_t>(live[v].last, 0));
      live[v].first = 0;
    };
    auto toEnd = [&](uint32_t v) { live[v].use(end); };
    for (uint32_t v = 0; v < live.size(); ++v) {
      ValueKind kind = module.values[v].kind;
      if (kind == (backward ? ValueKind::ResultGradient : ValueKind::Argument))
        fromStart(v);
      // Saved values cross from one direction to the other.
      if (isSaved[v] && !live[v].isEmpty())
        backward ? fromStart(v) : toEnd(v);
    }
    if (!backward)
      for (uint32_t v : module.results)
        toEnd(v);
    else
      for (int64_t v : module.argumentGradients)
        if (v >= 0)
          toEnd(static_cast<uint32_t>(v));
    return live;
  }

  void walk(const Walk &walk, bool backward, Bytes &transient, Bytes &total) {
    std::vector<Interval> live = intervals(walk, backward);
    // Changes at each position, then summed up.
    size_t positions = walk.order.size() + 1;
    std::vector<Bytes> transients(positions + 1), totals(positions + 1);
    auto add = [&](const Interval &interval, Bytes bytes, bool saved) {
      size_t after = std::min<size_t>(interval.last, positions - 1) + 1;
      totals[interval.first] += bytes;
      totals[after] -= bytes;
      if (saved)
        return;
      transients[interval.first] += bytes;
      transients[after] -= bytes;
    };
    for (uint32_t v = 0; v < live.size(); ++v)
      if (!live[v].isEmpty() && materialised[v])
        add(live[v], sharded.valueBytes[v], isSaved[v]);
    addCopies(walk, backward, live, add);
    for (size_t p = 0; p < walk.order.size(); ++p)
      add({static_cast<int64_t>(p), static_cast<int64_t>(p)},
          workspaceOf(walk.order[p]), false);
    transient = highest(transients);
    total = highest(totals);
  }

  /// The largest sum of the first changes.
  static Bytes highest(const std::vector<Bytes> &changes) {
    Bytes sum, most;
    for (Bytes change : changes)
      most = std::max(most, sum += change);
    return most;
  }

  template <class Add>
  void addCopies(const Walk &walk, bool backward,
                 const std::vector<Interval> &live, Add add) const {
    for (const Transfer &transfer : sharded.transfers) {
      bool copy = transfer.kind == CollectiveKind::AllGather ||
                  transfer.kind == CollectiveKind::AllToAll;
      if (!copy || (transfer.phase != Phase::Forward) != backward)
        continue;
      auto at = std::find(walk.order.begin() + walk.repeated, walk.order.end(),
                          transfer.beforeOp);
      int64_t p = at - walk.order.begin();
      add({p, std::max(p, live[transfer.value].last)}, transfer.bytes, false);
    }
  }

  Bytes workspaceOf(uint32_t index) const {
    const Op &op = module.ops[index];
    if (op.workspaceBytes == 0)
      return Bytes();
    double points = 1;
    for (int64_t extent : sharded.ops[index].extents)
      points *= static_cast<double>(extent);
    return Bytes(op.workspaceBytes)
        .scaled(points / static_cast<double>(op.points()));
  }

  const Workload &workload;
  const ModuleClass &module;
  const ShardedClass &sharded;
  const ResidualPlan &plan;
  std::vector<bool> isSaved, materialised;
};

} // namespace

ClassMemory classMemory(const Workload &workload, const ModuleClass &module,
                        const ShardedClass &sharded, const ResidualPlan &plan) {
  return Lifetimes(workload, module, sharded, plan).run();
}

} // namespace whale::cost
