//===- Suggest.cpp --------------------------------------------------------===//

#include "compiler/support/Suggest.h"
#include <algorithm>
#include <tuple>

using namespace whale;

size_t whale::editDistance(std::string_view a, std::string_view b) {
  // Three rows of the usual table: a swap looks two rows back.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1),
      row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substitution = last[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

/// More than any distance between names that are looked at.
static constexpr size_t none = 1000;

/// Edits from one to the other, `none` if they are too many for a suggestion.
static size_t allowedDistance(std::string_view name,
                              std::string_view candidate) {
  size_t allowed =
      std::max<size_t>(2, std::max(name.size(), candidate.size()) / 3);
  size_t distance = editDistance(name, candidate);
  // A suggestion that shares nothing with the name is noise.
  return distance > allowed || distance >= std::max(name.size(), size_t(1))
             ? none
             : distance;
}

std::optional<std::string>
whale::suggest(std::string_view name,
               const std::vector<std::string> &candidates) {
  constexpr size_t longestName = 64;
  if (name.empty() || name.size() > longestName)
    return std::nullopt;
  const std::string *best = nullptr;
  // Edits with the rest left off as one, first letters that differ, whether it
  // begins otherwise than written, and whether the rest is left off.
  std::tuple<size_t, bool, bool, bool> least;
  auto consider = [&](const std::string &candidate, std::string_view meant) {
    size_t edits = allowedDistance(name, meant);
    bool leavesOff = meant.size() < candidate.size();
    std::tuple here(edits + leavesOff, name[0] != meant[0],
                    !candidate.starts_with(name), leavesOff);
    if (edits == none || (best && here >= least))
      return;
    best = &candidate;
    least = here;
  };
  for (const std::string &candidate : candidates) {
    if (candidate.empty() || candidate.size() > longestName)
      continue;
    consider(candidate, candidate);
    if (name.size() >= 3 && candidate.size() > name.size())
      consider(candidate, std::string_view(candidate).substr(0, name.size()));
  }
  return best ? std::optional(*best) : std::nullopt;
}
