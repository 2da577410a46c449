//===- JsonReader.cpp - fields by name and type ---------------------------===//

#include "compiler/support/Json.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"
#include <algorithm>
#include <charconv>
#include <fmt/format.h>

using namespace whale;
using namespace whale::json;

double Value::asNumber() const {
  return isInteger() ? static_cast<double>(asInteger())
                     : std::get<double>(content);
}

const Value *Value::find(std::string_view key) const {
  for (const Member &member : members())
    if (member.key == key)
      return &member.value;
  return nullptr;
}

std::string_view json::kindName(Value::Kind kind) {
  switch (kind) {
  case Value::Kind::Null:
    return "null";
  case Value::Kind::Bool:
    return "a boolean";
  case Value::Kind::Integer:
    return "a whole number";
  case Value::Kind::Double:
    return "a number";
  case Value::Kind::String:
    return "a string";
  case Value::Kind::Array:
    return "an array";
  case Value::Kind::Object:
    return "an object";
  }
  return "";
}

static std::string showNumber(const Value &value) {
  return value.isInteger() ? fmt::format("{}", value.asInteger())
                           : formatDouble(value.asNumber());
}

static bool expectKind(const Value &value, bool isRight, Value::Kind expected,
                       std::string_view what, Diagnostics &diags) {
  bool isFraction =
      expected == Value::Kind::Integer && value.kind() == Value::Kind::Double;
  if (!isRight)
    diags.error(
        value.place(),
        fmt::format("{} must be {}, found {}", what, kindName(expected),
                    isFraction ? showNumber(value) : kindName(value.kind())));
  return isRight;
}

std::optional<int64_t> json::toInteger(const Value &value,
                                       std::string_view what,
                                       Diagnostics &diags,
                                       IntegerBounds bounds) {
  if (!expectKind(value, value.isInteger(), Value::Kind::Integer, what, diags))
    return std::nullopt;
  int64_t number = value.asInteger();
  if (number < bounds.low) {
    diags.error(value.place(), fmt::format("{} must be at least {}, found {}",
                                           what, bounds.low, number));
    return std::nullopt;
  }
  if (number > bounds.high) {
    diags.error(value.place(), fmt::format("{} must be at most {}, found {}",
                                           what, bounds.high, number));
    return std::nullopt;
  }
  return number;
}

std::optional<double> json::toNumber(const Value &value, std::string_view what,
                                     Diagnostics &diags, NumberBounds bounds) {
  if (!expectKind(value, value.isNumber(), Value::Kind::Double, what, diags))
    return std::nullopt;
  double number = value.asNumber();
  if (number < bounds.low || (bounds.excludeLow && number == bounds.low)) {
    diags.error(value.place(),
                fmt::format("{} must be {} {}, found {}", what,
                            bounds.excludeLow ? "greater than" : "at least",
                            bounds.low, showNumber(value)));
    return std::nullopt;
  }
  if (number > bounds.high) {
    diags.error(value.place(),
                fmt::format("{} must be at most {}, found {}", what,
                            bounds.high, showNumber(value)));
    return std::nullopt;
  }
  return number;
}

std::optional<std::string>
json::toString(const Value &value, std::string_view what, Diagnostics &diags) {
  if (!expectKind(value, value.isString(), Value::Kind::String, what, diags))
    return std::nullopt;
  return value.asString();
}

std::optional<bool> json::toBool(const Value &value, std::string_view what,
                                 Diagnostics &diags) {
  if (!expectKind(value, value.isBool(), Value::Kind::Bool, what, diags))
    return std::nullopt;
  return value.asBool();
}

const Value::Array *json::toArray(const Value &value, std::string_view what,
                                  Diagnostics &diags) {
  if (!expectKind(value, value.isArray(), Value::Kind::Array, what, diags))
    return nullptr;
  return &value.elements();
}

ObjectReader::ObjectReader(const Value &value, std::string what,
                           Diagnostics &diags)
    : object(value), what(std::move(what)), diags(diags),
      errorsBefore(diags.errorCount()) {
  expectKind(value, value.isObject(), Value::Kind::Object, this->what, diags);
}

const Value *ObjectReader::lookUp(std::string_view key) {
  if (std::find(allowed.begin(), allowed.end(), key) == allowed.end())
    allowed.emplace_back(key);
  return object.isObject() ? object.find(key) : nullptr;
}

const Value *ObjectReader::optional(std::string_view key) {
  return lookUp(key);
}

const Value *ObjectReader::required(std::string_view key) {
  const Value *value = lookUp(key);
  if (!value && object.isObject())
    error(fmt::format("{} needs key '{}'", what, key));
  return value;
}

std::optional<int64_t> ObjectReader::integer(std::string_view key,
                                             IntegerBounds bounds) {
  const Value *value = lookUp(key);
  return value ? toInteger(*value, quoted(key), diags, bounds) : std::nullopt;
}

std::optional<double> ObjectReader::number(std::string_view key,
                                           NumberBounds bounds) {
  const Value *value = lookUp(key);
  return value ? toNumber(*value, quoted(key), diags, bounds) : std::nullopt;
}

std::optional<std::string> ObjectReader::string(std::string_view key) {
  const Value *value = lookUp(key);
  return value ? toString(*value, quoted(key), diags) : std::nullopt;
}

std::optional<bool> ObjectReader::boolean(std::string_view key) {
  const Value *value = lookUp(key);
  return value ? toBool(*value, quoted(key), diags) : std::nullopt;
}

const Value::Array *ObjectReader::array(std::string_view key) {
  const Value *value = lookUp(key);
  return value ? toArray(*value, quoted(key), diags) : nullptr;
}

std::optional<int64_t> ObjectReader::requiredInteger(std::string_view key,
                                                     IntegerBounds bounds) {
  return required(key) ? integer(key, bounds) : std::nullopt;
}

std::optional<double> ObjectReader::requiredNumber(std::string_view key,
                                                   NumberBounds bounds) {
  return required(key) ? number(key, bounds) : std::nullopt;
}

std::optional<std::string> ObjectReader::requiredString(std::string_view key) {
  return required(key) ? string(key) : std::nullopt;
}

const Value::Array *ObjectReader::requiredArray(std::string_view key) {
  return required(key) ? array(key) : nullptr;
}

Diag &ObjectReader::error(std::string message) {
  return diags.error(object.place(), std::move(message));
}

bool ObjectReader::finish() {
  if (!object.isObject())
    return false;
  for (const Member &member : object.members()) {
    if (std::find(allowed.begin(), allowed.end(), member.key) != allowed.end())
      continue;
    Diag &diag =
        diags.error(member.keyPlace,
                    fmt::format("unknown key '{}' in {}", member.key, what));
    if (auto near = suggest(member.key, allowed))
      diag.hint(fmt::format("did you mean '{}'?", *near));
    diag.hint(fmt::format("allowed keys: {}", quotedList(allowed)));
  }
  return diags.errorCount() == errorsBefore;
}

/// The part before an optional ".minor"; empty if `text` is no version.
static std::optional<int64_t> majorOf(std::string_view text) {
  int64_t major = 0, minor = 0;
  const char *end = text.data() + text.size();
  auto first = std::from_chars(text.data(), end, major);
  if (first.ec != std::errc() || major < 0)
    return std::nullopt;
  if (first.ptr == end)
    return major;
  if (*first.ptr != '.')
    return std::nullopt;
  auto second = std::from_chars(first.ptr + 1, end, minor);
  if (second.ec != std::errc() || second.ptr != end || minor < 0)
    return std::nullopt;
  return major;
}

bool json::checkFormatVersion(ObjectReader &reader, std::string_view what,
                              int64_t major, Diagnostics &diags) {
  const Value *value = reader.required("format_version");
  if (!value)
    return false;
  std::optional<int64_t> found;
  if (value->isInteger())
    found = value->asInteger();
  else if (value->isString())
    found = majorOf(value->asString());
  if (!found) {
    diags.error(value->place(), "'format_version' must be a whole number or "
                                "\"major.minor\"");
    return false;
  }
  if (*found == major)
    return true;
  diags.error(value->place(),
              fmt::format("format version {} of {} is not supported; this "
                          "version of whalec reads {}",
                          *found, what, major),
              ExitCode::Unsupported);
  return false;
}
