//===- CompileKernels.h - kernels to shared objects -------------*- C++ -*-===//

#ifndef WHALE_PASSES_LOWER_COMPILEKERNELS_H
#define WHALE_PASSES_LOWER_COMPILEKERNELS_H

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace whale::lower {

struct CompileOptions {
  /// f32 transcendentals by libm instead of polynomials (errors near 1e-6).
  bool exactMath = false;
  /// The linker; empty = ld.lld-22 or ld.lld on the path or beside LLVM.
  std::string linker;
};

/// One shared object for one target.
struct KernelBinary {
  std::string target; ///< "x86-64-v3", "x86-64-v4"
  std::string bytes;
};

/// Lowers a module of llvm.func in arith, math and scf (destroyed) to LLVM,
/// optimises it for each target with vectorisation and links one shared object
/// per target. Emits errors at the module. The same module gives the same
/// bytes on every machine.
llvm::FailureOr<std::vector<KernelBinary>>
compileKernels(mlir::ModuleOp module, const CompileOptions &options);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_COMPILEKERNELS_H
