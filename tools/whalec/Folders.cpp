//===- Folders.cpp - folders that appear whole ----------------------------===//

#include "tools/whalec/Folders.h"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

using namespace whale;
using namespace whale::cli;
namespace fs = std::filesystem;

/// Whether something may take the place of what is at `path`.
static bool isReplaceable(const std::string &path, Diagnostics &diagnostics) {
  std::error_code error;
  if (!fs::exists(path, error))
    return true;
  if (!fs::is_directory(path, error)) {
    diagnostics.error(Place(path), "is not a folder");
    return false;
  }
  if (fs::is_empty(path, error) || fs::exists(path + "/manifest.json", error))
    return true;
  diagnostics.error(Place(path), "folder holds something else than programs")
      .hint("name a new folder, or an old one of programs to replace");
  return false;
}

FolderReplacement::FolderReplacement(std::string path, Diagnostics &diagnostics)
    : target(std::move(path)), diagnostics(diagnostics) {
  while (target.size() > 1 && target.back() == '/')
    target.pop_back();
  beside = fmt::format("{}.{}.tmp", target, ::getpid());
  isGood = isReplaceable(target, diagnostics);
}

FolderReplacement::~FolderReplacement() {
  std::error_code ignored;
  if (isGood)
    fs::remove_all(beside, ignored);
}

bool FolderReplacement::commit() {
  std::error_code error, ignored;
  std::string old = beside + ".old";
  bool hadOne = fs::exists(target, ignored);
  if (hadOne)
    fs::rename(target, old, error);
  if (!error)
    fs::rename(beside, target, error);
  if (!error) {
    fs::remove_all(old, ignored);
    return true;
  }
  if (hadOne && !fs::exists(target, ignored))
    fs::rename(old, target, ignored);
  diagnostics.error(Place(target), "cannot write: " + error.message());
  return false;
}

TemporaryFolder::TemporaryFolder(Diagnostics &diagnostics) {
  std::error_code error;
  std::string pattern =
      (fs::temp_directory_path(error) / "whalec-XXXXXX").string();
  if (!error && ::mkdtemp(pattern.data()))
    folder = pattern;
  else
    diagnostics.error(Place(pattern), "cannot make a temporary folder");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (good())
    fs::remove_all(folder, ignored);
}
