//===- Files.h - whole files in and out -------------------------*- C++ -*-===//

#ifndef WHALE_SUPPORT_FILES_H
#define WHALE_SUPPORT_FILES_H

#include "compiler/support/Diagnostics.h"
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace whale {

/// The file's bytes. Errors (missing, a folder, unreadable, longer than
/// `maxBytes`) are reported at the file. Reads pipes too.
std::optional<std::string> readFile(const std::string &path, Diagnostics &diags,
                                    uint64_t maxBytes = uint64_t(1) << 32);

/// Writes beside `path` and renames, so that a reader sees the old file or the
/// whole new one, never a part. The bytes are on disk before the rename. A
/// path that exists and is not a regular file (/dev/stdout, a pipe) is written
/// directly. False after an error, with nothing left behind.
bool writeFile(const std::string &path, std::string_view bytes,
               Diagnostics &diags);

} // namespace whale

#endif // WHALE_SUPPORT_FILES_H
