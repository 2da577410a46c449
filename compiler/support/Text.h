//===- Text.h - numbers and names for people --------------------*- C++ -*-===//
//
// Every human-readable figure is formatted here, the same way everywhere and
// independent of the locale.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_TEXT_H
#define WHALE_SUPPORT_TEXT_H

#include "compiler/support/Units.h"
#include <string>
#include <string_view>
#include <vector>

namespace whale {

/// "54.0 GiB", "512 B"; one decimal above bytes.
std::string formatBytes(Bytes bytes);
/// "12.3 ms", "4.56 us", "1.20 s"; three significant digits, "0 s" for none.
std::string formatTime(Picoseconds time);
/// "1,234,567".
std::string formatCount(int64_t count);
/// "450 GB/s": decimal units, three significant digits.
std::string formatRate(BytesPerSecond rate);
/// "989 TFLOP/s".
std::string formatRate(FlopsPerSecond rate);
/// Shortest decimal text that reads back as `value`, always with '.' or an
/// exponent. Requires a finite value.
std::string formatDouble(double value);

/// `name` in single quotes.
std::string quoted(std::string_view name);
/// "'a', 'b', 'c'"; after `limit` names "and 7 more".
std::string quotedList(const std::vector<std::string> &names,
                       size_t limit = 20);

/// "key=value,key=value" as pairs; what has no '=' is a key without a value.
std::vector<std::pair<std::string, std::string>>
splitAssignments(std::string_view text);

/// True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool isUtf8(std::string_view text);
/// `text` with control characters (but not newline's meaning: it becomes "\n")
/// and ill-formed bytes written as \xNN or \u{NN}.
std::string escapeForTerminal(std::string_view text);

} // namespace whale

#endif // WHALE_SUPPORT_TEXT_H
