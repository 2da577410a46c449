//===- Syntax.h - how numbers are written in whale's text -------*- C++ -*-===//
//
// Reals are written as the shortest decimal that reads back as the same
// double, so that a model file shows what its author wrote.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_DIALECT_SYNTAX_H
#define WHALE_DIALECT_SYNTAX_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/OpImplementation.h"

#include <string>

namespace whale {

/// Shortest decimal that reads back as `value`, always with a '.': "0.02",
/// "1.0e-6", "1.0e20". Infinities and NaNs as their bits, "0x7FF0000000000000",
/// which MLIR reads as a real where it expects one.
std::string realText(double value);

/// Directive `custom<Real>` of f64 attributes.
mlir::ParseResult parseReal(mlir::OpAsmParser &parser, mlir::FloatAttr &value);
void printReal(mlir::OpAsmPrinter &printer, mlir::Operation *,
               mlir::FloatAttr value);

/// Directive `custom<Spec>` of dictionaries: reals by realText, i64 without
/// their type, at any depth.
mlir::ParseResult parseSpec(mlir::OpAsmParser &parser,
                            mlir::DictionaryAttr &spec);
void printSpec(mlir::OpAsmPrinter &printer, mlir::Operation *,
               mlir::DictionaryAttr spec);

} // namespace whale

#endif // WHALE_DIALECT_SYNTAX_H
