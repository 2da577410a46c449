//===- Diagnostics.cpp ----------------------------------------------------===//

#include "compiler/support/Diagnostics.h"
#include "compiler/support/Text.h"
#include <fmt/format.h>

using namespace whale;

std::string Place::str() const {
  if (!name)
    return "";
  if (lineNumber == 0)
    return *name;
  return fmt::format("{}:{}:{}", *name, lineNumber, columnNumber);
}

Diag &Diag::note(Place where, std::string text) {
  notes.push_back(
      {Severity::Note, std::move(where), std::move(text), ExitCode::Ok, {}});
  return *this;
}

Diag &Diag::hint(std::string text) { return note(place, std::move(text)); }

Diag &Diagnostics::add(Diag diag) {
  if (kept.size() < maxKept) {
    kept.push_back(std::move(diag));
    return kept.back();
  }
  ++dropped;
  overflow = std::move(diag);
  return overflow;
}

Diag &Diagnostics::error(Place place, std::string message, ExitCode exitCode) {
  if (errors++ == 0)
    firstCode = exitCode;
  return add(
      {Severity::Error, std::move(place), std::move(message), exitCode, {}});
}

Diag &Diagnostics::warning(Place place, std::string message) {
  return add({Severity::Warning,
              std::move(place),
              std::move(message),
              ExitCode::Ok,
              {}});
}

static const char *severityName(Severity severity) {
  switch (severity) {
  case Severity::Error:
    return "error";
  case Severity::Warning:
    return "warning";
  case Severity::Note:
    return "note";
  }
  return "";
}

static void printDiag(const Diag &diag, std::string &out) {
  std::string where = escapeForTerminal(diag.place.str());
  fmt::format_to(std::back_inserter(out), "{}{}{}: {}\n", where,
                 where.empty() ? "" : ": ", severityName(diag.severity),
                 escapeForTerminal(diag.message));
  for (const Diag &note : diag.notes)
    printDiag(note, out);
}

std::string Diagnostics::str() const {
  std::string out;
  for (const Diag &diag : kept)
    printDiag(diag, out);
  if (dropped)
    out += fmt::format("note: {} more messages are not shown\n", dropped);
  return out;
}

void Diagnostics::append(const Diagnostics &other) {
  for (const Diag &diag : other.kept) {
    if (diag.severity == Severity::Error && errors++ == 0)
      firstCode = diag.exitCode;
    add(diag);
  }
  dropped += other.dropped;
  size_t keptErrors = 0;
  for (const Diag &diag : other.kept)
    keptErrors += diag.severity == Severity::Error;
  size_t unseen = other.errors - keptErrors;
  if (unseen && errors == 0)
    firstCode = other.firstCode;
  errors += unseen;
}
