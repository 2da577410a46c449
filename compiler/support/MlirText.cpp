//===- MlirText.cpp - a look at MLIR text before it is parsed -------------===//

#include "compiler/support/MlirText.h"

#include "compiler/support/CheckedMath.h"
#include "compiler/support/Text.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace whale;

namespace {

/// What using an alias means.
struct AliasSize {
  size_t tokens = 0;
  unsigned depth = 0;
};

struct Bracket {
  char opener;
  size_t position;
};

class Scanner {
public:
  Scanner(std::string_view text, std::string_view file,
          Diagnostics &diagnostics, const MlirTextLimits &limits)
      : text(text), file(file), diagnostics(diagnostics), limits(limits) {}

  bool run();

private:
  bool scanToken();
  /// Blanks and comments; true if a line ended.
  bool skipBlanks();
  bool skipString();
  bool open(char opener);
  bool close(char closer);
  bool scanWord();
  bool scanAlias(char sigil);
  bool checkTensor(size_t position);

  void beginAlias(std::string name);
  void endAlias();
  bool useAlias(const std::string &name, size_t position);
  /// Counts one token, or what an alias stands for.
  bool count(AliasSize size, size_t position);

  char peek(size_t ahead = 0) const {
    return at + ahead < text.size() ? text[at + ahead] : '\0';
  }
  std::string_view word(size_t begin);
  Diag &error(size_t position, std::string message);

  std::string_view text;
  std::string_view file;
  Diagnostics &diagnostics;
  const MlirTextLimits &limits;
  size_t at = 0;
  std::vector<Bracket> brackets;
  std::map<std::string, AliasSize, std::less<>> aliases;
  /// The alias that is being defined. It ends where a line outside of all
  /// brackets begins with another alias or an op.
  std::optional<std::string> defining;
  AliasSize defined;
};

} // namespace

static bool isWordStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool isDigit(char c) { return c >= '0' && c <= '9'; }
static bool isWordPart(char c) {
  return isWordStart(c) || isDigit(c) || c == '.' || c == '$';
}

/// The place of a byte; linear, so only for messages.
static Place placeOf(std::string_view text, std::string_view file,
                     size_t position) {
  std::string_view before = text.substr(0, position);
  size_t line = 1 + std::count(before.begin(), before.end(), '\n');
  size_t lineStart = before.rfind('\n');
  size_t column = position - (lineStart == before.npos ? 0 : lineStart + 1) + 1;
  return Place(file, unsigned(line), unsigned(column));
}

Diag &Scanner::error(size_t position, std::string message) {
  return diagnostics.error(placeOf(text, file, position), std::move(message));
}

std::string_view Scanner::word(size_t begin) {
  while (at < text.size() && isWordPart(text[at]))
    ++at;
  return text.substr(begin, at - begin);
}

bool Scanner::skipBlanks() {
  bool lineEnded = false;
  while (at < text.size()) {
    char c = text[at];
    if (c == '/' && peek(1) == '/') {
      at = std::min(text.find('\n', at), text.size());
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      lineEnded = lineEnded || c == '\n';
      ++at;
    } else {
      break;
    }
  }
  return lineEnded;
}

bool Scanner::skipString() {
  size_t begin = at++;
  while (at < text.size() && text[at] != '\n') {
    if (text[at] == '"') {
      ++at;
      return true;
    }
    at += text[at] == '\\' ? 2 : 1;
  }
  error(begin, "string has no closing '\"' on its line");
  return false;
}

bool Scanner::open(char opener) {
  if (brackets.size() >= limits.depth) {
    error(at, fmt::format("brackets are nested deeper than {} levels",
                          limits.depth));
    return false;
  }
  brackets.push_back({opener, at++});
  defined.depth = std::max(defined.depth, unsigned(brackets.size()));
  return true;
}

bool Scanner::close(char closer) {
  char opener = closer == ')'   ? '('
                : closer == ']' ? '['
                : closer == '}' ? '{'
                                : '<';
  if (brackets.empty() || brackets.back().opener != opener) {
    Diag &diag = error(at, fmt::format("'{}' closes nothing", closer));
    if (!brackets.empty())
      diag.note(placeOf(text, file, brackets.back().position),
                fmt::format("'{}' is open here", brackets.back().opener));
    return false;
  }
  brackets.pop_back();
  ++at;
  return true;
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

/// `tensor<4x8xf32>`: the extents' product. Stands behind the word.
bool Scanner::checkTensor(size_t position) {
  size_t resume = at;
  skipBlanks();
  int64_t elements = 1;
  bool fits = true;
  if (peek() == '<') {
    ++at;
    skipBlanks();
    while (isDigit(peek())) {
      int64_t extent = 0;
      for (; isDigit(peek()); ++at)
        extent = saturatingAdd(saturatingMultiply(extent, int64_t(10)),
                               int64_t(peek() - '0'));
      skipBlanks();
      if (peek() != 'x')
        break;
      ++at;
      skipBlanks();
      elements = saturatingMultiply(elements, std::max(extent, int64_t(1)));
      fits = fits && elements <= maxTensorElements;
    }
  }
  at = resume;
  if (!fits)
    error(position, "tensor has more than 2^48 elements");
  return fits;
}

bool Scanner::scanWord() {
  size_t begin = at;
  std::string_view name = word(begin);
  if (name == "affine_map" || name == "affine_set") {
    error(begin, fmt::format("{} is not part of a model", quoted(name)));
    return false;
  }
  if (name == "tensor" || name == "vector" || name == "memref")
    return checkTensor(begin);
  return true;
}

//===----------------------------------------------------------------------===//
// Aliases: `#a = [...]`, `!t = ...`; a few lines can stand for 2^1000 tokens
//===----------------------------------------------------------------------===//

void Scanner::beginAlias(std::string name) {
  defining = std::move(name);
  defined = {};
}

void Scanner::endAlias() {
  if (defining)
    aliases[*defining] = defined;
  defining.reset();
}

bool Scanner::count(AliasSize size, size_t position) {
  unsigned depth = unsigned(brackets.size()) + size.depth;
  if (depth > limits.depth) {
    error(position, fmt::format("brackets are nested deeper than {} levels",
                                limits.depth))
        .hint("aliases count with what they stand for");
    return false;
  }
  defined.depth = std::max(defined.depth, depth);
  defined.tokens = saturatingAdd(defined.tokens, size.tokens);
  if (defining && defined.tokens > limits.aliasTokens) {
    error(position, fmt::format("alias stands for more than {} tokens",
                                limits.aliasTokens));
    return false;
  }
  return true;
}

bool Scanner::useAlias(const std::string &name, size_t position) {
  auto known = aliases.find(name);
  return count(known == aliases.end() ? AliasSize{1, 0} : known->second,
               position);
}

bool Scanner::scanAlias(char sigil) {
  size_t begin = at++;
  std::string name(1, sigil);
  name += word(at);
  skipBlanks();
  bool isDefinition = brackets.empty() && peek() == '=' && peek(1) != '=';
  if (!isDefinition)
    return useAlias(name, begin);
  endAlias();
  beginAlias(std::move(name));
  ++at;
  return true;
}

//===----------------------------------------------------------------------===//
// The scan
//===----------------------------------------------------------------------===//

bool Scanner::scanToken() {
  char c = text[at];
  if (c == '#' || c == '!')
    return scanAlias(c);
  if (defining && !count({1, 0}, at))
    return false;
  if (c == '"')
    return skipString();
  if (c == '{' && peek(1) == '-' && peek(2) == '#') {
    error(at, "embedded resources are not part of a model");
    return false;
  }
  if (c == '(' || c == '[' || c == '{' || c == '<')
    return open(c);
  if (c == '-' && peek(1) == '>') {
    at += 2;
    return true;
  }
  if (c == ')' || c == ']' || c == '}' || c == '>')
    return close(c);
  if (isWordStart(c))
    return scanWord();
  if (c == '%' || c == '@' || c == '^' || isDigit(c)) {
    ++at;
    word(at);
    return true;
  }
  ++at;
  return true;
}

bool Scanner::run() {
  skipBlanks();
  while (at < text.size()) {
    if (!scanToken())
      return false;
    bool lineEnded = skipBlanks();
    char next = peek();
    bool begins = isWordStart(next) || next == '"' || next == '%' ||
                  next == '#' || next == '!';
    if (lineEnded && begins && brackets.empty() && defined.tokens)
      endAlias();
  }
  if (brackets.empty())
    return true;
  error(brackets.back().position,
        fmt::format("'{}' is never closed", brackets.back().opener));
  return false;
}

static bool checkBytes(std::string_view text, std::string_view file,
                       Diagnostics &diagnostics, const MlirTextLimits &limits) {
  if (text.size() > limits.bytes) {
    diagnostics.error(Place(file),
                      fmt::format("file is longer than the limit of {}",
                                  formatBytes(Bytes(int64_t(limits.bytes)))));
    return false;
  }
  if (text.starts_with("ML\xefR")) {
    diagnostics.error(Place(file), "MLIR bytecode is not read, give text");
    return false;
  }
  size_t zero = text.find('\0');
  if (zero != text.npos) {
    diagnostics.error(placeOf(text, file, zero), "file has a zero byte");
    return false;
  }
  if (!isUtf8(text)) {
    diagnostics.error(Place(file), "file is not UTF-8 text");
    return false;
  }
  return true;
}

bool whale::checkMlirText(std::string_view text, std::string_view file,
                          Diagnostics &diagnostics,
                          const MlirTextLimits &limits) {
  return checkBytes(text, file, diagnostics, limits) &&
         Scanner(text, file, diagnostics, limits).run();
}
