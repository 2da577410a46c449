//===- LowerSums.cpp - sums that are not rounded yet ----------------------===//
//
// Canonical mode: sums are calls of the `canonical_` functions of
// runtime/format/Functions.h, one table of loops for all contractions and
// reductions.
//
//===----------------------------------------------------------------------===//

#include "passes/lower/LowerProgram.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

/// Elements from one iteration of each loop to the next, 0 for loops that the
/// tensor does not have.
static SmallVector<int64_t> loopStrides(const IterationSpace &space,
                                        const Access &access, Value tensor) {
  SmallVector<int64_t> strides(space.loops.size(), 0);
  ArrayRef<int64_t> shape = tensorType(tensor).getShape();
  int64_t stride = 1;
  for (size_t dim = shape.size(); dim-- > 0; stride *= shape[dim])
    for (unsigned loop : access.dims[dim])
      strides[loop] = stride;
  return strides;
}

void ProgramLowering::lowerLoopSum(Operation *op) {
  IterationSpace space =
      cast<IterationSpaceOpInterface>(op).getIterationSpace();
  format::CallT call;
  call.function = isa<EinsumOp>(op) ? "canonical_contract" : "canonical_reduce";
  SmallVector<SmallVector<int64_t>> strides;
  for (auto [value, access] :
       llvm::zip_equal(op->getOperands(), space.operands)) {
    strides.push_back(loopStrides(space, access, value));
    call.operands.push_back(operand(value));
  }
  strides.push_back(loopStrides(space, space.results[0], op->getResult(0)));
  call.operands.push_back(operand(op->getResult(0)));
  for (auto [index, loop] : llvm::enumerate(space.loops)) {
    call.ints.push_back(loop.extent);
    for (ArrayRef<int64_t> own : strides)
      call.ints.push_back(own[index]);
  }
  add(std::move(call), op);
}

void ProgramLowering::lower(RoundSumOp op) {
  format::CallT call;
  call.function = "canonical_round";
  call.operands.push_back(operand(op.getOperand()));
  call.operands.push_back(operand(op.getResult()));
  add(std::move(call), op);
}

void ProgramLowering::lower(rank::AccumulateOp op) {
  lowerSum(op);
  format::CallT call;
  call.function = "canonical_add";
  call.operands.push_back(operand(op.getOperand()));
  call.operands.push_back(operand(op.getResult()));
  add(std::move(call), op);
}
