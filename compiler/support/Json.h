//===- Json.h - JSON that knows where it stands -----------------*- C++ -*-===//
//
// Reading: `parse` makes a tree in which every value and key has its place.
// The input may be hostile; see `Limits`. Then `ObjectReader` takes fields out
// by name and type, and complains in the user's terms.
//
// Writing: `Writer`. The same calls give the same bytes everywhere.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_JSON_H
#define WHALE_SUPPORT_JSON_H

#include "compiler/support/Diagnostics.h"
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace whale::json {

struct Member;

/// One JSON value. Whole numbers are int64, all others double.
class Value {
public:
  using Array = std::vector<Value>;
  /// Members in the file's order.
  using Object = std::vector<Member>;
  enum class Kind { Null, Bool, Integer, Double, String, Array, Object };

  Value() = default;
  template <class T>
  Value(T content, Place place = {})
      : content(std::move(content)), where(std::move(place)) {}

  Kind kind() const { return static_cast<Kind>(content.index()); }
  bool isNull() const { return kind() == Kind::Null; }
  bool isBool() const { return kind() == Kind::Bool; }
  bool isInteger() const { return kind() == Kind::Integer; }
  bool isNumber() const { return isInteger() || kind() == Kind::Double; }
  bool isString() const { return kind() == Kind::String; }
  bool isArray() const { return kind() == Kind::Array; }
  bool isObject() const { return kind() == Kind::Object; }

  /// Each requires the kind that it names; `asNumber` takes both numbers.
  bool asBool() const { return std::get<bool>(content); }
  int64_t asInteger() const { return std::get<int64_t>(content); }
  double asNumber() const;
  const std::string &asString() const { return std::get<std::string>(content); }
  const Array &elements() const { return std::get<Array>(content); }
  const Object &members() const { return std::get<Object>(content); }
  Array &elements() { return std::get<Array>(content); }
  Object &members() { return std::get<Object>(content); }

  /// The member of an object; null if it has none of that name. Linear.
  const Value *find(std::string_view key) const;

  const Place &place() const { return where; }
  void setPlace(Place place) { where = std::move(place); }

private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array,
               Object>
      content;
  Place where;
};

struct Member {
  std::string key;
  Place keyPlace;
  Value value;
};

/// "a string", "an object": for messages.
std::string_view kindName(Value::Kind kind);

/// What a file may at most contain; each breach is an error with its place.
struct Limits {
  size_t bytes = size_t(64) << 20;
  unsigned depth = 64;
  size_t values = 1'000'000;
  size_t stringBytes = size_t(1) << 20;
};

/// Parses the one value that `text` holds (RFC 8259, UTF-8, no comments).
/// Refuses also duplicate keys, whole numbers beyond int64 and numbers beyond
/// double. `file` is the name in messages.
std::optional<Value> parse(std::string_view text, std::string_view file,
                           Diagnostics &diags, const Limits &limits = {});

/// Reads and parses a file.
std::optional<Value> parseFile(const std::string &path, Diagnostics &diags,
                               const Limits &limits = {});

//===----------------------------------------------------------------------===//
// Checked conversions: report and give nothing if the value is of another type
// or out of bounds. `what` names the value in the message ("'nodes'").
//===----------------------------------------------------------------------===//

/// Inclusive bounds.
struct IntegerBounds {
  int64_t low = std::numeric_limits<int64_t>::min();
  int64_t high = std::numeric_limits<int64_t>::max();
};
/// For counts and sizes.
constexpr IntegerBounds positive = {1};
constexpr IntegerBounds nonNegative = {0};

struct NumberBounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  /// The lower bound itself is excluded: "> 0".
  bool excludeLow = false;
};
constexpr NumberBounds positiveNumber = {
    0, std::numeric_limits<double>::infinity(), true};
constexpr NumberBounds nonNegativeNumber = {0};

std::optional<int64_t> toInteger(const Value &value, std::string_view what,
                                 Diagnostics &diags, IntegerBounds bounds = {});
std::optional<double> toNumber(const Value &value, std::string_view what,
                               Diagnostics &diags, NumberBounds bounds = {});
std::optional<std::string> toString(const Value &value, std::string_view what,
                                    Diagnostics &diags);
std::optional<bool> toBool(const Value &value, std::string_view what,
                           Diagnostics &diags);
/// The elements; null after an error.
const Value::Array *toArray(const Value &value, std::string_view what,
                            Diagnostics &diags);

/// Takes an object's fields by name. A field that is asked for is thereby
/// allowed; `finish` complains about all others, with a suggestion. Example:
///
///   ObjectReader reader(value, "node", diags);
///   auto type = reader.requiredString("type");
///   auto count = reader.integer("count", positive).value_or(1);
///   if (!reader.finish())
///     return std::nullopt;
class ObjectReader {
public:
  /// `what` names the object in messages: "cluster", "node". If `value` is no
  /// object, that is reported here, every field is empty and finish() false.
  ObjectReader(const Value &value, std::string what, Diagnostics &diags);

  /// The field; null if absent (reported by `required`).
  const Value *optional(std::string_view key);
  const Value *required(std::string_view key);

  /// Empty if absent, or reported as wrong.
  std::optional<int64_t> integer(std::string_view key,
                                 IntegerBounds bounds = {});
  std::optional<double> number(std::string_view key, NumberBounds bounds = {});
  std::optional<std::string> string(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  const Value::Array *array(std::string_view key);

  /// Empty only after a report.
  std::optional<int64_t> requiredInteger(std::string_view key,
                                         IntegerBounds bounds = {});
  std::optional<double> requiredNumber(std::string_view key,
                                       NumberBounds bounds = {});
  std::optional<std::string> requiredString(std::string_view key);
  const Value::Array *requiredArray(std::string_view key);

  /// An error at the object itself.
  Diag &error(std::string message);
  /// Reports unknown keys. True if nothing was reported through this reader.
  bool finish();

  const Place &place() const { return object.place(); }

private:
  const Value *lookUp(std::string_view key);

  const Value &object;
  std::string what;
  Diagnostics &diags;
  size_t errorsBefore;
  std::vector<std::string> allowed;
};

/// Checks `format_version` (an integer, or "major.minor") of a file. Missing,
/// malformed: bad input. Another major than `major`: ExitCode::Unsupported.
bool checkFormatVersion(ObjectReader &reader, std::string_view what,
                        int64_t major, Diagnostics &diags);

/// Makes JSON text: 2 spaces, members in the order written, doubles as the
/// shortest text that reads back equal (always with '.' or exponent, so that
/// they stay doubles). Calls must nest properly (asserted).
class Writer {
public:
  enum class Layout {
    /// One element or member a line.
    Lines,
    /// The whole on one line; everything within too.
    Inline,
  };

  Writer &beginObject(Layout layout = Layout::Lines);
  Writer &endObject();
  Writer &beginArray(Layout layout = Layout::Lines);
  Writer &endArray();
  Writer &key(std::string_view name);

  Writer &value(std::string_view text);
  Writer &value(const char *text) { return value(std::string_view(text)); }
  Writer &value(const std::string &text) {
    return value(std::string_view(text));
  }
  Writer &value(bool flag);
  Writer &value(int64_t number);
  Writer &value(int number) { return value(static_cast<int64_t>(number)); }
  Writer &value(unsigned number) { return value(static_cast<int64_t>(number)); }
  /// Requires a number that fits int64.
  Writer &value(size_t number);
  /// Requires a finite number.
  Writer &value(double number);
  Writer &null();
  Writer &value(const Value &tree);
  /// A whole array on one line.
  template <class T> Writer &value(const std::vector<T> &elements) {
    beginArray(Layout::Inline);
    for (const auto &element : elements)
      value(element);
    return endArray();
  }

  template <class T> Writer &field(std::string_view name, const T &content) {
    key(name);
    return value(content);
  }

  /// The text with a final newline. Requires that all is closed.
  std::string take();

private:
  struct Level {
    char closer;
    bool isInline;
    bool isEmpty = true;
  };
  void beforeValue();
  void open(char opener, char closer, Layout layout);
  void close(char closer);
  void startItem();
  void writeQuoted(std::string_view text);

  std::string out;
  std::vector<Level> levels;
  bool afterKey = false;
};

} // namespace whale::json

#endif // WHALE_SUPPORT_JSON_H
