//===- CommandLine.cpp - what all of whalec's commands share --------------===//

#include "tools/whalec/CommandLine.h"

#include "compiler/support/Files.h"
#include "compiler/support/Text.h"
#include "tools/whalec/Signals.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

void cli::addJson(CLI::App &command, bool &json, const std::string &help) {
  command.add_flag("--json", json, help);
}

CLI::Option *cli::addOutput(CLI::App &command, std::string &path,
                            const std::string &help) {
  return command.add_option("-o,--output", path, help)->type_name("FILE");
}

CLI::Validator cli::atLeast(int64_t low) {
  auto check = [low](const std::string &text) -> std::string {
    int64_t value = 0;
    // CLI11 takes what is too large for the largest number.
    auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range)
      return fmt::format("must be within 64 bits, found '{}'", text);
    bool isNumber = CLI::detail::lexical_cast(text, value);
    if (!isNumber || value >= low)
      return "";
    return fmt::format("must be {} or more, found '{}'", low, text);
  };
  return CLI::Validator(check, "");
}

CLI::Validator cli::positive() {
  auto check = [](const std::string &text) -> std::string {
    double value = 0;
    bool isNumber = CLI::detail::lexical_cast(text, value);
    if (!isNumber || value > 0)
      return "";
    return fmt::format("must be more than 0, found '{}'", text);
  };
  return CLI::Validator(check, "");
}

void cli::addModel(CLI::App &command, std::string &model) {
  command.add_option("model", model, "a model.mlir ('-': stdin)")
      ->type_name("FILE")
      ->required();
}

void cli::addClusterFile(CLI::App &command, std::string &cluster) {
  command.add_option("--cluster", cluster, "a cluster.json")
      ->type_name("FILE")
      ->required();
}

CLI::Validator cli::oneOf(std::vector<std::string> names) {
  auto check = [names](const std::string &text) -> std::string {
    if (std::find(names.begin(), names.end(), text) != names.end())
      return "";
    return fmt::format("must be one of {}, found '{}'", quotedList(names),
                       text);
  };
  return CLI::Validator(check, "");
}

std::string cli::joinLists(const std::vector<std::string> &texts) {
  return fmt::format("{}", fmt::join(texts, ","));
}

bool cli::readAssignments(
    const std::vector<std::string> &texts, std::string_view option,
    std::vector<std::pair<std::string, std::string>> &pairs,
    Diagnostics &diagnostics) {
  bool good = true;
  for (const std::string &text : texts) {
    size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      diagnostics.error(Place(), std::string(option) +
                                     " expects key=value, found " +
                                     whale::quoted(text));
      good = false;
      continue;
    }
    pairs.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return good;
}

std::string cli::inputPath(const std::string &path) {
  return path == "-" ? "/dev/stdin" : path;
}

bool cli::writeProduct(const std::string &path, std::string_view text,
                       Diagnostics &diagnostics) {
  if (!path.empty() && path != "-") {
    InterruptionScope writing(InterruptionScope::Mode::Block);
    return writeFile(path, text, diagnostics);
  }
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
      std::fflush(stdout) == 0)
    return true;
  diagnostics.error(Place("stdout"), "cannot write");
  return false;
}

void cli::say(std::string_view text) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string line = escapeForTerminal(text.substr(0, end)) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}
