//===- LowerProgram.cpp - one rank.program to sections --------------------===//
//
// Positions on one line (prologue, forward, backward, update) say when a
// buffer lives. With several micro-batches in flight, what crosses from
// forward to backward has a slot per micro-batch and lives through both.
//
//===----------------------------------------------------------------------===//

#include "passes/lower/LowerProgram.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

static constexpr uint64_t kAlign = format::arenaAlignment;

static uint64_t alignUp(uint64_t bytes) {
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

static uint64_t bytesOf(RankedTensorType type) {
  return type.getNumElements() * elementBytes(type.getElementType());
}

//===----------------------------------------------------------------------===//
// The role
//===----------------------------------------------------------------------===//

unsigned RoleState::kernelOf(const std::string &symbol) {
  auto [it, inserted] = kernelIndex.try_emplace(symbol, program.kernels.size());
  if (inserted) {
    const KernelModule::Info &info = kernels.kernels.at(symbol);
    auto kernel = std::make_unique<format::KernelT>();
    kernel->symbol = symbol;
    kernel->operandBytes = info.operandBytes;
    kernel->access = info.access;
    for (const std::vector<uint32_t> &buffers : info.feeds) {
      kernel->feeds.push_back(std::make_unique<format::FeedT>());
      kernel->feeds.back()->buffers = buffers;
    }
    kernel->scalars = info.scalars;
    program.kernels.push_back(std::move(kernel));
  }
  return it->second;
}

int RoleState::sourceOf(Operation *op) {
  auto source = std::make_unique<format::SourceT>();
  if (auto path = op->getAttrOfType<StringAttr>("path"))
    source->path = path.getValue().str();
  else
    source->path = op->getName().getStringRef().str();
  if (auto place = op->getLoc()->findInstanceOf<FileLineColLoc>()) {
    source->file = place.getFilename().str();
    source->line = place.getLine();
    source->column = place.getColumn();
  }
  std::string key = source->path + '\n' + source->file + '\n' +
                    std::to_string(source->line) + '\n' +
                    std::to_string(source->column);
  auto [it, inserted] = sources.try_emplace(key, program.sources.size());
  if (inserted)
    program.sources.push_back(std::move(source));
  return it->second;
}

/// In the order of whale's VariableKind.
static constexpr format::VariableKind kVariableKinds[] = {
    format::VariableKind::Parameter, format::VariableKind::Optimizer,
    format::VariableKind::Master, format::VariableKind::Statistic,
    format::VariableKind::Counter};

unsigned RoleState::variableOf(rank::VariableOp op) {
  auto [it, inserted] = variables.try_emplace(op.getVariablePath().str(),
                                              program.variables.size());
  if (!inserted)
    return it->second;
  RankedTensorType type = tensorType(op.getResult());
  auto variable = std::make_unique<format::VariableT>();
  variable->path = op.getVariablePath().str();
  variable->kind = kVariableKinds[static_cast<unsigned>(op.getKind())];
  variable->operand = std::make_unique<format::OperandT>();
  variable->operand->dtype = dtypeOf(type.getElementType());
  variable->operand->dims.assign(type.getShape().begin(),
                                 type.getShape().end());
  variable->operand->offset = variableBytes;
  variableBytes += alignUp(::bytesOf(type));
  llvm::append_range(variable->globalDims, op.getGlobalShape());
  for (Attribute offset : op.getOffsets())
    variable->offsets.push_back(std::make_unique<format::ScalarT>(
        scalarOf(cast<rank::ScalarAttr>(offset))));
  llvm::raw_string_ostream(variable->init) << op.getInit();
  variable->source = sourceOf(op);
  bool isSlot = variable->kind == format::VariableKind::Optimizer;
  (isSlot ? memory.optimizer : memory.variables) += ::bytesOf(type);
  program.variables.push_back(std::move(variable));
  return it->second;
}

//===----------------------------------------------------------------------===//
// Order, aliases, reads
//===----------------------------------------------------------------------===//

void ProgramLowering::readAttributes() {
  auto integer = [&](StringRef name, int64_t &into) {
    if (auto attr = programOp->getAttrOfType<IntegerAttr>(name))
      into = attr.getInt();
  };
  integer("micro_batches", microBatches);
  integer("stage", stage);
  integer("stages", stages);
  if (auto attr = programOp->getAttrOfType<StringAttr>("entry"))
    entry = attr.getValue().str();
  if (auto attr = programOp->getAttrOfType<StringAttr>("schedule"))
    schedule = attr.getValue().str();
}

/// Block order, by phases; but sums over micro-batches are added to as soon as
/// there is something to add, so that it need not be kept until all are.
void ProgramLowering::setOrder() {
  auto isSum = [](Operation *op) { return isa<rank::AccumulateOp>(op); };
  auto append = [&](Operation *op) {
    order.push_back(op);
    llvm::SmallSetVector<Operation *, 2> users;
    users.insert(op->user_begin(), op->user_end());
    for (Operation *user : llvm::reverse(users))
      if (isSum(user))
        order.push_back(user);
  };
  for (unsigned p = 0; p < kNumPhases; ++p)
    for (Operation &op : programOp.getBody().front())
      if (phaseOf(&op) == static_cast<Phase>(p) && !isSum(&op))
        append(&op);
  for (auto [index, op] : llvm::enumerate(order))
    indexOf[op] = index;
}

/// Ops whose result is their operand's memory. With one micro-batch a sum over
/// micro-batches is its operand.
bool ProgramLowering::isAlias(Operation *op) const {
  return isa<ReshapeOp>(op) ||
         (isa<rank::AccumulateOp>(op) && microBatches == 1);
}

Value ProgramLowering::rootOf(Value value) const {
  while (Operation *op = value.getDefiningOp()) {
    if (!isAlias(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

/// Sums of a contraction's result that only the sum reads: the contraction
/// adds to the accumulator.
void ProgramLowering::findContractedSums() {
  for (Operation *op : order) {
    auto sum = dyn_cast<rank::AccumulateOp>(op);
    if (!sum || microBatches == 1 || isAccumulator(sum.getResult()) ||
        sum.getReduction() != ReductionKind::sum)
      continue;
    auto einsum = sum.getOperand().getDefiningOp<EinsumOp>();
    if (!einsum || !einsum.getResult().hasOneUse())
      continue;
    Contraction contraction =
        analyseContraction(*parseEquation(einsum.getEquation()),
                           tensorType(einsum.getLhs()).getShape(),
                           tensorType(einsum.getRhs()).getShape(),
                           tensorType(einsum.getResult()).getShape());
    if (contraction.result.empty())
      contractedSums.insert(op);
  }
}

/// Last reads of roots by whatever is launched.
void ProgramLowering::setReads() {
  auto read = [&](Value value, int64_t where) {
    int64_t &last = lastRead.try_emplace(rootOf(value), -1).first->second;
    last = std::max(last, where);
  };
  for (Cluster *cluster : clusters->sorted())
    for (Operation *member : cluster->ops)
      forEachLeaf(member, identityMap(domainOf(member).size()),
                  [&](Value leaf, const IndexMap &) {
                    Operation *source = leaf.getDefiningOp();
                    if (!source || clusters->of(source) != cluster)
                      read(leaf, cluster->position);
                  });
  for (Operation *op : order) {
    if (clusters->of(op) || isAlias(op) || (isFusible(op) && isVirtual(op)))
      continue;
    // What is assigned is copied, or stays, when the step ends.
    for (Value operand : op->getOperands())
      read(operand, isa<rank::AssignOp>(op) ? int64_t(order.size())
                                            : indexOf.lookup(op));
  }
  for (Operation *op : order)
    if (auto path = op->getAttrOfType<StringAttr>("gradient_of")) {
      read(op->getResult(0), order.size());
      keptGradients.push_back({path.getValue().str(), op->getResult(0)});
    }
}

/// Whether `value` may be computed right into the variable it is assigned to:
/// nothing reads the old value afterwards, or the kernel itself does, in place.
bool ProgramLowering::canWriteVariable(rank::AssignOp assign, Value value,
                                       rank::VariableOp variable,
                                       int64_t where) const {
  if (value.getType() != variable.getType())
    return false;
  auto read = lastRead.find(variable.getResult());
  if (read == lastRead.end() || read->second < where)
    return true;
  Cluster *cluster = clusters->of(value.getDefiningOp());
  if (read->second > where || !cluster)
    return false;
  return llvm::any_of(
      inPlaceChoices(*cluster, *clusters), [&](const InPlaceChoice &choice) {
        return choice.output == value && choice.input == variable.getResult();
      });
}

void ProgramLowering::bindAssigns() {
  llvm::StringMap<rank::VariableOp> variables;
  for (Operation *op : order)
    if (auto variable = dyn_cast<rank::VariableOp>(op))
      variables.try_emplace(variable.getVariablePath(), variable);
  for (Operation *op : order) {
    auto assign = dyn_cast<rank::AssignOp>(op);
    if (!assign)
      continue;
    auto found = variables.find(assign.getVariablePath());
    Value value = rootOf(assign.getValue());
    Operation *source = value.getDefiningOp();
    if (found == variables.end() || !source || isa<rank::VariableOp>(source) ||
        (phaseOf(source) != Phase::Update && microBatches > 1) ||
        boundVariable.count(value) || value != assign.getValue())
      continue;
    Cluster *cluster = clusters->of(source);
    int64_t where = cluster ? cluster->position : indexOf.lookup(source);
    if (!canWriteVariable(assign, value, found->second, where))
      continue;
    boundVariable[value] = role.variableOf(found->second);
    boundAssigns.insert(op);
    if (cluster)
      variableInPlace[value] = found->second.getResult();
  }
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

unsigned ProgramLowering::newBuffer(uint64_t bytes) {
  buffers.emplace_back();
  buffers.back().bytes = std::max<uint64_t>(bytes, 1);
  return buffers.size() - 1;
}

unsigned ProgramLowering::temporary(RankedTensorType type) {
  return newBuffer(::bytesOf(type));
}

unsigned ProgramLowering::bufferOf(Value value) {
  Value root = rootOf(value);
  auto found = bufferIndex.find(root);
  if (found != bufferIndex.end())
    return found->second;
  std::optional<unsigned> variable;
  if (auto op = root.getDefiningOp<rank::VariableOp>())
    variable = role.variableOf(op);
  else if (auto bound = boundVariable.find(root); bound != boundVariable.end())
    variable = bound->second;
  unsigned index;
  if (variable) {
    variableBuffer.resize(
        std::max<size_t>(variableBuffer.size(), *variable + 1), ~0u);
    if (variableBuffer[*variable] == ~0u) {
      variableBuffer[*variable] = temporary(tensorType(root));
      Buffer &made = buffers[variableBuffer[*variable]];
      made.isVariable = true;
      made.offset = role.program.variables[*variable]->operand->offset;
    }
    index = variableBuffer[*variable];
  } else {
    index = temporary(tensorType(root));
  }
  bufferIndex[root] = index;
  for (Operation *user : root.getUsers())
    buffers[index].isSum |= isa<rank::AccumulateOp>(user) && isAlias(user);
  buffers[index].isSum |= root.getDefiningOp<rank::AccumulateOp>() != nullptr;
  return index;
}

/// Whether the memory of `value` may be given to a result made at `where`.
bool ProgramLowering::mayOverwrite(Value value, Phase now, int64_t where) {
  Value root = rootOf(value);
  Operation *source = root.getDefiningOp();
  auto read = lastRead.find(root);
  if (!source || read == lastRead.end() || read->second != where ||
      buffers[bufferOf(root)].isVariable)
    return false;
  // Later micro-batches read what was made before the loop again.
  return microBatches == 1 || now == Phase::Update || phaseOf(source) == now;
}

std::unique_ptr<format::OperandT>
ProgramLowering::operand(unsigned buffer, RankedTensorType type) {
  auto result = std::make_unique<format::OperandT>();
  result->dtype = dtypeOf(type.getElementType());
  result->dims.assign(type.getShape().begin(), type.getShape().end());
  result->offset = buffer;
  Buffer &used = buffers[buffer];
  if (used.first < 0 || position < used.first)
    used.first = position;
  used.last = std::max(used.last, position);
  used.touched[static_cast<unsigned>(phase)] = true;
  return result;
}

std::unique_ptr<format::OperandT> ProgramLowering::operand(Value value) {
  return operand(bufferOf(value), tensorType(value));
}

std::unique_ptr<format::OperandT>
ProgramLowering::bytesOperand(unsigned buffer, uint64_t bytes) {
  auto type =
      RankedTensorType::get({static_cast<int64_t>(bytes)},
                            IntegerType::get(programOp.getContext(), 8));
  return operand(buffer, type);
}

//===----------------------------------------------------------------------===//
// Clusters
//===----------------------------------------------------------------------===//

void ProgramLowering::chooseInPlace(const Cluster &cluster, int64_t where,
                                    SmallVectorImpl<InPlaceChoice> &chosen) {
  llvm::DenseSet<Value> outputs, inputs;
  auto take = [&](const InPlaceChoice &choice) {
    outputs.insert(choice.output);
    inputs.insert(rootOf(choice.input));
    chosen.push_back(choice);
  };
  SmallVector<InPlaceChoice> choices = inPlaceChoices(cluster, *clusters);
  for (const InPlaceChoice &choice : choices)
    if (variableInPlace.lookup(choice.output) == choice.input)
      take(choice);
  for (const InPlaceChoice &choice : choices) {
    if (outputs.contains(choice.output) ||
        inputs.contains(rootOf(choice.input)) ||
        boundVariable.count(choice.output) ||
        !mayOverwrite(choice.input, cluster.phase, where))
      continue;
    // One buffer must not be read through another of its shapes as well.
    bool alone = true;
    for (Operation *member : cluster.ops)
      forEachLeaf(member, identityMap(domainOf(member).size()),
                  [&](Value leaf, const IndexMap &) {
                    alone &= leaf == choice.input ||
                             rootOf(leaf) != rootOf(choice.input);
                  });
    if (!alone)
      continue;
    take(choice);
    bufferIndex[choice.output] = bufferOf(choice.input);
  }
}

void ProgramLowering::lowerCluster(const Cluster &cluster) {
  if (outputsOf(cluster, *clusters).empty())
    return;
  phase = cluster.phase;
  position = cluster.position;
  SmallVector<InPlaceChoice> inPlace;
  chooseInPlace(cluster, position, inPlace);
  KernelCall call = emitKernel(role.kernels, cluster, *clusters, inPlace);
  format::LaunchT launch;
  launch.kernel = role.kernelOf(call.symbol);
  for (const KernelArgument &argument : call.arguments) {
    if (argument.kind == KernelArgument::Scratch) {
      launch.operands.push_back(
          bytesOperand(newBuffer(argument.bytes), argument.bytes));
      continue;
    }
    launch.operands.push_back(operand(argument.value));
    if (auto sum = argument.value.getDefiningOp<rank::AccumulateOp>())
      if (argument.kind == KernelArgument::InPlace && !argument.replaced)
        lowerSum(sum);
  }
  for (const format::ScalarT &scalar : call.scalars)
    launch.scalars.push_back(std::make_unique<format::ScalarT>(scalar));
  add(std::move(launch), cluster.ops.back());
}

//===----------------------------------------------------------------------===//
// Driver
//===----------------------------------------------------------------------===//

LogicalResult ProgramLowering::lowerAll() {
  llvm::DenseMap<int64_t, const Cluster *> clusterAt;
  for (Cluster *cluster : clusters->sorted())
    clusterAt[cluster->position] = cluster;
  for (auto [index, op] : llvm::enumerate(order)) {
    if (const Cluster *cluster = clusterAt.lookup(index))
      lowerCluster(*cluster);
    if (clusters->of(op) || isAlias(op) || (isFusible(op) && isVirtual(op)) ||
        contractedSums.contains(op) || isa<rank::AssignOp>(op))
      continue;
    phase = phaseOf(op);
    position = index;
    if (failed(lowerOp(op)))
      return failure();
  }
  // Assignments that need a copy come when nothing reads old values any more.
  phase = Phase::Update;
  position = order.size();
  for (Operation *op : order)
    if (auto assign = dyn_cast<rank::AssignOp>(op))
      if (!boundAssigns.contains(op))
        lower(assign);
  return success();
}

LogicalResult ProgramLowering::run() {
  readAttributes();
  if (!options.keepGradients || entry != "step")
    programOp->walk([](Operation *op) { op->removeAttr("gradient_of"); });
  expandProgram(programOp);
  setOrder();
  setInFlight();
  findContractedSums();
  clusters = std::make_unique<Clusters>(order, [&](Operation *op) {
    return isa<rank::AccumulateOp>(op) &&
           (isAlias(op) || contractedSums.contains(op));
  });
  setReads();
  bindAssigns();
  if (failed(lowerAll()))
    return failure();
  phase = Phase::Update;
  position = order.size();
  for (auto &[path, value] : keptGradients)
    (void)operand(value);
  if (!role.inFlight.empty()) {
    layOut();
    return success();
  }
  extendLifetimes();
  place(role.memory);
  emitSections();
  return success();
}

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

bool ProgramLowering::hasBackward() const {
  return llvm::any_of(
      order, [](Operation *op) { return phaseOf(op) == Phase::Backward; });
}

/// Micro-batches between forward and backward: all of them for GPipe, as many
/// as stages remain for 1F1B (Narayanan et al., SC'21).
void ProgramLowering::setInFlight() {
  inFlight = 1;
  if (!hasBackward() || stages <= 1)
    return;
  inFlight = schedule == "gpipe" ? microBatches
                                 : std::min(microBatches, stages - stage);
}

void ProgramLowering::extendLifetimes() {
  // The span of forward and backward, by positions.
  int64_t begin = order.size(), end = -1;
  for (auto [index, op] : llvm::enumerate(order)) {
    Phase p = phaseOf(op);
    if (p == Phase::Forward || p == Phase::Backward) {
      begin = std::min<int64_t>(begin, index);
      end = std::max<int64_t>(end, index);
    }
  }
  auto touches = [](const Buffer &b, Phase p) {
    return b.touched[static_cast<unsigned>(p)];
  };
  for (Buffer &buffer : buffers) {
    if (buffer.isVariable || buffer.first < 0)
      continue;
    bool forward = touches(buffer, Phase::Forward),
         backward = touches(buffer, Phase::Backward),
         prologue = touches(buffer, Phase::Prologue);
    bool crosses = forward && backward && !prologue;
    // Later micro-batches read it again.
    if (microBatches > 1 && prologue && (forward || backward))
      buffer.last = std::max(buffer.last, end);
    if (crosses && inFlight > 1) {
      buffer.slots = inFlight;
      buffer.stride = alignUp(buffer.bytes);
      buffer.first = std::min(buffer.first, begin);
      buffer.last = std::max(buffer.last, end);
    }
    if (buffer.isSum ||
        (backward && touches(buffer, Phase::Update) && !forward))
      buffer.use = BufferUse::Gradient;
    else if (crosses)
      buffer.use = BufferUse::Residual;
  }
}

/// Places the same buffers for several numbers of micro-batches in flight.
void ProgramLowering::layOut() {
  role.layouts.resize(role.inFlight.size());
  std::vector<Buffer> lowered = buffers;
  for (auto [number, memory] : llvm::zip_equal(role.inFlight, role.layouts)) {
    buffers = lowered;
    inFlight = hasBackward() ? number : 1;
    extendLifetimes();
    place(memory);
  }
}

void ProgramLowering::place(MemoryReport &memory) {
  std::vector<Lifetime> lifetimes;
  std::vector<unsigned> which;
  for (auto [index, buffer] : llvm::enumerate(buffers)) {
    if (buffer.isVariable || buffer.first < 0)
      continue;
    uint64_t bytes =
        buffer.slots > 1 ? buffer.stride * buffer.slots : buffer.bytes;
    lifetimes.push_back({buffer.first, buffer.last, bytes});
    which.push_back(index);
  }
  Placement placement = assignOffsets(lifetimes, kAlign);
  for (auto [index, offset] : llvm::zip(which, placement.offsets))
    buffers[index].offset = offset;
  // The largest entry says what the area is for.
  if (lifetimes.empty() || placement.bytes <= memory.areaBytes)
    return;
  memory.areaBytes = placement.bytes;
  memory.peakBytes = placement.peak;
  memory.gradients = memory.residuals = 0;
  for (auto [index, life] : llvm::zip(which, lifetimes)) {
    if (life.first > placement.peakTime || life.last < placement.peakTime)
      continue;
    if (buffers[index].use == BufferUse::Gradient)
      memory.gradients += alignUp(life.bytes);
    if (buffers[index].use == BufferUse::Residual)
      memory.residuals += alignUp(life.bytes);
  }
}

//===----------------------------------------------------------------------===//
// Sections
//===----------------------------------------------------------------------===//

/// Offsets of temporaries count from the end of the variables, which is known
/// once all entries are lowered: the role's second pass adds it (Lower.cpp).
void ProgramLowering::emitSections() {
  unsigned first = role.program.sections.size();
  SmallVector<unsigned> sections;
  for (unsigned p = 0; p < kNumPhases; ++p) {
    auto section = std::make_unique<format::SectionT>();
    section->name = (entry + "." + nameOf(static_cast<Phase>(p))).str();
    role.program.sections.push_back(std::move(section));
    sections.push_back(first + p);
  }
  for (Item &item : items) {
    forEachOperand(item.operation, [&](format::OperandT &operand) {
      const Buffer &buffer = buffers[operand.offset];
      operand.offset = buffer.offset + (buffer.isVariable ? 0 : kTemporaryBase);
      operand.slots = buffer.slots;
      operand.stride = buffer.stride;
    });
    auto instruction = std::make_unique<format::InstructionT>();
    instruction->operation = std::move(item.operation);
    instruction->source = item.source;
    role.program.sections[first + static_cast<unsigned>(item.phase)]
        ->instructions.push_back(std::move(instruction));
  }
  for (auto &[path, value] : keptGradients)
    declareGradient(path, value);
  emitSchedule(sections);
}

/// A variable of kind Gradient over the buffer that holds `value` at the end.
void ProgramLowering::declareGradient(const std::string &path, Value value) {
  const Buffer &buffer = buffers[bufferOf(value)];
  RankedTensorType type = tensorType(value);
  auto variable = std::make_unique<format::VariableT>();
  variable->path = path;
  variable->kind = format::VariableKind::Gradient;
  variable->operand = operand(bufferOf(value), type);
  variable->operand->offset =
      buffer.offset + (buffer.isVariable ? 0 : kTemporaryBase);
  variable->globalDims = variable->operand->dims;
  auto parameter = role.variables.find(path);
  if (parameter != role.variables.end()) {
    const format::VariableT &of = *role.program.variables[parameter->second];
    if (of.operand->dims == variable->operand->dims) {
      variable->globalDims = of.globalDims;
      for (const auto &offset : of.offsets)
        variable->offsets.push_back(std::make_unique<format::ScalarT>(*offset));
    }
  }
  variable->source = role.sourceOf(value.getDefiningOp());
  role.program.variables.push_back(std::move(variable));
}

/// prologue, then forward and backward of the micro-batches, then update.
void ProgramLowering::emitSchedule(ArrayRef<unsigned> sections) {
  auto result = std::make_unique<format::EntryT>();
  result->name = entry;
  result->data = entry == "eval" ? format::DataSplit::HeldOut
                                 : format::DataSplit::Training;
  auto visit = [&](Phase p, int64_t microBatch) {
    result->schedule.emplace_back(sections[static_cast<unsigned>(p)],
                                  microBatch);
  };
  visit(Phase::Prologue, 0);
  int64_t done = 0, warmUp = std::max<int64_t>(inFlight - 1, 0);
  for (int64_t micro = 0; micro < microBatches; ++micro) {
    visit(Phase::Forward, micro);
    if (micro >= warmUp)
      visit(Phase::Backward, done++);
  }
  for (; done < microBatches; ++done)
    visit(Phase::Backward, done);
  visit(Phase::Update, 0);
  role.program.entries.push_back(std::move(result));
}
