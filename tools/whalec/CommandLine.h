//===- CommandLine.h - what all of whalec's commands share ------*- C++ -*-===//
//
// A command is one file with one function `add<Command>`, which declares the
// command's options and its action. stdout carries the product and nothing
// else; messages go to stderr.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_COMMANDLINE_H
#define WHALE_TOOLS_WHALEC_COMMANDLINE_H

#include "compiler/support/Diagnostics.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace whale::cli {

/// One run of whalec.
struct Session {
  /// Printed to stderr when the command has ended. Its first error decides on
  /// the exit code, unless the command returns another one than Ok.
  Diagnostics diagnostics;
  /// What the command line asks for; set while it is parsed.
  std::function<ExitCode()> action;
};

/// Declares a command. `Options` lives as long as the parser; `run` is called
/// once, on a thread with a large stack, if the command line names this
/// command.
template <class Options>
CLI::App *addCommand(CLI::App &app, Session &session, const std::string &name,
                     const std::string &help,
                     ExitCode (*run)(const Options &, Session &),
                     void (*declare)(CLI::App &, Options &)) {
  CLI::App *command = app.add_subcommand(name, help);
  auto options = std::make_shared<Options>();
  declare(*command, *options);
  command->callback([&session, options, run] {
    session.action = [&session, options, run] {
      return run(*options, session);
    };
  });
  return command;
}

// The commands, in the order of `whalec --help`.
void addImport(CLI::App &app, Session &session);
void addPlan(CLI::App &app, Session &session);
void addCompile(CLI::App &app, Session &session);
void addRun(CLI::App &app, Session &session);
void addVerify(CLI::App &app, Session &session);
void addExplain(CLI::App &app, Session &session);
void addWhatIf(CLI::App &app, Session &session);
void addDiff(CLI::App &app, Session &session);
void addValidate(CLI::App &app, Session &session);
void addDump(CLI::App &app, Session &session);
void addCluster(CLI::App &app, Session &session);
void addCalibrate(CLI::App &app, Session &session);

//===----------------------------------------------------------------------===//
// Options that several commands have
//===----------------------------------------------------------------------===//

/// The model, and `--cluster`.
void addModel(CLI::App &command, std::string &model);
void addClusterFile(CLI::App &command, std::string &cluster);
/// `--json`.
void addJson(CLI::App &command, bool &json, const std::string &help);
/// `-o, --output`.
CLI::Option *addOutput(CLI::App &command, std::string &path,
                       const std::string &help);

/// Checks of an option's text, with messages in our words.
CLI::Validator atLeast(int64_t low);
/// A number above 0.
CLI::Validator positive();
CLI::Validator oneOf(std::vector<std::string> names);

/// The texts of an option that may be repeated, as one list with commas.
std::string joinLists(const std::vector<std::string> &texts);

/// "key=value" texts as pairs; reports those without '='. `option` is the name
/// in messages.
bool readAssignments(const std::vector<std::string> &texts,
                     std::string_view option,
                     std::vector<std::pair<std::string, std::string>> &pairs,
                     Diagnostics &diagnostics);

//===----------------------------------------------------------------------===//
// Input and output
//===----------------------------------------------------------------------===//

/// The file's name as the system knows it: "-" is the standard input.
std::string inputPath(const std::string &path);

/// Writes the product to a file (beside it, then renamed), or to stdout where
/// `path` is empty or "-". False after an error.
bool writeProduct(const std::string &path, std::string_view text,
                  Diagnostics &diagnostics);

/// Lines for people, on stderr.
void say(std::string_view text);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_COMMANDLINE_H
