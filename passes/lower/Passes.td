//===- Passes.td - lowering -----------------------------------------------===//

include "mlir/Pass/PassBase.td"

def WhaleExpand : Pass<"whale-expand", "::mlir::ModuleOp"> {
  let summary = "norms, softmax, cross-entropy, rotary in primitive ops";
  let description = [{
    In every `rank.program`; ops without use are dropped.
  }];
  let dependentDialects = ["::rank::RankDialect"];
}

def WhaleFormClusters : Pass<"whale-form-clusters", "::mlir::ModuleOp"> {
  let summary = "marks which ops become one kernel";
  let description = [{
    Expands, then gives each op of a cluster the attribute `cluster` (numbers in
    the order of launching) and the first one `rows`, the number of row
    dimensions.
  }];
  let dependentDialects = ["::rank::RankDialect"];
}

def WhaleEmitKernels : Pass<"whale-emit-kernels", "::mlir::ModuleOp"> {
  let summary = "replaces rank.programs by the text of their kernels";
  let dependentDialects = ["::rank::RankDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect"];
}

def WhaleLower : Pass<"whale-lower", "::mlir::ModuleOp"> {
  let summary = "prints the programs that rank.programs are lowered to";
  let description = [{
    Sections, instructions with operands, schedule and memory, as text on
    standard output. The module stays as it is.
  }];
  let options = [
    Option<"compile", "compile", "bool", "false",
           "also compile the kernels">,
    Option<"keepGradients", "keep-gradients", "bool", "false",
           "gradients stay in buffers of their own">];
  let dependentDialects = ["::rank::RankDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect"];
}
