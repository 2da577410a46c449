//===- JsonParse.cpp - text to json::Value --------------------------------===//
//
// nlohmann's SAX parser checks syntax, UTF-8 and escapes; it is iterative, so
// depth costs it no stack. It does not say where a token begins. Between two
// tokens there is nothing but blanks, ',' and ':', so `TokenCursor` follows on
// its own over the same text.
//
//===----------------------------------------------------------------------===//

#include "compiler/support/Files.h"
#include "compiler/support/Json.h"
#include "compiler/support/Text.h"
#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <map>
#include <nlohmann/json.hpp>

using namespace whale;
using namespace whale::json;

namespace {

/// Line and column while walking forwards over a text.
class TokenCursor {
public:
  explicit TokenCursor(std::string_view text) : text(text) {}

  /// Steps over the next token and remembers it.
  void next() {
    while (at < text.size() && std::string_view(" \t\r\n,:").find(text[at]) !=
                                   std::string_view::npos)
      advance();
    line = atLine;
    column = static_cast<unsigned>(at - lineStart + 1);
    size_t begin = at;
    if (at < text.size())
      skipToken();
    token = text.substr(begin, at - begin);
  }

  unsigned line = 1, column = 1;
  std::string_view token;

private:
  void advance() {
    if (text[at++] == '\n') {
      ++atLine;
      lineStart = at;
    }
  }
  void skipToken() {
    char first = text[at];
    advance();
    if (std::string_view("{}[]").find(first) != std::string_view::npos)
      return;
    if (first != '"') {
      while (at < text.size() &&
             std::string_view(" \t\r\n,:{}[]\"").find(text[at]) ==
                 std::string_view::npos)
        advance();
      return;
    }
    while (at < text.size() && text[at] != '"') {
      if (text[at] == '\\' && at + 1 < text.size())
        advance();
      advance();
    }
    if (at < text.size())
      advance();
  }

  std::string_view text;
  size_t at = 0, lineStart = 0;
  unsigned atLine = 1;
};

/// Builds the tree; stops at the first error.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
public:
  TreeBuilder(std::string_view text, std::string_view file,
              const Limits &limits, Diagnostics &diags)
      : text(text), file(file), limits(limits), diags(diags), cursor(text) {
    // A byte order mark is allowed and no token.
    if (text.substr(0, 3) == "\xEF\xBB\xBF")
      cursor = TokenCursor(text.substr(3));
  }

  Value root;

  bool null() override { return add(Value()); }
  bool boolean(bool flag) override { return add(Value(flag)); }
  bool number_integer(number_integer_t number) override {
    return add(Value(static_cast<int64_t>(number)));
  }
  bool number_unsigned(number_unsigned_t number) override;
  bool number_float(number_float_t, const string_t &) override;
  bool string(string_t &content) override {
    return checkString(content) && add(Value(std::move(content)));
  }
  bool binary(binary_t &) override { return false; }
  bool start_object(std::size_t) override { return open(Value::Object()); }
  bool start_array(std::size_t) override { return open(Value::Array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t &name) override;
  bool parse_error(std::size_t position, const std::string &lastToken,
                   const nlohmann::detail::exception &error) override;

private:
  /// A container that is not closed yet. Containers are completed here and
  /// moved into their parent at the end, so no pointer into the tree is kept.
  struct Frame {
    Value container;
    std::string key;
    Place keyPlace;
    std::map<std::string, Place, std::less<>> keys;
  };

  /// Moves to the next token and gives its place.
  Place nextPlace() {
    cursor.next();
    return file.at(cursor.line, cursor.column);
  }
  bool fail(Place place, std::string message) {
    diags.error(std::move(place), std::move(message));
    return false;
  }
  bool failHere(std::string message) {
    return fail(file.at(cursor.line, cursor.column), std::move(message));
  }
  bool checkString(const std::string &content);
  bool countValue();
  /// Adds a scalar, the next token.
  bool add(Value value);
  /// Adds the token that the cursor stands at.
  bool addHere(Value value);
  void attach(Value value);
  bool open(Value container);
  bool close();

  std::string_view text;
  Place file;
  const Limits &limits;
  Diagnostics &diags;
  TokenCursor cursor;
  std::vector<Frame> frames;
  size_t valueCount = 0;
};

} // namespace

bool TreeBuilder::countValue() {
  if (++valueCount <= limits.values)
    return true;
  return failHere(
      fmt::format("more than {} values", formatCount(int64_t(limits.values))));
}

void TreeBuilder::attach(Value value) {
  if (frames.empty()) {
    root = std::move(value);
    return;
  }
  Frame &frame = frames.back();
  if (frame.container.isArray())
    frame.container.elements().push_back(std::move(value));
  else
    frame.container.members().push_back(
        {std::move(frame.key), frame.keyPlace, std::move(value)});
}

bool TreeBuilder::add(Value value) {
  value.setPlace(nextPlace());
  return addHere(std::move(value));
}

bool TreeBuilder::addHere(Value value) {
  if (!countValue())
    return false;
  attach(std::move(value));
  return true;
}

bool TreeBuilder::number_unsigned(number_unsigned_t number) {
  if (number <= uint64_t(std::numeric_limits<int64_t>::max()))
    return add(Value(static_cast<int64_t>(number)));
  nextPlace();
  return failHere(fmt::format("whole number {} does not fit 64 bits",
                              cursor.token.substr(0, 40)));
}

bool TreeBuilder::number_float(number_float_t, const string_t &) {
  // The parser's own conversion depends on the C locale; the token does not.
  Place place = nextPlace();
  std::string_view token = cursor.token;
  if (token.find_first_of(".eE") == std::string_view::npos)
    return failHere(fmt::format("whole number {} does not fit 64 bits",
                                token.substr(0, 40)));
  double number = 0;
  auto [end, error] =
      std::from_chars(token.data(), token.data() + token.size(), number);
  if (error != std::errc())
    return failHere(fmt::format("number {} is out of the range of a double",
                                token.substr(0, 40)));
  return addHere(Value(number, std::move(place)));
}

bool TreeBuilder::checkString(const std::string &content) {
  if (content.size() <= limits.stringBytes)
    return true;
  nextPlace();
  return failHere(fmt::format("string is longer than {}",
                              formatBytes(Bytes(int64_t(limits.stringBytes)))));
}

bool TreeBuilder::open(Value container) {
  container.setPlace(nextPlace());
  if (frames.size() >= limits.depth)
    return failHere(fmt::format("nested deeper than {} levels", limits.depth));
  if (!countValue())
    return false;
  frames.push_back({std::move(container), {}, {}, {}});
  return true;
}

bool TreeBuilder::close() {
  cursor.next();
  Value container = std::move(frames.back().container);
  frames.pop_back();
  attach(std::move(container));
  return true;
}

bool TreeBuilder::key(string_t &name) {
  if (!checkString(name))
    return false;
  Frame &frame = frames.back();
  frame.keyPlace = nextPlace();
  auto [first, isNew] = frame.keys.try_emplace(name, frame.keyPlace);
  if (!isNew) {
    diags.error(frame.keyPlace, fmt::format("duplicate key '{}'", name))
        .note(first->second, "first given here");
    return false;
  }
  frame.key = std::move(name);
  return true;
}

/// The place of a byte of the text.
static Place placeOf(const Place &file, std::string_view text, size_t offset) {
  std::string_view before = text.substr(0, std::min(offset, text.size()));
  auto line = std::count(before.begin(), before.end(), '\n') + 1;
  size_t newline = before.rfind('\n');
  size_t lineStart = newline == std::string_view::npos ? 0 : newline + 1;
  return file.at(static_cast<unsigned>(line),
                 static_cast<unsigned>(before.size() - lineStart + 1));
}

bool TreeBuilder::parse_error(std::size_t position, const std::string &,
                              const nlohmann::detail::exception &error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax
  // error while parsing value - ...": the last part is for people.
  std::string_view message = error.what();
  // Id 406: a number too large for a double; its token follows the cursor.
  if (error.id == 406) {
    nextPlace();
    return failHere(fmt::format("number {} is out of the range of a double",
                                cursor.token.substr(0, 40)));
  }
  if (size_t at = message.find("column "); at != std::string_view::npos)
    if (size_t colon = message.find(": ", at); colon != std::string_view::npos)
      message.remove_prefix(colon + 2);
  constexpr size_t longest = 300;
  if (message.size() > longest)
    message = message.substr(0, longest);
  return fail(placeOf(file, text, position ? position - 1 : 0),
              std::string(message));
}

std::optional<Value> json::parse(std::string_view text, std::string_view file,
                                 Diagnostics &diags, const Limits &limits) {
  if (text.size() > limits.bytes) {
    diags.error(Place(file),
                fmt::format("JSON text is longer than {}",
                            formatBytes(Bytes(int64_t(limits.bytes)))));
    return std::nullopt;
  }
  TreeBuilder builder(text, file, limits, diags);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return std::nullopt;
  return std::move(builder.root);
}

std::optional<Value> json::parseFile(const std::string &path,
                                     Diagnostics &diags, const Limits &limits) {
  auto text = readFile(path, diags, limits.bytes);
  if (!text)
    return std::nullopt;
  return parse(*text, path, diags, limits);
}
