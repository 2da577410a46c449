//===- Chain.cpp - equal blocks that follow one another -------------------===//

#include "passes/fold/Chain.h"

#include <algorithm>
#include <tuple>

using namespace mlir;
using namespace whale;
using namespace whale::fold;

namespace {
class Matcher {
public:
  Matcher(const Sequence &sequence, size_t begin, size_t period)
      : sequence(sequence) {
    chain.begin = begin;
    chain.period = period;
  }

  std::optional<Chain> run(size_t end);

private:
  size_t at(size_t block, size_t op) const {
    return chain.begin + block * chain.period + op;
  }
  bool classify();
  std::optional<Slot> classifySlot(Place place, const Source &first,
                                   const Source &second);
  std::optional<Slot> addCarried(Place place, const Source &first,
                                 const Source &second);
  std::optional<Slot> addCommon(Place place, const Source &source);
  std::optional<Slot> addOwn(unsigned first, unsigned second);
  bool continues(size_t block);
  bool fits(const Slot &slot, size_t block, const Source &first,
            const Source &source);
  bool bindOwn(size_t block, unsigned index, unsigned variable);
  template <typename Visit> bool allResults(size_t block, const Visit &visit);
  bool mayGoOn(size_t block);
  bool mayEnd(size_t block);
  bool hasParameters() const;

  const Sequence &sequence;
  Chain chain;
  std::map<std::pair<unsigned, unsigned>, unsigned> carriedIndex;
  std::map<Source, unsigned> commonIndex;
  /// By block: a variable's index among the block's own.
  std::vector<llvm::DenseMap<unsigned, unsigned>> ownIndex;
};
} // namespace

bool Matcher::bindOwn(size_t block, unsigned index, unsigned variable) {
  const VariableUse &use = sequence.variable(variable);
  if (!use.isFree || use.first < at(block, 0) || use.last >= at(block + 1, 0))
    return false;
  if (chain.own.size() <= block) {
    chain.own.resize(block + 1);
    ownIndex.resize(block + 1);
  }
  // Both ways: one index, one variable.
  auto [it, inserted] = ownIndex[block].try_emplace(variable, index);
  if (!inserted)
    return it->second == index;
  if (chain.own[block].size() != index)
    return false;
  chain.own[block].push_back(variable);
  return true;
}

std::optional<Slot> Matcher::addOwn(unsigned first, unsigned second) {
  if (sequence.variable(first).token != sequence.variable(second).token)
    return std::nullopt;
  unsigned index = chain.own.empty() ? 0 : chain.own[0].size();
  if (!ownIndex.empty())
    if (auto it = ownIndex[0].find(first); it != ownIndex[0].end())
      index = it->second;
  if (!bindOwn(0, index, first) || !bindOwn(1, index, second))
    return std::nullopt;
  return Slot{Slot::Own, index};
}

std::optional<Slot> Matcher::addCarried(Place place, const Source &first,
                                        const Source &second) {
  if (first.kind == Source::Op && first.id >= chain.begin)
    return std::nullopt;
  unsigned op = second.id - chain.begin;
  auto [it, inserted] =
      carriedIndex.try_emplace({op, second.result}, chain.carried.size());
  if (inserted)
    chain.carried.push_back({op, second.result, first, place});
  else if (chain.carried[it->second].initial != first)
    return std::nullopt;
  return Slot{Slot::Carried, it->second};
}

std::optional<Slot> Matcher::addCommon(Place place, const Source &source) {
  auto [it, inserted] = commonIndex.try_emplace(source, chain.common.size());
  if (inserted)
    chain.common.push_back({source, place});
  return Slot{Slot::Common, it->second};
}

std::optional<Slot> Matcher::classifySlot(Place place, const Source &first,
                                          const Source &second) {
  if (second.kind == Source::Op && second.id >= at(1, 0)) {
    Source before{Source::Op, unsigned(second.id - chain.period),
                  second.result};
    if (first != before)
      return std::nullopt;
    return Slot{Slot::Internal, unsigned(first.id - chain.begin), first.result};
  }
  if (second.kind == Source::Op && second.id >= at(0, 0))
    return addCarried(place, first, second);
  if (first.kind == Source::Variable && second.kind == Source::Variable &&
      first != second)
    return addOwn(first.id, second.id);
  if (first != second)
    return std::nullopt;
  if (first.kind == Source::Constant)
    return Slot{Slot::Constant};
  // An assign's variable is no operand, so it cannot come from outside.
  if (place.operand >= sequence.op(at(0, place.op))->getNumOperands())
    return std::nullopt;
  return addCommon(place, first);
}

/// What the operands are, from the first two blocks.
bool Matcher::classify() {
  chain.slots.resize(chain.period);
  for (unsigned op = 0; op < chain.period; ++op) {
    ArrayRef<Source> first = sequence.sources(at(0, op));
    ArrayRef<Source> second = sequence.sources(at(1, op));
    if (sequence.getTokens()[at(0, op)] != sequence.getTokens()[at(1, op)] ||
        first.size() != second.size())
      return false;
    for (unsigned operand = 0; operand < first.size(); ++operand) {
      std::optional<Slot> slot =
          classifySlot({op, operand}, first[operand], second[operand]);
      if (!slot)
        return false;
      chain.slots[op].push_back(*slot);
    }
  }
  return true;
}

bool Matcher::fits(const Slot &slot, size_t block, const Source &first,
                   const Source &source) {
  auto isResult = [&](size_t ofBlock, unsigned op, unsigned result) {
    return source == Source{Source::Op, unsigned(at(ofBlock, op)), result};
  };
  switch (slot.kind) {
  case Slot::Internal:
    return isResult(block, slot.index, slot.result);
  case Slot::Carried:
    return isResult(block - 1, chain.carried[slot.index].op,
                    chain.carried[slot.index].result);
  case Slot::Own:
    return source.kind == Source::Variable &&
           sequence.variable(source.id).token ==
               sequence.variable(first.id).token &&
           bindOwn(block, slot.index, source.id);
  case Slot::Common:
  case Slot::Constant:
    return source == first;
  }
  return false;
}

/// Whether block `block` is as the first two.
bool Matcher::continues(size_t block) {
  for (unsigned op = 0; op < chain.period; ++op) {
    ArrayRef<Source> first = sequence.sources(at(0, op));
    ArrayRef<Source> found = sequence.sources(at(block, op));
    if (sequence.getTokens()[at(0, op)] !=
            sequence.getTokens()[at(block, op)] ||
        first.size() != found.size())
      return false;
    for (unsigned i = 0; i < found.size(); ++i)
      if (!fits(chain.slots[op][i], block, first[i], found[i]))
        return false;
  }
  return true;
}

template <typename Visit>
bool Matcher::allResults(size_t block, const Visit &visit) {
  for (unsigned op = 0; op < chain.period; ++op)
    for (unsigned result = 0;
         result < sequence.op(at(block, op))->getNumResults(); ++result)
      if (!visit(op, result, sequence.lastUser(at(block, op), result)))
        return false;
  return true;
}

/// Whether nothing behind the next block reads this one.
bool Matcher::mayGoOn(size_t block) {
  return allResults(block, [&](unsigned, unsigned, unsigned last) {
    return last < at(block + 2, 0);
  });
}

/// Whether what is read behind this block would be carried on.
bool Matcher::mayEnd(size_t block) {
  return allResults(block, [&](unsigned op, unsigned result, unsigned last) {
    return last < at(block + 1, 0) || carriedIndex.count({op, result});
  });
}

bool Matcher::hasParameters() const {
  return !chain.own.empty() && llvm::any_of(chain.own[0], [&](unsigned number) {
    VariableOp op = sequence.variable(number).op;
    return op.getKind() == VariableKind::parameter;
  });
}

std::optional<Chain> Matcher::run(size_t end) {
  if (at(2, 0) > end || !classify() || !hasParameters())
    return std::nullopt;
  chain.blocks = 2;
  while (at(chain.blocks + 1, 0) <= end && continues(chain.blocks))
    ++chain.blocks;
  for (size_t block = 0; block + 1 < chain.blocks; ++block)
    if (!mayGoOn(block))
      chain.blocks = block + 1;
  while (chain.blocks >= 2 && !mayEnd(chain.blocks - 1))
    --chain.blocks;
  if (chain.blocks < 2)
    return std::nullopt;
  chain.own.resize(chain.blocks);
  return chain;
}

std::optional<Chain> fold::matchChain(const Sequence &sequence, size_t begin,
                                      size_t period, size_t end) {
  return Matcher(sequence, begin, period).run(end);
}

/// Values that cross a cut between two blocks, for each cut in the repetition's
/// second period.
static std::vector<int> countCrossings(const Sequence &sequence,
                                       const Repeat &repeat) {
  size_t low = repeat.begin + repeat.period, high = low + repeat.period;
  std::vector<int> change(repeat.period + 1);
  for (size_t op = repeat.begin; op + 1 < high; ++op)
    for (unsigned i = 0; i < sequence.op(op)->getNumResults(); ++i) {
      size_t last = std::min<size_t>(
          {sequence.lastUser(op, i), op + repeat.period, high - 1});
      size_t first = std::max(op + 1, low);
      if (last < first)
        continue;
      ++change[first - low];
      --change[last + 1 - low];
    }
  for (size_t i = 1; i < change.size(); ++i)
    change[i] += change[i - 1];
  return change;
}

std::vector<size_t> fold::chooseStarts(const Sequence &sequence,
                                       const Repeat &repeat, size_t limit) {
  std::vector<int> crossings = countCrossings(sequence, repeat);
  size_t most = (repeat.end - repeat.begin) / repeat.period;
  std::vector<std::tuple<int, size_t, size_t>> order;
  for (size_t shift = 0; shift < repeat.period; ++shift) {
    size_t start = repeat.begin + shift;
    size_t blocks = (repeat.end - start) / repeat.period;
    if (blocks >= 2 && blocks + 1 >= most)
      order.emplace_back(crossings[shift], most - blocks, start);
  }
  limit = std::min(limit, order.size());
  std::partial_sort(order.begin(), order.begin() + limit, order.end());
  std::vector<size_t> starts;
  for (size_t i = 0; i < limit; ++i)
    starts.push_back(std::get<2>(order[i]));
  return starts;
}
