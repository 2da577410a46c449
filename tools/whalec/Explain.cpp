//===- Explain.cpp - whalec explain ---------------------------------------===//

#include "compiler/report/PlanReport.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Compiling.h"

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string plan;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("plan", options.plan, "a plan.json ('-': stdin)")
      ->type_name("FILE")
      ->required();
}

static ExitCode runExplain(const Options &options, Session &session) {
  auto plan = readPlanFile(options.plan, session.diagnostics);
  if (plan)
    writeProduct("", report::explain(plan->plan), session.diagnostics);
  return session.diagnostics.exitCode();
}

void cli::addExplain(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "explain",
                      "a plan in words, and why others lost", runExplain,
                      declare);
}
