//===- Repeats.cpp - repetitions in a sequence of tokens ------------------===//
//
// Problem: all maximal repetitions of a sequence of n tokens.
// Guarantee: exact up to collisions of a 61-bit hash, which could only add or
// lengthen a repetition; callers compare what they take.
// Complexity: O(n log n) pairs, each by binary search: O(n log^2 n).
// Source: a repetition of period p covers two neighbouring multiples of p;
// comparing outwards from each such pair finds it (the idea of Main and Lorentz
// 1984). The pairs are n/1 + n/2 + ... = O(n log n).
//
//===----------------------------------------------------------------------===//

#include "passes/fold/Repeats.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>

using namespace whale::fold;

namespace {
/// Prefix hashes: polynomials over the integers modulo 2^61 - 1.
class PrefixHashes {
public:
  explicit PrefixHashes(llvm::ArrayRef<unsigned> tokens)
      : hashes(tokens.size() + 1), powers(tokens.size() + 1, 1) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      hashes[i + 1] = (multiply(hashes[i], base) + tokens[i] + 1) % modulus;
      powers[i + 1] = multiply(powers[i], base);
    }
  }

  /// Whether [a, a + length) and [b, b + length) have equal hashes.
  bool equal(size_t a, size_t b, size_t length) const {
    return range(a, length) == range(b, length);
  }

private:
  static constexpr uint64_t modulus = (1ull << 61) - 1;
  // Any large number does; this is the golden ratio's, cut to 60 bits.
  static constexpr uint64_t base = 0x9e3779b97f4a7c1ull;

  static uint64_t multiply(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b %
                                 modulus);
  }
  uint64_t range(size_t begin, size_t length) const {
    uint64_t before = multiply(hashes[begin], powers[length]);
    return (hashes[begin + length] + modulus - before) % modulus;
  }

  std::vector<uint64_t> hashes, powers;
};

class Finder {
public:
  explicit Finder(llvm::ArrayRef<unsigned> tokens)
      : tokens(tokens), hashes(tokens) {}

  std::vector<Repeat> run() {
    for (size_t period = 1; 2 * period <= tokens.size(); ++period)
      scan(period);
    std::sort(found.begin(), found.end(), savesMore);
    return found;
  }

private:
  void scan(size_t period) {
    size_t lastEnd = 0;
    for (size_t i = 0; i + period < tokens.size();) {
      size_t j = i + period;
      size_t begin = i - before(i, j), end = j + after(i, j);
      // One end belongs to one repetition; neighbouring pairs find it again.
      if (end - begin >= 2 * period && end != lastEnd)
        add({begin, lastEnd = end, period});
      // The next pair that can belong to another repetition.
      i = std::max(j, end - end % period - period);
    }
  }

  void add(const Repeat &repeat) {
    size_t &count = perInterval[{repeat.begin, repeat.end}];
    if (count++ < periodsPerInterval)
      found.push_back(repeat);
  }

  /// Length of the longest equal stretches that start at i and j > i.
  size_t after(size_t i, size_t j) const {
    if (tokens[i] != tokens[j])
      return 0;
    return longest(tokens.size() - j,
                   [&](size_t length) { return hashes.equal(i, j, length); });
  }
  /// ... that end before i and j.
  size_t before(size_t i, size_t j) const {
    if (i == 0 || tokens[i - 1] != tokens[j - 1])
      return 0;
    return longest(i, [&](size_t length) {
      return hashes.equal(i - length, j - length, length);
    });
  }
  /// The largest length up to `limit` that holds; 0 always does.
  template <typename Holds>
  static size_t longest(size_t limit, const Holds &holds) {
    size_t low = 0;
    while (low < limit) {
      size_t middle = low + (limit - low + 1) / 2;
      if (holds(middle))
        low = middle;
      else
        limit = middle - 1;
    }
    return low;
  }

  llvm::ArrayRef<unsigned> tokens;
  PrefixHashes hashes;
  std::map<std::pair<size_t, size_t>, size_t> perInterval;
  std::vector<Repeat> found;
};
} // namespace

bool whale::fold::savesMore(const Repeat &a, const Repeat &b) {
  return std::make_tuple(b.saved(), a.begin, a.period) <
         std::make_tuple(a.saved(), b.begin, b.period);
}

std::vector<Repeat> whale::fold::findRepeats(llvm::ArrayRef<unsigned> tokens) {
  return Finder(tokens).run();
}
