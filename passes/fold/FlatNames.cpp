//===- FlatNames.cpp - names inside a block from flat names ---------------===//

#include "passes/fold/FlatNames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace whale::fold;

/// The part without its number.
static StringRef stemOf(StringRef part) { return part.rtrim("0123456789"); }

LocalName whale::fold::localName(const std::string &first,
                                 const std::string &second) {
  SmallVector<StringRef> a, b;
  StringRef(first).split(a, '.');
  StringRef(second).split(b, '.');
  size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i])
    ++i;
  bool isNumbered = a.size() == b.size() && i < a.size() &&
                    stemOf(a[i]) == stemOf(b[i]) && stemOf(a[i]) != a[i] &&
                    stemOf(b[i]) != b[i];
  if (!isNumbered)
    return {"", first};
  std::string before = join(ArrayRef(a).take_front(i), ".");
  StringRef stem = stemOf(a[i]);
  if (!stem.empty())
    before += (before.empty() ? "" : ".") + stem.str();
  std::string behind = join(ArrayRef(a).drop_front(i + 1), ".");
  if (behind.empty())
    return {"", before.empty() ? first : before};
  return {before, behind};
}

std::string whale::fold::uniqueName(std::set<std::string> &taken,
                                    const std::string &name) {
  std::string candidate = name;
  for (unsigned i = 1; !taken.insert(candidate).second; ++i)
    candidate = name + "_" + std::to_string(i);
  return candidate;
}

static bool hasStep(const std::set<std::string> &taken,
                    const std::string &name) {
  for (auto it = taken.lower_bound(name + ".");
       it != taken.end() && StringRef(*it).starts_with(name + "."); ++it)
    if (all_of(StringRef(*it).drop_front(name.size() + 1), isDigit))
      return true;
  return false;
}

std::string whale::fold::uniqueChainName(std::set<std::string> &taken,
                                         const std::string &name) {
  std::string candidate = name;
  for (unsigned i = 1;
       hasStep(taken, candidate) || !taken.insert(candidate).second; ++i)
    candidate = name + "_" + std::to_string(i);
  return candidate;
}
