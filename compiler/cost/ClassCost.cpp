//===- ClassCost.cpp - time and memory of one module instance -------------===//

#include "compiler/cost/ClassCost.h"

#include "compiler/cost/HandFusion.h"
#include "compiler/cost/LocalWork.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace whale::cost {

using namespace workload;

namespace {

bool keepsNarrow(const Stack &stack, const Workload &workload) {
  return stack.keepsNarrow &&
         (workload.precision == "fp8" || workload.precision == "fp4");
}

/// Of an element of the scores: softmax in 16 bits, the dropout's mask and
/// result (Korthikanti et al. 2022, arXiv 2205.05198, section 4.1).
constexpr double scoreBytes = 5;

/// Memory traffic of a loss that works on float32 copies of the logits, beyond
/// one that reads them as they are, in bytes for each of them: written once,
/// and passes for maximum, exponentials, sum and division; backward the product
/// with the gradient and the cast back.
constexpr int64_t lossBytes = 16, lossBytesBackward = 14;

/// What rows have to travel, where a row goes once to each rank.
Bytes sentBytes(const RowExchange &rows) {
  return rows.bytes.scaled(expectedParts(rows.routing, rows.parts) /
                           static_cast<double>(rows.routing.chosen));
}

bool isLoss(const Op &op) {
  return op.kind == OpKind::Reduction && op.findLoop("vocabulary") >= 0;
}

/// Smaller tensors are not partitioned: DeepSpeed's
/// stage3_param_persistence_threshold.
constexpr int64_t partitionedElements = 100'000;

/// Which values have a buffer, given what is saved.
std::vector<bool> materialisedValues(const ModuleClass &module,
                                     const ResidualPlan &plan,
                                     const Stack &stack) {
  std::vector<bool> result(module.values.size(), true);
  for (const Op &op : module.ops)
    for (const Access &made : op.results)
      // Casts for weights' gradients are inside kernels anywhere.
      if (op.fused &&
          (stack.fusedElementwise || op.phase == Phase::BackwardWeight))
        result[made.value] = false;
  for (uint32_t v : plan.saved)
    result[v] = true;
  return result;
}

/// What decides the time of an op, as text.
class OpKey {
public:
  OpKey &add(int64_t number) {
    text.append(reinterpret_cast<const char *>(&number), sizeof number);
    return *this;
  }
  OpKey &add(const std::string &name) {
    add(std::ssize(name));
    text += name;
    return *this;
  }
  OpKey &add(const LoopDim &loop) {
    // Every field: one that is new does not compile until it is here.
    const auto &[name, aliases, extent, kind, reduction, multiple] = loop;
    add(name).add(extent).add(int64_t(kind)).add(multiple);
    add(std::ssize(aliases));
    for (const std::string &alias : aliases)
      add(alias);
    return *this;
  }
  OpKey &add(const Access &access, const Value &value) {
    add(value.elementBytes).add(std::ssize(access.dims));
    for (size_t d = 0; d < access.dims.size(); ++d) {
      add(value.extents[d]).add(std::ssize(access.dims[d]));
      for (uint32_t loop : access.dims[d])
        add(loop);
    }
    return *this;
  }

  std::string text;
};

} // namespace

/// Sums the parts of a ClassCost. Ops that take the same time are looked at
/// once.
struct ClassWorks::Impl {
  Impl(const Workload &workload, const ModuleClass &module,
       const ClassContext &context, const Execution &execution)
      : workload(workload), module(module), context(context),
        execution(execution), routing(routingOf(module)),
        rescaled(workload, module, meshWithRows()), sharded(rescaled.sharded()),
        plan(residuals(module, repeatedOps())), timed(plan.recomputed),
        fusion(module, execution.stack) {
    if (execution.stack.keepsSecondProducts &&
        context.recompute == Recompute::Selective) {
      keepSecondProducts();
      timed = plan.recomputed;
    }
    if (execution.stack.repeatsActivations)
      repeatActivations();
    materialised = materialisedValues(module, plan, execution.stack);
    for (size_t v = 0; v < inside.size(); ++v)
      materialised[v] = materialised[v] && !inside[v];
    findMakers();
    groupOps();
    addState();
  }

  /// Nothing where an op is cut in another way with so many samples.
  std::optional<ClassWork> run(int64_t samples, unsigned deviceType,
                               const Hardware &hardware) {
    std::lock_guard lock(mutex);
    if (!rescaled.scale(samples, asked))
      return std::nullopt;
    result = constant;
    for (const Alike &some : alike)
      addOps(some, deviceType, hardware);
    for (const Transfer &transfer : sharded.transfers)
      addTransfer(transfer);
    for (size_t a = 0; a < module.arguments.size(); ++a) {
      cost.argumentBytes.push_back(sharded.valueBytes[module.arguments[a]]);
      int64_t gradient = a < module.argumentGradients.size()
                             ? module.argumentGradients[a]
                             : -1;
      cost.argumentGradientBytes.push_back(
          gradient < 0 ? Bytes() : sharded.valueBytes[gradient]);
      addArgumentMessage(module.arguments[a], gradient);
    }
    return std::move(result);
  }

  /// Of work that was made for so many samples.
  ClassMemory memory(int64_t samples) {
    std::lock_guard lock(mutex);
    rescaled.scale(samples, askedForMemory);
    ClassMemory memory =
        classMemory(workload, module, sharded, plan, savedForm());
    addLogitCopies(memory);
    addScores(memory);
    addMasks(memory);
    return memory;
  }

private:
  /// Ops that take the same time, whatever the samples.
  struct Alike {
    uint32_t first = 0;
    int64_t count = 1;
  };

  void findMakers() {
    maker.assign(module.values.size(), -1);
    for (size_t i = module.ops.size(); i-- > 0;)
      for (const Access &made : module.ops[i].results)
        maker[made.value] = static_cast<int64_t>(i);
  }

  /// Parts of a product are looked at one by one.
  void groupOps() {
    std::unordered_map<std::string, size_t> known;
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      OpKey key = fusion.joined(i).empty() ? keyOf(i) : OpKey().add(i);
      auto [it, isNew] = known.try_emplace(std::move(key.text), alike.size());
      if (isNew) {
        alike.push_back({i, 1});
        asked.push_back(i);
      } else {
        ++alike[it->second].count;
      }
    }
    askedForMemory = asked;
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      if (op.workspaceBytes > 0 || op.random || isLoss(op) ||
          op.kind == OpKind::Attention)
        askedForMemory.push_back(i);
    }
  }

  OpKey keyOf(uint32_t index) const {
    // Every field: of those that are not in the key, what they decide is.
    const auto &[name, kind, phase, loops, operands, results, flops, numerator,
                 denominator, fused, linearity, cheap, random, expansions,
                 workspace, groupsChosen, groups] = module.ops[index];
    OpKey key;
    key.add(int64_t(kind)).add(int64_t(phase)).add(flops).add(numerator);
    key.add(denominator).add(fused).add(expansions).add(groupsChosen);
    key.add(groups).add(fusion.isAbsent(index)).add(isRepeated(index, kind));
    key.add(std::ssize(loops)).add(std::ssize(operands));
    for (const LoopDim &loop : loops)
      key.add(loop);
    auto add = [&](const Access &access) {
      key.add(access, module.values[access.value]);
      key.add(materialised[access.value]);
    };
    std::for_each(operands.begin(), operands.end(), add);
    for (const Access &made : results) {
      add(made);
      for (const Placement &place : sharded.placements[made.value])
        key.add(int64_t(place.kind)).add(place.dim);
    }
    for (const SplitAxis &axis : context.mesh.axes)
      key.add(axis.holds.empty() || axis.holds[index]);
    return key;
  }

  /// What does not depend on the samples.
  void addState() {
    ClassCost &cost = constant.cost;
    cost.state = stateOf(sharded, false);
    for (size_t i = 0; i < module.variables.size(); ++i)
      cost.tensors += module.variables[i].trained() &&
                      sharded.variableElements[i] >= partitionedElements;
    cost.tiedState = stateOf(sharded, true);
    for (uint32_t a = 0; a < context.mesh.axes.size(); ++a)
      if (context.mesh.axes[a].replica) {
        cost.cut.push_back(cutBy(a, false));
        cost.tiedCut.push_back(cutBy(a, true));
      }
  }

  /// Of the variables that the axis cuts; only of the tied ones if asked.
  StateBytes cutBy(uint32_t axis, bool onlyTied) const {
    ShardedClass part;
    part.variableElements.assign(module.variables.size(), 0);
    for (size_t v = 0; v < module.values.size(); ++v) {
      uint32_t i = module.values[v].index;
      if (module.values[v].kind == ValueKind::Variable &&
          sharded.placements[v][axis].kind == Placement::Kind::Cut)
        part.variableElements[i] = sharded.variableElements[i];
    }
    part.ownedElements = part.variableElements;
    part.variableExtents = sharded.variableExtents;
    return stateOf(part, onlyTied);
  }

  StateBytes stateOf(const ShardedClass &part, bool onlyTied) const {
    StateBytes state = stateBytes(workload, module, part, onlyTied);
    if (keepsNarrow(execution.stack, workload))
      narrowFrozen(part, onlyTied, state);
    return state;
  }

  /// Weights of products that are never updated, a byte an element.
  void narrowFrozen(const ShardedClass &part, bool onlyTied,
                    StateBytes &state) const {
    std::vector<bool> isWeight(module.variables.size(), false);
    for (const Op &op : module.ops)
      for (const Access &operand : op.operands)
        if (const Value &value = module.values[operand.value];
            value.kind == ValueKind::Variable &&
            op.kind == OpKind::Contraction && op.findLoop("vocabulary") < 0)
          isWeight[value.index] = true;
    for (size_t i = 0; i < module.variables.size(); ++i) {
      const Variable &variable = module.variables[i];
      if (!isWeight[i] || variable.trained() ||
          (onlyTied && variable.tied.empty()))
        continue;
      auto narrow = [&](WeightBytes &weights, int64_t elements) {
        Bytes saved = Bytes(elements) * (variable.elementBytes - 1);
        weights.parameters -= saved;
        weights.frozen -= saved;
      };
      narrow(state, part.variableElements[i]);
      narrow(state.owned, part.ownedElements[i]);
    }
  }

  SavedForm savedForm() const {
    const Stack &stack = execution.stack;
    return {stack.gathersAgain, keepsNarrow(stack, workload) ? 1 : 0};
  }

  /// Of an argument whose copies on split axes are sent in shares.
  void addArgumentMessage(uint32_t value, int64_t gradient) {
    cost.messages.push_back(
        {sharded.valueBytes[value],
         gradient < 0 ? Bytes() : sharded.valueBytes[gradient],
         {},
         {}});
    result.messageShares.emplace_back();
    if (execution.stack.scattersMessages)
      for (uint32_t a = 0; a < context.mesh.axes.size(); ++a)
        if (!context.mesh.axes[a].replica &&
            sharded.placements[value][a].kind == Placement::Kind::Whole)
          result.messageShares.back().push_back(a);
  }

  /// Kept are arguments, attention's result and every second product, counted
  /// from the first; all else that the backward part needs is repeated.
  void keepSecondProducts() {
    std::vector<int64_t> maker(module.values.size(), -1);
    std::vector<bool> kept(module.values.size(), false), seen = kept;
    std::vector<uint32_t> needed;
    uint32_t products = 0;
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      bool forward = op.phase == Phase::Forward;
      bool keeps = op.kind == OpKind::Attention ||
                   (op.kind == OpKind::Contraction && ++products % 2 == 1);
      for (const Access &made : op.results)
        if (forward) {
          maker[made.value] = i;
          kept[made.value] = keeps;
        }
      for (const Access &operand : op.operands)
        if (!forward)
          needed.push_back(operand.value);
    }
    plan = {};
    while (!needed.empty()) {
      uint32_t value = needed.back();
      needed.pop_back();
      bool isArgument = module.values[value].kind == ValueKind::Argument;
      if (seen[value] || (!isArgument && maker[value] < 0))
        continue;
      seen[value] = true;
      if (isArgument || kept[value]) {
        plan.saved.push_back(value);
        continue;
      }
      plan.recomputed.push_back(static_cast<uint32_t>(maker[value]));
      for (const Access &operand : module.ops[maker[value]].operands)
        needed.push_back(operand.value);
    }
    std::sort(plan.saved.begin(), plan.saved.end());
    std::sort(plan.recomputed.begin(), plan.recomputed.end());
    plan.recomputed.erase(
        std::unique(plan.recomputed.begin(), plan.recomputed.end()),
        plan.recomputed.end());
  }

  /// What lies inside an activation function is not kept, and its backward
  /// kernel makes it again at no price of its own.
  void repeatActivations() {
    std::vector<uint32_t> kept;
    inside.assign(module.values.size(), false);
    for (uint32_t i = 0; i < module.ops.size(); ++i)
      if (isInterior(i) && readsKept(i))
        for (const Access &made : module.ops[i].results)
          if (isSaved(made.value)) {
            inside[made.value] = true;
            plan.recomputed.push_back(i);
          }
    for (uint32_t value : plan.saved)
      if (!inside[value])
        kept.push_back(value);
    plan.saved = std::move(kept);
    std::sort(plan.recomputed.begin(), plan.recomputed.end());
  }

  bool isSaved(uint32_t value) const {
    return std::binary_search(plan.saved.begin(), plan.saved.end(), value);
  }

  /// A cheap elementwise op whose result only others of the forward part's
  /// read.
  bool isInterior(uint32_t index) const {
    const Op &op = module.ops[index];
    if (op.phase != Phase::Forward || op.kind != OpKind::Elementwise ||
        !op.cheap)
      return false;
    auto reads = [&](const Op &user) {
      return std::any_of(
          user.operands.begin(), user.operands.end(),
          [&](const Access &a) { return a.value == op.results[0].value; });
    };
    bool isResult = std::find(module.results.begin(), module.results.end(),
                              op.results[0].value) != module.results.end();
    return !isResult && std::all_of(module.ops.begin(), module.ops.end(),
                                    [&](const Op &user) {
                                      return user.phase != Phase::Forward ||
                                             user.kind == OpKind::Elementwise ||
                                             !reads(user);
                                    });
  }

  bool readsKept(uint32_t op) const {
    const std::vector<Access> &operands = module.ops[op].operands;
    return std::all_of(operands.begin(), operands.end(), [&](const Access &a) {
      return module.values[a.value].kind == ValueKind::Variable ||
             inside[a.value] || isSaved(a.value);
    });
  }

  OpWork workOf(uint32_t index) const {
    OpWork work = localWork(workload, module, sharded, index, materialised);
    const Op &op = module.ops[index];
    if (!isLoss(op) || execution.stack.logitCopyBytes == 0)
      return work;
    Bytes more(op.phase == Phase::Forward ? lossBytes : lossBytesBackward);
    for (int64_t extent : sharded.ops[index].extents)
      more = more * extent;
    work.bytes += more;
    return work;
  }

  /// Of an op that is a part of a larger product: its share of that one.
  Picoseconds timeOf(uint32_t index, const OpWork &work, unsigned deviceType,
                     const Hardware &hardware) const {
    std::vector<OpWork> parts;
    for (uint32_t part : fusion.joined(index))
      parts.push_back(workOf(part));
    bool fits = std::all_of(parts.begin(), parts.end(), [&](const OpWork &p) {
      bool depth = fusion.joinsDepth(index);
      return p.batch == work.batch && p.m == work.m &&
             (depth ? p.n == work.n : p.k == work.k);
    });
    if (parts.empty() || !fits)
      return hardware.opTime(deviceType, work);
    OpWork whole = joinedWork(parts, fusion.joinsDepth(index));
    return hardware.opTime(deviceType, whole)
        .scaled(work.flops.asDouble() / whole.flops.asDouble());
  }

  /// Of the kernel that fills a new buffer before another writes it.
  Picoseconds fillTime(const Op &op, const OpWork &work, unsigned deviceType,
                       const Hardware &hardware) const {
    if (!execution.stack.fillsBuffers || work.fused)
      return Picoseconds();
    OpWork fill;
    fill.kind = OpKind::Elementwise;
    fill.precision = work.precision;
    for (const Access &made : op.results)
      fill.bytes += sharded.valueBytes[made.value];
    return hardware.opTime(deviceType, fill);
  }

  void addOps(const Alike &some, unsigned deviceType,
              const Hardware &hardware) {
    auto [index, count] = some;
    if (fusion.isAbsent(index))
      return;
    const Op &op = module.ops[index];
    OpWork work = workOf(index);
    Picoseconds time = (timeOf(index, work, deviceType, hardware) +
                        fillTime(op, work, deviceType, hardware)) *
                       count;
    bool forward = op.phase == Phase::Forward;
    (forward ? cost.forward : cost.backward) += time;
    if (op.phase == Phase::BackwardWeight)
      cost.weight += time;
    int64_t kernels = kernelsOf(index, work) * count;
    (forward ? cost.forwardKernels : cost.backwardKernels) += kernels;
    cost.flops += work.flops * count;
    if (!isRepeated(index, work.kind))
      return;
    cost.recompute += time;
    cost.backwardKernels += kernels;
    result.repeatedKernels += kernels;
  }

  int64_t kernelsOf(uint32_t index, const OpWork &work) const {
    std::span<const uint32_t> joined = fusion.joined(index);
    if (!joined.empty() && joined.front() != index)
      return 0;
    bool parts = execution.stack.attention == Attention::Unfused &&
                 work.kind == OpKind::Attention;
    return parts ? unfusedAttentionKernels : !work.fused;
  }

  Recompute repeatedOps() const {
    bool onlyAttention = execution.stack.selectsAttention &&
                         context.recompute == Recompute::Selective;
    return onlyAttention ? Recompute::None : context.recompute;
  }

  /// Attention with scores in memory is what selective recompute repeats first.
  bool isRepeated(uint32_t op, OpKind kind) const {
    const Stack &stack = execution.stack;
    bool attention =
        (stack.attention == Attention::Unfused || stack.selectsAttention) &&
        kind == OpKind::Attention &&
        context.recompute == Recompute::Selective &&
        module.ops[op].phase == Phase::Forward;
    return attention || std::binary_search(timed.begin(), timed.end(), op);
  }

  /// Of attention with scores in memory: kept, or there while they are
  /// repeated.
  void addScores(ClassMemory &memory) const {
    if (execution.stack.attention != Attention::Unfused)
      return;
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      if (op.kind != OpKind::Attention || op.phase != Phase::Forward)
        continue;
      Bytes scores =
          Bytes::fromDouble(scoresOf(op, sharded.ops[i]) * scoreBytes);
      if (context.recompute == Recompute::None) {
        memory.saved += scores;
        memory.forwardTotal += scores;
        memory.backwardOnce += scores;
      } else {
        memory.backwardTransient += scores;
      }
      memory.backwardTotal += scores;
    }
  }

  /// Of dropouts: kept, or there while they are repeated.
  void addMasks(ClassMemory &memory) const {
    if (!execution.stack.keepsMasks)
      return;
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      if (!op.random || op.phase != Phase::Forward)
        continue;
      Bytes mask(1);
      for (int64_t extent : sharded.ops[i].extents)
        mask = mask * extent;
      // In full also where nothing else of the result is needed again.
      if (context.recompute == Recompute::Full ||
          std::binary_search(plan.recomputed.begin(), plan.recomputed.end(),
                             i)) {
        memory.backwardTransient += mask;
      } else {
        memory.saved += mask;
        memory.forwardTotal += mask;
        memory.backwardOnce += mask;
      }
      memory.backwardTotal += mask;
    }
  }

  /// Copies of the logits, beside the loss and its gradient; or one in place of
  /// the logits from the loss to its gradient.
  void addLogitCopies(ClassMemory &memory) const {
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      if (!isLoss(op) || op.phase != Phase::Forward)
        continue;
      Bytes copies(execution.stack.logitCopyBytes);
      for (int64_t extent : sharded.ops[i].extents)
        copies = copies * extent;
      memory.backwardOnce += copies;
      Bytes logits = sharded.valueBytes[op.operands.front().value];
      if (!execution.stack.replacesLogits ||
          !isSaved(op.operands.front().value)) {
        memory.backwardTransient += copies;
        memory.backwardTotal += copies;
        continue;
      }
      memory.forwardTransient += logits;
      memory.forwardTotal += copies;
      memory.backwardTotal += copies - logits;
      memory.saved += copies - logits;
    }
  }

  /// Whether rows go to their experts, or come back from them: a dispatcher of
  /// its own does that, not the product that needs them.
  bool dispatches(const Transfer &transfer) const {
    auto routed = [&](int64_t op) {
      return op >= 0 && op < static_cast<int64_t>(module.ops.size()) &&
             module.ops[op].routingLoop() >= 0;
    };
    return routed(transfer.beforeOp) || routed(maker[transfer.value]);
  }

  /// The mesh as rows with experts see it.
  LocalMesh meshWithRows() const {
    LocalMesh mesh = context.mesh;
    for (SplitAxis &axis : mesh.axes) {
      if (!execution.stack.balancesExperts)
        axis.fullest = execution.parameters.expertImbalance;
      bool cutsSequence = std::find(axis.dims.begin(), axis.dims.end(),
                                    "sequence") != axis.dims.end();
      if (execution.stack.sendsPositions && cutsSequence &&
          axis.dims.front() == "experts")
        axis.rows = "sequence";
    }
    return mesh;
  }

  /// Rows are sent along one axis after the other, the outermost first.
  RowExchange rowsOf(const Transfer &transfer) const {
    RowExchange rows{transfer.bytes, {}, 1};
    if (execution.stack.sendsRowsOnce)
      rows.routing = routing;
    for (uint32_t a = 0; a <= transfer.axis; ++a)
      rows.parts *= routes(a) ? context.mesh.axes[a].size : 1;
    return rows;
  }

  /// Whether rows are sent to experts along the axis.
  bool routes(uint32_t axis) const {
    return std::any_of(sharded.ops.begin(), sharded.ops.end(),
                       [&](const LocalOp &op) { return op.routed[axis]; });
  }

  /// Of what is gathered for a product in 8 or fewer bits.
  Bytes gathered(const Transfer &transfer) const {
    bool narrow = execution.stack.gathersNarrow &&
                  (workload.precision == "fp8" || workload.precision == "fp4");
    if (!narrow || dispatches(transfer) ||
        transfer.kind != CollectiveKind::AllGather ||
        transfer.beforeOp >= module.ops.size())
      return transfer.bytes;
    const Op &op = module.ops[transfer.beforeOp];
    if (op.kind != OpKind::Contraction || op.findLoop("vocabulary") >= 0)
      return transfer.bytes;
    return ceilDivide(transfer.bytes,
                      module.values[transfer.value].elementBytes);
  }

  void addTransfer(const Transfer &transfer) {
    if (int64_t op = maker[transfer.value];
        op >= 0 && !transfer.oncePerStep &&
        fusion.isAddedFirst(static_cast<uint32_t>(op)))
      return;
    Exchange exchange;
    exchange.kind = transfer.kind;
    exchange.axis = transfer.axis;
    exchange.bytes = gathered(transfer);
    if (transfer.ofRows)
      exchange.rows = rowsOf(transfer);
    exchange.forward = transfer.phase == Phase::Forward;
    exchange.oncePerStep = transfer.oncePerStep;
    exchange.isHidden = !transfer.oncePerStep && !dispatches(transfer);
    (exchange.forward ? cost.forwardKernels : cost.backwardKernels) += 1;
    if (!transfer.oncePerStep)
      cost.traffic +=
          exchange.rows ? sentBytes(*exchange.rows) : transfer.bytes;
    // Repeated with an op that needs it, unless what it makes is kept.
    bool again =
        std::binary_search(timed.begin(), timed.end(), transfer.beforeOp) ||
        (exchange.forward && transfer.copy >= 0 &&
         sharded.copies[transfer.copy].inBackward);
    bool kept = std::binary_search(plan.saved.begin(), plan.saved.end(),
                                   transfer.value);
    exchange.isRepeated = again && !kept;
    result.exchanges.push_back(exchange);
  }

  const Workload &workload;
  const ModuleClass &module;
  const ClassContext context;
  const Execution execution;
  Routing routing;
  Rescaled rescaled;
  const ShardedClass &sharded;
  ResidualPlan plan;
  /// What is repeated at the price of its time.
  std::vector<uint32_t> timed;
  /// Values that lie inside activation functions; empty = none.
  std::vector<bool> inside;
  HandFusion fusion;
  std::vector<bool> materialised;
  /// By value the first op that makes it, or -1.
  std::vector<int64_t> maker;
  std::vector<Alike> alike;
  /// The first of each, and with those whose extents memory depends on.
  std::vector<uint32_t> asked, askedForMemory;
  ClassWork constant;
  /// While the work for some samples is made.
  std::mutex mutex;
  ClassWork result;
  ClassCost &cost = result.cost;
};

const ClassMemory &LazyMemory::operator*() const {
  static const ClassMemory none;
  if (!state)
    return none;
  std::call_once(state->once, [&] {
    state->found = state->find();
    state->find = nullptr;
  });
  return state->found;
}

ClassWorks::ClassWorks(const Workload &workload, const ModuleClass &module,
                       const ClassContext &context, const Hardware &hardware)
    : impl(std::make_shared<Impl>(workload, module, context,
                                  hardware.execution)),
      memories(std::make_shared<Memories>()) {}

std::optional<ClassWork> ClassWorks::of(int64_t samples, unsigned deviceType,
                                        const Hardware &hardware) const {
  std::optional<ClassWork> work = impl->run(samples, deviceType, hardware);
  if (!work)
    return work;
  std::lock_guard lock(memories->mutex);
  LazyMemory &memory = memories->bySamples[samples];
  if (!memory)
    memory =
        LazyMemory([impl = impl, samples] { return impl->memory(samples); });
  work->cost.memory = memory;
  return work;
}

Message &Message::operator+=(const Message &more) {
  forward += more.forward;
  backward += more.backward;
  gatherForward += more.gatherForward;
  gatherBackward += more.gatherBackward;
  return *this;
}

ClassCost classCost(const Workload &workload, const ModuleClass &module,
                    const ClassContext &context, const Hardware &hardware) {
  ClassWorks works(workload, module, context, hardware);
  return withGroups(
      *works.of(context.mesh.samples, context.deviceType, hardware), context,
      hardware);
}

} // namespace whale::cost
