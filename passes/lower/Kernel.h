//===- Kernel.h - a cluster as a kernel -------------------------*- C++ -*-===//
//
// C ABI of a kernel: void k(void *const *buffers, const int64_t *scalars).
// The text of a kernel is canonical: equal clusters give equal text, and the
// symbol is the text's hash, so that layers and roles share code.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_KERNEL_H
#define WHALE_PASSES_LOWER_KERNEL_H

#include "passes/lower/Clusters.h"
#include "runtime/format/Format.h"

#include <map>
#include <string>

namespace whale::lower {

/// One buffer of a kernel.
struct KernelArgument {
  enum Kind { Input, Output, InPlace, Scratch };
  Kind kind = Input;
  /// What is read (Input) or written (Output, InPlace); null for scratch.
  mlir::Value value;
  /// InPlace: the value whose buffer is overwritten; null where the output is
  /// an accumulator that is added to.
  mlir::Value replaced;
  int64_t bytes = 0;
};

struct KernelCall {
  std::string symbol;
  llvm::SmallVector<KernelArgument> arguments;
  std::vector<format::ScalarT> scalars;
};

/// An output that may be written over an input: both of the domain's shape and
/// one type, every read of the input no later than the write.
struct InPlaceChoice {
  mlir::Value output, input;
};
llvm::SmallVector<InPlaceChoice> inPlaceChoices(const Cluster &cluster,
                                                const Clusters &clusters);

/// The members' results that something outside of the cluster reads.
llvm::SmallVector<mlir::Value> outputsOf(const Cluster &cluster,
                                         const Clusters &clusters);

/// Kernels of a program set, by symbol.
struct KernelModule {
  /// llvm.func pairs in arith, math, scf and llvm ops.
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// Number of buffers with their bytes, and of scalars, by symbol.
  struct Info {
    std::vector<uint64_t> operandBytes;
    std::vector<format::Access> access;
    /// Of each buffer those that go into what is written there; empty: all that
    /// are read.
    std::vector<std::vector<uint32_t>> feeds;
    uint32_t scalars = 0;
  };
  std::map<std::string, Info> kernels;
  /// What makes two kernels one: their module as numbers, which are equal where
  /// its text is equal, and far cheaper. Names, attributes and types are there
  /// by address, so this is compared and never reaches an output.
  using Shape = std::vector<uintptr_t>;
  /// Symbols of the kernels that are there.
  std::map<Shape, std::string> symbols;
  /// Only the buffers of kernels are wanted: none is written, all have one name.
  bool layoutOnly = false;
};

/// Adds the kernel of a cluster (or finds it). `inPlace` holds the choices that
/// buffer assignment has taken.
KernelCall emitKernel(KernelModule &kernels, const Cluster &cluster,
                      const Clusters &clusters,
                      llvm::ArrayRef<InPlaceChoice> inPlace);

/// rank.scalar as the format's scalar.
format::ScalarT scalarOf(rank::ScalarAttr attr);

/// Bytes of an element in memory (i1: 1).
int64_t elementBytes(mlir::Type element);
/// The format's name of an element type.
format::DType dtypeOf(mlir::Type element);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_KERNEL_H
