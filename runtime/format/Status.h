//===- Status.h - Expected failures without exceptions ----------*- C++ -*-===//
//
// A failure that the outside world can cause (a bad file, a dead rank, a
// deadline) is a value. Programming errors stay assertions.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_FORMAT_STATUS_H
#define WHALE_RUNTIME_FORMAT_STATUS_H

#include <cassert>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace whale::format {

enum class ErrorKind {
  BadInput,    ///< a file or option is wrong
  Unsupported, ///< valid, but this version or device cannot do it
  Deadline,    ///< a blocking call ran out of time
  PeerLost,    ///< another rank died or gave up
  Mismatch,    ///< ranks disagree on what happens next
  Internal     ///< a bug of ours
};

/// Where and why something failed. Empty parts are not printed.
struct Error {
  ErrorKind kind = ErrorKind::Internal;
  std::string message;   ///< lower case, no full stop, names in 'quotes'
  int64_t rank = -1;     ///< -1 = not known
  std::string host;      ///< host of that rank
  std::string section;   ///< section of the program
  int64_t instruction = -1; ///< index in the section
  std::string path;      ///< instance path of the model op
  std::string place;     ///< file:line:column of the model op

  /// One line: `place: error: message (rank 2 on 'host', ...)`.
  std::string text() const;
};

/// Success, or an Error.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Error error) : Problem(std::move(error)), Failed(true) {}

  static Status error(ErrorKind kind, std::string message) {
    Error error;
    error.kind = kind;
    error.message = std::move(message);
    return Status(std::move(error));
  }

  bool ok() const { return !Failed; }
  /// True on failure, so that `if (Status s = f(); s.failed()) return s;`.
  bool failed() const { return Failed; }
  const Error &error() const {
    assert(Failed && "success has no error");
    return Problem;
  }
  Error &error() {
    assert(Failed && "success has no error");
    return Problem;
  }

private:
  Error Problem;
  bool Failed = false;
};

/// A value, or the reason why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : Content(std::move(value)) {}
  Result(Status status) : Content(std::move(status)) {
    assert(std::get<Status>(Content).failed() && "success without a value");
  }
  Result(Error error) : Content(Status(std::move(error))) {}

  bool ok() const { return Content.index() == 0; }
  bool failed() const { return Content.index() == 1; }
  T &operator*() { return std::get<0>(Content); }
  const T &operator*() const { return std::get<0>(Content); }
  T *operator->() { return &std::get<0>(Content); }
  const T *operator->() const { return &std::get<0>(Content); }
  const Status &status() const { return std::get<Status>(Content); }

private:
  std::variant<T, Status> Content;
};

inline Status badInput(std::string message) {
  return Status::error(ErrorKind::BadInput, std::move(message));
}

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_STATUS_H
