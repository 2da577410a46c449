//===- Lora.cpp - low-rank adapters on a frozen model ---------------------===//

#include "compiler/importers/Lora.h"

#include "compiler/support/Json.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <algorithm>

using namespace whale;

static const std::vector<std::string> targetNames = {
    "q", "k", "v", "o", "qkv", "gate", "up", "down"};
static const std::vector<std::string> keyNames = {"rank", "alpha", "dropout",
                                                  "targets"};

namespace {
class LoraReader {
public:
  explicit LoraReader(Diagnostics &diagnostics) : diagnostics(diagnostics) {}
  /// A part between commas: `key=value`, or one more target.
  void read(const std::string &part);
  Lora lora;

private:
  void readTarget(const std::string &name);
  void readNumber(const std::string &key, const std::string &text);
  void unknown(const char *what, const std::string &name,
               const std::vector<std::string> &allowed);

  Diagnostics &diagnostics;
  const Place place{"--lora"};
  bool inTargets = false;
};
} // namespace

void LoraReader::unknown(const char *what, const std::string &name,
                         const std::vector<std::string> &allowed) {
  Diag &diag = diagnostics.error(
      place, std::string("unknown ") + what + " " + quoted(name) +
                 ", expected one of " + quotedList(allowed));
  if (auto nearest = suggest(name, allowed))
    diag.hint("did you mean " + quoted(*nearest) + "?");
}

void LoraReader::readTarget(const std::string &name) {
  if (std::find(targetNames.begin(), targetNames.end(), name) ==
      targetNames.end())
    return unknown("target", name, targetNames);
  auto &targets = lora.targets;
  if (std::find(targets.begin(), targets.end(), name) == targets.end())
    targets.push_back(name);
}

void LoraReader::readNumber(const std::string &key, const std::string &text) {
  Diagnostics ignored;
  json::Value value =
      json::parse(text, "--lora", ignored).value_or(json::Value(text, place));
  value.setPlace(place);
  if (key == "rank")
    lora.rank = json::toInteger(value, quoted(key), diagnostics, {1, 1 << 20})
                    .value_or(1);
  else if (key == "alpha")
    lora.alpha =
        json::toNumber(value, quoted(key), diagnostics, json::positiveNumber);
  else
    lora.dropout =
        json::toNumber(value, quoted(key), diagnostics, {0, 0.99}).value_or(0);
}

void LoraReader::read(const std::string &part) {
  size_t equals = part.find('=');
  if (equals == std::string::npos && inTargets)
    return readTarget(part);
  std::string key = part.substr(0, equals);
  if (equals == std::string::npos ||
      std::find(keyNames.begin(), keyNames.end(), key) == keyNames.end())
    return unknown("key", key, keyNames);
  inTargets = key == "targets";
  if (!inTargets)
    return readNumber(key, part.substr(equals + 1));
  lora.targets.clear();
  readTarget(part.substr(equals + 1));
}

std::optional<Lora> whale::parseLora(std::string_view text,
                                     Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  LoraReader reader(diagnostics);
  for (size_t start = 0; start <= text.size() && !text.empty();) {
    size_t end = std::min(text.find(',', start), text.size());
    reader.read(std::string(text.substr(start, end - start)));
    start = end + 1;
  }
  if (diagnostics.errorCount() != before)
    return std::nullopt;
  return reader.lora;
}
