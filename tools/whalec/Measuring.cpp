//===- Measuring.cpp - plans whose memory the compiler has seen -----------===//

#include "tools/whalec/Measuring.h"

#include "compiler/support/Text.h"
#include "passes/StageMemory.h"
#include "passes/plan/GlobalBatch.h"
#include "tools/whalec/ModelFile.h"

#include <fmt/format.h>
#include <map>

using namespace mlir;
using namespace whale;
using namespace whale::cli;

namespace {

/// Searches that are made before a question is given up.
constexpr int kSearches = 4;
/// Ops above which memory stays the cost model's, so that planning stays a
/// matter of a second: dry lowering takes 1 ms an op (gpt3-175b on 1,024
/// devices: 36 of 96 layers in 3.8 s). For such models the model's error is
/// below 2 %.
constexpr int64_t kMostOps = 1500;
/// Ranks above which it does too: roles are told apart by what each rank sends
/// to every other.
constexpr int64_t kMostRanks = 2048;

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

using Stages = std::vector<StageMemory>;

StageMemoryOptions optionsFor(const cost::Hardware &hardware,
                              const planner::Candidate &candidate) {
  StageMemoryOptions options;
  if (hardware.pools().size() > 1)
    options.typeOf = [&](int64_t rank) {
      return hardware
          .poolOf(candidate.devices.deviceOf(
              candidate.form, planner::coordinatesOf(candidate.form, rank)))
          .type;
    };
  return options;
}

/// Memory of a plan's stages; nothing and the compiler's messages where it
/// refuses the plan.
std::optional<Stages> measure(const Planning &question,
                              const workload::Workload &workload,
                              const cost::Hardware &hardware,
                              const planner::Plan &plan, Diagnostics &refusal) {
  MlirMessages messages(*question.context, refusal);
  Compilation compilation;
  compilation.module = cast<ModuleOp>(question.model.get()->clone());
  if (plan::globalBatchOf(compilation.model()) != plan.globalBatch &&
      failed(plan::setGlobalBatch(compilation.model(), plan.globalBatch)))
    return std::nullopt;
  if (whale::runPhases(compilation, "", lastModelPhase) != PhaseOutcome::Done)
    return std::nullopt;
  auto stages = stageMemory(*compilation.module, workload, plan.chosen,
                            optionsFor(hardware, plan.chosen));
  if (failed(stages))
    return std::nullopt;
  return std::move(*stages);
}

/// Puts measured memory into a stage's prediction, beside the device that its
/// fullest rank is on. Where that is short of memory, `held` becomes so much
/// that the plan does not fit again. Whether the stage fits.
bool putInto(const StageMemory &measured, const cost::Hardware &hardware,
             unsigned onlyType, planner::StagePrediction &stage,
             std::map<unsigned, Bytes> &held) {
  bool oneType = hardware.pools().size() == 1;
  bool fits = true;
  Bytes predicted = stage.memory.arena();
  for (const auto &[key, parts] : measured.byType) {
    unsigned type = oneType ? onlyType : key;
    Bytes capacity = hardware.capacity(type);
    Bytes over = parts.total() + hardware.reserve(type) - capacity;
    if (over > Bytes()) {
      fits = false;
      held[type] = std::max(held[type] + over, parts.total() - predicted);
    }
    if (parts.total() != measured.parts.total())
      continue;
    stage.memory = parts;
    stage.memory.reserve = hardware.reserve(type);
    stage.deviceType = type;
    stage.capacity = capacity;
  }
  return fits;
}

/// The same for all stages.
bool putInto(const Stages &stages, const cost::Hardware &hardware,
             planner::Plan &plan, std::map<unsigned, Bytes> &held) {
  plan.prediction.memoryMeasured = true;
  std::map<unsigned, Bytes> before = held;
  bool fits = true;
  for (size_t s = 0; s < stages.size(); ++s) {
    std::map<unsigned, Bytes> more = before;
    fits &= putInto(stages[s], hardware, hardware.pools().front().type,
                    plan.prediction.stages[s], more);
    for (auto [type, bytes] : more)
      held[type] = std::max(held[type], bytes);
  }
  return fits;
}

} // namespace

planner::Answer cli::solveMeasured(const Planning &question,
                                   Diagnostics &diagnostics) {
  return solveMeasured(question, *question.cluster, *question.hardware,
                       diagnostics, question.experience);
}

planner::Answer cli::solveMeasured(const Planning &question,
                                   const Cluster &cluster,
                                   const cost::Hardware &hardware,
                                   Diagnostics &diagnostics,
                                   planner::Experience experience) {
  SmallerHardware smaller(cluster);
  for (int search = 0; search < kSearches; ++search) {
    planner::Answer answer =
        planner::solve({question.workload, smaller, question.options},
                       diagnostics, experience);
    Diagnostics notLowered;
    if (!answer.plan || question.changesPrecision ||
        !planner::normalize(answer.plan->strategy, notLowered) ||
        planner::rankCount(answer.plan->chosen.form) > kMostRanks ||
        loweredOps(answer.workloadOf(question.problem()), answer.plan->chosen,
                   optionsFor(hardware, answer.plan->chosen)) > kMostOps)
      return answer;
    Diagnostics refusal;
    auto stages = measure(question, answer.workloadOf(question.problem()),
                          hardware, *answer.plan, refusal);
    if (!stages && question.options.space == planner::Space::Full)
      return answer;
    if (!stages) {
      diagnostics.append(refusal);
      return {};
    }
    if (putInto(*stages, hardware, *answer.plan, smaller.held))
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
  Diagnostics refusal;
  auto stages =
      measure(question, question.workload, *question.hardware, plan, refusal);
  if (!stages) {
    diagnostics.error(Place(), "the compiler refuses this plan",
                      ExitCode::Finding);
    diagnostics.append(refusal);
    return false;
  }
  bool good = true;
  for (size_t s = 0; s < stages->size(); ++s) {
    Bytes said = plan.prediction.stages[s].memory.arena(),
          now = (*stages)[s].parts.arena();
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
