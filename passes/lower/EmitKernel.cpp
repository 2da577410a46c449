//===- EmitKernel.cpp - loops of a kernel ---------------------------------===//
//
// Arguments, loops and functions; values are in KernelValues.cpp.
//
//===----------------------------------------------------------------------===//

#include "passes/lower/KernelEmitter.h"

#include "compiler/support/Sha256.h"

#include <set>

using namespace mlir;
using namespace whale;
using namespace whale::lower;

/// Elements that one f32 accumulator chain may see before it is added to an
/// f64: keeps sums of millions of elements exact to a few ulp.
static constexpr int64_t kBlock = 4096;

int64_t lower::elementBytes(Type element) {
  if (isa<AccumulatorType>(element))
    return AccumulatorType::kBytes;
  unsigned bits = element.getIntOrFloatBitWidth();
  return std::max(1u, bits / 8);
}

format::DType lower::dtypeOf(Type element) {
  using format::DType;
  if (element.isF32())
    return DType::F32;
  if (element.isF64())
    return DType::F64;
  if (element.isBF16())
    return DType::BF16;
  if (element.isF16())
    return DType::F16;
  if (isa<AccumulatorType>(element))
    return DType::Accumulator;
  switch (element.getIntOrFloatBitWidth()) {
  case 1:
    return DType::I1;
  case 8:
    return DType::I8;
  case 64:
    return DType::I64;
  default:
    return DType::I32;
  }
}

//===----------------------------------------------------------------------===//
// Arguments and scratch
//===----------------------------------------------------------------------===//

static int64_t bytesOf(Value value) {
  RankedTensorType type = tensorType(value);
  return type.getNumElements() * elementBytes(type.getElementType());
}

unsigned KernelEmitter::argumentOf(Value value) {
  return argumentIndex.lookup(value);
}

void KernelEmitter::setArguments() {
  llvm::DenseMap<Value, Value> replaced;
  llvm::DenseSet<Value> overwritten;
  for (const InPlaceChoice &choice : inPlace) {
    replaced[choice.output] = choice.input;
    overwritten.insert(choice.input);
  }
  auto isAccumulated = [](Value value) {
    return isa_and_nonnull<rank::AccumulateOp>(value.getDefiningOp());
  };
  llvm::DenseSet<Value> ownSums;
  for (const Root &root : expression.roots)
    ownSums.insert(root.value);
  for (const Node &node : expression.nodes) {
    if (node.kind != Node::Load || argumentIndex.count(node.value) ||
        overwritten.contains(node.value) ||
        (isAccumulated(node.value) && ownSums.contains(node.value)))
      continue;
    argumentIndex[node.value] = arguments.size();
    arguments.push_back(
        {KernelArgument::Input, node.value, Value(), bytesOf(node.value)});
  }
  for (const Root &root : expression.roots) {
    KernelArgument argument{KernelArgument::Output, root.value, Value(),
                            bytesOf(root.value)};
    if (Value input = replaced.lookup(root.value)) {
      argument.kind = KernelArgument::InPlace;
      argument.replaced = input;
      argumentIndex[input] = arguments.size();
    } else if (isAccumulated(root.value)) {
      argument.kind = KernelArgument::InPlace;
    }
    argumentIndex[root.value] = arguments.size();
    arguments.push_back(argument);
  }
}

int64_t KernelEmitter::reserve(int64_t bytes) {
  int64_t offset = scratchBytes;
  scratchBytes += (bytes + 63) / 64 * 64;
  return offset;
}

void KernelEmitter::setScratch() {
  for (const auto &group : expression.groups)
    if (group.inner)
      rowElements *= group.extent;
  for (Type type : expression.slots)
    slotOffsets.push_back(reserve(rowElements * elementBytes(type)));
  for (auto [index, root] : llvm::enumerate(expression.roots)) {
    if (root.kind != Root::Accumulate)
      continue;
    RankedTensorType type = tensorType(root.value);
    Type element = type.getElementType();
    Accumulator accumulator;
    accumulator.root = index;
    accumulator.elements = type.getNumElements();
    accumulator.type = widened(element);
    if (accumulator.elements == 1 && isa<FloatType>(element))
      accumulator.type = builder.getF64Type();
    accumulator.inScratch = accumulator.type != element;
    if (accumulator.inScratch)
      accumulator.offset =
          reserve(accumulator.elements * elementBytes(accumulator.type));
    accumulators.push_back(accumulator);
  }
  if (scratchBytes > 0)
    arguments.push_back(
        {KernelArgument::Scratch, Value(), Value(), scratchBytes});
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

/// A loop over [0, extent), with the builder left in its body.
scf::ForOp KernelEmitter::openLoop(int64_t extent, ValueRange inits) {
  Value zero = integer(0), one = integer(1), end = integer(extent);
  auto loop = scf::ForOp::create(builder, loc, zero, end, one, inits);
  builder.setInsertionPointToStart(loop.getBody());
  return loop;
}

/// Whether a reduction that ends in memory is summed in registers along the
/// innermost loops.
bool KernelEmitter::inRegister(const Root &root) const {
  return root.level == Level::Element &&
         llvm::all_of(expression.groups, [&](const auto &group) {
           return !group.inner || root.strides[group.last] == 0;
         });
}

/// What a pass carries in registers: row reductions (by node), then roots
/// (numbered after the nodes).
SmallVector<unsigned> KernelEmitter::carriedIn(unsigned pass) const {
  SmallVector<unsigned> carried;
  for (unsigned reduce : expression.rowReduces)
    if (expression.nodes[reduce].pass == pass + 1)
      carried.push_back(reduce);
  for (const Accumulator &accumulator : accumulators) {
    const Root &root = expression.roots[accumulator.root];
    if (inRegister(root) && expression.nodes[root.node].pass == pass)
      carried.push_back(expression.nodes.size() + accumulator.root);
  }
  return carried;
}

ReductionKind KernelEmitter::reductionOf(unsigned carried) const {
  size_t nodes = expression.nodes.size();
  if (carried >= nodes)
    return expression.roots[carried - nodes].reduction;
  return cast<ReduceOp>(expression.nodes[carried].op).getKind();
}

unsigned KernelEmitter::operandOf(unsigned carried) const {
  size_t nodes = expression.nodes.size();
  return carried >= nodes ? expression.roots[carried - nodes].node
                          : expression.nodes[carried].operands[0];
}

/// acc = acc (+) value at the accumulator's place.
void KernelEmitter::addInMemory(const Accumulator &accumulator, Value value) {
  const Root &root = expression.roots[accumulator.root];
  Value pointer = accumulator.inScratch ? scratchPointer(accumulator.offset)
                                        : pointers[argumentOf(root.value)];
  Value index = indexOf(root.strides);
  if (isa<FloatType>(value.getType()) && value.getType() != accumulator.type)
    value = arith::ExtFOp::create(builder, loc, accumulator.type, value);
  Value old = loadElement(pointer, index, accumulator.type);
  storeElement(combine(root.reduction, old, value, false), pointer, index,
               accumulator.type);
}

/// The innermost body: first all values, then all stores.
void KernelEmitter::emitBody(unsigned pass, ArrayRef<unsigned> carried,
                             ValueRange carriedIn,
                             SmallVectorImpl<Value> &carriedOut) {
  for (auto [item, old] : llvm::zip(carried, carriedIn))
    carriedOut.push_back(
        combine(reductionOf(item), old, eval(operandOf(item)), true));
  SmallVector<std::pair<unsigned, Value>> stores, kept;
  for (auto [index, root] : llvm::enumerate(expression.roots))
    if (root.level == Level::Element &&
        expression.nodes[root.node].pass == pass &&
        (root.kind == Root::Store || !inRegister(root)))
      stores.push_back({index, eval(root.node)});
  for (auto [index, node] : llvm::enumerate(expression.nodes))
    if (node.slot >= 0 && node.pass == pass)
      kept.push_back({index, eval(index)});
  for (auto [index, value] : stores) {
    const Root &root = expression.roots[index];
    if (root.kind == Root::Store) {
      storeElement(value, pointers[argumentOf(root.value)],
                   indexOf(root.strides),
                   tensorType(root.value).getElementType());
      continue;
    }
    for (const Accumulator &accumulator : accumulators)
      if (accumulator.root == index)
        addInMemory(accumulator, value);
  }
  for (auto [index, value] : kept) {
    const Node &node = expression.nodes[index];
    storeElement(value, scratchPointer(slotOffsets[node.slot]), rowIndex(),
                 expression.slots[node.slot]);
  }
}

/// Neutral elements of what a pass carries.
SmallVector<Value> KernelEmitter::neutralOf(ArrayRef<unsigned> carried) {
  size_t nodes = expression.nodes.size();
  SmallVector<Value> inits;
  for (unsigned item : carried) {
    Value value = item >= nodes ? expression.roots[item - nodes].value
                                : expression.nodes[item].value;
    inits.push_back(neutral(reductionOf(item),
                            widened(tensorType(value).getElementType())));
  }
  return inits;
}

/// Opens a loop over blocks where a long vector is summed into a scalar, so
/// that each block's sum is added up in f64. Null where none is needed.
scf::ForOp KernelEmitter::openBlocks(ArrayRef<unsigned> carried) {
  int64_t extent = 0, inner = 0;
  for (const auto &group : expression.groups)
    if (group.inner) {
      ++inner;
      extent = group.extent;
    }
  if (inner != 1 || extent <= 4 * kBlock || carried.empty() ||
      llvm::any_of(carried, [&](unsigned item) {
        return item < expression.nodes.size();
      }))
    return nullptr;
  scf::ForOp blocks = openLoop(extent, {});
  blocks.getStepMutable().assign([&] {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(blocks);
    return integer(kBlock);
  }());
  return blocks;
}

/// The loops over the row, carrying `inits`; all of them where `blocks` is
/// null, else over one block.
SmallVector<scf::ForOp> KernelEmitter::openRow(ValueRange inits,
                                               scf::ForOp blocks) {
  SmallVector<scf::ForOp> loops;
  for (auto [index, group] : llvm::enumerate(expression.groups)) {
    if (!group.inner)
      continue;
    scf::ForOp loop = openLoop(group.extent, inits);
    if (blocks) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(loop);
      Value begin = blocks.getInductionVar();
      Value end = arith::AddIOp::create(builder, loc, begin, integer(kBlock));
      loop.getLowerBoundMutable().assign(begin);
      loop.getUpperBoundMutable().assign(
          arith::MinSIOp::create(builder, loc, end, integer(group.extent)));
    }
    induction[index] = loop.getInductionVar();
    inits = loop.getRegionIterArgs();
    loops.push_back(loop);
  }
  return loops;
}

/// Ends the loops; `results` become those of the outermost.
void KernelEmitter::closeRow(ArrayRef<scf::ForOp> loops,
                             SmallVectorImpl<Value> &results) {
  for (scf::ForOp loop : llvm::reverse(loops)) {
    if (!results.empty()) {
      builder.setInsertionPointToEnd(loop.getBody());
      scf::YieldOp::create(builder, loc, results);
    }
    results.assign(loop.getResults().begin(), loop.getResults().end());
    builder.setInsertionPointAfter(loop);
  }
  for (auto [index, group] : llvm::enumerate(expression.groups))
    if (group.inner)
      induction[index] = Value();
}

/// Values of earlier passes that are kept are read, not computed.
void KernelEmitter::readKept(unsigned pass) {
  for (auto [index, node] : llvm::enumerate(expression.nodes)) {
    if (node.level != Level::Element)
      continue;
    memo[index] = Value();
    if (node.pass >= pass)
      continue;
    if (node.slot >= 0)
      memo[index] = loadElement(scratchPointer(slotOffsets[node.slot]),
                                rowIndex(), expression.slots[node.slot]);
    if (node.reload >= 0) {
      const Root &root = expression.roots[node.reload];
      memo[index] =
          loadElement(pointers[argumentOf(root.value)], indexOf(root.strides),
                      tensorType(root.value).getElementType());
    }
  }
}

void KernelEmitter::emitPass(unsigned pass) {
  SmallVector<unsigned> carried = carriedIn(pass);
  scf::ForOp blocks = openBlocks(carried);
  SmallVector<Value> inits = neutralOf(carried), results;
  SmallVector<scf::ForOp> loops = openRow(inits, blocks);
  rowPoint = blocks          ? blocks.getOperation()
             : loops.empty() ? nullptr
                             : loops.front().getOperation();
  bool topLevel = !kernelPoint;
  if (topLevel)
    kernelPoint = rowPoint;
  readKept(pass);
  emitBody(pass, carried,
           loops.empty() ? ValueRange(inits) : loops.back().getRegionIterArgs(),
           results);
  closeRow(loops, results);
  for (auto [item, result] : llvm::zip(carried, results)) {
    if (item < expression.nodes.size()) {
      memo[item] = result;
      continue;
    }
    for (const Accumulator &accumulator : accumulators)
      if (accumulator.root == item - expression.nodes.size())
        addInMemory(accumulator, result);
  }
  if (blocks)
    builder.setInsertionPointAfter(blocks);
  rowPoint = nullptr;
  if (topLevel)
    kernelPoint = nullptr;
}

/// Stores and sums of values that there is one of per row.
void KernelEmitter::emitRowResults() {
  for (auto [index, root] : llvm::enumerate(expression.roots)) {
    if (root.level != Level::Row)
      continue;
    Value value = eval(root.node);
    if (root.kind == Root::Store) {
      storeElement(value, pointers[argumentOf(root.value)],
                   indexOf(root.strides),
                   tensorType(root.value).getElementType());
      continue;
    }
    for (const Accumulator &accumulator : accumulators)
      if (accumulator.root == index)
        addInMemory(accumulator, value);
  }
}

void KernelEmitter::emitRows() {
  induction.assign(expression.groups.size(), Value());
  OpBuilder::InsertionGuard guard(builder);
  Operation *outermost = nullptr;
  for (auto [index, group] : llvm::enumerate(expression.groups)) {
    if (group.inner)
      continue;
    scf::ForOp loop = openLoop(group.extent, {});
    induction[index] = loop.getInductionVar();
    if (!outermost)
      outermost = loop;
  }
  kernelPoint = outermost;
  for (unsigned pass = 0; pass < expression.passes; ++pass)
    emitPass(pass);
  emitRowResults();
  kernelPoint = nullptr;
}

void KernelEmitter::startAccumulators() {
  for (const Accumulator &accumulator : accumulators) {
    const Root &root = expression.roots[accumulator.root];
    Value pointer = accumulator.inScratch ? scratchPointer(accumulator.offset)
                                          : pointers[argumentOf(root.value)];
    OpBuilder::InsertionGuard guard(builder);
    Value start = neutral(root.reduction, accumulator.type);
    scf::ForOp loop = openLoop(accumulator.elements, {});
    storeElement(start, pointer, loop.getInductionVar(), accumulator.type);
  }
}

void KernelEmitter::finishAccumulators() {
  for (const Accumulator &accumulator : accumulators) {
    if (!accumulator.inScratch)
      continue;
    const Root &root = expression.roots[accumulator.root];
    Type element = tensorType(root.value).getElementType();
    Value pointer = scratchPointer(accumulator.offset);
    OpBuilder::InsertionGuard guard(builder);
    scf::ForOp loop = openLoop(accumulator.elements, {});
    Value value =
        loadElement(pointer, loop.getInductionVar(), accumulator.type);
    if (accumulator.type != widened(element))
      value = arith::TruncFOp::create(builder, loc, widened(element), value);
    storeElement(value, pointers[argumentOf(root.value)],
                 loop.getInductionVar(), element);
  }
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// The loops, with one pointer argument per buffer: distinct buffers do not
/// overlap, which `noalias` says.
LLVM::LLVMFuncOp KernelEmitter::makeBody(ModuleOp module) {
  MLIRContext *context = module.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  SmallVector<Type> types(arguments.size() + 1, pointer);
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
  builder.setInsertionPointToEnd(module.getBody());
  auto function = LLVM::LLVMFuncOp::create(builder, loc, "kernel_body", type,
                                           LLVM::Linkage::Internal);
  for (unsigned i = 0; i < types.size(); ++i)
    function.setArgAttr(i, "llvm.noalias", builder.getUnitAttr());
  builder.setInsertionPointToStart(function.addEntryBlock(builder));
  for (unsigned i = 0; i < arguments.size(); ++i)
    pointers.push_back(function.getArgument(i));
  scalarPointer = function.getArgument(arguments.size());
  startAccumulators();
  emitRows();
  finishAccumulators();
  LLVM::ReturnOp::create(builder, loc, ValueRange());
  return function;
}

/// The C entry: unpacks the buffers.
void KernelEmitter::makeEntry(ModuleOp module, LLVM::LLVMFuncOp body) {
  MLIRContext *context = module.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context),
                                          {pointer, pointer});
  builder.setInsertionPointToEnd(module.getBody());
  auto function = LLVM::LLVMFuncOp::create(builder, loc, "kernel", type);
  builder.setInsertionPointToStart(function.addEntryBlock(builder));
  SmallVector<Value> values;
  for (unsigned i = 0; i < arguments.size(); ++i) {
    Value place = address(function.getArgument(0), integer(i), pointer);
    values.push_back(LLVM::LoadOp::create(builder, loc, pointer, place));
  }
  values.push_back(function.getArgument(1));
  LLVM::CallOp::create(builder, loc, body, values);
  LLVM::ReturnOp::create(builder, loc, ValueRange());
}

/// What a kernel does with a buffer, for the verifier.
static format::Access accessOf(const KernelArgument &argument) {
  switch (argument.kind) {
  case KernelArgument::Input:
    return format::Access::Read;
  case KernelArgument::Output:
    return format::Access::Write;
  case KernelArgument::Scratch:
    return format::Access::Scratch;
  case KernelArgument::InPlace:
    break;
  }
  return argument.replaced ? format::Access::ReadWrite
                           : format::Access::Accumulate;
}

/// The buffers that a node is computed from.
static std::set<uint32_t>
sourcesOf(const Expression &expression, unsigned node,
          const llvm::DenseMap<Value, unsigned> &argumentIndex) {
  std::set<uint32_t> sources;
  std::vector<bool> seen(expression.nodes.size());
  SmallVector<unsigned> open = {node};
  while (!open.empty()) {
    unsigned at = open.pop_back_val();
    if (seen[at])
      continue;
    seen[at] = true;
    const Node &here = expression.nodes[at];
    if (here.kind == Node::Load)
      sources.insert(argumentIndex.lookup(here.value));
    open.append(here.operands.begin(), here.operands.end());
  }
  return sources;
}

/// What goes into each buffer that is written, where that is not the same for
/// all: updates of several variables in one kernel have nothing to do with each
/// other.
std::vector<std::vector<uint32_t>>
KernelEmitter::feedsOf(ArrayRef<format::Access> access) const {
  std::vector<std::vector<uint32_t>> feeds(arguments.size());
  std::set<uint32_t> read;
  for (auto [index, kind] : llvm::enumerate(access))
    if (kind == format::Access::Read || kind == format::Access::ReadWrite)
      read.insert(index);
  bool differ = false;
  for (const Root &root : expression.roots) {
    std::set<uint32_t> sources =
        sourcesOf(expression, root.node, argumentIndex);
    // Sums are read only where they are added to.
    std::erase_if(sources, [&](uint32_t i) { return !read.count(i); });
    differ |= sources != read;
    feeds[argumentIndex.lookup(root.value)].assign(sources.begin(),
                                                   sources.end());
  }
  if (!differ)
    feeds.clear();
  return feeds;
}

namespace {
/// Writes a module as KernelModule::Shape, values by order of appearance.
class ShapeWriter {
public:
  KernelModule::Shape write(ModuleOp module) {
    add(module.getOperation());
    return std::move(shape);
  }

private:
  void add(const void *unique) {
    shape.push_back(reinterpret_cast<uintptr_t>(unique));
  }
  void add(Value value) {
    shape.push_back(values.try_emplace(value, values.size()).first->second);
    add(value.getType().getAsOpaquePointer());
  }
  template <typename Range> void addAll(Range &&range) {
    shape.push_back(llvm::range_size(range));
    for (auto &&element : range)
      add(element);
  }
  void add(Operation *op) {
    assert(op->getNumSuccessors() == 0 && "kernels have structured loops");
    add(op->getName().getAsOpaquePointer());
    add(op->getAttrDictionary().getAsOpaquePointer());
    addAll(op->getOperands());
    addAll(op->getResults());
    for (Region &region : op->getRegions()) {
      shape.push_back(llvm::range_size(region));
      for (Block &block : region) {
        addAll(block.getArguments());
        shape.push_back(llvm::range_size(block));
        for (Operation &inner : block)
          add(&inner);
      }
    }
  }

  KernelModule::Shape shape;
  DenseMap<Value, uintptr_t> values;
};
} // namespace

/// The hash of a kernel's text, without its places in the model, and of what
/// callers are held to: a slice may read buffers of two sizes alike.
static std::string symbolOf(ModuleOp module, const KernelModule::Info &info) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream, OpPrintingFlags().useLocalScope());
  for (auto [access, bytes] : llvm::zip_equal(info.access, info.operandBytes))
    stream << static_cast<char>(access) << bytes;
  return "k_" + sha256Hex(text).substr(0, 20);
}

KernelCall KernelEmitter::emit(KernelModule &kernels) {
  setArguments();
  setScratch();
  if (kernels.layoutOnly) {
    kernels.kernels["layout"];
    return {"layout", arguments, expression.scalars};
  }
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  LLVM::LLVMFuncOp body = makeBody(*module);
  makeEntry(*module, body);
  KernelModule::Info info;
  info.scalars = expression.scalars.size();
  KernelModule::Shape shape = ShapeWriter().write(*module);
  for (const KernelArgument &argument : arguments) {
    info.operandBytes.push_back(argument.bytes);
    info.access.push_back(accessOf(argument));
    shape.push_back(static_cast<uintptr_t>(info.access.back()));
    shape.push_back(static_cast<uintptr_t>(argument.bytes));
  }
  info.feeds = feedsOf(info.access);
  auto [known, isNew] = kernels.symbols.try_emplace(std::move(shape));
  std::string &symbol = known->second;
  if (isNew)
    symbol = symbolOf(*module, info);
  if (!kernels.kernels.try_emplace(symbol, info).second)
    return {symbol, arguments, expression.scalars};
  SymbolTable symbols(*module);
  Operation *entry = symbols.lookup("kernel");
  (void)symbols.rename(body, symbol + "_body");
  (void)symbols.rename(entry, symbol);
  kernels.module->getBody()->getOperations().splice(
      kernels.module->getBody()->end(), module->getBody()->getOperations());
  return {symbol, arguments, expression.scalars};
}

KernelCall lower::emitKernel(KernelModule &kernels, const Cluster &cluster,
                             const Clusters &clusters,
                             ArrayRef<InPlaceChoice> inPlace) {
  MLIRContext *context = kernels.module->getContext();
  return KernelEmitter(cluster, clusters, inPlace, context).emit(kernels);
}
