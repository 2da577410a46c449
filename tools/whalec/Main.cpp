//===- Main.cpp - whalec --------------------------------------------------===//

#include "tools/whalec/CommandLine.h"
#include "tools/whalec/ParseErrors.h"
#include "tools/whalec/Signals.h"

#include "llvm/Support/thread.h"

#include <cstdio>

using namespace whale;
using namespace whale::cli;

/// MLIR's parser, verifier and printer recurse over nested regions and
/// attributes. Only what is touched is ever allocated.
constexpr unsigned stackBytes = 256u << 20;

static void declare(CLI::App &app, Session &session) {
  app.require_subcommand(1);
  app.set_version_flag("--version", "whalec " WHALE_VERSION);
  app.set_help_flag("-h,--help", "what the command does and takes");
  app.footer("Exit codes: 0 ok, 1 bad input, 2 bug, 3 infeasible, 4 a check "
             "found something,\n5 limit reached, 6 not supported, "
             "130 interrupted");
  addImport(app, session);
  addPlan(app, session);
  addCompile(app, session);
  addRun(app, session);
  addVerify(app, session);
  addExplain(app, session);
  addWhatIf(app, session);
  addDiff(app, session);
  addValidate(app, session);
  addDump(app, session);
  addCluster(app, session);
  addCalibrate(app, session);
}

/// The action's exit code, on a thread with a large stack.
static ExitCode runAction(Session &session) {
  ExitCode code = ExitCode::Ok;
  InterruptionScope main(InterruptionScope::Mode::Block);
  llvm::thread worker(std::optional<unsigned>(stackBytes), [&] {
    InterruptionScope command(InterruptionScope::Mode::Allow);
    try {
      code = session.action();
    } catch (const std::bad_alloc &) {
      session.diagnostics.error(Place(), "out of memory", ExitCode::Limit);
    } catch (const std::exception &error) {
      session.diagnostics.error(
          Place(), std::string("internal: ") + error.what(), ExitCode::Bug);
    }
  });
  worker.join();
  // A bug of ours outweighs what else was said.
  for (const Diag &diag : session.diagnostics.messages())
    if (diag.exitCode == ExitCode::Bug)
      return ExitCode::Bug;
  return code == ExitCode::Ok ? session.diagnostics.exitCode() : code;
}

int main(int argc, char **argv) {
  Session session;
  CLI::App app("whalec: how to cut a model over a cluster, what that costs, "
               "and the programs that do it",
               "whalec");
  declare(app, session);
  ExitCode code = ExitCode::BadInput;
  try {
    app.parse(argc, argv);
    code = runAction(session);
  } catch (const CLI::Success &wish) {
    // --help and --version.
    return app.exit(wish);
  } catch (const CLI::ParseError &error) {
    reportParseError(app, error, session.diagnostics);
  }
  std::string talk = session.diagnostics.str();
  std::fwrite(talk.data(), 1, talk.size(), stderr);
  return static_cast<int>(code);
}
