//===- ModelBuilder.cpp - writing whale models from C++ -------------------===//

#include "compiler/importers/ModelBuilder.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace whale;
using namespace whale::importers;

static Shape shapeOf(Value value) { return tensorType(value).getShape(); }

/// Six significant digits, so that initial values print short and exact.
static double rounded(double value) {
  std::string text = llvm::formatv("{0:e5}", value).str();
  double result = value;
  StringRef(text).getAsDouble(result);
  return result;
}

//===----------------------------------------------------------------------===//
// ModelBuilder
//===----------------------------------------------------------------------===//

ModelBuilder::ModelBuilder(MLIRContext *context, StringRef name,
                           Location source, Type element)
    : source(source), element(element) {
  context->loadDialect<WhaleDialect>();
  root = ModuleOp::create(source);
  OpBuilder builder = OpBuilder::atBlockEnd(root->getBody());
  op = ModelOp::create(builder, source, name);
  op.getBody().emplaceBlock();
}

ModuleBuilder ModelBuilder::module(StringRef name, ArrayRef<Type> arguments) {
  OpBuilder builder = OpBuilder::atBlockEnd(&op.getBody().front());
  FunctionType type = builder.getFunctionType(arguments, {});
  auto location = NameLoc::get(builder.getStringAttr("@" + name), source);
  auto definition = ModuleDefOp::create(
      builder, location, builder.getStringAttr(name), TypeAttr::get(type),
      /*arg_attrs=*/nullptr, /*res_attrs=*/nullptr);
  Block &body = definition.getBody().emplaceBlock();
  for (Type argument : arguments)
    body.addArgument(argument, location);
  return ModuleBuilder(*this, definition);
}

void ModelBuilder::training(DictionaryAttr spec) {
  OpBuilder builder = OpBuilder::atBlockEnd(&op.getBody().front());
  TrainingOp::create(builder, source, spec);
}

bool ModelBuilder::adapts(StringRef target) {
  bool found = lora && llvm::is_contained(lora->targets, target);
  if (found)
    usedTargets.insert(target);
  return found;
}

std::optional<std::string> ModelBuilder::unusedTarget() const {
  if (lora)
    for (const std::string &target : lora->targets)
      if (!usedTargets.contains(target))
        return target;
  return std::nullopt;
}

RankedTensorType ModelBuilder::real(Shape shape) {
  return RankedTensorType::get(shape, element);
}

RankedTensorType ModelBuilder::integers(Shape shape) {
  return RankedTensorType::get(shape, IntegerType::get(context(), 32));
}

//===----------------------------------------------------------------------===//
// ModuleBuilder: names, types, beginning and end
//===----------------------------------------------------------------------===//

ModuleBuilder::ModuleBuilder(ModelBuilder &model, ModuleDefOp definition)
    : model(model), definition(definition),
      builder(OpBuilder::atBlockEnd(&definition.getBody().front())) {}

StringAttr ModuleBuilder::unique(StringRef name) {
  std::string own = name.str();
  while (uses[own]++)
    own = (name + "." + Twine(uses[name]++)).str();
  return builder.getStringAttr(own);
}

Location ModuleBuilder::locate(StringRef name) {
  return NameLoc::get(
      builder.getStringAttr("@" + definition.getSymName() + "/" + name),
      model.source);
}

RankedTensorType ModuleBuilder::typeLike(Value value, Shape shape) {
  return RankedTensorType::get(shape, tensorType(value).getElementType());
}

ModuleDefOp ModuleBuilder::finish(ValueRange results) {
  ReturnOp::create(builder, definition.getLoc(), results);
  definition.setFunctionType(builder.getFunctionType(
      definition.getArgumentTypes(), results.getTypes()));
  Block *models = definition->getBlock();
  definition->moveBefore(models, models->end());
  return definition;
}

//===----------------------------------------------------------------------===//
// Arguments, inputs, state
//===----------------------------------------------------------------------===//

Value ModuleBuilder::argument(unsigned index) {
  return definition.getBody().front().getArgument(index);
}

Value ModuleBuilder::input(StringRef name, ArrayRef<StringRef> dims,
                           RankedTensorType type,
                           std::optional<int64_t> range) {
  IntegerAttr bound = range ? builder.getI64IntegerAttr(*range) : IntegerAttr();
  return InputOp::create(builder, locate(name), type, name,
                         builder.getStrArrayAttr(dims), bound);
}

Value ModuleBuilder::read(StringRef name, Shape shape, Init init,
                          VariableKind kind, StringRef tied, bool frozen) {
  auto start =
      InitAttr::get(builder.getContext(), init.kind, APFloat(rounded(init.a)),
                    APFloat(rounded(init.b)));
  StringAttr path = tied.empty() ? StringAttr() : builder.getStringAttr(tied);
  return VariableOp::create(builder, locate(name), model.real(shape), name,
                            kind, start, path, /*group=*/StringAttr(), frozen);
}

Value ModuleBuilder::variable(StringRef name, Shape shape, Init init) {
  return read(name, shape, init, VariableKind::parameter, "",
              model.adapters() != nullptr);
}

Value ModuleBuilder::frozen(StringRef name, Shape shape, Init init) {
  return read(name, shape, init, VariableKind::parameter, "", true);
}

Value ModuleBuilder::adapter(StringRef name, Shape shape, Init init) {
  for (VariableOp known : definition.getBody().getOps<VariableOp>())
    if (known.getName() == name)
      return known;
  return read(name, shape, init, VariableKind::parameter, "", false);
}

Value ModuleBuilder::tied(StringRef name, StringRef path, Shape shape,
                          Init init) {
  return read(name, shape, init, VariableKind::parameter, path,
              model.adapters() != nullptr);
}

Value ModuleBuilder::statistic(StringRef name, Shape shape, double start) {
  return read(name, shape, importers::constant(start), VariableKind::statistic,
              "", false);
}

void ModuleBuilder::assign(StringRef name, Value value) {
  AssignOp::create(builder, locate(name), name, value);
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

Value ModuleBuilder::constant(StringRef name, double value, Shape shape) {
  return make<ConstantOp>(name, model.real(shape),
                          builder.getF64FloatAttr(value));
}

Value ModuleBuilder::integer(StringRef name, int64_t value) {
  return make<ConstantOp>(name, model.integers({}),
                          builder.getI64IntegerAttr(value));
}

Value ModuleBuilder::iota(StringRef name, RankedTensorType type, int64_t dim) {
  return make<IotaOp>(name, type, dim);
}

Value ModuleBuilder::scale(StringRef name, Value operand, double factor) {
  return mul(name, operand, constant((name + ".factor").str(), factor));
}

Value ModuleBuilder::gelu(StringRef name, Value operand, bool tanh) {
  return make<GeluOp>(name, operand.getType(), operand, tanh);
}

Value ModuleBuilder::compare(StringRef name, Predicate predicate, Value lhs,
                             Value rhs) {
  return make<CompareOp>(name, predicate, lhs, rhs);
}

Value ModuleBuilder::select(StringRef name, Value condition, Value lhs,
                            Value rhs) {
  return make<SelectOp>(name, condition, lhs, rhs);
}

Value ModuleBuilder::cast(StringRef name, Value operand, Type element) {
  return make<CastOp>(name, tensorType(operand).clone(element), operand);
}

Value ModuleBuilder::dropout(StringRef name, Value operand, double rate) {
  if (rate == 0)
    return operand;
  return make<DropoutOp>(name, operand.getType(), operand, APFloat(rate),
                         /*key=*/StringAttr());
}

//===----------------------------------------------------------------------===//
// Contraction, reduction, shapes
//===----------------------------------------------------------------------===//

Value ModuleBuilder::einsum(StringRef name, StringRef text, Value lhs,
                            Value rhs) {
  std::optional<Equation> equation = parseEquation(text);
  assert(equation && "malformed equation in an importer");
  llvm::StringMap<int64_t> extents;
  for (auto [dim, extent] : llvm::zip(equation->lhs, shapeOf(lhs)))
    extents[dim] = extent;
  for (auto [dim, extent] : llvm::zip(equation->rhs, shapeOf(rhs)))
    extents[dim] = extent;
  SmallVector<int64_t> shape;
  for (const std::string &dim : equation->result)
    shape.push_back(extents.lookup(dim));
  return make<EinsumOp>(name, typeLike(lhs, shape), text, lhs, rhs);
}

Value ModuleBuilder::sum(StringRef name, Value operand, Shape dims) {
  SmallVector<int64_t> shape;
  for (auto [index, extent] : llvm::enumerate(shapeOf(operand)))
    if (!llvm::is_contained(dims, static_cast<int64_t>(index)))
      shape.push_back(extent);
  return make<ReduceOp>(name, typeLike(operand, shape), ReductionKind::sum,
                        operand, dims);
}

Value ModuleBuilder::broadcast(StringRef name, Value operand, Shape dims,
                               Shape shape) {
  return make<BroadcastOp>(name, typeLike(operand, shape), operand, dims);
}

Value ModuleBuilder::reshape(StringRef name, Value operand, Shape shape) {
  if (shape == shapeOf(operand))
    return operand;
  return make<ReshapeOp>(name, typeLike(operand, shape), operand);
}

Value ModuleBuilder::transpose(StringRef name, Value operand,
                               Shape permutation) {
  SmallVector<int64_t> shape;
  for (int64_t dim : permutation)
    shape.push_back(shapeOf(operand)[dim]);
  return make<TransposeOp>(name, typeLike(operand, shape), operand,
                           permutation);
}

Value ModuleBuilder::slice(StringRef name, Value operand, int64_t dim,
                           int64_t start, int64_t extent) {
  SmallVector<int64_t> shape(shapeOf(operand));
  if (shape[dim] == extent)
    return operand;
  shape[dim] = extent;
  return make<SliceOp>(name, typeLike(operand, shape), operand, dim, start);
}

Value ModuleBuilder::pick(StringRef name, Value operand, int64_t dim,
                          int64_t index) {
  Value one = slice((name + ".slice").str(), operand, dim, index, 1);
  return sum(name, one, {dim});
}

Value ModuleBuilder::concat(StringRef name, ValueRange operands, int64_t dim) {
  SmallVector<int64_t> shape(shapeOf(operands.front()));
  shape[dim] = 0;
  for (Value operand : operands)
    shape[dim] += shapeOf(operand)[dim];
  return make<ConcatOp>(name, typeLike(operands.front(), shape), operands, dim);
}

Value ModuleBuilder::embedding(StringRef name, Value table, Value indices) {
  SmallVector<int64_t> shape(shapeOf(indices));
  llvm::append_range(shape, shapeOf(table).drop_front());
  return make<EmbeddingOp>(name, typeLike(table, shape), table, indices);
}

//===----------------------------------------------------------------------===//
// Softmax, norms, cross-entropy, attention
//===----------------------------------------------------------------------===//

Value ModuleBuilder::softmax(StringRef name, Value operand) {
  return unary<SoftmaxOp>(name, operand);
}

Value ModuleBuilder::layerNorm(StringRef name, Value operand, Value scale,
                               Value shift, double epsilon) {
  return make<LayerNormOp>(name, operand.getType(), operand, scale, shift,
                           APFloat(epsilon));
}

Value ModuleBuilder::rmsNorm(StringRef name, Value operand, Value scale,
                             double epsilon) {
  return make<RmsNormOp>(name, operand.getType(), operand, scale,
                         APFloat(epsilon));
}

BatchNormOp ModuleBuilder::batchNorm(StringRef name, Value operand, Value scale,
                                     Value shift, std::optional<int64_t> over,
                                     double epsilon) {
  IntegerAttr group = over ? builder.getI64IntegerAttr(*over) : IntegerAttr();
  return make<BatchNormOp>(name, operand.getType(), scale.getType(),
                           scale.getType(), operand, scale, shift, group,
                           APFloat(epsilon));
}

Value ModuleBuilder::crossEntropySum(StringRef name, Value logits,
                                     Value labels) {
  RankedTensorType rows = typeLike(logits, shapeOf(labels));
  auto losses = make<CrossEntropyOp>(name, rows, rows, logits, labels);
  SmallVector<int64_t> all;
  for (int64_t dim = 0; dim < rows.getRank(); ++dim)
    all.push_back(dim);
  return sum((name + ".sum").str(), losses.getLoss(), all);
}

Value ModuleBuilder::attention(StringRef name, Value query, Value key,
                               Value value, double scale,
                               const AttentionMask &mask) {
  Shape q = shapeOf(query);
  RankedTensorType rows = typeLike(query, {q[0], q[2], q[3], q[1]});
  IntegerAttr window =
      mask.window ? builder.getI64IntegerAttr(*mask.window) : IntegerAttr();
  SmallVector<int64_t> result(q);
  result.back() = shapeOf(value).back();
  return make<AttentionOp>(name, typeLike(query, result), rows, query, key,
                           value, mask.bias, APFloat(scale), mask.causal,
                           window)
      .getResult();
}

Value ModuleBuilder::rotary(StringRef name, Value operand,
                            const Rotary &rotary) {
  RotaryScalingAttr scaling;
  if (rotary.scaling)
    scaling = RotaryScalingAttr::get(
        builder.getContext(), rotary.scaling->kind,
        APFloat(rotary.scaling->factor), APFloat(rotary.scaling->low),
        APFloat(rotary.scaling->high), APFloat(rotary.scaling->positions),
        APFloat(rotary.scaling->magnitude));
  return make<RotaryOp>(name, operand.getType(), operand, APFloat(rotary.theta),
                        scaling, /*inverse=*/false);
}

//===----------------------------------------------------------------------===//
// Convolution and experts
//===----------------------------------------------------------------------===//

static int64_t windowExtent(int64_t extent, int64_t window, int64_t stride,
                            int64_t padding) {
  return (extent + 2 * padding - window) / stride + 1;
}

Value ModuleBuilder::conv2d(StringRef name, Value input, Value filter,
                            int64_t stride, int64_t padding) {
  Shape x = shapeOf(input), f = shapeOf(filter);
  RankedTensorType type =
      typeLike(input, {x[0], windowExtent(x[1], f[0], stride, padding),
                       windowExtent(x[2], f[1], stride, padding), f[3]});
  return make<Conv2dOp>(name, type, input, filter, Shape{stride, stride},
                        Shape{padding, padding, padding, padding});
}

Value ModuleBuilder::maxPool(StringRef name, Value input, int64_t window,
                             int64_t stride, int64_t padding) {
  Shape x = shapeOf(input);
  RankedTensorType type =
      typeLike(input, {x[0], windowExtent(x[1], window, stride, padding),
                       windowExtent(x[2], window, stride, padding), x[3]});
  return make<PoolOp>(name, type, PoolKind::max, input, Shape{window, window},
                      Shape{stride, stride},
                      Shape{padding, padding, padding, padding});
}

std::pair<Value, Value> ModuleBuilder::topK(StringRef name, Value operand,
                                            int64_t k) {
  SmallVector<int64_t> shape(shapeOf(operand));
  shape.back() = k;
  auto op = make<TopKOp>(name, typeLike(operand, shape), model.integers(shape),
                         operand, k);
  return {op.getValues(), op.getIndices()};
}

Value ModuleBuilder::expertMatmul(StringRef name, Value rows, Value weights,
                                  Value experts) {
  SmallVector<int64_t> shape(shapeOf(experts));
  shape.push_back(shapeOf(weights).back());
  return make<ExpertMatmulOp>(name, typeLike(rows, shape), rows, weights,
                              experts, /*transposed=*/false);
}

Value ModuleBuilder::expertSlot(StringRef name, Value experts, int64_t count,
                                int64_t capacity, int64_t over) {
  return make<ExpertSlotOp>(name, experts.getType(), experts, count, capacity,
                            over);
}

Value ModuleBuilder::dispatch(StringRef name, Value rows, Value experts,
                              Value slots, Shape shape) {
  return make<DispatchOp>(name, typeLike(rows, shape), rows, experts, slots);
}

Value ModuleBuilder::collect(StringRef name, Value buffers, Value experts,
                             Value slots) {
  SmallVector<int64_t> shape(shapeOf(experts));
  shape.push_back(shapeOf(buffers).back());
  return make<CollectOp>(name, typeLike(buffers, shape), buffers, experts,
                         slots);
}

//===----------------------------------------------------------------------===//
// Instances and losses
//===----------------------------------------------------------------------===//

SmallVector<Value> ModuleBuilder::instance(ModuleDefOp callee, StringRef name,
                                           ValueRange operands,
                                           std::optional<int64_t> repeat) {
  IntegerAttr count =
      repeat ? builder.getI64IntegerAttr(*repeat) : IntegerAttr();
  auto op = InstanceOp::create(builder, locate(name), callee.getResultTypes(),
                               callee.getSymName(), name, operands, count);
  return SmallVector<Value>(op.getResults());
}

SmallVector<Value> ModuleBuilder::scan(ModuleDefOp cell, StringRef name,
                                       ValueRange states, ValueRange sequences,
                                       int64_t dim, bool reverse) {
  int64_t steps = shapeOf(sequences.front())[dim];
  SmallVector<Type> types(states.getTypes());
  for (Type type : cell.getResultTypes().drop_front(states.size())) {
    auto slice = cast<RankedTensorType>(type);
    SmallVector<int64_t> shape(slice.getShape());
    shape.insert(shape.begin() + dim, steps);
    types.push_back(slice.clone(shape));
  }
  auto op = ScanOp::create(builder, locate(name), types, cell.getSymName(),
                           name, states, sequences, dim, reverse);
  return SmallVector<Value>(op.getResults());
}

void ModuleBuilder::loss(StringRef name, Value sum, Value count,
                         double weight) {
  LossOp::create(builder, locate(name), name, sum, count, APFloat(weight));
}
