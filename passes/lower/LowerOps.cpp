//===- LowerOps.cpp - ops that are no kernels -----------------------------===//

#include "passes/lower/LowerProgram.h"

#include <limits>

using namespace mlir;
using namespace whale;
using namespace whale::lower;

using Strides = SmallVector<int64_t>;

static Strides rowMajor(ArrayRef<int64_t> shape) {
  Strides strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return tensorType(value).getShape();
}

static int64_t productOf(ArrayRef<int64_t> extents) {
  int64_t product = 1;
  for (int64_t extent : extents)
    product *= extent;
  return product;
}

static format::ScalarT constant(int64_t value) {
  return format::constantScalar(value);
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

LogicalResult ProgramLowering::lowerOp(Operation *op) {
  auto done = [&](auto concrete) {
    lower(concrete);
    return LogicalResult(success());
  };
  if (isa<EinsumOp, ReduceOp>(op) && isAccumulator(op->getResult(0))) {
    lowerLoopSum(op);
    return success();
  }
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](EinsumOp einsum) { return lower(einsum); })
      .Case<TransposeOp, PadOp, ConcatOp, RoundSumOp, rank::VariableOp,
            rank::InputOp, rank::MetricOp, rank::AllReduceOp, rank::AllGatherOp,
            rank::ReduceScatterOp, rank::AllToAllOp, rank::SliceOp,
            rank::AssembleOp, rank::SendOp, rank::ReceiveOp,
            rank::AccumulateOp>(done)
      .Default([&](Operation *other) { return lowerCall(other); });
}

void lower::forEachOperand(format::OperationUnion &operation,
                           function_ref<void(format::OperandT &)> visit) {
  auto one = [&](const std::unique_ptr<format::OperandT> &operand) {
    if (operand)
      visit(*operand);
  };
  auto all = [&](const auto &operands) {
    for (const auto &operand : operands)
      one(operand);
  };
  if (auto *launch = operation.AsLaunch())
    all(launch->operands);
  if (auto *call = operation.AsCall())
    all(call->operands);
  if (auto *contract = operation.AsContract())
    one(contract->a), one(contract->b), one(contract->c);
  if (auto *collective = operation.AsCollective())
    one(collective->input), one(collective->output);
  if (auto *send = operation.AsSend())
    one(send->operand);
  if (auto *receive = operation.AsReceive())
    one(receive->operand);
  if (auto *copy = operation.AsCopy())
    one(copy->src), one(copy->dst);
  if (auto *fill = operation.AsFill())
    one(fill->operand);
  if (auto *input = operation.AsInput())
    one(input->operand);
  if (auto *metric = operation.AsMetric())
    one(metric->operand), one(metric->count);
}

//===----------------------------------------------------------------------===//
// Contractions
//===----------------------------------------------------------------------===//

unsigned ProgramLowering::copyInOrder(Value from, const StorageOrder &order,
                                      Operation *op) {
  RankedTensorType type = tensorType(from);
  Strides strides = rowMajor(type.getShape());
  Box box;
  SmallVector<int64_t> shape;
  for (unsigned dim : order) {
    shape.push_back(type.getShape()[dim]);
    box.srcStrides.push_back(strides[dim]);
  }
  box.dims = shape;
  box.dstStrides = rowMajor(shape);
  unsigned buffer = temporary(type);
  addCopy(operand(from), operand(buffer, type.clone(shape)),
          type.getElementType(), box, op);
  return buffer;
}

/// The sum that a contraction adds to, or null.
static rank::AccumulateOp sumOf(EinsumOp op,
                                const llvm::DenseSet<Operation *> &sums) {
  for (Operation *user : op.getResult().getUsers())
    if (sums.contains(user))
      return cast<rank::AccumulateOp>(user);
  return nullptr;
}

LogicalResult ProgramLowering::lower(EinsumOp op) {
  Type element = tensorType(op.getLhs()).getElementType();
  if (element != tensorType(op.getRhs()).getElementType())
    return op.emitOpError("operands have elements of ")
           << element << " and " << tensorType(op.getRhs()).getElementType()
           << ", expected one type";
  Contraction found =
      analyseContraction(*parseEquation(op.getEquation()), shapeOf(op.getLhs()),
                         shapeOf(op.getRhs()), shapeOf(op.getResult()));
  auto input = [&](Value value, const StorageOrder &order) {
    if (order.empty())
      return operand(value);
    return operand(copyInOrder(value, order, op), tensorType(value));
  };
  format::ContractT &contract = found.contract;
  std::unique_ptr<format::OperandT> lhs = input(op.getLhs(), found.lhs);
  std::unique_ptr<format::OperandT> rhs = input(op.getRhs(), found.rhs);
  contract.a = std::move(found.swapped ? rhs : lhs);
  contract.b = std::move(found.swapped ? lhs : rhs);
  contract.alpha = 1.0;
  if (rank::AccumulateOp sum = sumOf(op, contractedSums)) {
    lowerSum(sum);
    contract.accumulate = true;
    contract.c = operand(sum.getResult());
    add(std::move(contract), op);
    return success();
  }
  if (found.result.empty()) {
    contract.c = operand(op.getResult());
    add(std::move(contract), op);
    return success();
  }
  // Through a temporary in another order.
  RankedTensorType type = tensorType(op.getResult());
  unsigned buffer = temporary(type);
  contract.c = operand(buffer, type);
  add(std::move(contract), op);
  Strides strides = rowMajor(type.getShape());
  Box box;
  for (unsigned dim : found.result) {
    box.dims.push_back(type.getShape()[dim]);
    box.dstStrides.push_back(strides[dim]);
  }
  box.srcStrides = rowMajor(box.dims);
  addCopy(operand(buffer, type), operand(op.getResult()), type.getElementType(),
          box, op);
  return success();
}

/// The accumulator starts from the neutral element before the micro-batches.
void ProgramLowering::lowerSum(rank::AccumulateOp op) {
  double start = 0;
  if (op.getReduction() == ReductionKind::max)
    start = -std::numeric_limits<double>::infinity();
  if (op.getReduction() == ReductionKind::min)
    start = std::numeric_limits<double>::infinity();
  Phase phaseNow = phase;
  int64_t positionNow = position;
  phase = Phase::Prologue;
  // `order` is by phase, the prologue first.
  auto *end = llvm::partition_point(order, [](Operation *other) {
    return phaseOf(other) == Phase::Prologue;
  });
  position = std::max<int64_t>(end - order.begin() - 1, 0);
  format::FillT fill;
  fill.value = start;
  fill.operand = operand(op.getResult());
  add(std::move(fill), op);
  phase = phaseNow;
  position = positionNow;
}

//===----------------------------------------------------------------------===//
// Calls: one table, whale op -> function of runtime/format/Functions.h
//===----------------------------------------------------------------------===//

namespace {
struct CallRow {
  StringRef op, function;
  /// Fills ints and floats from the op's attributes.
  void (*attributes)(Operation *op, format::CallT &call);
  /// Loops whose `offsets` become scalars of the call.
  SmallVector<unsigned, 2> scalarLoops;
};
} // namespace

static int64_t flag(Operation *op, StringRef name) { return op->hasAttr(name); }

static void addInts(Operation *op, StringRef name, format::CallT &call) {
  for (int64_t value : op->getAttrOfType<DenseI64ArrayAttr>(name).asArrayRef())
    call.ints.push_back(value);
}

static void addInt(Operation *op, StringRef name, format::CallT &call) {
  auto attr = op->getAttrOfType<IntegerAttr>(name);
  call.ints.push_back(attr ? attr.getInt() : 0);
}

static void noAttributes(Operation *, format::CallT &) {}

template <typename OpTy>
static void attentionAttributes(Operation *op, format::CallT &call) {
  call.ints.push_back(flag(op, "causal"));
  addInt(op, "window", call);
  call.ints.push_back(cast<OpTy>(op).getBias() ? 1 : 0);
  call.floats.push_back(cast<OpTy>(op).getScale().convertToDouble());
}

static void convAttributes(Operation *op, format::CallT &call) {
  addInts(op, "strides", call);
  addInts(op, "padding", call);
}

static void poolAttributes(Operation *op, format::CallT &call) {
  addInts(op, "window", call);
  convAttributes(op, call);
}

static void slotAttributes(Operation *op, format::CallT &call) {
  addInt(op, "num_experts", call);
  addInt(op, "capacity", call);
  addInt(op, "over", call);
}

static void transposedAttribute(Operation *op, format::CallT &call) {
  call.ints.push_back(flag(op, "transposed"));
}

static ArrayRef<CallRow> callTable() {
  static const CallRow rows[] = {
      {"whale.attention",
       "attention_forward",
       attentionAttributes<AttentionOp>,
       {}},
      {"whale.attention_grad",
       "attention_backward",
       attentionAttributes<AttentionGradOp>,
       {}},
      {"whale.conv2d", "conv2d_forward", convAttributes, {}},
      {"whale.conv2d_input_grad", "conv2d_backward_input", convAttributes, {}},
      {"whale.conv2d_filter_grad",
       "conv2d_backward_filter",
       convAttributes,
       {}},
      {"whale.embedding", "embedding", noAttributes, {}},
      {"whale.scatter_add", "scatter_add", noAttributes, {}},
      {"whale.top_k", "top_k", noAttributes, {}},
      {"whale.expert_slot", "expert_slot", slotAttributes, {}},
      {"whale.dispatch", "dispatch", noAttributes, {}},
      {"whale.collect", "collect", noAttributes, {}},
      {"whale.expert_matmul", "expert_matmul", transposedAttribute, {}},
      {"whale.expert_outer", "expert_outer", noAttributes, {}},
  };
  return rows;
}

/// Offset of the one loop that the op reads indices of.
static void addOffset(Operation *op, format::CallT &call) {
  auto offsets = op->getAttrOfType<ArrayAttr>("offsets");
  auto space = dyn_cast<IterationSpaceOpInterface>(op);
  if (!offsets || !space)
    return;
  IterationSpace loops = space.getIterationSpace();
  for (auto [loop, offset] : llvm::zip(loops.loops, offsets))
    if (loop.kind == LoopKind::Indexed)
      call.scalars.push_back(std::make_unique<format::ScalarT>(
          scalarOf(cast<rank::ScalarAttr>(offset))));
}

/// max and average pooling are four functions.
static std::string poolFunction(Operation *op) {
  auto forward = dyn_cast<PoolOp>(op);
  PoolKind kind = forward ? forward.getKind() : cast<PoolGradOp>(op).getKind();
  return std::string(kind == PoolKind::max ? "max" : "avg") + "_pool_" +
         (forward ? "forward" : "backward");
}

LogicalResult ProgramLowering::lowerCall(Operation *op) {
  format::CallT call;
  bool isAveragePoolGrad = false;
  if (isa<PoolOp, PoolGradOp>(op)) {
    call.function = poolFunction(op);
    isAveragePoolGrad = call.function == "avg_pool_backward";
    poolAttributes(op, call);
  } else {
    StringRef name = op->getName().getStringRef();
    auto row = llvm::find_if(callTable(),
                             [&](const CallRow &r) { return r.op == name; });
    if (row == callTable().end())
      return op->emitOpError("cannot be lowered to a program");
    call.function = row->function.str();
    if (isAccumulator(op->getResult(0)))
      call.function = "canonical_" + call.function;
    row->attributes(op, call);
    addOffset(op, call);
  }
  for (auto [index, value] : llvm::enumerate(op->getOperands()))
    if (!isAveragePoolGrad || index != 0)
      call.operands.push_back(operand(value));
  for (Value result : op->getResults())
    call.operands.push_back(operand(result));
  add(std::move(call), op);
  return success();
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void ProgramLowering::addCopy(std::unique_ptr<format::OperandT> src,
                              std::unique_ptr<format::OperandT> dst,
                              Type element, const Box &box, Operation *op) {
  format::CopyT copy;
  copy.src = std::move(src);
  copy.dst = std::move(dst);
  copy.elementBytes = elementBytes(element);
  copy.dims.assign(box.dims.begin(), box.dims.end());
  copy.srcStrides.assign(box.srcStrides.begin(), box.srcStrides.end());
  copy.dstStrides.assign(box.dstStrides.begin(), box.dstStrides.end());
  copy.srcOffset = std::make_unique<format::ScalarT>(box.srcOffset);
  copy.dstOffset = std::make_unique<format::ScalarT>(box.dstOffset);
  add(std::move(copy), op);
}

void ProgramLowering::lower(TransposeOp op) {
  Strides strides = rowMajor(shapeOf(op.getOperand()));
  Box box;
  llvm::append_range(box.dims, shapeOf(op.getResult()));
  for (int64_t dim : op.getPermutation())
    box.srcStrides.push_back(strides[dim]);
  box.dstStrides = rowMajor(box.dims);
  addCopy(operand(op.getOperand()), operand(op.getResult()),
          tensorType(op.getResult()).getElementType(), box, op);
}

void ProgramLowering::lower(PadOp op) {
  format::FillT fill;
  fill.operand = operand(op.getResult());
  add(std::move(fill), op);
  Box box;
  llvm::append_range(box.dims, shapeOf(op.getOperand()));
  box.srcStrides = rowMajor(box.dims);
  box.dstStrides = rowMajor(shapeOf(op.getResult()));
  box.dstOffset = constant(op.getLow() * box.dstStrides[op.getDim()]);
  addCopy(operand(op.getOperand()), operand(op.getResult()),
          tensorType(op.getResult()).getElementType(), box, op);
}

void ProgramLowering::lower(ConcatOp op) {
  int64_t start = 0;
  for (Value piece : op.getOperands()) {
    Box box;
    llvm::append_range(box.dims, shapeOf(piece));
    box.srcStrides = rowMajor(box.dims);
    box.dstStrides = rowMajor(shapeOf(op.getResult()));
    box.dstOffset = constant(start * box.dstStrides[op.getDim()]);
    start += shapeOf(piece)[op.getDim()];
    addCopy(operand(piece), operand(op.getResult()),
            tensorType(op.getResult()).getElementType(), box, op);
  }
}

/// sum of offsets[i] * strides[i].
static format::ScalarT boxOffset(ArrayAttr offsets, ArrayRef<int64_t> strides) {
  format::ScalarT sum;
  for (auto [attr, stride] : llvm::zip(offsets, strides)) {
    if (auto number = dyn_cast<IntegerAttr>(attr)) {
      sum.constant += number.getInt() * stride;
      continue;
    }
    format::ScalarT scalar = scalarOf(cast<rank::ScalarAttr>(attr));
    sum.constant += scalar.constant * stride;
    for (const format::Term &term : scalar.terms)
      sum.terms.emplace_back(term.kind(), term.index(),
                             term.coefficient() * stride);
  }
  return sum;
}

void ProgramLowering::lower(rank::SliceOp op) {
  Box box;
  llvm::append_range(box.dims, shapeOf(op.getResult()));
  box.srcStrides = rowMajor(shapeOf(op.getOperand()));
  box.dstStrides = rowMajor(box.dims);
  box.srcOffset = boxOffset(op.getOffsets(), box.srcStrides);
  addCopy(operand(op.getOperand()), operand(op.getResult()),
          tensorType(op.getResult()).getElementType(), box, op);
}

/// The static offsets of a piece: a dense array or an array of integers.
static format::ScalarT pieceOffset(Attribute offsets,
                                   ArrayRef<int64_t> strides) {
  auto dense = dyn_cast<DenseI64ArrayAttr>(offsets);
  if (!dense)
    return boxOffset(cast<ArrayAttr>(offsets), strides);
  int64_t sum = 0;
  for (auto [offset, stride] : llvm::zip(dense.asArrayRef(), strides))
    sum += offset * stride;
  return constant(sum);
}

void ProgramLowering::lower(rank::AssembleOp op) {
  for (auto [piece, offsets] : llvm::zip(op.getPieces(), op.getOffsets())) {
    Box box;
    llvm::append_range(box.dims, shapeOf(piece));
    box.srcStrides = rowMajor(box.dims);
    box.dstStrides = rowMajor(shapeOf(op.getResult()));
    box.dstOffset = pieceOffset(offsets, box.dstStrides);
    addCopy(operand(piece), operand(op.getResult()),
            tensorType(op.getResult()).getElementType(), box, op);
  }
}

//===----------------------------------------------------------------------===//
// State, inputs, metrics
//===----------------------------------------------------------------------===//

void ProgramLowering::lower(rank::VariableOp op) {
  (void)bufferOf(op.getResult());
}

void ProgramLowering::lower(rank::AssignOp op) {
  auto found = role.variables.find(op.getVariablePath().str());
  if (found == role.variables.end())
    return;
  unsigned variable = found->second;
  variableBuffer.resize(std::max<size_t>(variableBuffer.size(), variable + 1),
                        ~0u);
  RankedTensorType type = tensorType(op.getValue());
  if (variableBuffer[variable] == ~0u) {
    variableBuffer[variable] = temporary(type);
    Buffer &made = buffers[variableBuffer[variable]];
    made.isVariable = true;
    made.offset = role.program.variables[variable]->operand->offset;
  }
  if (bufferOf(op.getValue()) == variableBuffer[variable])
    return;
  Box box;
  box.dims = {productOf(type.getShape())};
  box.srcStrides = box.dstStrides = {1};
  addCopy(operand(op.getValue()), operand(variableBuffer[variable], type),
          type.getElementType(), box, op);
}

void ProgramLowering::lower(rank::InputOp op) {
  RankedTensorType type = tensorType(op.getResult());
  auto [it, inserted] =
      role.inputs.try_emplace(op.getName().str(), role.program.inputs.size());
  if (inserted) {
    auto info = std::make_unique<format::InputInfoT>();
    info->name = op.getName().str();
    info->dtype = dtypeOf(type.getElementType());
    info->dims.assign(type.getShape().begin(), type.getShape().end());
    if (!info->dims.empty())
      info->dims[0] = op.getBatch();
    info->range = op.getRange().value_or(0);
    role.program.inputs.push_back(std::move(info));
  }
  format::InputT input;
  input.input = it->second;
  input.operand = operand(op.getResult());
  input.offsets.push_back(
      std::make_unique<format::ScalarT>(scalarOf(op.getFirstSample())));
  add(std::move(input), op);
}

void ProgramLowering::lower(rank::MetricOp op) {
  if (role.metrics.try_emplace(op.getName().str(), 0).second)
    role.program.metrics.push_back(op.getName().str());
  format::MetricT metric;
  metric.name = op.getName().str();
  metric.operand = operand(op.getSum());
  metric.count = operand(op.getCount());
  metric.weight = op.getWeight().convertToDouble();
  metric.combine = format::Combine::Last;
  if (auto leader = op->getAttrOfType<rank::ScalarAttr>("leader"))
    metric.onlyIfZero = std::make_unique<format::ScalarT>(scalarOf(leader));
  add(std::move(metric), op);
}

//===----------------------------------------------------------------------===//
// Collectives and messages
//===----------------------------------------------------------------------===//

static format::Reduction reductionOf(ReductionKind kind) {
  static constexpr format::Reduction kinds[] = {
      format::Reduction::Sum, format::Reduction::Max, format::Reduction::Min};
  return kinds[static_cast<unsigned>(kind)];
}

void ProgramLowering::lower(rank::AllReduceOp op) {
  if (mayOverwrite(op.getOperand(), phase, position) &&
      !boundVariable.count(op.getResult()))
    bufferIndex[op.getResult()] = bufferOf(op.getOperand());
  format::CollectiveT collective;
  collective.kind = format::CollectiveKind::AllReduce;
  collective.reduction = reductionOf(op.getKind());
  collective.group = op.getGroup();
  collective.input = operand(op.getOperand());
  collective.output = operand(op.getResult());
  add(std::move(collective), op);
}

/// Elements of each member's part of a tensor cut along `dim`.
static std::vector<uint64_t> partElements(ArrayRef<int64_t> whole, int64_t dim,
                                          ArrayRef<int64_t> counts) {
  int64_t rest = 1;
  for (auto [index, extent] : llvm::enumerate(whole))
    if (int64_t(index) != dim)
      rest *= extent;
  std::vector<uint64_t> elements;
  for (int64_t count : counts)
    elements.push_back(count * rest);
  return elements;
}

/// Whether parts along `dim` lie one after another.
static bool isLeading(ArrayRef<int64_t> shape, int64_t dim) {
  return productOf(shape.take_front(dim)) == 1;
}

namespace {
/// A member's part of a tensor: its box, and where it lies when the parts are
/// packed one after another.
struct Part {
  SmallVector<int64_t> dims;
  int64_t boxOffset, packedOffset;
};
} // namespace

static SmallVector<Part> partsOf(ArrayRef<int64_t> whole, int64_t dim,
                                 ArrayRef<int64_t> counts) {
  SmallVector<Part> parts;
  Strides strides = rowMajor(whole);
  int64_t start = 0, packed = 0;
  for (int64_t count : counts) {
    Part part{SmallVector<int64_t>(whole), start * strides[dim], packed};
    part.dims[dim] = count;
    start += count;
    packed += productOf(part.dims);
    parts.push_back(part);
  }
  return parts;
}

void ProgramLowering::lower(rank::AllGatherOp op) {
  RankedTensorType type = tensorType(op.getResult());
  bool direct = isLeading(type.getShape(), op.getDim());
  format::CollectiveT collective;
  collective.kind = format::CollectiveKind::AllGather;
  collective.group = op.getGroup();
  collective.counts =
      partElements(type.getShape(), op.getDim(), op.getCounts());
  unsigned buffer = direct ? bufferOf(op.getResult()) : temporary(type);
  collective.input = operand(op.getOperand());
  collective.output = operand(buffer, type);
  add(std::move(collective), op);
  if (direct)
    return;
  for (const Part &part :
       partsOf(type.getShape(), op.getDim(), op.getCounts())) {
    Box box;
    box.dims = part.dims;
    box.srcStrides = rowMajor(part.dims);
    box.dstStrides = rowMajor(type.getShape());
    box.srcOffset = constant(part.packedOffset);
    box.dstOffset = constant(part.boxOffset);
    addCopy(operand(buffer, type), operand(op.getResult()),
            type.getElementType(), box, op);
  }
}

void ProgramLowering::lower(rank::ReduceScatterOp op) {
  RankedTensorType type = tensorType(op.getOperand());
  bool direct = isLeading(type.getShape(), op.getDim());
  unsigned buffer = direct ? bufferOf(op.getOperand()) : temporary(type);
  if (!direct)
    for (const Part &part :
         partsOf(type.getShape(), op.getDim(), op.getCounts())) {
      Box box;
      box.dims = part.dims;
      box.srcStrides = rowMajor(type.getShape());
      box.dstStrides = rowMajor(part.dims);
      box.srcOffset = constant(part.boxOffset);
      box.dstOffset = constant(part.packedOffset);
      addCopy(operand(op.getOperand()), operand(buffer, type),
              type.getElementType(), box, op);
    }
  format::CollectiveT collective;
  collective.kind = format::CollectiveKind::ReduceScatter;
  collective.reduction = reductionOf(op.getKind());
  collective.group = op.getGroup();
  collective.counts =
      partElements(type.getShape(), op.getDim(), op.getCounts());
  collective.input = operand(buffer, type);
  collective.output = operand(op.getResult());
  add(std::move(collective), op);
}

/// Packs the operand's parts along `to`, exchanges them, and puts what comes
/// (parts along `from`) into the result.
void ProgramLowering::lower(rank::AllToAllOp op) {
  RankedTensorType in = tensorType(op.getOperand()),
                   out = tensorType(op.getResult());
  bool packed = isLeading(in.getShape(), op.getToDim()),
       unpacked = isLeading(out.getShape(), op.getFromDim());
  unsigned source = packed ? bufferOf(op.getOperand()) : temporary(in);
  unsigned target = unpacked ? bufferOf(op.getResult()) : temporary(out);
  if (!packed)
    for (const Part &part :
         partsOf(in.getShape(), op.getToDim(), op.getToCounts())) {
      Box box;
      box.dims = part.dims;
      box.srcStrides = rowMajor(in.getShape());
      box.dstStrides = rowMajor(part.dims);
      box.srcOffset = constant(part.boxOffset);
      box.dstOffset = constant(part.packedOffset);
      addCopy(operand(op.getOperand()), operand(source, in),
              in.getElementType(), box, op);
    }
  format::CollectiveT collective;
  collective.kind = format::CollectiveKind::AllToAll;
  collective.group = op.getGroup();
  collective.counts =
      partElements(in.getShape(), op.getToDim(), op.getToCounts());
  collective.receiveCounts =
      partElements(out.getShape(), op.getFromDim(), op.getFromCounts());
  collective.input = operand(source, in);
  collective.output = operand(target, out);
  add(std::move(collective), op);
  if (unpacked)
    return;
  for (const Part &part :
       partsOf(out.getShape(), op.getFromDim(), op.getFromCounts())) {
    Box box;
    box.dims = part.dims;
    box.srcStrides = rowMajor(part.dims);
    box.dstStrides = rowMajor(out.getShape());
    box.srcOffset = constant(part.packedOffset);
    box.dstOffset = constant(part.boxOffset);
    addCopy(operand(target, out), operand(op.getResult()), out.getElementType(),
            box, op);
  }
}

void ProgramLowering::lower(rank::SendOp op) {
  format::SendT send;
  send.peer = op.getPeer();
  send.tag = op.getTag();
  send.operand = operand(op.getOperand());
  add(std::move(send), op);
}

void ProgramLowering::lower(rank::ReceiveOp op) {
  format::ReceiveT receive;
  receive.peer = op.getPeer();
  receive.tag = op.getTag();
  receive.operand = operand(op.getResult());
  add(std::move(receive), op);
}
