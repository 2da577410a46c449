//===- ProgramsFolder.cpp - reading what compile wrote --------------------===//

#include "tools/whalec/ProgramsFolder.h"

#include "compiler/support/Files.h"
#include "compiler/support/Json.h"
#include "compiler/support/Sha256.h"
#include "runtime/format/Check.h"

#include <filesystem>

using namespace whale;
using namespace whale::cli;

bool cli::isFolder(const std::string &path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

static void report(const std::string &path, const format::Status &status,
                   Diagnostics &diagnostics) {
  bool unsupported = status.error().kind == format::ErrorKind::Unsupported;
  diagnostics.error(Place(path), status.error().message,
                    unsupported ? ExitCode::Unsupported : ExitCode::BadInput);
}

std::optional<format::Manifest> cli::readManifestOf(const std::string &folder,
                                                    Diagnostics &diagnostics) {
  std::string path = folder + "/" + format::manifestName;
  auto text = readFile(path, diagnostics, json::Limits().bytes);
  // Our reader first: it knows limits and places.
  if (!text || !json::parse(*text, path, diagnostics))
    return std::nullopt;
  format::Result<format::Manifest> manifest = format::readManifest(*text, path);
  if (manifest.ok())
    return std::move(*manifest);
  report(path, manifest.status(), diagnostics);
  return std::nullopt;
}

std::optional<format::ProgramT> cli::readContainer(const std::string &path,
                                                   Diagnostics &diagnostics) {
  auto bytes = readFile(path, diagnostics, format::maxProgramBytes);
  if (!bytes)
    return std::nullopt;
  format::Result<format::ProgramT> program = format::unpackProgram(
      reinterpret_cast<const uint8_t *>(bytes->data()), bytes->size(), path);
  if (program.failed()) {
    report(path, program.status(), diagnostics);
    return std::nullopt;
  }
  if (format::Status status = format::checkProgram(*program, path);
      status.failed()) {
    report(path, status, diagnostics);
    return std::nullopt;
  }
  return std::move(*program);
}

std::optional<std::string> cli::readListedFile(const std::string &folder,
                                               const format::Manifest &manifest,
                                               const std::string &name,
                                               Diagnostics &diagnostics) {
  std::string path = folder + "/" + name;
  const format::FileInfo *info = manifest.findFile(name);
  if (!info) {
    diagnostics.error(Place(path), "the manifest does not list this file");
    return std::nullopt;
  }
  auto text = readFile(path, diagnostics);
  if (!text)
    return std::nullopt;
  if (text->size() == info->bytes && sha256Hex(*text) == info->sha256)
    return text;
  diagnostics.error(Place(path), "is not the file of the manifest")
      .hint("its SHA-256 differs; compile again");
  return std::nullopt;
}
