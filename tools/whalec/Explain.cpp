//===- Explain.cpp - whalec explain ---------------------------------------===//

#include "compiler/report/PlanReport.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Compiling.h"

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string plan;
  bool json = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("plan", options.plan, "a plan.json ('-': stdin)")
      ->type_name("FILE")
      ->required();
  addJson(command, options.json,
          "all that is printed, as JSON: the plan's own keys");
}

static ExitCode runExplain(const Options &options, Session &session) {
  auto plan =
      readPlanFile(options.plan, session.diagnostics, planner::Space::Full);
  if (!plan)
    return session.diagnostics.exitCode();
  std::string product;
  if (options.json) {
    json::Writer writer;
    planner::writePlan(writer, plan->plan);
    product = writer.take();
  } else {
    product = report::explain(plan->plan);
  }
  writeProduct("", product, session.diagnostics);
  return session.diagnostics.exitCode();
}

void cli::addExplain(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "explain",
                      "a plan in words, and why others lost", runExplain,
                      declare);
}
