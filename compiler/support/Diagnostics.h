//===- Diagnostics.h - what is wrong, and where -----------------*- C++ -*-===//
//
// The one idiom for failure in the parts without LLVM: a function that can
// fail takes `Diagnostics &diags` and returns `std::optional<T>` (or `bool`
// where there is nothing to return). Empty or false means that at least one
// error was reported. The caller prints.
//
// The words differ from MLIR's (Location, Diagnostic) on purpose: both are
// visible in `passes/`.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_DIAGNOSTICS_H
#define WHALE_SUPPORT_DIAGNOSTICS_H

#include "compiler/support/ExitCode.h"
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

/// A place in an input file. Cheap to copy: places of one file share its name.
class Place {
public:
  /// Nowhere: the message stands without a place.
  Place() = default;
  /// A whole file (line 0), or one spot in it, both counted from 1; columns
  /// count bytes.
  explicit Place(std::string_view file, unsigned line = 0, unsigned column = 0)
      : name(std::make_shared<const std::string>(file)), lineNumber(line),
        columnNumber(column) {}

  /// Another spot of the same file.
  Place at(unsigned line, unsigned column) const {
    Place other = *this;
    other.lineNumber = line;
    other.columnNumber = column;
    return other;
  }

  std::string_view file() const { return name ? *name : std::string_view(); }
  unsigned line() const { return lineNumber; }
  unsigned column() const { return columnNumber; }

  /// "file:line:column", "file" or "".
  std::string str() const;

private:
  std::shared_ptr<const std::string> name;
  unsigned lineNumber = 0;
  unsigned columnNumber = 0;
};

enum class Severity { Error, Warning, Note };

/// One message. Text is lower case, without a full stop; the user's names
/// stand in quotes.
struct Diag {
  Severity severity = Severity::Error;
  Place place;
  std::string message;
  /// For errors: what the command should exit with because of it.
  ExitCode exitCode = ExitCode::BadInput;
  /// Second places and hints, severity Note.
  std::vector<Diag> notes;

  /// Adds a note; returns this, so that notes chain.
  Diag &note(Place where, std::string text);
  /// A note at the message's own place.
  Diag &hint(std::string text);
};

/// Collects messages in order. Keeps the first `maxKept` and counts the rest,
/// so that a hostile file cannot fill the memory with complaints.
class Diagnostics {
public:
  static constexpr size_t maxKept = 100;

  /// Valid until the next message is added.
  Diag &error(Place place, std::string message,
              ExitCode exitCode = ExitCode::BadInput);
  Diag &warning(Place place, std::string message);

  bool hasErrors() const { return errors != 0; }
  size_t errorCount() const { return errors; }
  const std::vector<Diag> &messages() const { return kept; }

  /// `Ok` without errors, else the first error's code.
  ExitCode exitCode() const { return firstCode; }

  /// All messages, one line each, notes after theirs:
  /// `file:line:column: error: message`. Control characters and broken UTF-8
  /// are escaped, so a file cannot drive the terminal.
  std::string str() const;

  /// Adds all of `other`'s messages.
  void append(const Diagnostics &other);

private:
  Diag &add(Diag diag);

  std::vector<Diag> kept;
  Diag overflow;
  size_t errors = 0;
  size_t dropped = 0;
  ExitCode firstCode = ExitCode::Ok;
};

} // namespace whale

#endif // WHALE_SUPPORT_DIAGNOSTICS_H
