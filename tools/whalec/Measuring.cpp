//===- Measuring.cpp - plans whose memory the compiler has seen -----------===//

#include "tools/whalec/Measuring.h"

#include "compiler/support/Text.h"
#include "passes/StageMemory.h"
#include "passes/plan/GlobalBatch.h"

#include <fmt/format.h>
#include <map>

using namespace mlir;
using namespace whale;
using namespace whale::cli;

namespace {

/// Searches that are made before a question is given up.
constexpr int kSearches = 4;
/// Instances of modules above which memory stays the cost model's: lowering
/// gpt3-175b's stages dry takes many times as long as planning it.
constexpr int64_t kMeasuredInstances = 64;

/// The cluster with less memory than it has.
class SmallerHardware final : public cost::CatalogueHardware {
public:
  using CatalogueHardware::CatalogueHardware;
  Bytes capacity(unsigned type) const override {
    auto less = held.find(type);
    return CatalogueHardware::capacity(type) -
           (less == held.end() ? Bytes() : less->second);
  }
  /// Bytes kept back, by device type.
  std::map<unsigned, Bytes> held;
};

using Parts = std::vector<planner::MemoryParts>;

/// Memory of a plan's stages; nothing and the compiler's first message where
/// it refuses the plan.
std::optional<Parts> measure(const Planning &question,
                             const planner::Plan &plan, std::string &refusal) {
  ScopedDiagnosticHandler handler(
      question.context.get(), [&](mlir::Diagnostic &diagnostic) {
        if (refusal.empty() &&
            diagnostic.getSeverity() == DiagnosticSeverity::Error)
          refusal = diagnostic.str();
      });
  Compilation compilation;
  compilation.module = cast<ModuleOp>(question.model.get()->clone());
  if (plan::globalBatchOf(compilation.model()) != plan.globalBatch &&
      failed(plan::setGlobalBatch(compilation.model(), plan.globalBatch)))
    return std::nullopt;
  if (whale::runPhases(compilation, "", lastModelPhase) != PhaseOutcome::Done)
    return std::nullopt;
  auto parts =
      stageMemory(*compilation.module, question.workload, plan.chosen);
  if (failed(parts))
    return std::nullopt;
  return std::move(*parts);
}

/// Puts measured memory into a plan; what the fullest device of each type is
/// short of is added to `held`. Whether all fits.
bool putInto(const Parts &parts, const cost::Hardware &hardware,
             planner::Plan &plan, std::map<unsigned, Bytes> &held) {
  std::map<unsigned, Bytes> missing;
  plan.prediction.memoryMeasured = true;
  for (size_t s = 0; s < parts.size(); ++s) {
    planner::StagePrediction &stage = plan.prediction.stages[s];
    stage.memory = parts[s];
    stage.memory.reserve = hardware.reserve(stage.deviceType);
    stage.capacity = hardware.capacity(stage.deviceType);
    Bytes over = stage.memory.total() - stage.capacity;
    if (over > Bytes())
      missing[stage.deviceType] = std::max(missing[stage.deviceType], over);
  }
  for (auto [type, bytes] : missing)
    held[type] += bytes;
  return missing.empty();
}

} // namespace

planner::Answer cli::solveMeasured(const Planning &question,
                                   Diagnostics &diagnostics) {
  SmallerHardware smaller(*question.cluster);
  for (int search = 0; search < kSearches; ++search) {
    planner::Answer answer = planner::solve(
        {question.workload, smaller, question.options}, diagnostics);
    if (!answer.plan ||
        workload::instanceCount(question.workload) > kMeasuredInstances)
      return answer;
    std::string refusal;
    auto parts = measure(question, *answer.plan, refusal);
    if (!parts) {
      if (question.options.space == planner::Space::Default)
        diagnostics
            .warning(Place(), "the compiler refuses this plan, its memory is "
                              "an estimate")
            .hint(refusal);
      return answer;
    }
    if (putInto(*parts, *question.hardware, *answer.plan, smaller.held))
      return answer;
  }
  diagnostics.error(Place(),
                    fmt::format("no plan fits: the best {} that the cost model "
                                "finds need more memory than it says",
                                kSearches),
                    ExitCode::Infeasible);
  return {};
}

bool cli::checkMeasured(const Planning &question, const planner::Plan &plan,
                        Diagnostics &diagnostics) {
  if (!plan.prediction.memoryMeasured)
    return true;
  std::string refusal;
  auto parts = measure(question, plan, refusal);
  if (!parts) {
    diagnostics.error(Place(), "the compiler refuses this plan: " + refusal,
                      ExitCode::Finding);
    return false;
  }
  bool good = true;
  for (size_t s = 0; s < parts->size(); ++s) {
    Bytes said = plan.prediction.stages[s].memory.arena(),
          now = (*parts)[s].arena();
    if (said == now)
      continue;
    good = false;
    diagnostics.error(Place(),
                      fmt::format("stage {} is said to need {}, the compiler "
                                  "lays out {}",
                                  s, formatBytes(said), formatBytes(now)),
                      ExitCode::Finding);
  }
  return good;
}
