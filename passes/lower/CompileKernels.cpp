//===- CompileKernels.cpp - kernels to shared objects ---------------------===//
//
// MLIR -> LLVM IR -> -O3 for x86-64-v3 and -v4, never for the build host ->
// ld.lld -shared. f32 transcendentals become MLIR's polynomials, which the loop
// vectoriser sees through: 0.5 ns an element against 13 ns by libm
// (notes/feasibility.md 3). f64 goes to libm.
//
//===----------------------------------------------------------------------===//

#include "passes/lower/CompileKernels.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace mlir;
using namespace whale;
using namespace whale::lower;

static constexpr const char *kTriple = "x86_64-unknown-linux-gnu";

namespace {
struct IsaLevel {
  const char *cpu;
  const char *vectorWidth;
};
/// What kernels are emitted for; the runtime picks at load.
constexpr IsaLevel kLevels[] = {{"x86-64-v3", "256"}, {"x86-64-v4", "512"}};

/// Polynomials for the f32 functions of math.
struct ApproximateMath : PassWrapper<ApproximateMath, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ApproximateMath)
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<vector::VectorDialect, arith::ArithDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      // rsqrt is built of sqrt and a division; powf stays exact, it is rare.
      return name != math::RsqrtOp::getOperationName() &&
             name != math::PowFOp::getOperationName();
    });
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

static LogicalResult toLlvmDialect(ModuleOp module, bool exactMath) {
  PassManager manager(module.getContext());
  manager.enableVerifier(false);
  if (!exactMath)
    manager.addPass(std::make_unique<ApproximateMath>());
  manager.addPass(createSCFToControlFlowPass());
  manager.addPass(createConvertMathToLLVMPass());
  manager.addPass(createConvertMathToLibmPass());
  manager.addPass(createArithToLLVMConversionPass());
  manager.addPass(createConvertControlFlowToLLVMPass());
  manager.addPass(createConvertFuncToLLVMPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
  return manager.run(module);
}

//===----------------------------------------------------------------------===//
// LLVM
//===----------------------------------------------------------------------===//

static std::unique_ptr<llvm::TargetMachine> createMachine(const IsaLevel &level,
                                                          std::string &error) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  llvm::Triple triple(kTriple);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, level.cpu, "", options, llvm::Reloc::PIC_, std::nullopt,
      llvm::CodeGenOptLevel::Default));
}

/// -O3 for one target.
static void optimise(llvm::Module &module, llvm::TargetMachine &machine,
                     const IsaLevel &level) {
  module.setTargetTriple(machine.getTargetTriple());
  module.setDataLayout(machine.createDataLayout());
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", level.cpu);
    function.addFnAttr("prefer-vector-width", level.vectorWidth);
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, modules);
}

static FailureOr<std::string>
makeObject(ModuleOp module, const llvm::Module &source, const IsaLevel &level) {
  std::string error;
  std::unique_ptr<llvm::TargetMachine> machine = createMachine(level, error);
  if (!machine)
    return module.emitError("no code generator for x86-64: ") << error;
  std::unique_ptr<llvm::Module> clone = llvm::CloneModule(source);
  optimise(*clone, *machine, level);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager codegen;
  if (machine->addPassesToEmitFile(codegen, stream, nullptr,
                                   llvm::CodeGenFileType::ObjectFile))
    return module.emitError("the x86-64 target cannot emit objects");
  codegen.run(*clone);
  return std::string(object.begin(), object.end());
}

//===----------------------------------------------------------------------===//
// Linking
//===----------------------------------------------------------------------===//

static FailureOr<std::string> findLinker(ModuleOp module,
                                         const std::string &given) {
  if (!given.empty()) {
    if (llvm::sys::fs::can_execute(given))
      return given;
    return module.emitError("linker '") << given << "' cannot be run";
  }
  for (const char *name : {"ld.lld-22", "ld.lld"}) {
    if (auto path = llvm::sys::findProgramByName(name))
      return *path;
    if (auto path =
            llvm::sys::findProgramByName(name, {"/usr/lib/llvm-22/bin"}))
      return *path;
  }
  InFlightDiagnostic error =
      module.emitError("no linker found for the CPU kernels");
  error.attachNote() << "install lld (Debian: lld-22), or name one";
  return error;
}

namespace {
/// A folder of its own that goes when the scope ends.
struct TemporaryFolder {
  llvm::SmallString<128> path;
  bool made = false;
  TemporaryFolder() {
    made = !llvm::sys::fs::createUniqueDirectory("whale-kernels", path);
  }
  ~TemporaryFolder() {
    if (made)
      llvm::sys::fs::remove_directories(path);
  }
  std::string file(StringRef name) const {
    llvm::SmallString<128> full(path);
    llvm::sys::path::append(full, name);
    return std::string(full);
  }
};
} // namespace

static FailureOr<std::string> link(ModuleOp module, StringRef linker,
                                   StringRef object) {
  TemporaryFolder folder;
  std::string in = folder.file("kernels.o"), out = folder.file("kernels.so"),
              log = folder.file("log");
  std::error_code code;
  {
    llvm::raw_fd_ostream stream(in, code);
    if (!folder.made || code)
      return module.emitError("cannot write to the temporary folder: ")
             << code.message();
    stream << object;
  }
  StringRef arguments[] = {
      linker, "-shared", "--build-id=none", "--hash-style=gnu", "-o", out, in};
  std::string message;
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(log),
                                          StringRef(log)};
  int result = llvm::sys::ExecuteAndWait(linker, arguments, std::nullopt,
                                         redirects, 60, 0, &message);
  if (result != 0) {
    if (auto text = llvm::MemoryBuffer::getFile(log))
      message += (*text)->getBuffer().rtrim();
    return module.emitError("linker '") << linker << "' failed: " << message;
  }
  auto bytes = llvm::MemoryBuffer::getFile(out);
  if (!bytes)
    return module.emitError("linker '") << linker << "' left no output";
  return (*bytes)->getBuffer().str();
}

FailureOr<std::vector<KernelBinary>>
lower::compileKernels(ModuleOp module, const CompileOptions &options) {
  FailureOr<std::string> linker = findLinker(module, options.linker);
  if (failed(linker))
    return failure();
  registerBuiltinDialectTranslation(*module.getContext());
  registerLLVMDialectTranslation(*module.getContext());
  if (failed(toLlvmDialect(module, options.exactMath)))
    return module.emitError("kernels cannot be lowered to LLVM");
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> source =
      translateModuleToLLVMIR(module, context, "kernels");
  if (!source)
    return module.emitError("kernels cannot be translated to LLVM IR");
  std::vector<KernelBinary> binaries;
  for (const IsaLevel &level : kLevels) {
    FailureOr<std::string> object = makeObject(module, *source, level);
    if (failed(object))
      return failure();
    FailureOr<std::string> linked = link(module, *linker, *object);
    if (failed(linked))
      return failure();
    binaries.push_back({level.cpu, std::move(*linked)});
  }
  return binaries;
}
