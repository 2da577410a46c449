//===- PathPattern.h - naming instances by pattern --------------*- C++ -*-===//
//
// Instance paths are names joined by '/', as "layers.3/moe/experts". A pattern
// is a path in which
//   *       stands for any characters within one segment ("layers.*/attn"),
//   0..11   for the whole numbers from 0 to 11 ("layers.0..11"),
//   **      as a whole segment, for any number of segments, also none.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_PATHPATTERN_H
#define WHALE_SUPPORT_PATHPATTERN_H

#include "compiler/support/Diagnostics.h"
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

/// A parsed pattern. Matching takes O(|pattern| * |path|), whatever the
/// pattern.
class PathPattern {
public:
  /// Reports at `place`: an empty segment, a range that runs backwards or
  /// whose bounds do not fit, '**' inside a segment.
  static std::optional<PathPattern> parse(std::string_view text, Place place,
                                          Diagnostics &diags);

  /// The whole path matches.
  bool matches(std::string_view path) const;
  /// The path or one of its ancestors matches: what a scope over the pattern
  /// holds.
  bool covers(std::string_view path) const;

  /// The text that was parsed.
  const std::string &str() const { return source; }

private:
  struct Piece {
    enum class Kind { Literal, Star, Range } kind = Kind::Literal;
    std::string literal;
    uint64_t low = 0, high = 0;
  };
  /// Pieces of one segment; none for '**'.
  using Segment = std::vector<Piece>;

  static bool matchSegment(const Segment &segment, std::string_view text);
  static void matchPiece(const Piece &piece, std::string_view text,
                         const std::vector<bool> &from, std::vector<bool> &to);
  static std::optional<Segment>
  parseSegment(std::string_view text, const Place &place, Diagnostics &diags);
  bool match(std::string_view path, bool acceptAncestor) const;

  std::string source;
  std::vector<Segment> segments;
};

} // namespace whale

#endif // WHALE_SUPPORT_PATHPATTERN_H
