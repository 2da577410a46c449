//===- WhaleVerify.cpp - type inference and verifiers of compute ops ------===//

#include "dialects/whale/Verify.h"
#include "dialects/whale/Whale.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace whale;

//===----------------------------------------------------------------------===//
// Helpers
//===----------------------------------------------------------------------===//

std::string whale::shapeText(ArrayRef<int64_t> shape) {
  if (shape.empty())
    return "a scalar";
  std::string text;
  llvm::raw_string_ostream stream(text);
  llvm::interleave(shape, stream, "x");
  return text;
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return tensorType(value).getShape();
}

LogicalResult whale::expectShape(Operation *op, StringRef what, Value value,
                                 ArrayRef<int64_t> expected) {
  if (shapeOf(value) == expected)
    return success();
  return op->emitOpError(what) << " is " << shapeText(shapeOf(value))
                               << ", expected " << shapeText(expected);
}

LogicalResult whale::expectRank(Operation *op, StringRef what, Value value,
                                int64_t rank) {
  if (tensorType(value).getRank() == rank)
    return success();
  return op->emitOpError(what) << " is " << shapeText(shapeOf(value))
                               << ", expected " << rank << " dimensions";
}

LogicalResult whale::expectElement(Operation *op, StringRef what, Value value,
                                   Type expected) {
  Type found = tensorType(value).getElementType();
  if (found == expected || isa<AccumulatorType>(found))
    return success();
  return op->emitOpError(what) << " has elements of " << found << ", expected "
                               << expected;
}

static Type elementOf(Value value) {
  return tensorType(value).getElementType();
}

LogicalResult whale::expectDim(Operation *op, int64_t dim, Value value) {
  int64_t rank = tensorType(value).getRank();
  if (dim >= 0 && dim < rank)
    return success();
  return op->emitOpError("dimension ") << dim << " is not one of the " << rank
                                       << " of " << shapeText(shapeOf(value));
}

//===----------------------------------------------------------------------===//
// Inference of the elementwise ops
//===----------------------------------------------------------------------===//

static FailureOr<SmallVector<int64_t>>
broadcastShape(std::optional<Location> location, ValueRange operands) {
  size_t rank = 0;
  for (Value operand : operands) {
    auto type = dyn_cast<RankedTensorType>(operand.getType());
    if (!type)
      return emitOptionalError(location, "operand is not a ranked tensor");
    rank = std::max(rank, type.getShape().size());
  }
  SmallVector<int64_t> shape(rank, 1);
  for (Value operand : operands) {
    ArrayRef<int64_t> own = shapeOf(operand);
    for (auto [index, extent] : llvm::enumerate(own)) {
      int64_t &slot = shape[rank - own.size() + index];
      if (slot != 1 && extent != 1 && slot != extent)
        return emitOptionalError(location, "shapes do not broadcast: extent ",
                                 extent, " meets ", slot);
      slot = std::max(slot, extent);
    }
  }
  return shape;
}

static LogicalResult inferWith(std::optional<Location> location,
                               ValueRange operands, Type element,
                               SmallVectorImpl<Type> &types) {
  FailureOr<SmallVector<int64_t>> shape = broadcastShape(location, operands);
  if (failed(shape))
    return failure();
  types.push_back(RankedTensorType::get(*shape, element));
  return success();
}

static LogicalResult sameElement(std::optional<Location> location, Value lhs,
                                 Value rhs) {
  Type a = getElementTypeOrSelf(lhs.getType());
  Type b = getElementTypeOrSelf(rhs.getType());
  if (a == b)
    return success();
  return emitOptionalError(location, "element types differ: ", a, " and ", b);
}

LogicalResult whale::inferBroadcast(std::optional<Location> location,
                                    ValueRange operands,
                                    SmallVectorImpl<Type> &types) {
  if (failed(sameElement(location, operands[0], operands[1])))
    return failure();
  return inferWith(location, operands,
                   getElementTypeOrSelf(operands[0].getType()), types);
}

LogicalResult whale::inferCompare(MLIRContext *context,
                                  std::optional<Location> location,
                                  ValueRange operands,
                                  SmallVectorImpl<Type> &types) {
  if (failed(sameElement(location, operands[0], operands[1])))
    return failure();
  return inferWith(location, operands, IntegerType::get(context, 1), types);
}

LogicalResult whale::inferSelect(std::optional<Location> location,
                                 ValueRange operands,
                                 SmallVectorImpl<Type> &types) {
  if (failed(sameElement(location, operands[1], operands[2])))
    return failure();
  return inferWith(location, operands,
                   getElementTypeOrSelf(operands[1].getType()), types);
}

LogicalResult CastOp::verify() {
  return expectShape(*this, "result", getResult(), shapeOf(getOperand()));
}

LogicalResult DropoutOp::verify() {
  double rate = getRate().convertToDouble();
  if (!(rate >= 0 && rate < 1))
    return emitOpError("rate is ") << rate << ", expected 0 <= rate < 1";
  return success();
}

//===----------------------------------------------------------------------===//
// Einsum
//===----------------------------------------------------------------------===//

/// Names of one term; false where a name is no identifier or stands twice.
static bool parseTerm(StringRef text, SmallVectorImpl<std::string> &names) {
  SmallVector<StringRef> words;
  text.split(words, ' ', -1, /*KeepEmpty=*/false);
  llvm::StringSet<> seen;
  for (StringRef word : words) {
    if (!llvm::all_of(word, [](char c) { return llvm::isAlnum(c) || c == '_'; }))
      return false;
    if (!seen.insert(word).second)
      return false;
    names.push_back(word.str());
  }
  return true;
}

std::optional<Equation> whale::parseEquation(StringRef text) {
  Equation equation;
  auto [left, result] = text.split("->");
  auto [lhs, rhs] = left.split(',');
  if (!text.contains("->") || left.count(',') != 1 || result.contains("->"))
    return std::nullopt;
  if (!parseTerm(lhs, equation.lhs) || !parseTerm(rhs, equation.rhs) ||
      !parseTerm(result, equation.result))
    return std::nullopt;
  return equation;
}

std::string whale::printEquation(const Equation &equation) {
  auto term = [](ArrayRef<std::string> names) { return llvm::join(names, " "); };
  return term(equation.lhs) + ", " + term(equation.rhs) + " -> " +
         term(equation.result);
}

/// Extents by name, from both operands.
static LogicalResult collectExtents(EinsumOp op, const Equation &equation,
                                    llvm::StringMap<int64_t> &extents) {
  auto visit = [&](ArrayRef<std::string> names, Value value,
                   StringRef what) -> LogicalResult {
    if (failed(expectRank(op, what, value, names.size())))
      return failure();
    for (auto [name, extent] : llvm::zip(names, shapeOf(value))) {
      auto [it, inserted] = extents.try_emplace(name, extent);
      if (!inserted && it->second != extent)
        return op.emitOpError("dimension '")
               << name << "' has extent " << extent << " in " << what
               << " and " << it->second << " before";
    }
    return success();
  };
  if (failed(visit(equation.lhs, op.getLhs(), "lhs")))
    return failure();
  return visit(equation.rhs, op.getRhs(), "rhs");
}

LogicalResult EinsumOp::verify() {
  if (failed(expectElement(*this, "rhs", getRhs(), elementOf(getLhs()))))
    return failure();
  if (failed(expectElement(*this, "result", getResult(), elementOf(getLhs()))))
    return failure();
  std::optional<Equation> equation = parseEquation(getEquation());
  if (!equation)
    return emitOpError("equation '")
           << getEquation() << "' is malformed, expected \"a b, b c -> a c\"";
  llvm::StringMap<int64_t> extents;
  if (failed(collectExtents(*this, *equation, extents)))
    return failure();
  SmallVector<int64_t> shape;
  for (const std::string &name : equation->result) {
    auto it = extents.find(name);
    if (it == extents.end())
      return emitOpError("result dimension '") << name << "' is in no operand";
    shape.push_back(it->second);
  }
  auto inBoth = [&](const std::string &name, ArrayRef<std::string> other) {
    return llvm::is_contained(other, name) ||
           llvm::is_contained(equation->result, name);
  };
  for (const std::string &name : equation->lhs)
    if (!inBoth(name, equation->rhs))
      return emitOpError("dimension '") << name << "' is only in lhs";
  for (const std::string &name : equation->rhs)
    if (!inBoth(name, equation->lhs))
      return emitOpError("dimension '") << name << "' is only in rhs";
  return expectShape(*this, "result", getResult(), shape);
}

//===----------------------------------------------------------------------===//
// Reductions and shapes
//===----------------------------------------------------------------------===//

LogicalResult ReduceOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getOperand()))))
    return failure();
  SmallVector<int64_t> expected;
  int64_t last = -1;
  for (int64_t dim : getDims()) {
    if (failed(expectDim(*this, dim, getOperand())))
      return failure();
    if (dim <= last)
      return emitOpError("dimensions must ascend, found ") << dim << " after "
                                                           << last;
    last = dim;
  }
  for (auto [index, extent] : llvm::enumerate(shapeOf(getOperand())))
    if (!llvm::is_contained(getDims(), static_cast<int64_t>(index)))
      expected.push_back(extent);
  return expectShape(*this, "result", getResult(), expected);
}

LogicalResult RoundSumOp::verify() {
  return expectShape(*this, "result", getResult(), shapeOf(getOperand()));
}

LogicalResult ConstantOp::verify() {
  bool real = isa<FloatAttr>(getValue());
  bool wanted = isa<FloatType>(tensorType(getResult()).getElementType());
  if (real && !wanted)
    return emitOpError("has a real value for elements of ")
           << tensorType(getResult()).getElementType();
  return success();
}

LogicalResult IotaOp::verify() { return expectDim(*this, getDim(), getResult()); }

LogicalResult BroadcastOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getOperand()))))
    return failure();
  if (failed(expectRank(*this, "operand", getOperand(), getDims().size())))
    return failure();
  SmallVector<int64_t> expected;
  int64_t last = -1;
  for (int64_t dim : getDims()) {
    if (failed(expectDim(*this, dim, getResult())))
      return failure();
    if (dim <= last)
      return emitOpError("dimensions must ascend, found ") << dim << " after "
                                                           << last;
    last = dim;
    expected.push_back(shapeOf(getResult())[dim]);
  }
  return expectShape(*this, "operand", getOperand(), expected);
}

LogicalResult ReshapeOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getOperand()))))
    return failure();
  int64_t from = tensorType(getOperand()).getNumElements();
  int64_t to = tensorType(getResult()).getNumElements();
  if (from == to)
    return success();
  return emitOpError("result has ") << to << " elements, but operand has "
                                    << from;
}

LogicalResult TransposeOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getOperand()))))
    return failure();
  SmallVector<int64_t> expected, seen(getPermutation());
  if (failed(expectRank(*this, "operand", getOperand(), seen.size())))
    return failure();
  llvm::sort(seen);
  for (auto [index, dim] : llvm::enumerate(seen))
    if (dim != static_cast<int64_t>(index))
      return emitOpError("permutation does not name every dimension once");
  for (int64_t dim : getPermutation())
    expected.push_back(shapeOf(getOperand())[dim]);
  return expectShape(*this, "result", getResult(), expected);
}

/// Checks that all extents but that of `dim` agree with the operand's.
static LogicalResult sameButDim(Operation *op, Value operand, Value result,
                                int64_t dim) {
  if (failed(expectDim(op, dim, operand)))
    return failure();
  SmallVector<int64_t> expected(shapeOf(operand));
  if (static_cast<int64_t>(expected.size()) == tensorType(result).getRank())
    expected[dim] = shapeOf(result)[dim];
  return expectShape(op, "result", result, expected);
}

LogicalResult SliceOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getOperand()))))
    return failure();
  if (failed(sameButDim(*this, getOperand(), getResult(), getDim())))
    return failure();
  int64_t count = shapeOf(getResult())[getDim()];
  int64_t extent = shapeOf(getOperand())[getDim()];
  // As a difference: the sum of start and count may not exist.
  if (int64_t(getStart()) < 0 || int64_t(getStart()) > extent - count)
    return emitOpError("takes ") << count << " from " << getStart()
                                 << " of extent " << extent;
  return success();
}

LogicalResult PadOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getOperand()))))
    return failure();
  if (failed(sameButDim(*this, getOperand(), getResult(), getDim())))
    return failure();
  int64_t total =
      shapeOf(getResult())[getDim()] - shapeOf(getOperand())[getDim()];
  if (int64_t(getLow()) < 0 || int64_t(getLow()) > total)
    return emitOpError("pads by ") << total << ", of which " << getLow()
                                   << " at the begin, expected 0 or more on "
                                      "both sides";
  return success();
}

LogicalResult ConcatOp::verify() {
  if (getOperands().empty())
    return emitOpError("has no operands");
  int64_t total = 0;
  for (Value operand : getOperands()) {
    if (failed(expectElement(*this, "operand", operand,
                             elementOf(getResult()))))
      return failure();
    if (failed(sameButDim(*this, operand, getResult(), getDim())))
      return failure();
    total += shapeOf(operand)[getDim()];
  }
  SmallVector<int64_t> expected(shapeOf(getResult()));
  expected[getDim()] = total;
  return expectShape(*this, "result", getResult(), expected);
}

//===----------------------------------------------------------------------===//
// Gather, norms, cross-entropy
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> joined(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  SmallVector<int64_t> shape(a);
  shape.append(b.begin(), b.end());
  return shape;
}

LogicalResult EmbeddingOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getTable()))))
    return failure();
  if (tensorType(getTable()).getRank() < 1)
    return emitOpError("table is a scalar, expected rows");
  return expectShape(*this, "result", getResult(),
                     joined(shapeOf(getIndices()),
                            shapeOf(getTable()).drop_front()));
}

LogicalResult ScatterAddOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getUpdates()))))
    return failure();
  if (tensorType(getResult()).getRank() < 1)
    return emitOpError("result is a scalar, expected rows");
  return expectShape(*this, "updates", getUpdates(),
                     joined(shapeOf(getIndices()),
                            shapeOf(getResult()).drop_front()));
}

static LogicalResult verifyScale(Operation *op, Value operand, Value scale) {
  if (tensorType(operand).getRank() < 1)
    return op->emitOpError("operand is a scalar, expected rows");
  return expectShape(op, "scale", scale, shapeOf(operand).take_back());
}

LogicalResult LayerNormOp::verify() {
  return verifyScale(*this, getOperand(), getScale());
}
LogicalResult RmsNormOp::verify() {
  return verifyScale(*this, getOperand(), getScale());
}
LogicalResult BatchNormOp::verify() {
  if (failed(verifyScale(*this, getOperand(), getScale())))
    return failure();
  int64_t batch = shapeOf(getOperand())[0];
  if (getOver() && (*getOver() < 1 || batch % *getOver() != 0))
    return emitOpError("groups of ") << *getOver()
                                     << " samples do not divide a batch of "
                                     << batch;
  return success();
}

LogicalResult CrossEntropyOp::verify() {
  if (tensorType(getLogits()).getRank() < 1)
    return emitOpError("logits are a scalar, expected classes");
  ArrayRef<int64_t> rows = shapeOf(getLogits()).drop_back();
  if (failed(expectShape(*this, "labels", getLabels(), rows)))
    return failure();
  return expectShape(*this, "loss", getLoss(), rows);
}

//===----------------------------------------------------------------------===//
// Attention and positions
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::verify() {
  if (failed(expectElement(*this, "key", getKey(), elementOf(getQuery()))))
    return failure();
  if (failed(expectElement(*this, "value", getValue(), elementOf(getQuery()))))
    return failure();
  if (failed(expectElement(*this, "result", getResult(), elementOf(getQuery()))))
    return failure();
  if (failed(expectRank(*this, "query", getQuery(), 5)) ||
      failed(expectRank(*this, "key", getKey(), 4)) ||
      failed(expectRank(*this, "value", getValue(), 4)))
    return failure();
  ArrayRef<int64_t> q = shapeOf(getQuery()), k = shapeOf(getKey());
  int64_t width = shapeOf(getValue())[3];
  SmallVector<int64_t> key = {q[0], k[1], q[2], q[4]};
  SmallVector<int64_t> value = {q[0], k[1], q[2], width};
  SmallVector<int64_t> result = {q[0], q[1], q[2], q[3], width};
  SmallVector<int64_t> rows = {q[0], q[2], q[3], q[1]};
  SmallVector<int64_t> bias = {q[2], q[3], q[1], k[1]};
  if (failed(expectShape(*this, "key", getKey(), key)) ||
      failed(expectShape(*this, "value", getValue(), value)) ||
      failed(expectShape(*this, "result", getResult(), result)) ||
      failed(expectShape(*this, "log_sum_exp", getLogSumExp(), rows)))
    return failure();
  if (getBias() && failed(expectShape(*this, "bias", getBias(), bias)))
    return failure();
  // A shard of the queries sees the keys of all (and says where it begins).
  bool isShard = (*this)->hasAttr("offsets");
  if (getCausal() && q[1] != k[1] && !isShard)
    return emitOpError("is causal with ") << q[1] << " queries and " << k[1]
                                          << " keys, expected as many";
  if (getWindow() && (*getWindow() < 1 || !getCausal()))
    return emitOpError("window must be 1 or more and needs 'causal'");
  return success();
}

//===----------------------------------------------------------------------===//
// Convolution and pooling
//===----------------------------------------------------------------------===//

/// Checks strides and padding, and that `output` is what `input` gives under a
/// window of [kh, kw].
static LogicalResult verifyWindow(Operation *op, Value input, Value output,
                                  ArrayRef<int64_t> window,
                                  ArrayRef<int64_t> strides,
                                  ArrayRef<int64_t> padding) {
  if (failed(expectRank(op, "input", input, 4)) ||
      failed(expectRank(op, "result", output, 4)))
    return failure();
  if (window.size() != 2 || strides.size() != 2 || padding.size() != 4)
    return op->emitOpError("needs 2 window extents, 2 strides and 4 paddings");
  for (int64_t value : joined(window, strides))
    if (value < 1)
      return op->emitOpError("window and strides must be 1 or more");
  for (int i = 0; i < 2; ++i) {
    int64_t low = padding[2 * i], high = padding[2 * i + 1];
    // More would leave int64.
    constexpr int64_t most = 1 << 30;
    if (low > most || high > most)
      return op->emitOpError("padding must be at most ") << most;
    int64_t room = shapeOf(input)[1 + i] + low + high - window[i];
    if (low < 0 || high < 0 || room < 0)
      return op->emitOpError("window ") << window[i] << " does not fit extent "
                                        << shapeOf(input)[1 + i]
                                        << " with padding";
    if (shapeOf(output)[1 + i] != room / strides[i] + 1)
      return op->emitOpError("output extent ")
             << shapeOf(output)[1 + i] << ", expected " << room / strides[i] + 1;
  }
  if (shapeOf(input)[0] != shapeOf(output)[0])
    return op->emitOpError("batch ") << shapeOf(input)[0] << " becomes "
                                     << shapeOf(output)[0];
  return success();
}

static LogicalResult verifyConv(Operation *op, Value input, Value filter,
                                Value output, ArrayRef<int64_t> strides,
                                ArrayRef<int64_t> padding) {
  // The input's gradient may be an accumulator.
  Type element = elementOf(isAccumulator(input) ? output : input);
  if (failed(expectRank(op, "filter", filter, 4)) ||
      failed(expectElement(op, "filter", filter, element)) ||
      failed(expectElement(op, "result", output, element)))
    return failure();
  ArrayRef<int64_t> f = shapeOf(filter);
  if (failed(verifyWindow(op, input, output, f.take_front(2), strides, padding)))
    return failure();
  if (shapeOf(input)[3] != f[2] || shapeOf(output)[3] != f[3])
    return op->emitOpError("filter has channels ")
           << f[2] << " -> " << f[3] << ", expected " << shapeOf(input)[3]
           << " -> " << shapeOf(output)[3];
  return success();
}

LogicalResult Conv2dOp::verify() {
  return verifyConv(*this, getInput(), getFilter(), getResult(), getStrides(),
                    getPadding());
}
LogicalResult Conv2dInputGradOp::verify() {
  return verifyConv(*this, getResult(), getFilter(), getGradient(),
                    getStrides(), getPadding());
}
LogicalResult Conv2dFilterGradOp::verify() {
  return verifyConv(*this, getInput(), getResult(), getGradient(), getStrides(),
                    getPadding());
}

LogicalResult PoolOp::verify() {
  if (failed(expectElement(*this, "result", getResult(), elementOf(getInput()))))
    return failure();
  if (failed(verifyWindow(*this, getInput(), getResult(), getWindow(),
                          getStrides(), getPadding())))
    return failure();
  if (shapeOf(getInput())[3] != shapeOf(getResult())[3])
    return emitOpError("channels ") << shapeOf(getInput())[3] << " become "
                                    << shapeOf(getResult())[3];
  return success();
}

//===----------------------------------------------------------------------===//
// Mixture of experts
//===----------------------------------------------------------------------===//

LogicalResult TopKOp::verify() {
  if (failed(expectElement(*this, "values", getValues(), elementOf(getOperand()))))
    return failure();
  ArrayRef<int64_t> shape = shapeOf(getOperand());
  if (shape.empty() || int64_t(getK()) < 1 ||
      int64_t(getK()) > shape.back())
    return emitOpError("takes ") << getK() << " of " << shapeText(shape);
  SmallVector<int64_t> expected(shape);
  expected.back() = getK();
  if (failed(expectShape(*this, "values", getValues(), expected)))
    return failure();
  return expectShape(*this, "indices", getIndices(), expected);
}

/// Checks that `rows` is the index tensor's shape and `last`.
static LogicalResult verifyRows(Operation *op, StringRef what, Value rows,
                                Value experts, int64_t last) {
  if (failed(expectRank(op, "experts", experts, 3)))
    return failure();
  SmallVector<int64_t> expected(shapeOf(experts));
  expected.push_back(last);
  return expectShape(op, what, rows, expected);
}

LogicalResult ExpertMatmulOp::verify() {
  if (failed(expectElement(*this, "weights", getWeights(), elementOf(getRows()))))
    return failure();
  if (failed(expectElement(*this, "result", getResult(), elementOf(getRows()))))
    return failure();
  if (failed(expectRank(*this, "weights", getWeights(), 3)))
    return failure();
  ArrayRef<int64_t> w = shapeOf(getWeights());
  int64_t in = getTransposed() ? w[2] : w[1], out = getTransposed() ? w[1] : w[2];
  if (failed(verifyRows(*this, "rows", getRows(), getExperts(), in)))
    return failure();
  return verifyRows(*this, "result", getResult(), getExperts(), out);
}

LogicalResult ExpertOuterOp::verify() {
  if (failed(expectElement(*this, "rhs", getRhs(), elementOf(getLhs()))))
    return failure();
  if (failed(expectElement(*this, "result", getResult(), elementOf(getLhs()))))
    return failure();
  if (failed(expectRank(*this, "result", getResult(), 3)))
    return failure();
  ArrayRef<int64_t> w = shapeOf(getResult());
  if (failed(verifyRows(*this, "lhs", getLhs(), getExperts(), w[1])))
    return failure();
  return verifyRows(*this, "rhs", getRhs(), getExperts(), w[2]);
}

LogicalResult ExpertSlotOp::verify() {
  if (failed(expectRank(*this, "experts", getExperts(), 3)))
    return failure();
  int64_t batch = shapeOf(getExperts())[0];
  if (getOver() < 1 || batch % getOver() != 0)
    return emitOpError("groups of ") << getOver()
                                     << " samples do not divide a batch of "
                                     << batch;
  if (getNumExperts() < 1 || getCapacity() < 1)
    return emitOpError("needs 1 expert or more and a capacity of 1 or more");
  return success();
}

static LogicalResult verifyBuffers(Operation *op, Value buffers, Value rows,
                                   Value experts) {
  if (failed(expectRank(op, "buffers", buffers, 4)) ||
      failed(expectElement(op, "buffers", buffers, elementOf(rows))))
    return failure();
  ArrayRef<int64_t> b = shapeOf(buffers);
  if (failed(verifyRows(op, "rows", rows, experts, b[3])))
    return failure();
  if (shapeOf(rows)[0] % b[0] != 0)
    return op->emitOpError("has ") << b[0] << " groups for a batch of "
                                   << shapeOf(rows)[0];
  return success();
}

LogicalResult DispatchOp::verify() {
  return verifyBuffers(*this, getResult(), getRows(), getExperts());
}
LogicalResult CollectOp::verify() {
  return verifyBuffers(*this, getBuffers(), getResult(), getExperts());
}
