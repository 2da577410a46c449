//===- KernelEmitter.h - loops of a kernel, one cluster ---------*- C++ -*-===//
//
// Outer loops over rows; in them one loop nest per pass over the row; in the
// innermost body all values are computed before any is stored, so that an
// output may lie over an input. Reductions that end in memory start from a
// neutral element written first, and are rounded to the output's type last.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_KERNELEMITTER_H
#define WHALE_PASSES_LOWER_KERNELEMITTER_H

#include "passes/lower/Expression.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace whale::lower {

/// An accumulator in memory.
struct Accumulator {
  unsigned root;
  mlir::Type type;    ///< of its elements
  bool inScratch;     ///< else directly in the output
  int64_t offset = 0; ///< bytes in scratch
  int64_t elements = 1;
};

class KernelEmitter {
public:
  KernelEmitter(const Cluster &cluster, const Clusters &clusters,
                llvm::ArrayRef<InPlaceChoice> inPlace,
                mlir::MLIRContext *context)
      : expression(cluster, clusters), inPlace(inPlace), builder(context),
        loc(mlir::UnknownLoc::get(context)), memo(expression.nodes.size()) {}

  KernelCall emit(KernelModule &kernels);

private:
  // Arguments and scratch.
  void setArguments();
  std::vector<std::vector<uint32_t>>
  feedsOf(llvm::ArrayRef<format::Access> access) const;
  void setScratch();
  unsigned argumentOf(mlir::Value value);
  int64_t reserve(int64_t bytes);

  // Functions.
  mlir::LLVM::LLVMFuncOp makeBody(mlir::ModuleOp module);
  void makeEntry(mlir::ModuleOp module, mlir::LLVM::LLVMFuncOp body);

  // Loops.
  mlir::scf::ForOp openLoop(int64_t extent, mlir::ValueRange inits);
  mlir::scf::ForOp openBlocks(llvm::ArrayRef<unsigned> carried);
  llvm::SmallVector<mlir::scf::ForOp> openRow(mlir::ValueRange inits,
                                              mlir::scf::ForOp blocks);
  void closeRow(llvm::ArrayRef<mlir::scf::ForOp> loops,
                llvm::SmallVectorImpl<mlir::Value> &results);
  void emitRows();
  void emitPass(unsigned pass);
  void readKept(unsigned pass);
  llvm::SmallVector<mlir::Value> neutralOf(llvm::ArrayRef<unsigned> carried);
  void emitBody(unsigned pass, llvm::ArrayRef<unsigned> carried,
                mlir::ValueRange carriedIn,
                llvm::SmallVectorImpl<mlir::Value> &carriedOut);
  void emitRowResults();
  void startAccumulators();
  void finishAccumulators();

  // Values.
  mlir::Value eval(unsigned node);
  mlir::Value compute(const Node &node);
  mlir::Value constant(mlir::Attribute value, mlir::Type element);
  mlir::Value iota(const Node &node);
  mlir::Value dropout(const Node &node);
  mlir::Value philox(mlir::Value index, mlir::Value key, mlir::Value path);
  mlir::Value loadElement(mlir::Value pointer, mlir::Value index,
                          mlir::Type element);
  void storeElement(mlir::Value value, mlir::Value pointer, mlir::Value index,
                    mlir::Type element);
  mlir::Value address(mlir::Value pointer, mlir::Value index,
                      mlir::Type stored);
  mlir::Value indexOf(llvm::ArrayRef<int64_t> strides, int64_t base = 0);
  mlir::Value rowIndex();
  mlir::Value scratchPointer(int64_t offset);
  mlir::Value combine(ReductionKind kind, mlir::Value a, mlir::Value b,
                      bool reassociate);
  mlir::Value neutral(ReductionKind kind, mlir::Type type);
  void addInMemory(const Accumulator &accumulator, mlir::Value value);
  mlir::Value integer(int64_t value, unsigned bits = 64);
  mlir::Value scalar(int index);
  bool inRegister(const Root &root) const;
  ReductionKind reductionOf(unsigned carried) const;
  unsigned operandOf(unsigned carried) const;
  llvm::SmallVector<unsigned> carriedIn(unsigned pass) const;

  Expression expression;
  llvm::ArrayRef<InPlaceChoice> inPlace;
  mlir::OpBuilder builder;
  mlir::Location loc;
  std::vector<mlir::Value> memo;
  llvm::SmallVector<KernelArgument> arguments;
  llvm::DenseMap<mlir::Value, unsigned> argumentIndex;
  llvm::SmallVector<Accumulator> accumulators;
  llvm::SmallVector<int64_t> slotOffsets;
  int64_t scratchBytes = 0, rowElements = 1;
  llvm::SmallVector<mlir::Value> pointers, induction;
  mlir::Value scalarPointer;
  mlir::Operation *kernelPoint = nullptr, *rowPoint = nullptr;
};

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_KERNELEMITTER_H
