//===- ModelFile.h - model.mlir in and out ----------------------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_MODELFILE_H
#define WHALE_TOOLS_WHALEC_MODELFILE_H

#include "compiler/support/Diagnostics.h"
#include "dialects/whale/Whale.h"
#include "passes/Pipelines.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>
#include <string>

namespace whale::cli {

/// A context that knows our dialects. One thread: the order of messages and of
/// everything else is the program's.
std::unique_ptr<mlir::MLIRContext> makeContext();

/// While it lives, MLIR's messages of this thread become ours, with their
/// places and notes.
class MlirMessages {
public:
  /// Errors get `exitCode`.
  MlirMessages(mlir::MLIRContext &context, Diagnostics &diagnostics,
               ExitCode exitCode = ExitCode::BadInput);

private:
  mlir::ScopedDiagnosticHandler handler;
};

/// A file with exactly one `whale.model`.
struct ModelFile {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// The file's bytes.
  std::string text;

  ModelOp model() { return *module->getOps<ModelOp>().begin(); }
};

/// Reads, parses and verifies a model; the text may be hostile. Nothing after
/// an error.
std::optional<ModelFile> readModel(const std::string &path,
                                   mlir::MLIRContext &context,
                                   Diagnostics &diagnostics);

/// The same of a text that is there already.
std::optional<ModelFile> parseModel(std::string text, const std::string &name,
                                    mlir::MLIRContext &context,
                                    Diagnostics &diagnostics);

/// Runs the phases behind `after` up to and with `last` (passes/Pipelines.h).
/// False after an error; one that is our own fault has ExitCode::Bug. The
/// caller has an MlirMessages.
bool runPhases(Compilation &compilation, llvm::StringRef after,
               llvm::StringRef last, Diagnostics &diagnostics);

/// The text of an op, with a final newline.
std::string printOp(mlir::Operation *op);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_MODELFILE_H
