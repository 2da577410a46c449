//===- WritePrograms.cpp - the programs/ folder ---------------------------===//

#include "passes/lower/Lower.h"

#include "runtime/format/Sha256.h"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

using namespace whale;
using namespace whale::lower;
namespace fs = std::filesystem;

partition::RankTable lower::singleRank(int64_t samples) {
  partition::RankTable table;
  table.roles = 1;
  table.ranks.emplace_back();
  table.ranks.back().samples = samples;
  return table;
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

namespace {
struct OutputFile {
  std::string path; ///< relative
  std::string bytes;
};
} // namespace

static std::string roleFile(const LoweredRole &role) {
  return role.program.role + format::programExtension;
}

static std::string libraryFile(const LoweredProgramSet &set,
                               const KernelBinary &binary) {
  return "kernels/" + set.libraryId + "." + binary.target + ".so";
}

static std::vector<OutputFile> filesOf(const LoweredProgramSet &set,
                                       const ManifestData &data) {
  std::vector<OutputFile> files;
  for (const LoweredRole &role : set.roles) {
    std::vector<uint8_t> bytes = format::packProgram(role.program);
    files.push_back({roleFile(role), std::string(bytes.begin(), bytes.end())});
  }
  for (const KernelBinary &binary : set.libraries)
    files.push_back({libraryFile(set, binary), binary.bytes});
  for (const auto &[name, bytes] : data.files)
    files.push_back({name, bytes});
  return files;
}

static std::string writeError(const std::string &path) {
  return "cannot write '" + path +
         "': " + std::generic_category().message(errno);
}

/// Writes beside and renames, with the bytes on disk before the rename.
static format::Status writeWhole(const fs::path &path,
                                 const std::string &bytes) {
  std::error_code code;
  fs::create_directories(path.parent_path(), code);
  std::string temporary = path.string() + ".part";
  int file =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0)
    return format::badInput(writeError(path.string()));
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t count = ::write(file, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      break;
    done += count;
  }
  bool good = done == bytes.size() && ::fsync(file) == 0;
  good = ::close(file) == 0 && good;
  if (good && std::rename(temporary.c_str(), path.c_str()) == 0)
    return {};
  std::string message = writeError(path.string());
  ::unlink(temporary.c_str());
  return format::badInput(message);
}

//===----------------------------------------------------------------------===//
// Manifest
//===----------------------------------------------------------------------===//

/// Index of a communicator with these members; added where it is new.
static uint32_t communicatorOf(format::Manifest &manifest,
                               std::map<std::vector<uint32_t>, uint32_t> &known,
                               const std::vector<uint32_t> &members) {
  auto [it, inserted] =
      known.try_emplace(members, manifest.communicators.size());
  if (inserted)
    manifest.communicators.push_back(members);
  return it->second;
}

static void addRanks(format::Manifest &manifest, const LoweredProgramSet &set,
                     const partition::RankTable &ranks,
                     const ManifestData &data) {
  std::map<std::vector<uint32_t>, uint32_t> known;
  for (size_t index = 0; index < ranks.ranks.size(); ++index) {
    const partition::RankRow &row = ranks.ranks[index];
    format::RankInfo info;
    info.role = set.roles.at(row.role).program.role;
    info.device = index < data.devices.size() ? data.devices[index]
                                              : "cpu:" + std::to_string(index);
    for (const auto &[axis, value] : row.coordinates)
      info.coordinates[axis] = value;
    info.firstSample = row.firstSample;
    info.samples = row.samples;
    info.scalars = row.scalars;
    info.peers = row.peers;
    for (const auto &members : row.groups)
      info.groups.push_back(communicatorOf(manifest, known, members));
    manifest.ranks.push_back(std::move(info));
  }
}

format::Manifest lower::makeManifest(const LoweredProgramSet &set,
                                     const partition::RankTable &ranks,
                                     const ManifestData &data) {
  format::Manifest manifest;
  manifest.model = data.model;
  manifest.modelHash = data.modelHash;
  manifest.planHash = data.planHash;
  manifest.seed = data.seed;
  manifest.globalBatch = data.globalBatch;
  manifest.isCanonical = data.isCanonical;
  manifest.predicted = data.predicted;
  for (const OutputFile &file : filesOf(set, data))
    manifest.files.push_back(
        {file.path, file.bytes.size(), format::sha256Hex(file.bytes)});
  for (const LoweredRole &role : set.roles)
    manifest.roles.push_back({role.program.role, roleFile(role)});
  if (!set.libraries.empty()) {
    format::LibraryInfo library;
    library.id = set.libraryId;
    for (const KernelBinary &binary : set.libraries)
      library.variants.push_back({binary.target, libraryFile(set, binary)});
    manifest.libraries.push_back(std::move(library));
  }
  addRanks(manifest, set, ranks, data);
  return manifest;
}

format::Status lower::writePrograms(const std::string &folder,
                                    const LoweredProgramSet &set,
                                    const partition::RankTable &ranks,
                                    const ManifestData &data) {
  for (const OutputFile &file : filesOf(set, data))
    if (format::Status status =
            writeWhole(fs::path(folder) / file.path, file.bytes);
        status.failed())
      return status;
  return writeWhole(fs::path(folder) / format::manifestName,
                    format::writeManifest(makeManifest(set, ranks, data)));
}
