//===- ProgramsFolder.h - reading what compile wrote ------------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_PROGRAMSFOLDER_H
#define WHALE_TOOLS_WHALEC_PROGRAMSFOLDER_H

#include "compiler/support/Diagnostics.h"
#include "runtime/format/Manifest.h"

#include <optional>
#include <string>

namespace whale::cli {

/// Whether `path` is a folder.
bool isFolder(const std::string &path);

/// manifest.json of a programs/ folder.
std::optional<format::Manifest> readManifestOf(const std::string &folder,
                                               Diagnostics &diagnostics);

/// One container, well formed by all rules that need no rank.
std::optional<format::ProgramT> readContainer(const std::string &path,
                                              Diagnostics &diagnostics);

/// A file of the folder, as the manifest's hash says it must be.
std::optional<std::string> readListedFile(const std::string &folder,
                                          const format::Manifest &manifest,
                                          const std::string &name,
                                          Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_PROGRAMSFOLDER_H
