//===- Workload.h - the planner's view of a model ---------------*- C++ -*-===//
//
// Plain structs that say what a training step does, without how: classes of
// equal modules, the runs of instances that make up the model, state and
// training spec. passes/plan/ReadWorkload fills them from the IR; tests write
// them as JSON. Extents are those of the GLOBAL batch on one device: shards and
// micro-batches follow from the loop dimensions' names.
//
//   Workload
//     classes[]     ModuleClass: one flat list of ops, forward then backward
//     runs[]        the model's top-level sequence: `count` instances of a class
//     variables     belong to classes; path = instance name + "/" + name
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_WORKLOAD_WORKLOAD_H
#define WHALE_WORKLOAD_WORKLOAD_H

#include "compiler/support/Diagnostics.h"
#include "compiler/support/Json.h"
#include "compiler/support/Units.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale::workload {

/// What splitting a loop dimension means; as in dialects/whale/IterationSpace.h
/// (a summed dimension is a Parallel one that a result lacks).
enum class LoopKind { Parallel, Indexed, Window, Sequential, Whole };

/// How results that lack a dimension combine over its shards.
enum class Reduction { Sum, Max, Min };

struct LoopDim {
  /// Name that `split(dim)` may use; may be empty.
  std::string name;
  /// Other names of the same dimension ("columns", "rows", the caller's name).
  std::vector<std::string> aliases;
  int64_t extent = 1;
  LoopKind kind = LoopKind::Parallel;
  Reduction reduction = Reduction::Sum;
  /// Shards begin at multiples of this many iterations.
  int64_t multiple = 1;

  bool hasName(std::string_view wanted) const;
};

/// How one tensor's dimensions map to the loops of an op.
struct Access {
  /// Index into ModuleClass::values.
  uint32_t value = 0;
  /// Per dimension of the value the loops that make it up, outermost first;
  /// empty = the whole extent in every iteration.
  std::vector<std::vector<uint32_t>> dims;
};

/// In which operands an op is linear; as in dialects/whale/IterationSpace.h.
enum class Linearity {
  None,
  /// In all operands together (add, cast, reshape, a sum).
  Joint,
  /// In the first operand, the others fixed (division).
  First,
  /// In each operand, the others fixed (a product).
  Each,
};

/// When an op runs. Weight gradients may be delayed by a schedule.
enum class Phase { Forward, BackwardInput, BackwardWeight };

/// Only for the lookup of efficiencies and of workspace; never for a rule about
/// splitting. The order is that of `opKindName`.
enum class OpKind {
  Contraction,
  Convolution,
  Attention,
  Elementwise,
  Reduction,
  Gather,
  Scatter,
  Movement,
  Other
};

struct Op {
  /// Unique in its class.
  std::string name;
  OpKind kind = OpKind::Other;
  Phase phase = Phase::Forward;
  std::vector<LoopDim> loops;
  std::vector<Access> operands, results;
  /// FLOPs of one point of the loop space (multiply and add count 2).
  int64_t flopsPerPoint = 1;
  /// Share of the points that are really computed (causal masks).
  int64_t usedNumerator = 1, usedDenominator = 1;
  /// The result is not materialised: the op runs inside its consumer's kernel,
  /// costs no launch and no memory traffic of its own for the result.
  bool fused = false;
  /// Whether partial sums may pass through it.
  Linearity linearity = Linearity::None;
  /// Selective recompute may repeat it (elementwise, norms, softmax, dropout).
  bool cheap = false;
  /// It draws which elements it lets through (dropout), in the backward part
  /// again.
  bool random = false;
  /// The op can be cut along its Whole loops at the price of this many
  /// all-reduces of a float32 per remaining point (softmax: maximum and sum);
  /// 0 = it cannot.
  uint32_t expansionReductions = 0;
  /// Scratch bytes of the kernel at the full extents; scaled with the points.
  int64_t workspaceBytes = 0;

  /// Where each row meets one expert: its experts lie in at most so many of so
  /// many equal groups of them (node-limited routing).
  int64_t groupsChosen = 1, groups = 1;

  /// The first loop of that name, or -1.
  int32_t findLoop(std::string_view wanted) const;
  /// The loop over experts where each row meets one of them, or -1.
  int32_t routingLoop() const;
  /// Points of the loop space; saturates.
  int64_t points() const;
  /// flopsPerPoint * points * used share.
  Flops flops() const;
};

enum class ValueKind {
  /// Argument number `index` of the module.
  Argument,
  /// The value of variable `index` of the class.
  Variable,
  /// Gradient of result number `index` (argument of the backward part).
  ResultGradient,
  /// Gradient of variable `index`: goes to the accumulator.
  VariableGradient,
  /// Everything else.
  Temporary,
};

struct Value {
  std::string name;
  ValueKind kind = ValueKind::Temporary;
  uint32_t index = 0;
  std::vector<int64_t> extents;
  int64_t elementBytes = 4;

  int64_t elements() const;
  int64_t bytes() const { return elements() * elementBytes; }
};

enum class VariableKind { Parameter, Statistic, Counter };

struct Variable {
  /// Name within the instance.
  std::string name;
  VariableKind kind = VariableKind::Parameter;
  std::vector<int64_t> extents;
  /// One per dimension; may be empty strings.
  std::vector<std::string> dimNames;
  /// Bytes of one element as the forward part reads it.
  int64_t elementBytes = 4;
  bool frozen = false;
  /// Full path of the variable whose storage this one shares ("" = its own).
  /// Used from two pipeline stages, both hold a copy and their gradients are
  /// summed across the stages.
  std::string tied;
  /// Index into Workload::groups.
  uint32_t group = 0;
  /// Where the group's factored moment takes this tensor for a matrix: rows are
  /// the dimensions before this one. 0: it is kept whole.
  uint32_t factorCut = 0;

  int64_t elements() const;
  int64_t bytes() const { return elements() * elementBytes; }
  bool trained() const { return kind == VariableKind::Parameter && !frozen; }
};

struct ModuleClass {
  std::string name;
  std::vector<Variable> variables;
  std::vector<Value> values;
  /// In the order in which they run: forward ops, then backward ops.
  std::vector<Op> ops;
  /// Indices into `values`.
  std::vector<uint32_t> arguments, results;
  /// Per argument the value that holds its gradient, or -1.
  std::vector<int64_t> argumentGradients;
};

/// Where an argument of a run comes from.
struct Source {
  /// Index of the run, or -1 for an input of the model.
  int64_t run = -1;
  /// Result of that run's last instance, or index of the model's input.
  uint32_t result = 0;
};

/// `count` instances of one class, one after another: the results of one are
/// the first arguments of the next, the other arguments are the same for all.
struct Run {
  uint32_t moduleClass = 0;
  /// Instance path: the name, or with count > 1 `name.0`...`name.(count-1)`.
  std::string name;
  int64_t count = 1;
  /// One per argument of the class.
  std::vector<Source> arguments;
  /// Of a part of a longer run (Fragments.h): the number in its first path, and
  /// how many instances there are.
  int64_t first = 0, of = 0;
  /// Of a run that is a fragment of an instance (Fragments.h): what of it, as
  /// paths within it. Empty = all.
  std::vector<std::string> fragment = {};

  /// Path of instance `i`; of a fragment that of the whole.
  std::string path(int64_t i) const;
};

/// Optimizer of a parameter group.
struct ParameterGroup {
  std::string name;
  /// Bytes per element of each optimizer slot (AdamW: {4, 4}).
  std::vector<int64_t> slotBytes;
  /// Bytes per element of a moment that is kept as a sum per row and one per
  /// column (Adafactor); 0 = none.
  int64_t factoredBytes = 0;
  /// Bytes per element of a master copy; 0 = none.
  int64_t masterBytes = 0;
  /// Bytes per element in which gradients are accumulated.
  int64_t gradientBytes = 4;
};

struct Workload {
  std::string modelName;
  /// Of the canonical model without annotations, places and comments.
  std::string modelHash;
  /// Element type of the arithmetic: "f32", "bf16", "f16", "f64".
  std::string precision = "f32";
  /// Name of the loop dimension that replicas and micro-batches cut.
  std::string batchDim = "batch";
  int64_t globalBatch = 1;
  /// Shares and micro-batches are cut at multiples of this many samples.
  int64_t sampleGroup = 1;
  /// FLOPs of forward and backward without recompute, for utilisation; 0 =
  /// summed over the contractions, convolutions and attention of the classes.
  Flops modelFlops;
  std::vector<ParameterGroup> groups;
  std::vector<ModuleClass> classes;
  std::vector<Run> runs;
};

/// Name of a module instance by its position in the whole sequence.
struct InstanceRef {
  uint32_t run = 0;
  int64_t index = 0;
};
/// Number of instances in all runs.
int64_t instanceCount(const Workload &workload);
/// Position 0 <= i < instanceCount in execution order.
InstanceRef instanceAt(const Workload &workload, int64_t position);
/// Elements of all trained and frozen parameters, tied ones once.
int64_t parameterCount(const Workload &workload);
/// FLOPs of a step by the model's own arithmetic (see Workload::modelFlops).
Flops stepFlops(const Workload &workload);

/// Indices in range, accesses fit values, extents positive, values defined
/// before use, sources before their run, arguments of chained runs fit.
bool check(const Workload &workload, Diagnostics &diagnostics);

std::optional<Workload> readWorkload(const json::Value &json,
                                     Diagnostics &diagnostics);
/// Everything, in a fixed order: readWorkload gives the same struct again.
void writeWorkload(json::Writer &writer, const Workload &workload);

} // namespace whale::workload

#endif // WHALE_WORKLOAD_WORKLOAD_H
