//===- Samples.h - which samples a value depends on -------------*- C++ -*-===//
//
// The verifier's abstraction of a value: a hash that is equal where ranks have
// computed the same thing, and the set of samples of each input that went into
// it. Sets are interned: a handful of sets serves all values of all ranks.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_VERIFIER_SAMPLES_H
#define WHALE_VERIFIER_SAMPLES_H

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace whale::verifier {

/// Samples [first, last) of the input with this key.
struct SampleRange {
  uint32_t key = 0;
  int64_t first = 0;
  int64_t last = 0;

  auto operator<=>(const SampleRange &) const = default;
};

/// Index of an interned set; 0 is the empty one.
using SampleSet = uint32_t;

/// What is known of some bytes.
struct Value {
  uint64_t hash = 0;
  SampleSet samples = 0;
};

/// Order-dependent combination of two hashes (the finaliser of splitmix64,
/// Steele, Lea and Flood, OOPSLA 2014).
uint64_t combine(uint64_t seed, uint64_t value);
uint64_t hashOf(const std::string &text);

/// Interns sets of samples. Union is memoised.
class SampleSets {
public:
  SampleSets();

  /// Key of an input as one op of the model reads it; the op's path keeps
  /// what the loss count reads apart from what the forward pass reads.
  uint32_t keyOf(const std::string &input, const std::string &path);
  const std::string &inputOf(uint32_t key) const { return Keys[key].first; }

  SampleSet single(SampleRange range);
  SampleSet unite(SampleSet a, SampleSet b);
  /// Sorted by key and sample, merged.
  const std::vector<SampleRange> &ranges(SampleSet set) const {
    return *Sets[set];
  }
  /// The first range that is not all of [0, batch), or null: a set that holds
  /// some samples of a key must hold all.
  const SampleRange *incomplete(SampleSet set, int64_t batch) const;

private:
  SampleSet intern(std::vector<SampleRange> ranges);

  std::map<std::pair<std::string, std::string>, uint32_t> KeyIndex;
  std::vector<std::pair<std::string, std::string>> Keys;
  std::map<std::vector<SampleRange>, SampleSet> Index;
  std::vector<const std::vector<SampleRange> *> Sets;
  std::unordered_map<uint64_t, SampleSet> Unions; ///< looked up, never walked
};

} // namespace whale::verifier

#endif // WHALE_VERIFIER_SAMPLES_H
