//===- JsonWriter.cpp -----------------------------------------------------===//

#include "compiler/support/Json.h"
#include "compiler/support/Text.h"
#include <cassert>
#include <cmath>
#include <fmt/format.h>

using namespace whale;
using namespace whale::json;

void Writer::startItem() {
  Level &level = levels.back();
  if (!level.isEmpty)
    out += level.isInline ? ", " : ",";
  level.isEmpty = false;
  if (!level.isInline) {
    out += '\n';
    out.append(levels.size() * 2, ' ');
  }
}

void Writer::beforeValue() {
  if (afterKey) {
    afterKey = false;
    return;
  }
  if (levels.empty()) {
    assert(out.empty() && "one value at the top");
    return;
  }
  assert(levels.back().closer == ']' && "members need a key");
  startItem();
}

void Writer::open(char opener, char closer, Layout layout) {
  beforeValue();
  out += opener;
  bool isInline =
      layout == Layout::Inline || (!levels.empty() && levels.back().isInline);
  levels.push_back({closer, isInline});
}

void Writer::close(char closer) {
  assert(!levels.empty() && levels.back().closer == closer && !afterKey);
  Level level = levels.back();
  levels.pop_back();
  if (!level.isInline && !level.isEmpty) {
    out += '\n';
    out.append(levels.size() * 2, ' ');
  }
  out += closer;
}

Writer &Writer::beginObject(Layout layout) {
  open('{', '}', layout);
  return *this;
}

Writer &Writer::endObject() {
  close('}');
  return *this;
}

Writer &Writer::beginArray(Layout layout) {
  open('[', ']', layout);
  return *this;
}

Writer &Writer::endArray() {
  close(']');
  return *this;
}

void Writer::writeQuoted(std::string_view text) {
  out += '"';
  // Broken UTF-8 must not leave as JSON; its bytes become visible escapes.
  std::string repaired;
  if (!isUtf8(text))
    text = repaired = escapeForTerminal(text);
  for (char c : text) {
    switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
        out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      else
        out += c;
    }
  }
  out += '"';
}

Writer &Writer::key(std::string_view name) {
  assert(!levels.empty() && levels.back().closer == '}' && !afterKey);
  startItem();
  writeQuoted(name);
  out += ": ";
  afterKey = true;
  return *this;
}

Writer &Writer::value(std::string_view text) {
  beforeValue();
  writeQuoted(text);
  return *this;
}

Writer &Writer::value(bool flag) {
  beforeValue();
  out += flag ? "true" : "false";
  return *this;
}

Writer &Writer::value(int64_t number) {
  beforeValue();
  out += fmt::format("{}", number);
  return *this;
}

Writer &Writer::value(size_t number) {
  assert(number <= size_t(std::numeric_limits<int64_t>::max()));
  return value(static_cast<int64_t>(number));
}

Writer &Writer::value(double number) {
  assert(std::isfinite(number) && "JSON has no infinity");
  if (!std::isfinite(number))
    return null();
  beforeValue();
  out += formatDouble(number);
  return *this;
}

Writer &Writer::null() {
  beforeValue();
  out += "null";
  return *this;
}

Writer &Writer::value(const Value &tree) {
  switch (tree.kind()) {
  case Value::Kind::Null:
    return null();
  case Value::Kind::Bool:
    return value(tree.asBool());
  case Value::Kind::Integer:
    return value(tree.asInteger());
  case Value::Kind::Double:
    return value(tree.asNumber());
  case Value::Kind::String:
    return value(tree.asString());
  case Value::Kind::Array:
    beginArray();
    for (const Value &element : tree.elements())
      value(element);
    return endArray();
  case Value::Kind::Object:
    beginObject();
    for (const Member &member : tree.members())
      field(member.key, member.value);
    return endObject();
  }
  return *this;
}

std::string Writer::take() {
  assert(levels.empty() && !afterKey && "all must be closed");
  out += '\n';
  return std::move(out);
}
