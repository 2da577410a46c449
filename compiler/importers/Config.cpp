//===- Config.cpp - typed access to a model configuration -----------------===//

#include "compiler/importers/Config.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <algorithm>

using namespace whale;
using namespace whale::importers;

/// Sizes beyond this are mistakes; products of two still fit int64.
static constexpr json::IntegerBounds sizeBounds = {1, (int64_t(1) << 31) - 1};

/// The setting's text as JSON, or, if it is none, as a string.
static json::Value parseSetting(const std::string &key,
                                const std::string &text) {
  Place place("--set " + key);
  Diagnostics ignored;
  if (auto value = json::parse(text, place.file(), ignored)) {
    value->setPlace(place);
    return *value;
  }
  return json::Value(text, place);
}

Config::Config(const json::Value &object, const Settings &settings,
               Diagnostics &diagnostics)
    : object(object), diagnostics(diagnostics),
      errorsBefore(diagnostics.errorCount()) {
  for (const auto &[key, text] : settings)
    overrides.emplace_back(key, parseSetting(key, text));
  if (!object.isObject())
    diagnostics.error(object.place(),
                      "configuration must be an object, found " +
                          std::string(json::kindName(object.kind())));
}

/// The member `key`, or, for a key with a dot, the member of a member.
static const json::Value *memberOf(const json::Value &object,
                                   std::string_view key) {
  if (!object.isObject())
    return nullptr;
  size_t dot = key.find('.');
  if (dot == std::string_view::npos)
    return object.find(key);
  const json::Value *inner = object.find(key.substr(0, dot));
  return inner ? memberOf(*inner, key.substr(dot + 1)) : nullptr;
}

const json::Value *Config::peek(std::string_view key) const {
  const json::Value *found = memberOf(object, key);
  for (const auto &[name, value] : overrides)
    if (name == key)
      found = &value;
    else if (key.starts_with(name + "."))
      found = memberOf(value, key.substr(name.size() + 1));
  return found && !found->isNull() ? found : nullptr;
}

const json::Value *Config::lookUp(std::string_view key) {
  if (std::find(known.begin(), known.end(), key) == known.end())
    known.emplace_back(key);
  return peek(key);
}

const Place &Config::placeOf(std::string_view key) const {
  const json::Value *value = peek(key);
  return value ? value->place() : object.place();
}

Diag &Config::error(std::string_view key, std::string message) {
  return diagnostics.error(placeOf(key), std::move(message));
}

Diag &Config::warning(std::string_view key, std::string message) {
  return diagnostics.warning(placeOf(key), std::move(message));
}

Diag &Config::unsupported(std::string_view key, std::string message) {
  return diagnostics.error(placeOf(key), std::move(message),
                           ExitCode::Unsupported);
}

template <class T, class Convert>
T Config::get(std::string_view key, T fallback, Convert convert) {
  const json::Value *value = lookUp(key);
  if (!value)
    return fallback;
  return convert(*value, quoted(key)).value_or(fallback);
}

void Config::alias(std::string_view name, std::string_view key) {
  known.emplace_back(name);
  for (auto &[set, value] : overrides)
    if (set == name)
      set = key;
}

int64_t Config::size(std::string_view key, int64_t fallback) {
  return get(key, fallback, [&](const json::Value &value, std::string what) {
    return json::toInteger(value, what, diagnostics, sizeBounds);
  });
}

int64_t Config::size(std::string_view key) {
  if (!lookUp(key) && object.isObject())
    diagnostics.error(object.place(), "key " + quoted(key) + " is missing");
  return size(key, 1);
}

std::optional<int64_t> Config::optionalSize(std::string_view key) {
  if (!lookUp(key))
    return std::nullopt;
  return size(key, 1);
}

std::vector<int64_t> Config::sizes(std::string_view key) {
  std::vector<int64_t> list;
  const json::Value *value = lookUp(key);
  if (!value && object.isObject())
    diagnostics.error(object.place(), "key " + quoted(key) + " is missing");
  const json::Value::Array *elements =
      value ? json::toArray(*value, quoted(key), diagnostics) : nullptr;
  if (elements && elements->empty())
    error(key, quoted(key) + " is empty");
  for (size_t i = 0; elements && i < elements->size(); ++i)
    list.push_back(json::toInteger((*elements)[i], "element of " + quoted(key),
                                   diagnostics, sizeBounds)
                       .value_or(1));
  return list.empty() ? std::vector<int64_t>{1} : list;
}

int64_t Config::count(std::string_view key, int64_t fallback) {
  return get(key, fallback, [&](const json::Value &value, std::string what) {
    return json::toInteger(value, what, diagnostics, {0, sizeBounds.high});
  });
}

double Config::number(std::string_view key, double fallback,
                      json::NumberBounds bounds) {
  return get(key, fallback, [&](const json::Value &value, std::string what) {
    return json::toNumber(value, what, diagnostics, bounds);
  });
}

double Config::rate(std::string_view key, double fallback) {
  auto isSet = [&](std::string_view name) {
    return std::any_of(overrides.begin(), overrides.end(),
                       [&](const auto &entry) { return entry.first == name; });
  };
  lookUp(key);
  lookUp("dropout");
  std::string_view from = !isSet(key) && isSet("dropout") ? "dropout" : key;
  double value = number(from, fallback, {0, 1});
  if (value < 1)
    return value;
  error(from, quoted(from) + " must be less than 1, found 1");
  return 0;
}

bool Config::flag(std::string_view key, bool fallback) {
  return get(key, fallback, [&](const json::Value &value, std::string what) {
    return json::toBool(value, what, diagnostics);
  });
}

std::string Config::text(std::string_view key, std::string fallback) {
  return get(key, fallback, [&](const json::Value &value, std::string what) {
    return json::toString(value, what, diagnostics);
  });
}

std::string Config::choice(std::string_view key, std::string fallback,
                           const std::vector<std::string> &allowed) {
  std::string value = text(key, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end())
    return value;
  Diag &diag = error(key, quoted(key) + " is " + quoted(value) +
                              ", expected one of " + quotedList(allowed));
  if (auto nearest = suggest(value, allowed))
    diag.hint("did you mean " + quoted(*nearest) + "?");
  return fallback;
}

bool Config::has(std::string_view key) { return lookUp(key) != nullptr; }

void Config::requireMultiple(std::string_view key, int64_t whole,
                             std::string_view divisorKey, int64_t divisor) {
  if (whole % divisor == 0)
    return;
  error(key, quoted(key) + " is " + std::to_string(whole) +
                 ", which is no multiple of " + quoted(divisorKey) + " " +
                 std::to_string(divisor))
      .note(placeOf(divisorKey), quoted(divisorKey) + " comes from here");
}

void Config::requireFlag(std::string_view key, bool fallback, bool only) {
  if (flag(key, fallback) != only)
    error(key, quoted(key) + " is " + (only ? "false" : "true") +
                   ", which the importer does not have");
}

bool Config::finish() {
  for (const auto &[key, value] : overrides) {
    if (std::find(known.begin(), known.end(), key) != known.end())
      continue;
    Diag &diag = diagnostics.error(value.place(),
                                   "the model has no setting " + quoted(key));
    if (auto nearest = suggest(key, known))
      diag.hint("did you mean " + quoted(*nearest) + "?");
    else
      diag.hint("known settings are " + quotedList(known, 60));
  }
  return good();
}
