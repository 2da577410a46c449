//===- Plan.cpp - whalec plan ---------------------------------------------===//

#include "compiler/cluster/Cluster.h"
#include "compiler/planner/Search.h"
#include "compiler/report/PlanReport.h"
#include "compiler/simulator/Trace.h"
#include "compiler/support/Text.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Measuring.h"
#include "tools/whalec/Planning.h"

#include <algorithm>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string model, output, old, trace;
  PlanningOptions planning;
  std::vector<std::string> pins;
  std::string space = "default";
  bool json = false, explain = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("model", options.model, "a model.mlir ('-': stdin)")
      ->type_name("FILE")
      ->required();
  command.add_option("--cluster", options.planning.cluster, "a cluster.json")
      ->type_name("FILE")
      ->required();
  command.add_option("--strategy", options.planning.strategy,
                     "a strategy tree as JSON: what it says is fixed")
      ->type_name("FILE");
  command.add_option("--pin", options.pins,
                     "fix decisions: dp, tp, pp, micro_batches, zero, "
                     "recompute, schedule")
      ->type_name("KEY=VALUE,...")
      ->take_all();
  command.add_option("--global-batch", options.planning.globalBatch,
                     "samples of a step, instead of the model's")
      ->check(atLeast(1));
  command.add_option("--space", options.space,
                     "default: what compile lowers; full: all that is planned")
      ->check(oneOf({"default", "full"}));
  command.add_option("--threads", options.planning.threads,
                     "threads of the search (1); the answer is the same")
      ->check(atLeast(1));
  command.add_option("--check", options.old,
                     "an earlier plan.json: exit 4 where it is not this plan")
      ->type_name("FILE");
  command.add_option("--trace", options.trace,
                     "where the step's time line goes, for Chrome or Perfetto")
      ->type_name("FILE");
  command.add_flag("--explain", options.explain,
                   "say on stdout why this plan");
  addOutput(command, options.output, "where plan.json goes (stdout)");
  addJson(command, options.json, "plan.json on stdout also with -o");
}

static std::string textOf(const planner::Plan &plan) {
  json::Writer writer;
  planner::writePlan(writer, plan);
  return writer.take();
}

/// Compares with an earlier plan of the same question.
static void checkOld(const std::string &path, const planner::Plan &plan,
                     Diagnostics &diagnostics) {
  auto json = json::parseFile(inputPath(path), diagnostics);
  if (!json)
    return;
  auto old = planner::readPlan(*json, diagnostics);
  if (!old || textOf(*old) == textOf(plan))
    return;
  Diag &diag = diagnostics.error(Place(path), "this is not the plan any more",
                                 ExitCode::Finding);
  for (const planner::InputHash &input : plan.inputs)
    if (std::find(old->inputs.begin(), old->inputs.end(), input) ==
        old->inputs.end())
      diag.hint(whale::quoted(input.name) + " has changed");
  auto line = [](const planner::Plan &plan) {
    return formatTime(plan.prediction.step) + ", " +
           planner::printStrategy(plan.strategy);
  };
  diag.hint("it was " + line(*old));
  diag.note(Place(), "it is " + line(plan));
}

static bool writeTrace(const std::string &path, const Planning &question,
                       const planner::Plan &plan, Diagnostics &diagnostics) {
  planner::CostTable table(question.workload, *question.hardware);
  return writeProduct(
      path, simulator::chromeTrace(planner::timeline(table, plan.chosen)),
      diagnostics);
}

static ExitCode runPlan(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  PlanningOptions planning = options.planning;
  planning.pins = joinLists(options.pins);
  planning.space = options.space == "full" ? planner::Space::Full
                                           : planner::Space::Default;
  std::optional<Planning> question =
      readQuestion(options.model, planning, diagnostics);
  if (!question)
    return diagnostics.exitCode();
  planner::Answer answer = solveMeasured(*question, diagnostics);
  if (!answer.plan)
    return diagnostics.hasErrors() ? diagnostics.exitCode()
                                   : ExitCode::Infeasible;
  const planner::Plan &plan = *answer.plan;
  std::string text = textOf(plan);
  bool toStdout = options.output.empty() || options.output == "-";
  if (!toStdout && !writeProduct(options.output, text, diagnostics))
    return diagnostics.exitCode();
  if (!options.trace.empty() &&
      !writeTrace(options.trace, *question, plan, diagnostics))
    return diagnostics.exitCode();
  if (options.explain)
    writeProduct("", report::explain(plan), diagnostics);
  if (options.json || (toStdout && !options.explain))
    writeProduct("", text, diagnostics);
  if (!options.old.empty())
    checkOld(options.old, plan, diagnostics);
  if (!options.explain)
    say(report::summary(plan));
  if (diagnostics.hasErrors())
    return diagnostics.exitCode();
  return answer.outcome == planner::Outcome::LimitReached ? ExitCode::Limit
                                                          : ExitCode::Ok;
}

void cli::addPlan(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "plan",
                      "how to cut a model over a cluster, and what that costs",
                      runPlan, declare);
}
