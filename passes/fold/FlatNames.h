//===- FlatNames.h - names inside a block from flat names -------*- C++ -*-===//

#ifndef WHALE_PASSES_FOLD_FLATNAMES_H
#define WHALE_PASSES_FOLD_FLATNAMES_H

#include <set>
#include <string>

namespace whale::fold {

/// What two flat names of one thing say about its block.
struct LocalName {
  /// Before the number: "layers" of "layers.0.fc.weight"; empty where the
  /// names do not show one.
  std::string chain;
  /// Behind it: "fc.weight". Without anything behind the number, what is
  /// before it: "fc" of "fc.0" and "fc0".
  std::string local;
};

/// Compares the names of one thing in the first two blocks: they differ in a
/// number at the end of one part between dots. Otherwise the first name is
/// kept.
LocalName localName(const std::string &first, const std::string &second);

/// `name`, or `name_<i>` with the smallest i from 1 where it is taken. Adds it.
std::string uniqueName(std::set<std::string> &taken, const std::string &name);

/// As uniqueName, for a chain, which also takes `name.<i>`.
std::string uniqueChainName(std::set<std::string> &taken,
                            const std::string &name);

} // namespace whale::fold

#endif // WHALE_PASSES_FOLD_FLATNAMES_H
