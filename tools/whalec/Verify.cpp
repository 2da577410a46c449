//===- Verify.cpp - whalec verify -----------------------------------------===//

#include "compiler/planner/CutInside.h"
#include "compiler/support/Text.h"
#include "compiler/verifier/Verifier.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Compiling.h"
#include "tools/whalec/Measuring.h"
#include "tools/whalec/Numeric.h"
#include "tools/whalec/Planning.h"
#include "tools/whalec/ProgramsFolder.h"

#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string path, model;
  PlanningOptions planning;
  bool numeric = false, canonical = false, json = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("path", options.path, "a plan.json or folder of programs")
      ->type_name("PATH")
      ->required();
  CLI::Option *numeric =
      command.add_flag("--numeric", options.numeric,
                       "run the programs and compare with one rank");
  command
      .add_flag("--canonical", options.canonical,
                "of canonical programs: equal bits, over several steps")
      ->needs(numeric);
  CLI::Option *model =
      command
          .add_option("--model", options.model,
                      "with a plan: recompute its costs for this model")
          ->type_name("FILE");
  CLI::Option *cluster =
      command
          .add_option("--cluster", options.planning.cluster, "and this cluster")
          ->type_name("FILE");
  model->needs(cluster);
  cluster->needs(model);
  addJson(command, options.json, "the verdict as JSON");
}

/// Prints what was found out; false where something was found.
static ExitCode conclude(const Options &options, const char *what,
                         const NumericResult *numeric, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  bool good = !diagnostics.hasErrors();
  if (options.json) {
    json::Writer writer;
    writer.beginObject().field("path", options.path).field("verified", good);
    writer.key("findings").beginArray();
    for (const Diag &diag : diagnostics.messages())
      if (diag.severity == Severity::Error)
        writer.value(diag.message);
    writer.endArray();
    if (numeric) {
      writer.key("numeric").beginObject();
      writer.field("precision", numeric->precision);
      writer.field("tolerance", numeric->tolerance);
      writer.field("gradients", numeric->gradients);
      writer.field("canonical", numeric->canonical);
      writer.field("variables", numeric->variables);
      writer.field("worst", numeric->worstName);
      if (std::isfinite(numeric->worst))
        writer.field("worst_share_of_bound", numeric->worst);
      writer.endObject();
    }
    writeProduct("", writer.endObject().take(), diagnostics);
  } else if (good) {
    say(fmt::format("{}: {}", options.path, what));
    if (numeric && numeric->canonical)
      say(fmt::format("{}: the bits of one rank in {}: losses, {} gradients "
                      "and {} variables",
                      options.path, numeric->precision, numeric->gradients,
                      numeric->variables));
    else if (numeric)
      say(fmt::format("{}: equal to one rank in {} within {:.0e}: losses and "
                      "{} gradients; nearest to its bound is {} ({:.2g})",
                      options.path, numeric->precision, numeric->tolerance,
                      numeric->gradients, numeric->worstName, numeric->worst));
  }
  return diagnostics.exitCode();
}

static ExitCode verifyPlan(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  auto plan = readPlanFile(options.path, diagnostics, planner::Space::Full);
  if (!plan)
    return diagnostics.exitCode();
  if (options.numeric) {
    diagnostics.error(Place(options.path),
                      "only programs can be verified numerically");
    return diagnostics.exitCode();
  }
  if (options.model.empty())
    return conclude(options, "well formed", nullptr, session);
  PlanningOptions planning = options.planning;
  planning.globalBatch = plan->plan.globalBatch;
  planning.space = planner::Space::Full;
  if (plan->plan.precision)
    planning.precision = plan->plan.precision->to;
  auto question = readQuestion(options.model, planning, diagnostics);
  if (question)
    question->workload =
        planner::asCut(question->workload, plan->plan.strategy);
  if (question && checkPlanIsOf(*plan, options.path,
                                question->workload.modelHash, diagnostics))
    if (planner::verify(plan->plan, question->problem(), diagnostics))
      checkMeasured(*question, plan->plan, diagnostics);
  return conclude(options, "the costs are those of model and cluster", nullptr,
                  session);
}

static ExitCode runVerify(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  if (!isFolder(options.path))
    return verifyPlan(options, session);
  NumericResult numeric;
  numeric.canonical = options.canonical;
  bool proved = verifier::verifyDirectory(options.path, diagnostics);
  if (proved && options.numeric)
    verifyNumerically(options.path, numeric, diagnostics);
  return conclude(options, "programs proved",
                  proved && options.numeric ? &numeric : nullptr, session);
}

void cli::addVerify(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "verify",
                      "proves a plan or programs, and compares numbers",
                      runVerify, declare);
}
