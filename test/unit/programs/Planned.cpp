//===- Planned.cpp - a preset with the plan that pins ask for -------------===//

#include "test/unit/programs/Planned.h"

#include "compiler/cluster/Catalogue.h"
#include "dialects/rank/Rank.h"
#include "passes/plan/ReadWorkload.h"
#include "passes/strategy/Strategy.h"

using namespace mlir;
using namespace whale;

namespace programs {

static DialectRegistry makeRegistry() {
  DialectRegistry registry;
  registry.insert<WhaleDialect, rank::RankDialect>();
  return registry;
}

static std::string textOfCluster(const Question &question) {
  if (!question.clusterText.empty())
    return question.clusterText;
  const char *count = question.cluster == "cpu" ? "ranks" : "nodes";
  return "{\"format_version\": 1, \"preset\": \"" + question.cluster +
         "\", \"" + count + "\": " + std::to_string(question.nodes) + "}";
}

Planned::Planned(const Question &question)
    : context(makeRegistry(), MLIRContext::Threading::DISABLED),
      handler(&context, [this](Diagnostic &message) {
        if (message.getSeverity() == DiagnosticSeverity::Error)
          messages += message.str() + "\n";
        return success();
      }) {
  context.loadAllAvailableDialects();
  context.printOpOnDiagnostic(false);
  auto read = parseCluster(textOfCluster(question), "cluster.json",
                           *Catalogue::load(diags), diags);
  if (!read || !import(question))
    return;
  cluster = std::make_unique<Cluster>(std::move(*read));
  hardware = std::make_unique<cost::CatalogueHardware>(*cluster);
  if (!question.plan)
    return;
  planner::Options options;
  auto pins = planner::readPins(question.pins, diags);
  if (!pins)
    return;
  options.pins = *pins;
  options.space = question.space;
  if (!question.scopes.empty()) {
    auto strategy = readStrategyText("{\"**\": \"" + question.scopes + "\"}",
                                     "strategy.json", diags);
    if (!strategy)
      return;
    options.strategy = std::move(*strategy);
  }
  planner::Problem problem{workload, *hardware, options};
  if (planner::check(problem, diags))
    plan = planner::solve(problem, diags).plan;
}

bool Planned::import(const Question &question) {
  Compilation compilation;
  compilation.module =
      importPreset(context, question.preset, question.import, diags);
  if (!compilation.module ||
      runPhases(compilation, "", lastModelPhase) != PhaseOutcome::Done)
    return false;
  auto made = plan::readWorkload(compilation.model());
  if (failed(made))
    return false;
  workload = std::move(*made);
  model = std::move(compilation.module);
  return true;
}

std::unique_ptr<Compilation> Planned::lower() {
  auto compilation = std::make_unique<Compilation>();
  compilation->module = cast<ModuleOp>(model->clone());
  compilation->form = plan->chosen.form;
  compilation->lowerOptions.skipCompilation = true;
  if (runPhases(*compilation, lastModelPhase, phases().back().name) !=
      PhaseOutcome::Done)
    return nullptr;
  return compilation;
}

} // namespace programs
