//===- Manifest.h - manifest.json of a programs/ directory ------*- C++ -*-===//
//
// {
//   "format_version": "1.0",
//   "model": "gpt-tiny", "model_hash": "<sha256>", "plan_hash": "<sha256>",
//   "seed": 0, "global_batch": 8, "canonical": true (absent: false),
//   "files": [{"path": "role0.whalep", "bytes": 123, "sha256": "..."}],
//   "roles": [{"name": "stage0", "file": "role0.whalep"}],
//   "libraries": [{"id": "...", "variants":
//       [{"target": "x86-64-v3", "file": "kernels/....so"}]}],
//   "communicators": [[0, 1], [2, 3]],
//   "ranks": [{"role": "stage0", "device": "cpu:0",
//              "coordinates": {"r0": 0}, "first_sample": 0, "samples": 4,
//              "scalars": [0], "groups": [0], "peers": [1]}],
//   "predicted": { anything, carried and never read here }
// }
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_FORMAT_MANIFEST_H
#define WHALE_RUNTIME_FORMAT_MANIFEST_H

#include "runtime/format/Format.h"

#include <map>
#include <string>
#include <vector>

namespace whale::format {

/// A file of the directory; paths are relative, with no '..'.
struct FileInfo {
  std::string path;
  uint64_t bytes = 0;
  std::string sha256;
};

struct RoleInfo {
  std::string name;
  std::string file; ///< one of files
};

/// One compiled form of a kernel library.
struct LibraryVariant {
  std::string target; ///< "x86-64-v3", "x86-64-v4", "sm_90", "ptx"
  std::string file;   ///< one of files
};

struct LibraryInfo {
  std::string id; ///< what Kernel.library names
  std::vector<LibraryVariant> variants;
};

struct RankInfo {
  std::string role;
  std::string device;                        ///< e.g. "cpu:0", for people
  std::map<std::string, int64_t> coordinates; ///< by mesh axis, for people
  int64_t firstSample = 0; ///< batch share: first global sample
  int64_t samples = 0;     ///< batch share: how many; 0 = none
  std::vector<int64_t> scalars;   ///< values of Program.rankScalars
  std::vector<uint32_t> groups;   ///< by Program.groups: communicator index
  std::vector<uint32_t> peers;    ///< by peer index: rank
};

struct Manifest {
  std::string model;
  std::string modelHash;
  std::string planHash;
  int64_t seed = 0;
  int64_t globalBatch = 0;
  /// Sums are accumulators: any plan of the model gives these bits.
  bool isCanonical = false;
  std::vector<FileInfo> files;
  std::vector<RoleInfo> roles;
  std::vector<LibraryInfo> libraries;
  /// Ordered members of each communicator, as ranks.
  std::vector<std::vector<uint32_t>> communicators;
  std::vector<RankInfo> ranks;
  std::string predicted; ///< JSON text of `predicted`; empty = none

  const RoleInfo *findRole(const std::string &name) const;
  const LibraryInfo *findLibrary(const std::string &id) const;
  const FileInfo *findFile(const std::string &path) const;
};

/// JSON text, with a final newline; equal manifests give equal bytes.
/// `predicted` must be empty or valid JSON.
std::string writeManifest(const Manifest &manifest);

/// Reads and checks: types, known format version, every index, name and path.
/// Unknown keys are ignored (a newer minor version). `name` is for messages.
Result<Manifest> readManifest(const std::string &text, const std::string &name);

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_MANIFEST_H
