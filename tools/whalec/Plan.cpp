//===- Plan.cpp - whalec plan ---------------------------------------------===//

#include "compiler/cluster/Scale.h"
#include "compiler/planner/BalancePlan.h"
#include "compiler/planner/Search.h"
#include "compiler/report/Economics.h"
#include "compiler/report/PlanReport.h"
#include "compiler/report/Sensitivity.h"
#include "compiler/simulator/Trace.h"
#include "compiler/support/Text.h"
#include "tools/whalec/BatchChoice.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Objective.h"
#include "tools/whalec/Planning.h"
#include "tools/whalec/PrecisionChoice.h"
#include "tools/whalec/SearchControl.h"

#include <algorithm>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string model, output, old, trace, batches, precisions;
  PlanningOptions planning;
  std::vector<std::string> pins;
  std::string space = "default", balance = "ours";
  Goal goal;
  std::optional<int64_t> budget, taskGraphs;
  std::optional<double> timeLimit;
  bool json = false, explain = false, autoParallel = false, cutInside = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  addModel(command, options.model);
  addClusterFile(command, options.planning.cluster);
  command
      .add_option("--strategy", options.planning.strategy,
                  "a strategy tree as JSON: what it says is fixed")
      ->type_name("FILE");
  command
      .add_option(
          "--pin", options.pins,
          "fix decisions: dp, tp, pp, cp, ep, sp, vp, micro_batches, zero, "
          "recompute, recompute_layers, selective_layers, offload_optimizer, "
          "offload_parameters, offload_activations, schedule, layout")
      ->type_name("KEY=VALUE,...")
      ->take_all();
  command
      .add_option("--global-batch", options.planning.globalBatch,
                  "samples of a step, instead of the model's")
      ->check(atLeast(1));
  command
      .add_option("--task-graphs", options.taskGraphs,
                  "TaskGraphs to cut the model into: stages of a pipeline")
      ->check(atLeast(1));
  command.add_flag("--auto-parallel", options.autoParallel,
                   "refuse scopes: everything is to be found");
  command
      .add_option("--allow-batch", options.batches,
                  "global batches to choose from: the most tokens a second")
      ->type_name("LEAST:MOST");
  command
      .add_option("--allow-precision", options.precisions,
                  "precisions to choose from: the most tokens a second")
      ->type_name("NAME,...");
  command
      .add_option("--space", options.space,
                  "default: what compile lowers; full: all that is planned")
      ->check(oneOf({"default", "full"}));
  command
      .add_option("--balance", options.balance,
                  "ours, or paper: Whale's Algorithm 1 for shares and cuts")
      ->check(oneOf({"ours", "paper"}));
  command.add_flag("--cut-inside", options.cutInside,
                   "stages may begin inside of layers, where that is faster");
  addGoal(command, options.goal);
  command
      .add_option("--budget", options.budget,
                  "candidates to simulate at most; the best so far, exit 5")
      ->check(atLeast(1));
  command
      .add_option("--time-limit", options.timeLimit,
                  "seconds to search at most; the best so far, exit 5")
      ->check(positive());
  command
      .add_option("--threads", options.planning.threads,
                  "threads of the search (1); the answer is the same")
      ->check(atLeast(1));
  command
      .add_option("--check", options.old,
                  "an earlier plan.json: exit 4 where it is not this plan")
      ->type_name("FILE");
  command
      .add_option("--trace", options.trace,
                  "where the step's time line goes, for Chrome or Perfetto")
      ->type_name("FILE");
  command.add_flag("--explain", options.explain, "say on stdout why this plan");
  addOutput(command, options.output, "where plan.json goes (stdout)");
  addJson(command, options.json, "plan.json on stdout also with -o");
}

static std::string textOf(const planner::Plan &plan) {
  json::Writer writer;
  planner::writePlan(writer, plan);
  return writer.take();
}

/// The same without what only explains it, which depends on what was asked for.
static std::string decisionsOf(planner::Plan plan) {
  plan.insight.reset();
  plan.economics.reset();
  return textOf(plan);
}

/// Compares with an earlier plan of the same question.
static void checkOld(const std::string &path, const planner::Plan &plan,
                     Diagnostics &diagnostics) {
  auto json = json::parseFile(inputPath(path), diagnostics);
  if (!json)
    return;
  auto old = planner::readPlan(*json, diagnostics);
  if (!old || decisionsOf(*old) == decisionsOf(plan))
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
                       const planner::Answer &answer,
                       Diagnostics &diagnostics) {
  planner::CostTable table(answer.workloadOf(question.problem()),
                           *question.hardware);
  return writeProduct(
      path,
      simulator::chromeTrace(planner::timeline(table, answer.plan->chosen)),
      diagnostics);
}

/// Candidates of a search that is made again for each change of the cluster.
static constexpr int64_t kCheapSearch = 4000;

/// Adds what binds the plan; with `--explain` also what the best plan would be
/// with more of something, where searching is cheap.
static void addInsight(const Planning &question, bool replan,
                       planner::Answer &answer) {
  planner::Plan &plan = *answer.plan;
  report::Replan search = [&](const Cluster &cluster, Picoseconds below) {
    planner::Options options = question.options;
    options.below = below;
    options.alternatives = 0;
    options.freesPins = false;
    cost::CatalogueHardware hardware(cluster);
    Diagnostics ignored;
    return planner::solve({question.workload, hardware, options}, ignored).plan;
  };
  if (!replan || plan.simulated > kCheapSearch)
    search = {};
  Cluster cluster = *question.cluster;
  int64_t devices = plan.economics->devices;
  if (devices < cluster.rankCount()) {
    // Of the devices that the objective settled on. Among several kinds the
    // plan stays where it is, and a search would take devices beyond them.
    if (auto part = withDevices(*question.cluster, devices))
      cluster = std::move(*part);
    else
      search = {};
  }
  plan.insight = report::insightOf(plan, answer.workloadOf(question.problem()),
                                   cluster, search);
}

/// Writes all that was asked for.
static void writeProducts(const Options &options, const Planning &question,
                          const planner::Answer &answer,
                          Diagnostics &diagnostics) {
  const planner::Plan &plan = *answer.plan;
  std::string text = textOf(plan);
  bool toStdout = options.output.empty() || options.output == "-";
  if (!toStdout && !writeProduct(options.output, text, diagnostics))
    return;
  if (!options.trace.empty() &&
      !writeTrace(options.trace, question, answer, diagnostics))
    return;
  if (options.explain)
    writeProduct("", report::explain(plan), diagnostics);
  if (options.json || (toStdout && !options.explain))
    writeProduct("", text, diagnostics);
  if (!options.old.empty())
    checkOld(options.old, plan, diagnostics);
  if (!options.explain)
    say(report::summary(plan));
}

static std::optional<Planning> readPlanning(const Options &options,
                                            const std::string &precision,
                                            Diagnostics &diagnostics) {
  PlanningOptions planning = options.planning;
  planning.precision = precision;
  std::vector<std::string> pins = options.pins;
  if (options.taskGraphs)
    pins.push_back(fmt::format("pp={}", *options.taskGraphs));
  planning.pins = joinLists(pins);
  planning.space = spaceOf(options.space);
  auto question = readQuestion(options.model, planning, diagnostics);
  if (question && options.autoParallel &&
      !question->options.strategy.body.empty()) {
    diagnostics.error(question->options.strategy.body.front().place,
                      "--auto-parallel, but here is a scope");
    return std::nullopt;
  }
  if (question)
    question->options.cutInside = options.cutInside;
  if (question && options.budget)
    question->options.candidateLimit = static_cast<size_t>(*options.budget);
  return question;
}

static std::optional<planner::Plan> withPaperBalance(const Options &options,
                                                     const Planning &question,
                                                     const planner::Plan &plan,
                                                     Diagnostics &diagnostics) {
  auto result =
      planner::withPaperBalance(question.problem(), plan, diagnostics);
  if (result) {
    result->economics = report::economicsOf(
        *result, question.workload, *question.cluster, options.goal.tokens);
    result->economics->objective = options.goal.objective;
  }
  return result;
}

/// The published balance knows one objective.
static bool checkBalance(const Options &options, Diagnostics &diagnostics) {
  bool other =
      options.goal.objective != "step-time" || !options.goal.deadline.empty();
  if (options.balance == "paper" && other)
    diagnostics.error(Place(), "--balance paper has no objective but step-time "
                               "and no deadline");
  return !diagnostics.hasErrors();
}

/// Parts of the cluster are compared by whole layers.
static bool checkCutInside(const Options &options, Diagnostics &diagnostics) {
  bool other = (options.goal.objective != "step-time" &&
                options.goal.objective != "tokens") ||
               !options.goal.deadline.empty();
  if (options.cutInside && (other || options.balance == "paper"))
    diagnostics.error(Place(), "--cut-inside has no objective but step-time "
                               "and tokens, no deadline and no --balance "
                               "paper");
  return !diagnostics.hasErrors();
}

/// Where the batch may be chosen, what the objective is follows.
static std::optional<BatchRange> allowedBatches(const Options &options,
                                                Diagnostics &diagnostics) {
  if (options.batches.empty())
    return std::nullopt;
  if (options.planning.globalBatch || !options.goal.deadline.empty() ||
      (options.goal.objective != "step-time" &&
       options.goal.objective != "tokens")) {
    diagnostics.error(Place(), "--allow-batch has no objective but tokens, no "
                               "deadline and no --global-batch");
    return std::nullopt;
  }
  return readBatchRange(options.batches, diagnostics);
}

/// What the user allows to change.
struct Allowed {
  std::optional<BatchRange> batches;
  std::vector<std::string> precisions;
};

/// Where the precision may be chosen, what the objective is follows.
static std::vector<std::string> allowedPrecisions(const Options &options,
                                                  Diagnostics &diagnostics) {
  if (options.precisions.empty())
    return {};
  if (!options.goal.deadline.empty() ||
      (options.goal.objective != "step-time" &&
       options.goal.objective != "tokens"))
    diagnostics.error(Place(), "--allow-precision has no objective but "
                               "step-time and tokens, and no deadline");
  else if (options.space != "full")
    diagnostics.error(Place(), "--allow-precision changes what compile does "
                               "not lower: it needs --space full");
  else if (auto names = readPrecisions(options.precisions, diagnostics))
    return *names;
  return {};
}

static planner::Answer solveAllowed(const Options &options,
                                    const Allowed &allowed, Planning &question,
                                    Diagnostics &diagnostics) {
  PrecisionSearch search;
  search.solve = [&](Planning &one, Diagnostics &found) -> planner::Answer {
    if (allowed.batches && !chooseBatch(one, *allowed.batches, found))
      return {};
    return solveGoal(one, options.goal, found);
  };
  if (allowed.precisions.empty())
    return search.solve(question, diagnostics);
  search.read = [&](const std::string &precision, Diagnostics &found) {
    auto other = readPlanning(options, precision, found);
    if (other)
      other->options.proceed = question.options.proceed;
    return other;
  };
  return choosePrecision(question, allowed.precisions, search, diagnostics);
}

static ExitCode runPlan(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  std::optional<Planning> question;
  Allowed allowed{allowedBatches(options, diagnostics),
                  allowedPrecisions(options, diagnostics)};
  if (!diagnostics.hasErrors() && checkBalance(options, diagnostics) &&
      checkCutInside(options, diagnostics))
    question = readPlanning(options, "", diagnostics);
  if (!question)
    return diagnostics.exitCode();
  planner::Answer answer;
  {
    SearchControl control(options.timeLimit);
    question->options.proceed = control.proceed();
    answer = solveAllowed(options, allowed, *question, diagnostics);
    if (!answer.plan && control.isInterrupted())
      return ExitCode::Interrupted;
    if (answer.plan && options.balance == "paper")
      answer.plan =
          withPaperBalance(options, *question, *answer.plan, diagnostics);
    if (answer.plan)
      addInsight(*question, options.explain, answer);
  }
  if (!answer.plan)
    return diagnostics.hasErrors() ? diagnostics.exitCode()
                                   : ExitCode::Infeasible;
  writeProducts(options, *question, answer, diagnostics);
  if (diagnostics.hasErrors())
    return diagnostics.exitCode();
  if (answer.outcome != planner::Outcome::LimitReached &&
      answer.outcome != planner::Outcome::Interrupted)
    return ExitCode::Ok;
  say(fmt::format("the search was cut short after {} candidates: this is the "
                  "best plan so far",
                  formatCount(answer.plan->simulated)));
  return ExitCode::Limit;
}

void cli::addPlan(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "plan",
                      "how to cut a model over a cluster, and what that costs",
                      runPlan, declare);
}
