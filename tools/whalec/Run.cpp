//===- Run.cpp - whalec run -----------------------------------------------===//

#include "tools/whalec/CommandLine.h"
#include "tools/whalec/WhaleRun.h"

using namespace whale;
using namespace whale::cli;

void cli::addRun(CLI::App &app, Session &session) {
  CLI::App *command = app.add_subcommand(
      "run", "runs programs: whale-run with the same arguments");
  // All that follows is whale-run's, its --help too.
  command->prefix_command();
  command->set_help_flag();
  command->callback([&session, command] {
    session.action = [&session, command] {
      becomeWhaleRun(command->remaining(), session.diagnostics);
      return session.diagnostics.exitCode();
    };
  });
}
