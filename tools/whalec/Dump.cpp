//===- Dump.cpp - whalec dump ---------------------------------------------===//

#include "passes/lower/Lower.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/ProgramsFolder.h"

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string path;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command
      .add_option("path", options.path,
                  "a container (*.whalep), or a folder of programs")
      ->type_name("PATH")
      ->required();
}

/// Every role of the folder, in the manifest's order.
static bool dumpFolder(const std::string &folder, std::string &text,
                       Diagnostics &diagnostics) {
  auto manifest = readManifestOf(folder, diagnostics);
  if (!manifest)
    return false;
  for (const format::RoleInfo &role : manifest->roles) {
    auto program = readContainer(folder + "/" + role.file, diagnostics);
    if (!program)
      return false;
    text += lower::printProgram(*program);
  }
  return true;
}

static ExitCode runDump(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  std::string text;
  if (isFolder(options.path)) {
    if (!dumpFolder(options.path, text, diagnostics))
      return diagnostics.exitCode();
  } else {
    auto program = readContainer(options.path, diagnostics);
    if (!program)
      return diagnostics.exitCode();
    text = lower::printProgram(*program);
  }
  writeProduct("", text, diagnostics);
  return diagnostics.exitCode();
}

void cli::addDump(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "dump",
                      "programs as text: instructions, operands, variables",
                      runDump, declare);
}
