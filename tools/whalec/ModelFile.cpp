//===- ModelFile.cpp - model.mlir in and out ------------------------------===//

#include "tools/whalec/ModelFile.h"

#include "compiler/support/CheckedMath.h"
#include "compiler/support/Files.h"
#include "compiler/support/MlirText.h"
#include "dialects/rank/Rank.h"
#include "tools/whalec/CommandLine.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;
using namespace whale;
using namespace whale::cli;

std::unique_ptr<MLIRContext> cli::makeContext() {
  DialectRegistry registry;
  registry.insert<WhaleDialect, rank::RankDialect>();
  auto context =
      std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  context->printOpOnDiagnostic(false);
  return context;
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

/// The first place in a file that a location leads to.
static Place placeOf(Location location) {
  Place place;
  location->walk([&](Location inner) {
    auto file = dyn_cast<FileLineColLoc>(inner);
    if (!file)
      return WalkResult::advance();
    place =
        Place(file.getFilename().getValue(), file.getLine(), file.getColumn());
    return WalkResult::interrupt();
  });
  return place;
}

/// Whether a message speaks of what this version cannot do; all such messages
/// of the passes say it in these words.
static bool isLimitation(const std::string &message) {
  return message.find("not compilable yet") != std::string::npos ||
         message.find("not supported") != std::string::npos;
}

/// The parser's words in our style.
static std::string textOf(Diagnostic &message) {
  std::string text = StringRef(message.str()).rtrim(" .").str();
  if (StringRef(text).starts_with("Dialect `"))
    text[0] = 'd';
  return text;
}

/// Notes on how to write tools with MLIR help nobody here.
static bool isForDevelopers(const std::string &note) {
  return StringRef(note).starts_with("Available dialects");
}

static void translate(Diagnostic &message, Diagnostics &diagnostics,
                      ExitCode exitCode) {
  Place place = placeOf(message.getLocation());
  std::string text = textOf(message);
  Diag *diag = nullptr;
  switch (message.getSeverity()) {
  case DiagnosticSeverity::Error:
    diag = &diagnostics.error(
        place, text, isLimitation(text) ? ExitCode::Unsupported : exitCode);
    break;
  case DiagnosticSeverity::Warning:
    diag = &diagnostics.warning(place, text);
    break;
  case DiagnosticSeverity::Note:
  case DiagnosticSeverity::Remark:
    return;
  }
  for (Diagnostic &note : message.getNotes())
    if (!isForDevelopers(note.str()))
      diag->note(placeOf(note.getLocation()), note.str());
}

MlirMessages::MlirMessages(MLIRContext &context, Diagnostics &diagnostics,
                           ExitCode exitCode)
    : handler(&context, [&diagnostics, exitCode](Diagnostic &message) {
        translate(message, diagnostics, exitCode);
        return success();
      }) {}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Extents of 0, and sizes that ops inferred: those written down were looked
/// at before.
static LogicalResult checkType(Type type, Location location) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape())
    return success();
  if (llvm::is_contained(tensor.getShape(), 0))
    return emitError(location, "tensor has a dimension of size 0");
  std::optional<int64_t> elements = checkedProduct(tensor.getShape());
  if (elements && *elements <= maxTensorElements)
    return success();
  return emitError(location, "tensor has more than 2^48 elements");
}

static LogicalResult checkTypes(ModuleOp module) {
  WalkResult result = module.walk([](Operation *op) {
    for (Type type : op->getResultTypes())
      if (failed(checkType(type, op->getLoc())))
        return WalkResult::interrupt();
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (BlockArgument argument : block.getArguments())
          if (failed(checkType(argument.getType(), argument.getLoc())))
            return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

static LogicalResult checkTopLevel(ModuleOp module) {
  ModelOp first;
  for (Operation &op : *module.getBody()) {
    auto model = dyn_cast<ModelOp>(op);
    if (!model)
      return op.emitError("expected a 'whale.model', found ")
             << "'" << op.getName() << "'";
    if (first)
      return (op.emitError("second model in one file"))
                 .attachNote(first.getLoc())
             << "the first one is here";
    first = model;
  }
  if (!first)
    return module.emitError("file has no 'whale.model'");
  return success();
}

std::optional<ModelFile> cli::parseModel(std::string text,
                                         const std::string &name,
                                         MLIRContext &context,
                                         Diagnostics &diagnostics) {
  if (!checkMlirText(text, name, diagnostics))
    return std::nullopt;
  MlirMessages messages(context, diagnostics);
  ParserConfig config(&context, /*verifyAfterParse=*/false);
  ModelFile file;
  file.module = parseSourceString<ModuleOp>(text, config, name);
  file.text = std::move(text);
  if (!file.module || failed(checkTypes(*file.module)) ||
      failed(mlir::verify(*file.module)) || failed(checkTopLevel(*file.module)))
    return std::nullopt;
  return file;
}

std::optional<ModelFile> cli::readModel(const std::string &path,
                                        MLIRContext &context,
                                        Diagnostics &diagnostics) {
  std::optional<std::string> text =
      readFile(inputPath(path), diagnostics, MlirTextLimits().bytes);
  if (!text)
    return std::nullopt;
  return parseModel(std::move(*text), path, context, diagnostics);
}

bool cli::runPhases(Compilation &compilation, StringRef after, StringRef last,
                    Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  switch (whale::runPhases(compilation, after, last)) {
  case PhaseOutcome::Done:
    return true;
  case PhaseOutcome::Refused:
    if (diagnostics.errorCount() != before)
      return false;
    break;
  case PhaseOutcome::Broken:
    break;
  }
  diagnostics.error(Place(), "internal: a phase failed", ExitCode::Bug)
      .note(Place(), "this is a bug of whalec; the command line and its files "
                     "reproduce it");
  return false;
}

std::string cli::printOp(Operation *op) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  op->print(stream);
  stream << "\n";
  return text;
}
