//===- Loader.h - Reads a programs/ directory -------------------*- C++ -*-===//

#ifndef WHALE_RUNTIME_CORE_LOADER_H
#define WHALE_RUNTIME_CORE_LOADER_H

#include "runtime/format/Check.h"

#include <map>
#include <string>

namespace whale::runtime {

using format::ErrorKind;
using format::Result;
using format::Status;

/// A checked programs/ directory: every hash is right, every program is well
/// formed and fits each rank that runs it.
struct ProgramSet {
  std::string directory;
  format::Manifest manifest;
  std::map<std::string, format::ProgramT> programs; ///< by role

  const format::ProgramT &programOf(uint32_t rank) const {
    return programs.at(manifest.ranks[rank].role);
  }
};

/// Reads and checks; nothing is run or allocated.
Result<ProgramSet> loadPrograms(const std::string &directory);

/// Whole file as bytes.
Result<std::string> readFile(const std::string &path);

/// A box [offsets, offsets + dims) of a tensor of globalDims.
struct Box {
  std::vector<int64_t> globalDims;
  std::vector<int64_t> offsets;
  std::vector<int64_t> dims;

  bool operator==(const Box &) const = default;
  uint64_t elements() const { return *format::elementsOf(dims); }
};

/// The box that a rank holds of a variable.
Box boxOf(const format::VariableT &variable, const format::RankInfo &rank);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_LOADER_H
