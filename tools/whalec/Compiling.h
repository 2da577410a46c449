//===- Compiling.h - from model and plan to a programs/ folder --*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_COMPILING_H
#define WHALE_TOOLS_WHALEC_COMPILING_H

#include "compiler/planner/Plan.h"
#include "compiler/support/Json.h"
#include "passes/Pipelines.h"
#include "tools/whalec/ModelFile.h"

#include <functional>
#include <optional>
#include <string>

namespace whale::cli {

/// Names of the files in a programs/ folder beside the manifest and what it
/// lists on its own.
constexpr const char *modelFileName = "model.mlir";
constexpr const char *planFileName = "plan.json";
constexpr const char *optionsFileName = "options.json";

struct CompileOptions {
  /// "f32", "bf16", "f64"; empty = the training spec's.
  std::string precision;
  /// Gradients stay readable after a step (whale-run --dump).
  bool keepGradients = false;
  /// Canonical mode (docs/rationale/canonical-mode.md).
  bool canonical = false;
  /// Only "cpu" in this version.
  std::string target = "cpu";
};

/// A plan.json and what it says.
struct PlanFile {
  std::string text;
  json::Value json;
  planner::Plan plan;
  planner::NormalForm form;
};

/// Reads a plan.json. Plans with a scope that is not in the space are errors
/// with ExitCode::Unsupported; the default is for what compiles.
std::optional<PlanFile>
readPlanFile(const std::string &path, Diagnostics &diagnostics,
             planner::Space space = planner::Space::Default);

/// What is compiled.
struct CompileRequest {
  /// A model file's text, and its name in messages.
  std::string modelText, modelName;
  planner::NormalForm form;
  /// plan.json's text; empty for a plan that has no file.
  std::string planText;
  /// The prediction as JSON text; may be empty.
  std::string predicted;
  CompileOptions options;
  /// Samples of a step; 0 = the model's.
  int64_t globalBatch = 0;
  /// By stage the largest arena that the plan says, where it was measured; an
  /// arena beyond it is a bug.
  std::vector<Bytes> arenas;
};

/// Whether `plan` was made for this model; `path` names it in messages.
bool checkPlanIsOf(const PlanFile &plan, const std::string &path,
                   const std::string &modelHash, Diagnostics &diagnostics);

/// Runs the phases up to `last` and gives the text of what is there then.
std::optional<std::string> emitPhase(const CompileRequest &request,
                                     const Phase &last,
                                     Diagnostics &diagnostics);

/// Compiles into `folder`, which must not be there; then `commit`, if given,
/// puts it where it belongs, uninterrupted. Nothing is left behind after an
/// error.
bool compileToFolder(const CompileRequest &request, const std::string &folder,
                     Diagnostics &diagnostics,
                     const std::function<bool()> &commit = nullptr);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_COMPILING_H
