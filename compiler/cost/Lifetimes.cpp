//===- Lifetimes.cpp - live bytes while a class runs ----------------------===//

#include "compiler/cost/Lifetimes.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>

namespace whale::cost {

using namespace workload;

namespace {

/// As passes/lower/Clusters.cpp has it.
constexpr int64_t mostKernelInputs = 8;
/// Buffers begin at multiples of this many bytes (passes/lower/Assign.h).
constexpr int64_t alignment = 64;

Bytes alignUp(Bytes bytes) {
  return Bytes(ceilDivide(bytes.value(), alignment) * alignment);
}

struct Interval {
  int64_t first = -1, last = -1;
  bool isEmpty() const { return first < 0; }
  void use(int64_t position) {
    if (first < 0)
      first = position;
    last = std::max(last, position);
  }
};

/// What has a buffer: the values, then the copies.
class Buffers {
public:
  Buffers(const ModuleClass &module, const ShardedClass &sharded,
          const ResidualPlan &plan, const SavedForm &form)
      : module(module), sharded(sharded), form(form),
        repeats(module.ops.size(), false),
        definition(module.values.size(), -1) {
    for (uint32_t i : plan.recomputed)
      repeats[i] = true;
    for (size_t i = 0; i < module.ops.size(); ++i)
      for (const Access &made : module.ops[i].results)
        definition[made.value] = static_cast<int64_t>(i);
    isKept.assign(module.values.size(), false);
    for (uint32_t v : plan.saved)
      isKept[v] = true;
    materialised.assign(module.values.size(), true);
    for (uint32_t v = 0; v < module.values.size(); ++v)
      materialised[v] =
          module.values[v].kind != ValueKind::Variable &&
          (isKept[v] || definition[v] < 0 || !module.ops[definition[v]].fused);
    limitInputs();
    materialised.resize(size(), true);
    setOrders();
    setGathered();
    setSaved();
  }

  size_t size() const { return module.values.size() + sharded.copies.size(); }
  Bytes bytes(size_t buffer) const {
    Bytes whole =
        isCopy(buffer) ? copyOf(buffer).bytes : sharded.valueBytes[buffer];
    if (!isNarrow.empty() && isNarrow[buffer])
      whole = Bytes(whole.value() / elementBytes(buffer) * form.productBytes);
    return alignUp(whole);
  }
  bool isCopy(size_t buffer) const { return buffer >= module.values.size(); }
  const Copy &copyOf(size_t buffer) const {
    return sharded.copies[buffer - module.values.size()];
  }
  /// What op `index` reads as its operand number `operand`.
  size_t read(uint32_t index, size_t operand) const {
    int32_t copy = sharded.ops[index].copies[operand];
    return copy < 0 ? module.ops[index].operands[operand].value
                    : module.values.size() + copy;
  }
  bool isForward(uint32_t index) const {
    return module.ops[index].phase == Phase::Forward;
  }

  const ModuleClass &module;
  const ShardedClass &sharded;
  const SavedForm form;
  /// Ops that the backward part repeats.
  std::vector<bool> repeats;
  /// Per value the op that defines it, or -1.
  std::vector<int64_t> definition;
  /// Values, and buffers, that are there in both parts.
  std::vector<bool> isKept, isSaved;
  /// Saved with form.productBytes an element.
  std::vector<bool> isNarrow;
  std::vector<bool> materialised;
  /// Ops in running order.
  std::vector<uint32_t> forward, backward;

private:
  /// Operands that are values of `op`'s size and lie in memory, or are read by
  /// what makes them.
  int64_t inputsOf(const Op &op, const std::vector<int64_t> &inputs) const {
    int64_t size = module.values[op.results.front().value].elements(), sum = 0;
    for (const Access &operand : op.operands)
      sum += !materialised[operand.value]
                 ? inputs[operand.value]
                 : module.values[operand.value].elements() == size;
    return sum;
  }

  /// A kernel reads so many values at most: else what makes one of them is a
  /// kernel of its own.
  void limitInputs() {
    std::vector<int64_t> inputs(module.values.size(), 0);
    for (const Op &op : module.ops) {
      if (op.results.empty())
        continue;
      for (const Access &operand : op.operands)
        if (inputsOf(op, inputs) > mostKernelInputs &&
            inputs[operand.value] > 1)
          materialised[operand.value] =
              module.values[operand.value].kind != ValueKind::Variable;
      for (const Access &made : op.results)
        if (!materialised[made.value])
          inputs[made.value] = inputsOf(op, inputs);
    }
  }

  void setOrders() {
    std::vector<bool> isThere(module.ops.size(), false);
    for (uint32_t i = 0; i < module.ops.size(); ++i)
      if (isForward(i))
        forward.push_back(i);
      else
        appendWithRepeated(i, isThere);
  }

  /// A backward op behind what is repeated for it; operands are older than
  /// their users, so an explicit stack takes the place of recursion.
  void appendWithRepeated(uint32_t index, std::vector<bool> &isThere) {
    std::vector<uint32_t> needed, stack = {index};
    while (!stack.empty()) {
      uint32_t op = stack.back();
      stack.pop_back();
      for (const Access &operand : module.ops[op].operands) {
        int64_t maker = definition[operand.value];
        if (maker < 0 || !repeats[maker] || isThere[maker])
          continue;
        isThere[maker] = true;
        needed.push_back(static_cast<uint32_t>(maker));
        stack.push_back(static_cast<uint32_t>(maker));
      }
    }
    std::sort(needed.begin(), needed.end());
    backward.insert(backward.end(), needed.begin(), needed.end());
    backward.push_back(index);
  }

  int64_t elementBytes(size_t buffer) const {
    size_t value = isCopy(buffer) ? copyOf(buffer).value : buffer;
    return module.values[value].elementBytes;
  }

  void setGathered() {
    isGathered.assign(sharded.copies.size(), false);
    for (const Transfer &transfer : sharded.transfers)
      if (transfer.copy >= 0 && transfer.kind == CollectiveKind::AllGather)
        isGathered[transfer.copy] = true;
  }

  /// Whether the backward part finds a copy that the forward part made.
  bool isThere(size_t buffer) const {
    return isForward(copyOf(buffer).firstUser) &&
           !(form.gathersAgain && isGathered[buffer - module.values.size()]);
  }

  /// Products of layers: those of logits stay in 16 bits.
  bool isLayerProduct(const Op &op) const {
    return op.kind == OpKind::Contraction && op.findLoop("vocabulary") < 0;
  }

  void setSaved() {
    isSaved.assign(size(), false);
    std::vector<bool> isWide(size(), false);
    for (uint32_t i : backward)
      for (size_t o = 0; o < module.ops[i].operands.size(); ++o) {
        uint32_t value = module.ops[i].operands[o].value;
        size_t buffer = read(i, o);
        size_t kept = isCopy(buffer) && !isThere(buffer) ? value : buffer;
        if (!isKept[value])
          continue;
        isSaved[kept] = true;
        isWide[kept] = isWide[kept] || !isLayerProduct(module.ops[i]);
      }
    isNarrow.assign(size(), false);
    for (size_t b = 0; b < size(); ++b)
      isNarrow[b] = isSaved[b] && !isWide[b] && form.productBytes > 0 &&
                    form.productBytes < elementBytes(b);
  }

  /// By copy: an all-gather makes it.
  std::vector<bool> isGathered;
};

/// One direction: when each buffer is alive.
class Walk {
public:
  Walk(const Workload &workload, const Buffers &buffers, bool backward,
       bool overwritesSaved)
      : workload(workload), buffers(buffers), module(buffers.module),
        order(backward ? buffers.backward : buffers.forward),
        isBackward(backward), live(buffers.size()) {
    setLaunches();
    setStaging();
    for (size_t p = 0; p < order.size(); ++p)
      addOp(p);
    findGradientMakers();
    addSums();
    addEnds();
    for (size_t p = 0; p < order.size(); ++p)
      overwrite(p, overwritesSaved);
  }

  /// The largest sum of the live buffers.
  Bytes peak(bool withSaved) const {
    std::vector<Bytes> changes(order.size() + 2);
    auto add = [&](int64_t first, int64_t last, Bytes bytes) {
      changes[first] += bytes;
      changes[std::min<size_t>(last, order.size()) + 1] -= bytes;
    };
    for (size_t b = 0; b < live.size(); ++b)
      if (!live[b].isEmpty() && buffers.materialised[b] &&
          (withSaved || !buffers.isSaved[b]))
        add(live[b].first, live[b].last, buffers.bytes(b));
    for (size_t p = 0; p < order.size(); ++p)
      add(p, p, workspaceOf(order[p]) + staging[p]);
    Bytes sum, most;
    for (Bytes change : changes)
      most = std::max(most, sum += change);
    return most;
  }

private:
  /// Where the kernel of each op runs: where that of its last consumer does, if
  /// its result is not materialised.
  void setLaunches() {
    launch.resize(order.size());
    std::vector<int64_t> lastRead(module.values.size(), -1);
    for (size_t p = order.size(); p-- > 0;) {
      const Op &op = module.ops[order[p]];
      launch[p] = static_cast<int64_t>(p);
      for (const Access &made : op.results)
        if (!buffers.materialised[made.value])
          launch[p] = std::max(launch[p], lastRead[made.value]);
      for (const Access &operand : op.operands)
        lastRead[operand.value] = std::max(lastRead[operand.value], launch[p]);
    }
  }

  /// Buffers of the collectives that run before each op.
  void setStaging() {
    staging.resize(order.size() + 1);
    std::vector<int64_t> positionOf(module.ops.size() + 1, -1);
    for (size_t p = 0; p < order.size(); ++p)
      positionOf[order[p]] = static_cast<int64_t>(p);
    for (const Transfer &transfer : buffers.sharded.transfers)
      if (int64_t p = positionOf[transfer.beforeOp]; p >= 0)
        staging[p] = std::max(staging[p], alignUp(transfer.staging));
  }

  void addOp(size_t p) {
    const Op &op = module.ops[order[p]];
    for (size_t o = 0; o < op.operands.size(); ++o) {
      size_t buffer = buffers.read(order[p], o);
      // A copy that is not there yet is made of its value.
      if (live[buffer].isEmpty() && buffers.isCopy(buffer) &&
          !(isBackward && buffers.isSaved[buffer]))
        live[op.operands[o].value].use(launch[p]);
      live[buffer].use(launch[p]);
    }
    for (const Access &made : op.results)
      if (!accumulatesInPlace(op, made.value))
        live[made.value].use(p);
  }

  /// Gradients of a variable that several ops make are summed by kernels that
  /// read so many at once.
  void addSums() {
    for (const std::vector<int64_t> &makers : gradientMakers)
      for (size_t i = 0; i < makers.size() && makers.size() > 1; ++i) {
        size_t together = i - i % mostKernelInputs + mostKernelInputs;
        int64_t last = makers[std::min(together, makers.size()) - 1];
        for (const Access &made : module.ops[order[makers[i]]].results) {
          live[made.value].use(makers[i]);
          live[made.value].use(last);
        }
      }
  }

  void findGradientMakers() {
    gradientMakers.resize(module.variables.size());
    for (size_t p = 0; p < order.size(); ++p)
      for (const Access &made : module.ops[order[p]].results)
        if (const Value &value = module.values[made.value];
            value.kind == ValueKind::VariableGradient)
          gradientMakers[value.index].push_back(static_cast<int64_t>(p));
  }

  /// Gradients of variables go straight to the accumulator.
  bool accumulatesInPlace(const Op &op, uint32_t v) const {
    const Value &value = module.values[v];
    return value.kind == ValueKind::VariableGradient &&
           (op.kind == OpKind::Contraction || op.kind == OpKind::Elementwise) &&
           value.elementBytes ==
               workload.groups[module.variables[value.index].group]
                   .gradientBytes;
  }

  /// What is there before the first op, or after the last.
  void addEnds() {
    const int64_t end = static_cast<int64_t>(order.size());
    auto fromStart = [&](size_t b) {
      live[b].use(std::max<int64_t>(live[b].last, 0));
      live[b].first = 0;
    };
    ValueKind given =
        isBackward ? ValueKind::ResultGradient : ValueKind::Argument;
    for (size_t b = 0; b < live.size(); ++b) {
      if (!buffers.isCopy(b) && module.values[b].kind == given)
        fromStart(b);
      if (buffers.isSaved[b] && !live[b].isEmpty())
        isBackward ? fromStart(b) : live[b].use(end);
    }
    if (!isBackward)
      for (uint32_t v : module.results)
        live[v].use(end);
    else
      for (int64_t v : module.argumentGradients)
        if (v >= 0)
          live[v].use(end);
  }

  /// Kernels that are generated: passes/lower chooses the same.
  static bool isGenerated(const Op &op) {
    return op.kind == OpKind::Elementwise || op.kind == OpKind::Reduction;
  }

  void overwrite(size_t p, bool overwritesSaved) {
    const Op &op = module.ops[order[p]];
    if (!isGenerated(op) || op.results.size() != 1)
      return;
    uint32_t result = op.results.front().value;
    if (!buffers.materialised[result] || live[result].first != int64_t(p))
      return;
    std::vector<uint32_t> members = {order[p]};
    auto join = [&](int64_t op) {
      if (op >= 0 &&
          std::find(members.begin(), members.end(), op) == members.end())
        members.push_back(static_cast<uint32_t>(op));
    };
    for (size_t m = 0; m < members.size(); ++m) {
      const uint32_t member = members[m];
      for (size_t o = 0; o < module.ops[member].operands.size(); ++o) {
        size_t buffer = buffers.read(member, o);
        if (!buffers.materialised[buffer]) {
          join(buffers.definition[buffer]);
          continue;
        }
        bool isFree = live[buffer].last == int64_t(p) &&
                      live[buffer].first < int64_t(p) &&
                      (overwritesSaved || !buffers.isSaved[buffer]);
        if (!isFree || buffers.bytes(buffer) != buffers.bytes(result))
          continue;
        live[buffer].last = static_cast<int64_t>(p) - 1;
        return;
      }
    }
  }

  Bytes workspaceOf(uint32_t index) const {
    const Op &op = module.ops[index];
    if (op.workspaceBytes == 0)
      return Bytes();
    double points = 1;
    for (int64_t extent : buffers.sharded.ops[index].extents)
      points *= static_cast<double>(extent);
    return Bytes(op.workspaceBytes)
        .scaled(points / static_cast<double>(op.points()));
  }

  const Workload &workload;
  const Buffers &buffers;
  const ModuleClass &module;
  const std::vector<uint32_t> &order;
  bool isBackward;
  /// By position.
  std::vector<int64_t> launch;
  std::vector<Bytes> staging;
  /// By variable: positions of the ops that make gradients of it.
  std::vector<std::vector<int64_t>> gradientMakers;
  /// By buffer.
  std::vector<Interval> live;
};

} // namespace

ClassMemory classMemory(const Workload &workload, const ModuleClass &module,
                        const ShardedClass &sharded, const ResidualPlan &plan,
                        const SavedForm &form) {
  Buffers buffers(module, sharded, plan, form);
  ClassMemory memory;
  for (size_t b = 0; b < buffers.size(); ++b)
    if (buffers.isSaved[b])
      memory.saved += buffers.bytes(b);
  auto savedOf = [&](uint32_t v) {
    return buffers.isSaved[v] ? buffers.bytes(v) : Bytes();
  };
  for (uint32_t v : module.arguments)
    memory.savedArguments.push_back(savedOf(v));
  for (uint32_t v : module.results)
    memory.savedResults.push_back(savedOf(v));
  Walk forward(workload, buffers, false, false);
  memory.forwardTransient = forward.peak(false);
  memory.forwardTotal = forward.peak(true);
  Walk backward(workload, buffers, true, false);
  memory.backwardTransient = backward.peak(false);
  memory.backwardTotal = backward.peak(true);
  memory.backwardOnce = Walk(workload, buffers, true, true).peak(true);
  return memory;
}

} // namespace whale::cost
