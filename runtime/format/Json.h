//===- Json.h - JSON read and printed in one place --------------*- C++ -*-===//
//
// nlohmann/json's parser and printer are templates that take seconds to
// compile: only Json.cpp has them. The rest of the runtime handles values.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_FORMAT_JSON_H
#define WHALE_RUNTIME_FORMAT_JSON_H

#include "runtime/format/Status.h"

#include "nlohmann/json.hpp"

#include <string>

namespace whale::format {

/// Keys keep the order in which they were written.
using Json = nlohmann::ordered_json;

/// Reads a whole text. BadInput when it is not JSON, or nested deeper than 64
/// (values are copied and destroyed by recursion). `name` is for messages.
Result<Json> parseJson(const std::string &text, const std::string &name);

/// On one line, or with `indent` spaces a level. `value` holds valid UTF-8 if
/// it came from parseJson; else invalid bytes are replaced by U+FFFD.
std::string printJson(const Json &value, int indent = -1);

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_JSON_H
