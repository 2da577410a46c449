//===- PathPattern.cpp ----------------------------------------------------===//

#include "compiler/support/PathPattern.h"
#include <charconv>
#include <fmt/format.h>

using namespace whale;

static bool isDigit(char c) { return c >= '0' && c <= '9'; }

/// Length of the run of digits at `at`.
static size_t digitsAt(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && isDigit(text[end]))
    ++end;
  return end - at;
}

static std::optional<uint64_t> toNumber(std::string_view digits) {
  uint64_t number = 0;
  auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc())
    return std::nullopt;
  return number;
}

static std::vector<std::string_view> splitSegments(std::string_view text) {
  std::vector<std::string_view> segments;
  while (true) {
    size_t slash = text.find('/');
    segments.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos)
      return segments;
    text.remove_prefix(slash + 1);
  }
}

std::optional<PathPattern::Segment>
PathPattern::parseSegment(std::string_view text, const Place &place,
                          Diagnostics &diags) {
  Segment pieces;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '*') {
      if (text.substr(at, 2) == "**") {
        diags.error(place, fmt::format("'**' must be a whole segment, found "
                                       "'{}'",
                                       text));
        return std::nullopt;
      }
      pieces.push_back({Piece::Kind::Star, "", 0, 0});
      ++at;
      continue;
    }
    size_t digits = digitsAt(text, at);
    size_t upper = digits ? at + digits + 2 : at;
    if (digits && text.substr(at + digits, 2) == ".." &&
        digitsAt(text, upper)) {
      size_t upperDigits = digitsAt(text, upper);
      auto low = toNumber(text.substr(at, digits));
      auto high = toNumber(text.substr(upper, upperDigits));
      std::string_view range = text.substr(at, upper + upperDigits - at);
      if (!low || !high || *low > *high) {
        diags.error(place, fmt::format("range '{}' is {}", range,
                                       low && high ? "empty" : "too large"));
        return std::nullopt;
      }
      pieces.push_back({Piece::Kind::Range, "", *low, *high});
      at = upper + upperDigits;
      continue;
    }
    size_t taken = digits ? digits : 1;
    if (pieces.empty() || pieces.back().kind != Piece::Kind::Literal)
      pieces.push_back({});
    pieces.back().literal += text.substr(at, taken);
    at += taken;
  }
  return pieces;
}

std::optional<PathPattern> PathPattern::parse(std::string_view text,
                                              Place place, Diagnostics &diags) {
  PathPattern pattern;
  pattern.source = text;
  for (std::string_view segment : splitSegments(text)) {
    if (segment.empty()) {
      diags.error(place, fmt::format("empty segment in pattern '{}'", text));
      return std::nullopt;
    }
    if (segment == "**") {
      pattern.segments.emplace_back();
      continue;
    }
    auto pieces = parseSegment(segment, place, diags);
    if (!pieces)
      return std::nullopt;
    pattern.segments.push_back(std::move(*pieces));
  }
  return pattern;
}

/// Marks in `to` every position that the piece can end at when it begins at a
/// position marked in `from`.
void PathPattern::matchPiece(const Piece &piece, std::string_view text,
                             const std::vector<bool> &from,
                             std::vector<bool> &to) {
  bool reached = false;
  for (size_t at = 0; at <= text.size(); ++at) {
    switch (piece.kind) {
    case Piece::Kind::Star:
      reached = reached || from[at];
      to[at] = reached;
      break;
    case Piece::Kind::Literal:
      if (from[at] && text.substr(at, piece.literal.size()) == piece.literal)
        to[at + piece.literal.size()] = true;
      break;
    case Piece::Kind::Range: {
      // A number is a whole run of digits, so that 1..3 is not found in "12".
      if (!from[at] || (at > 0 && isDigit(text[at - 1])))
        break;
      std::string_view digits = text.substr(at, digitsAt(text, at));
      bool plain = digits.size() == 1 || (!digits.empty() && digits[0] != '0');
      auto number = plain ? toNumber(digits) : std::nullopt;
      if (number && piece.low <= *number && *number <= piece.high)
        to[at + digits.size()] = true;
      break;
    }
    }
  }
}

bool PathPattern::matchSegment(const Segment &segment, std::string_view text) {
  std::vector<bool> from(text.size() + 1), to;
  from[0] = true;
  for (const Piece &piece : segment) {
    to.assign(text.size() + 1, false);
    matchPiece(piece, text, from, to);
    from.swap(to);
  }
  return from[text.size()];
}

bool PathPattern::match(std::string_view path, bool acceptAncestor) const {
  // reached[i]: the pattern's first i segments match the path so far.
  std::vector<bool> reached(segments.size() + 1), next;
  auto skipDoubleStars = [&](std::vector<bool> &states) {
    for (size_t i = 0; i < segments.size(); ++i)
      if (states[i] && segments[i].empty())
        states[i + 1] = true;
  };
  reached[0] = true;
  skipDoubleStars(reached);
  for (std::string_view text : splitSegments(path)) {
    next.assign(segments.size() + 1, false);
    for (size_t i = 0; i < segments.size(); ++i) {
      if (!reached[i])
        continue;
      if (segments[i].empty())
        next[i] = true;
      else if (matchSegment(segments[i], text))
        next[i + 1] = true;
    }
    skipDoubleStars(next);
    reached.swap(next);
    if (acceptAncestor && reached[segments.size()])
      return true;
  }
  return reached[segments.size()];
}

bool PathPattern::matches(std::string_view path) const {
  return match(path, false);
}

bool PathPattern::covers(std::string_view path) const {
  return match(path, true);
}
