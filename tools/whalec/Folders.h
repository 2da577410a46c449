//===- Folders.h - folders that appear whole --------------------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_FOLDERS_H
#define WHALE_TOOLS_WHALEC_FOLDERS_H

#include "compiler/support/Diagnostics.h"

#include <string>

namespace whale::cli {

/// A folder that is written beside its place and renamed. What stands there is
/// replaced if it is a programs/ folder (it has a manifest.json) or empty;
/// anything else is an error.
class FolderReplacement {
public:
  FolderReplacement(std::string target, Diagnostics &diagnostics);
  FolderReplacement(const FolderReplacement &) = delete;
  FolderReplacement &operator=(const FolderReplacement &) = delete;
  /// Removes what was not committed.
  ~FolderReplacement();

  bool good() const { return isGood; }
  /// Where to write; not there yet.
  const std::string &path() const { return beside; }
  /// Puts it in its place. False after an error.
  bool commit();

private:
  std::string target, beside;
  Diagnostics &diagnostics;
  bool isGood = false;
};

/// A folder for the time of a scope, below the system's.
class TemporaryFolder {
public:
  explicit TemporaryFolder(Diagnostics &diagnostics);
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;
  ~TemporaryFolder();

  bool good() const { return !folder.empty(); }
  std::string operator/(const std::string &name) const {
    return folder + "/" + name;
  }

private:
  std::string folder;
};

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_FOLDERS_H
