//===- Diff.cpp - whalec diff ---------------------------------------------===//

#include "compiler/report/PlanDiff.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Compiling.h"

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string before, after;
  std::vector<std::string> limits;
  bool json = false;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command.add_option("before", options.before, "a plan.json ('-': stdin)")
      ->type_name("FILE")
      ->required();
  command.add_option("after", options.after, "another one of the same model")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--fail-on", options.limits,
                  "exit 4 beyond such a change: time, memory, traffic, "
                  "throughput")
      ->type_name("KEY=PERCENT,...")
      ->take_all();
  addJson(command, options.json, "the differences as JSON");
}

static ExitCode runDiff(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  auto limits = report::readLimits(joinLists(options.limits), diagnostics);
  auto before = readPlanFile(options.before, diagnostics, planner::Space::Full);
  auto after = readPlanFile(options.after, diagnostics, planner::Space::Full);
  if (!limits || !before || !after ||
      !report::checkComparable(before->plan, options.before, after->plan,
                               options.after, diagnostics))
    return diagnostics.exitCode();
  report::PlanDiff diff = report::diff(before->plan, after->plan);
  std::string product;
  if (options.json) {
    json::Writer writer;
    report::write(writer, diff);
    product = writer.take();
  } else {
    product = report::print(diff);
  }
  writeProduct("", product, diagnostics);
  report::checkLimits(diff, *limits, options.after, diagnostics);
  return diagnostics.exitCode();
}

void cli::addDiff(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "diff",
                      "what changed between two plans of a model", runDiff,
                      declare);
}
