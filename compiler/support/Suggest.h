//===- Suggest.h - did you mean ... -----------------------------*- C++ -*-===//

#ifndef WHALE_SUPPORT_SUGGEST_H
#define WHALE_SUPPORT_SUGGEST_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

/// Insertions, deletions, substitutions and swaps of neighbours that turn one
/// text into the other (optimal string alignment). O(|a| * |b|).
size_t editDistance(std::string_view a, std::string_view b);

/// The candidate nearest to `name`, the first among equals; none if even that
/// one differs in more than a third of the longer name (at least 2 edits are
/// allowed), or if `name` has more than 64 characters. Of names of three
/// characters or more the beginning of a candidate may be meant ("h100" is near
/// "h100-sxm-80"), which counts one edit; of equals one with the same first
/// letter comes first, then one that begins as written, then a whole name.
std::optional<std::string> suggest(std::string_view name,
                                   const std::vector<std::string> &candidates);

} // namespace whale

#endif // WHALE_SUPPORT_SUGGEST_H
