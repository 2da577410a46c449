//===- ParseErrors.cpp - a wrong command line, in our words ---------------===//

#include "tools/whalec/ParseErrors.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

using namespace whale;

/// The innermost command that the line names.
static const CLI::App &activeCommand(const CLI::App &app) {
  const CLI::App *active = &app;
  while (!active->get_subcommands().empty())
    active = active->get_subcommands().front();
  return *active;
}

static std::vector<std::string> commandNames(const CLI::App &app) {
  std::vector<std::string> names;
  for (const CLI::App *command :
       app.get_subcommands([](const CLI::App *) { return true; }))
    names.push_back(command->get_name());
  return names;
}

static bool takesCommand(const CLI::App &app) {
  return app.get_require_subcommand_min() > 0;
}

static std::vector<std::string> optionNames(const CLI::App &app) {
  std::vector<std::string> names;
  for (const CLI::Option *option : app.get_options()) {
    for (const std::string &name : option->get_lnames())
      names.push_back("--" + name);
    for (const std::string &name : option->get_snames())
      names.push_back("-" + name);
  }
  return names;
}

/// "'whalec cluster show --help' lists ".
static std::string helpCommand(const CLI::App &active) {
  std::string name;
  for (const CLI::App *app = &active; app; app = app->get_parent())
    name = app->get_name() + " " + name;
  return whale::quoted(name + "--help") + " lists ";
}

/// What a message calls commands that take commands, and the others.
static const char *lists(const CLI::App &active) {
  return takesCommand(active) ? "all commands" : "what it takes";
}

static void reportExtra(const CLI::App &app, Diagnostics &diagnostics) {
  std::vector<std::string> extras = app.remaining(true);
  std::string extra = extras.empty() ? "" : extras.front();
  const CLI::App &active = activeCommand(app);
  bool isOption = extra.starts_with("-");
  bool isCommand = !isOption && takesCommand(active);
  const char *what = isOption    ? "unknown option "
                     : isCommand ? "unknown command "
                                 : "unexpected argument ";
  extra = extra.substr(0, extra.find('='));
  Diag &diag = diagnostics.error(Place(), what + whale::quoted(extra));
  std::vector<std::string> known =
      isCommand ? commandNames(active) : optionNames(active);
  std::optional<std::string> nearest;
  if (isOption || isCommand)
    nearest = suggest(extra, known);
  if (nearest)
    diag.hint("did you mean " + whale::quoted(*nearest) + "?");
  else
    diag.hint(helpCommand(active) + lists(active));
}

/// "Could not convert: --batch = x" and its like, in our words.
static std::string translate(const std::string &text) {
  auto after = [&](std::string_view prefix) -> std::optional<std::string> {
    if (!text.starts_with(prefix))
      return std::nullopt;
    return text.substr(prefix.size());
  };
  if (auto rest = after("Could not convert: ")) {
    size_t equals = rest->find(" = ");
    if (equals != std::string::npos)
      return whale::quoted(rest->substr(equals + 3)) + " is not a value for " +
             whale::quoted(rest->substr(0, equals));
  }
  size_t missing = text.find(": 1 required ");
  if (missing != std::string::npos)
    return whale::quoted(text.substr(0, missing)) + " needs a value";
  size_t must = text.find(": must be ");
  if (must != std::string::npos)
    return whale::quoted(text.substr(0, must)) + text.substr(must + 1);
  std::string lower = text;
  if (!lower.empty() && lower[0] >= 'A' && lower[0] <= 'Z' &&
      (lower.size() < 2 || lower[1] < 'A' || lower[1] > 'Z'))
    lower[0] = char(lower[0] - 'A' + 'a');
  return lower;
}

void cli::reportParseError(const CLI::App &app, const CLI::ParseError &error,
                           Diagnostics &diagnostics) {
  const CLI::App &active = activeCommand(app);
  bool hasExtras = !app.remaining(true).empty();
  if (dynamic_cast<const CLI::ExtrasError *>(&error) ||
      (takesCommand(active) && hasExtras))
    return reportExtra(app, diagnostics);
  std::string message =
      takesCommand(active) ? "a command is required" : translate(error.what());
  diagnostics.error(Place(), std::move(message))
      .hint(helpCommand(active) + lists(active));
}
