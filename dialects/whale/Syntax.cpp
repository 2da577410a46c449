//===- Syntax.cpp - how numbers are written in whale's text ---------------===//

#include "dialects/whale/Syntax.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"

#include <charconv>
#include <cmath>

using namespace mlir;
using namespace whale;

std::string whale::realText(double value) {
  if (!std::isfinite(value))
    return "0x" + llvm::utohexstr(llvm::bit_cast<uint64_t>(value));
  // to_chars knows no locale and gives the shortest text that reads back.
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  auto [digits, exponent] = StringRef(buffer, end - buffer).split('e');
  std::string text = digits.str();
  // MLIR's reals have a '.'.
  if (!digits.contains('.'))
    text += ".0";
  if (exponent.empty())
    return text;
  bool isNegative = exponent.consume_front("-");
  exponent.consume_front("+");
  return text + (isNegative ? "e-" : "e") + exponent.ltrim('0').str();
}

ParseResult whale::parseReal(OpAsmParser &parser, FloatAttr &value) {
  double number;
  if (failed(parser.parseFloat(number)))
    return failure();
  value = parser.getBuilder().getF64FloatAttr(number);
  return success();
}

void whale::printReal(OpAsmPrinter &printer, Operation *, FloatAttr value) {
  printer << realText(value.getValueAsDouble());
}

ParseResult whale::parseSpec(OpAsmParser &parser, DictionaryAttr &spec) {
  return parser.parseAttribute(spec);
}

static void printValue(OpAsmPrinter &printer, Attribute value) {
  if (auto dict = dyn_cast<DictionaryAttr>(value))
    return printSpec(printer, nullptr, dict);
  if (auto list = dyn_cast<ArrayAttr>(value)) {
    printer << '[';
    llvm::interleaveComma(list, printer, [&](Attribute element) {
      printValue(printer, element);
    });
    printer << ']';
    return;
  }
  if (auto real = dyn_cast<FloatAttr>(value);
      real && real.getType().isF64() && real.getValue().isFinite())
    return printReal(printer, nullptr, real);
  if (auto integer = dyn_cast<IntegerAttr>(value);
      integer && integer.getType().isSignlessInteger(64))
    return printer.printAttributeWithoutType(value);
  printer.printAttribute(value);
}

void whale::printSpec(OpAsmPrinter &printer, Operation *, DictionaryAttr spec) {
  printer << '{';
  llvm::interleaveComma(spec, printer, [&](NamedAttribute entry) {
    printer.printKeywordOrString(entry.getName());
    if (isa<UnitAttr>(entry.getValue()))
      return;
    printer << " = ";
    printValue(printer, entry.getValue());
  });
  printer << '}';
}
