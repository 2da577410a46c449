//===- RotaryScaling.cpp - rotary positions beyond the trained ones -------===//

#include "dialects/whale/RotaryScaling.h"

#include "dialects/whale/Syntax.h"
#include "dialects/whale/Verify.h"

#include <cmath>

using namespace mlir;
using namespace whale;

/// Numbers that a kind is written with: the first so many of factor, low, high,
/// positions, magnitude.
static size_t valueCount(RotaryScalingKind kind) {
  switch (kind) {
  case RotaryScalingKind::linear:
    return 1;
  case RotaryScalingKind::llama3:
    return 4;
  case RotaryScalingKind::yarn:
    return 5;
  }
  return 0;
}

ParseResult whale::parseRotaryScaling(OpAsmParser &parser,
                                      RotaryScalingAttr &scaling) {
  StringRef word;
  SMLoc place = parser.getCurrentLocation();
  SmallVector<double> values;
  auto element = [&] { return parser.parseFloat(values.emplace_back()); };
  if (parser.parseKeyword(&word) ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Paren, element))
    return failure();
  std::optional<RotaryScalingKind> kind = symbolizeRotaryScalingKind(word);
  if (!kind)
    return parser.emitError(place) << "unknown scaling '" << word
                                   << "', expected linear, llama3 or yarn";
  size_t expected = valueCount(*kind), given = values.size();
  if (given != expected)
    return parser.emitError(place) << "'" << word << "' has " << given
                                   << " values, expected " << expected;
  const double defaults[] = {1, 1, 2, 1, 1};
  values.append(defaults + given, std::end(defaults));
  scaling = RotaryScalingAttr::get(
      parser.getContext(), *kind, APFloat(values[0]), APFloat(values[1]),
      APFloat(values[2]), APFloat(values[3]), APFloat(values[4]));
  return success();
}

void whale::printRotaryScaling(OpAsmPrinter &printer, Operation *,
                               RotaryScalingAttr scaling) {
  const APFloat values[] = {scaling.getFactor(), scaling.getLow(),
                            scaling.getHigh(), scaling.getPositions(),
                            scaling.getMagnitude()};
  printer << stringifyRotaryScalingKind(scaling.getKind()) << '(';
  llvm::interleaveComma(
      ArrayRef(values).take_front(valueCount(scaling.getKind())), printer,
      [&](const APFloat &value) {
        printer << realText(value.convertToDouble());
      });
  printer << ')';
}

/// The pair, not a whole number, that turns `turns` times in `positions`.
static double pairOf(double turns, double positions, double theta,
                     int64_t half) {
  return double(half) * std::log(positions / (turns * 2 * M_PI)) /
         std::log(theta);
}

RotaryRamp whale::rampOf(RotaryScalingAttr scaling, double theta,
                         int64_t half) {
  double low = scaling.getLow().convertToDouble();
  double high = scaling.getHigh().convertToDouble();
  double positions = scaling.getPositions().convertToDouble();
  switch (scaling.getKind()) {
  case RotaryScalingKind::linear:
    break;
  case RotaryScalingKind::llama3:
    return {true, positions / (2 * M_PI) / (high - low), -low / (high - low)};
  case RotaryScalingKind::yarn: {
    double from =
        std::max(std::floor(pairOf(high, positions, theta, half)), 0.0);
    double to = std::min(std::ceil(pairOf(low, positions, theta, half)),
                         double(2 * half - 1));
    // As the method's code has it: equal ends are a step.
    double width = to == from ? 0.001 : to - from;
    return {false, -1 / width, 1 + from / width};
  }
  }
  return {};
}

LogicalResult RotaryOp::verify() {
  RankedTensorType type = tensorType(getOperand());
  if (type.getRank() < 3)
    return emitOpError("operand is ")
           << shapeText(type.getShape())
           << ", expected [batch, sequence, ..., head]";
  if (type.getShape().back() % 2)
    return emitOpError("head size ") << type.getShape().back() << " is odd";
  auto isPositive = [](const APFloat &value) {
    return value.isFiniteNonZero() && !value.isNegative();
  };
  if (!isPositive(getTheta()))
    return emitOpError("theta must be positive");
  std::optional<RotaryScalingAttr> scaling = getScaling();
  if (!scaling)
    return success();
  if (getTheta().convertToDouble() == 1)
    return emitOpError("has a scaling, but theta is 1: all pairs turn alike");
  for (const APFloat &value :
       {scaling->getFactor(), scaling->getLow(), scaling->getHigh(),
        scaling->getPositions(), scaling->getMagnitude()})
    if (!isPositive(value))
      return emitOpError("scaling has a value that is not positive");
  if (scaling->getLow() >= scaling->getHigh())
    return emitOpError("scaling ends at ")
           << realText(scaling->getHigh().convertToDouble())
           << " turns, expected more than "
           << realText(scaling->getLow().convertToDouble());
  return success();
}
