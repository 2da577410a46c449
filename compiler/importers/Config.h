//===- Config.h - typed access to a model configuration ---------*- C++ -*-===//
//
// A configuration is a JSON object plus `--set` overrides. A family takes all
// its keys first and asks `good()` before it builds anything: after an error
// the getters give harmless values, so that one run reports all that is wrong.
// As in Hugging Face's files, a key with value null counts as absent. A key
// "a.b" is the member b of the object a.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_CONFIG_H
#define WHALE_IMPORTERS_CONFIG_H

#include "compiler/support/Json.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace whale::importers {

class Config {
public:
  using Settings = std::vector<std::pair<std::string, std::string>>;

  /// `object` must be a JSON object (reported otherwise) and outlive this.
  Config(const json::Value &object, const Settings &settings,
         Diagnostics &diagnostics);

  /// Lets `--set name=...` stand for `key`. Call it before the key is read.
  void alias(std::string_view name, std::string_view key);
  /// A size: 1 to 2^31 - 1. Without a fallback the key must be there.
  int64_t size(std::string_view key);
  int64_t size(std::string_view key, int64_t fallback);
  std::optional<int64_t> optionalSize(std::string_view key);
  /// A list of sizes, not empty.
  std::vector<int64_t> sizes(std::string_view key);
  /// A size that may be 0.
  int64_t count(std::string_view key, int64_t fallback);
  double number(std::string_view key, double fallback,
                json::NumberBounds bounds = json::positiveNumber);
  /// A dropout rate, 0 <= rate < 1. The setting `dropout` stands for all.
  double rate(std::string_view key, double fallback);
  bool flag(std::string_view key, bool fallback);
  std::string text(std::string_view key, std::string fallback);
  /// A text that must be one of `allowed`.
  std::string choice(std::string_view key, std::string fallback,
                     const std::vector<std::string> &allowed);
  /// Whether the key is there and not null.
  bool has(std::string_view key);

  /// Reports that `key` (of extent `whole`) is no multiple of `divisorKey`.
  void requireMultiple(std::string_view key, int64_t whole,
                       std::string_view divisorKey, int64_t divisor);
  /// Reports that this version has nothing else for `key` than `only`.
  void requireFlag(std::string_view key, bool fallback, bool only);

  /// An error, or a warning, at the key's value (at the object if absent).
  Diag &error(std::string_view key, std::string message);
  Diag &warning(std::string_view key, std::string message);
  /// What this version does not have: ExitCode::Unsupported.
  Diag &unsupported(std::string_view key, std::string message);

  /// Whether nothing was reported as an error so far.
  bool good() const { return diagnostics.errorCount() == errorsBefore; }
  /// Reports settings that nobody asked for, with the nearest known key.
  /// Call it after all keys were taken. The same as good() afterwards.
  bool finish();

  const Place &place() const { return object.place(); }

private:
  /// The value; null if absent.
  const json::Value *peek(std::string_view key) const;
  /// The same, and notes that the key means something.
  const json::Value *lookUp(std::string_view key);
  const Place &placeOf(std::string_view key) const;
  template <class T, class Convert>
  T get(std::string_view key, T fallback, Convert convert);

  const json::Value &object;
  Diagnostics &diagnostics;
  size_t errorsBefore;
  /// Later ones win.
  std::vector<std::pair<std::string, json::Value>> overrides;
  std::vector<std::string> known;
};

} // namespace whale::importers

#endif // WHALE_IMPORTERS_CONFIG_H
