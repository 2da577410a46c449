//===- Ops.h - the functions behind Evaluate.h's table ----------*- C++ -*-===//

#ifndef WHALE_TEST_REFERENCE_OPS_H
#define WHALE_TEST_REFERENCE_OPS_H

#include "test/reference/Evaluate.h"

namespace reference {

/// Evaluates one op.
using Function = Tensors (*)(mlir::Operation *, const Tensors &,
                             const Context &);
/// A row of a table.
struct Row {
  const char *name;
  Function function;
};

/// One table a file; Evaluate.cpp searches them all.
llvm::ArrayRef<Row> elementwiseRows();
llvm::ArrayRef<Row> shapeRows();
llvm::ArrayRef<Row> layerRows();
llvm::ArrayRef<Row> attentionRows();
llvm::ArrayRef<Row> convolutionRows();
llvm::ArrayRef<Row> expertRows();

} // namespace reference

#endif // WHALE_TEST_REFERENCE_OPS_H
