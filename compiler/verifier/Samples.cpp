//===- Samples.cpp --------------------------------------------------------===//

#include "compiler/verifier/Samples.h"

#include <algorithm>

namespace whale::verifier {

uint64_t combine(uint64_t seed, uint64_t value) {
  uint64_t x = seed * 0x9E3779B97F4A7C15ull + value + 0x632BE59BD9B4E019ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

uint64_t hashOf(const std::string &text) {
  uint64_t hash = text.size();
  for (unsigned char c : text)
    hash = combine(hash, c);
  return hash;
}

SampleSets::SampleSets() { intern({}); }

uint32_t SampleSets::keyOf(const std::string &input, const std::string &path) {
  auto [it, isNew] =
      KeyIndex.try_emplace({input, path}, static_cast<uint32_t>(Keys.size()));
  if (isNew)
    Keys.push_back(it->first);
  return it->second;
}

SampleSet SampleSets::intern(std::vector<SampleRange> ranges) {
  auto [it, isNew] =
      Index.try_emplace(std::move(ranges), static_cast<SampleSet>(Sets.size()));
  if (isNew)
    Sets.push_back(&it->first);
  return it->second;
}

SampleSet SampleSets::single(SampleRange range) {
  return range.first < range.last ? intern({range}) : 0;
}

SampleSet SampleSets::unite(SampleSet a, SampleSet b) {
  if (a == b || b == 0)
    return a;
  if (a == 0)
    return b;
  if (a > b)
    std::swap(a, b);
  auto [memo, isNew] = Unions.try_emplace(uint64_t(a) << 32 | b, 0);
  if (!isNew)
    return memo->second;
  std::vector<SampleRange> all, merged;
  std::merge(Sets[a]->begin(), Sets[a]->end(), Sets[b]->begin(), Sets[b]->end(),
             std::back_inserter(all));
  for (const SampleRange &range : all) {
    if (!merged.empty() && merged.back().key == range.key &&
        range.first <= merged.back().last)
      merged.back().last = std::max(merged.back().last, range.last);
    else
      merged.push_back(range);
  }
  SampleSet result = intern(std::move(merged));
  Unions[uint64_t(a) << 32 | b] = result;
  return result;
}

const SampleRange *SampleSets::incomplete(SampleSet set, int64_t batch) const {
  for (const SampleRange &range : *Sets[set])
    if (range.first != 0 || range.last != batch)
      return &range;
  return nullptr;
}

} // namespace whale::verifier
