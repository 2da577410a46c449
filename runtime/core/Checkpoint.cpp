//===- Checkpoint.cpp -----------------------------------------------------===//

#include "runtime/core/Checkpoint.h"

#include "runtime/format/Json.h"
#include "runtime/format/Sha256.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <unistd.h>

namespace whale::runtime {

using namespace format;
namespace fs = std::filesystem;

namespace {

constexpr const char *indexName = "index.json";
constexpr const char *stepPrefix = "step-";

Status failedTo(const std::string &what, const std::string &path) {
  return badInput("cannot " + what + " '" + path + "': " +
                  std::strerror(errno));
}

/// A file being written; closed, and removed unless finished.
class Writer {
public:
  explicit Writer(std::string path)
      : Path(std::move(path)),
        Handle(::open(Path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                      0644)) {}
  ~Writer() {
    if (Handle >= 0)
      ::close(Handle);
  }
  Writer(const Writer &) = delete;
  Writer &operator=(const Writer &) = delete;

  Status write(const void *data, uint64_t bytes) {
    const char *p = static_cast<const char *>(data);
    while (Handle >= 0 && bytes > 0) {
      ssize_t done = ::write(Handle, p, bytes);
      if (done < 0 && errno == EINTR)
        continue;
      if (done <= 0)
        return failedTo("write", Path);
      p += done;
      bytes -= static_cast<uint64_t>(done);
    }
    return Handle < 0 ? failedTo("create", Path) : Status();
  }

  /// To stable storage.
  Status finish() {
    if (Handle < 0 || fsync(Handle) != 0)
      return failedTo("write", Path);
    return Status();
  }

private:
  std::string Path;
  int Handle;
};

Status syncDirectory(const std::string &path) {
  int handle = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool good = handle >= 0 && fsync(handle) == 0;
  if (handle >= 0)
    ::close(handle);
  return good ? Status() : failedTo("sync", path);
}

bool isWritten(const VariableT &variable, SavedKinds kinds) {
  return kinds == SavedKinds::Everything ||
         variable.kind != VariableKind::Gradient;
}

/// True when a lower rank holds the same box.
bool ownedByLower(const ProgramSet &set, uint32_t rank, const std::string &path,
                  const Box &box) {
  for (uint32_t other = 0; other < rank; ++other)
    for (const auto &variable : set.programOf(other).variables)
      if (variable->path == path &&
          boxOf(*variable, set.manifest.ranks[other]) == box)
        return true;
  return false;
}

Json toJson(const SavedBox &saved) {
  return Json{{"path", saved.path},
              {"dtype", std::string(nameOf(saved.dtype))},
              {"global", saved.box.globalDims},
              {"offsets", saved.box.offsets},
              {"dims", saved.box.dims},
              {"file", saved.file},
              {"offset", saved.offset},
              {"bytes", saved.bytes},
              {"sha256", saved.sha256}};
}

/// Writes the boxes that this rank owns, and a list of them beside.
Status writeShard(const ProgramSet &set, Executor &executor,
                  const std::string &directory, SavedKinds kinds) {
  const std::string name =
      "shard-" + std::to_string(executor.rank()) + ".bin";
  Writer file(directory + "/" + name);
  Json list = Json::array();
  uint64_t offset = 0;
  std::vector<std::byte> host;
  for (const auto &variable : executor.program().variables) {
    SavedBox saved;
    saved.box = boxOf(*variable, executor.info());
    if (!isWritten(*variable, kinds) ||
        ownedByLower(set, executor.rank(), variable->path, saved.box))
      continue;
    saved.path = variable->path;
    saved.dtype = variable->operand->dtype;
    saved.file = name;
    saved.offset = offset;
    saved.bytes = *bytesOf(*variable->operand);
    host.resize(saved.bytes);
    if (Status s = executor.readVariable(*variable, host.data()); s.failed())
      return s;
    saved.sha256 = sha256Hex(
        {reinterpret_cast<const char *>(host.data()), host.size()});
    if (Status s = file.write(host.data(), host.size()); s.failed())
      return s;
    offset += saved.bytes;
    list.push_back(toJson(saved));
  }
  if (Status s = file.finish(); s.failed())
    return s;
  Writer part(directory + "/" + name + ".json");
  const std::string text = printJson(list);
  if (Status s = part.write(text.data(), text.size()); s.failed())
    return s;
  return part.finish();
}

/// Rank 0, after all shards are written.
Status writeIndex(const ProgramSet &set, const std::string &directory,
                  int64_t nextStep, int64_t seed) {
  Json root;
  root["format_version"] =
      std::to_string(formatMajor) + "." + std::to_string(formatMinor);
  root["model_hash"] = set.manifest.modelHash;
  root["plan_hash"] = set.manifest.planHash;
  root["next_step"] = nextStep;
  root["seed"] = seed;
  root["boxes"] = Json::array();
  std::vector<std::string> parts;
  for (size_t rank = 0; rank < set.manifest.ranks.size(); ++rank) {
    parts.push_back(directory + "/shard-" + std::to_string(rank) +
                    ".bin.json");
    Result<std::string> text = readFile(parts.back());
    if (text.failed())
      return text.status();
    Result<Json> list = parseJson(*text, parts.back());
    if (list.failed())
      return list.status();
    for (Json &saved : *list)
      root["boxes"].push_back(std::move(saved));
  }
  const std::string path = directory + "/" + indexName;
  const std::string text = printJson(root, 1) + "\n";
  {
    Writer file(path + ".tmp");
    if (Status s = file.write(text.data(), text.size()); s.failed())
      return s;
    if (Status s = file.finish(); s.failed())
      return s;
  }
  std::error_code error;
  fs::rename(path + ".tmp", path, error);
  if (error)
    return badInput("cannot write '" + path + "': " + error.message());
  for (const std::string &part : parts)
    fs::remove(part, error);
  if (Status s = syncDirectory(directory); s.failed())
    return s;
  return syncDirectory(directory + "/..");
}

} // namespace

Status saveCheckpoint(const ProgramSet &set, Executor &executor,
                      Communicator &communicator, const std::string &directory,
                      int64_t nextStep, int64_t seed, SavedKinds kinds) {
  const std::string target =
      directory + "/" + stepPrefix + std::to_string(nextStep);
  std::error_code error;
  fs::create_directories(target, error);
  if (error)
    return badInput("cannot create '" + target + "': " + error.message());
  // An older index must not describe the new shards.
  if (executor.rank() == 0)
    fs::remove(target + "/" + indexName, error);
  if (Status s = communicator.barrier(); s.failed())
    return s;
  if (Status s = writeShard(set, executor, target, kinds); s.failed())
    return s;
  if (Status s = communicator.barrier(); s.failed())
    return s;
  if (executor.rank() == 0)
    if (Status s = writeIndex(set, target, nextStep, seed); s.failed())
      return s;
  return communicator.barrier();
}

Result<std::string> findLatest(const std::string &directory) {
  int64_t best = -1;
  std::error_code error;
  for (const auto &entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(stepPrefix, 0) != 0 || name.size() > 20 ||
        name.find_first_not_of("0123456789", 5) != std::string::npos ||
        name.size() == 5 || !fs::exists(entry.path() / indexName))
      continue;
    best = std::max<int64_t>(best, std::stoll(name.substr(5)));
  }
  if (best < 0)
    return badInput("'" + directory + "' has no complete checkpoint");
  return directory + "/" + stepPrefix + std::to_string(best);
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {

/// Throws Json::exception on a wrong type; caught by readIndex.
SavedBox savedBoxOf(const Json &json) {
  SavedBox saved;
  saved.path = json.at("path").get<std::string>();
  saved.box.globalDims = json.at("global").get<std::vector<int64_t>>();
  saved.box.offsets = json.at("offsets").get<std::vector<int64_t>>();
  saved.box.dims = json.at("dims").get<std::vector<int64_t>>();
  saved.file = json.at("file").get<std::string>();
  saved.offset = json.at("offset").get<uint64_t>();
  saved.bytes = json.at("bytes").get<uint64_t>();
  saved.sha256 = json.at("sha256").get<std::string>();
  saved.dtype = dtypeOf(json.at("dtype").get<std::string>()).value();
  return saved;
}

bool isSane(const SavedBox &saved) {
  const Box &box = saved.box;
  size_t rank = box.dims.size();
  std::optional<uint64_t> elements = elementsOf(box.dims);
  if (rank > maxRank || box.globalDims.size() != rank ||
      box.offsets.size() != rank || !elements ||
      saved.file.find('/') != std::string::npos ||
      checkedMultiply(*elements, bytesOf(saved.dtype)) != saved.bytes)
    return false;
  for (size_t i = 0; i < rank; ++i)
    if (box.offsets[i] < 0 || box.dims[i] > box.globalDims[i] ||
        box.offsets[i] > box.globalDims[i] - box.dims[i])
      return false;
  return true;
}

bool meet(const Box &a, const Box &b) {
  for (size_t i = 0; i < a.dims.size(); ++i)
    if (a.offsets[i] >= b.offsets[i] + b.dims[i] ||
        b.offsets[i] >= a.offsets[i] + a.dims[i])
      return false;
  return true;
}

/// Copies the common part of two boxes; returns how many elements that is.
uint64_t copyCommon(const Box &from, const std::byte *source, const Box &to,
                    std::byte *target, uint64_t elementBytes) {
  size_t rank = to.dims.size();
  std::vector<int64_t> low(rank), extent(rank);
  uint64_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    low[i] = std::max(from.offsets[i], to.offsets[i]);
    extent[i] = std::min(from.offsets[i] + from.dims[i],
                         to.offsets[i] + to.dims[i]) -
                low[i];
    if (extent[i] <= 0)
      return 0;
    count *= static_cast<uint64_t>(extent[i]);
  }
  uint64_t run = rank ? static_cast<uint64_t>(extent[rank - 1]) : 1;
  std::vector<int64_t> index(rank, 0);
  for (uint64_t done = 0; done < count; done += run) {
    uint64_t fromAt = 0, toAt = 0;
    for (size_t i = 0; i < rank; ++i) {
      int64_t at = low[i] + index[i];
      fromAt = fromAt * from.dims[i] + static_cast<uint64_t>(at - from.offsets[i]);
      toAt = toAt * to.dims[i] + static_cast<uint64_t>(at - to.offsets[i]);
    }
    std::memcpy(target + toAt * elementBytes, source + fromAt * elementBytes,
                run * elementBytes);
    for (size_t i = rank > 0 ? rank - 1 : 0;
         i-- > 0 && ++index[i] == extent[i];)
      index[i] = 0;
  }
  return count;
}

Result<std::vector<std::byte>> readSaved(const CheckpointIndex &index,
                                         const SavedBox &saved) {
  const std::string path = index.directory + "/" + saved.file;
  int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0)
    return failedTo("open", path);
  std::vector<std::byte> data(saved.bytes);
  uint64_t done = 0;
  while (done < saved.bytes) {
    ssize_t got = pread(handle, data.data() + done, saved.bytes - done,
                        static_cast<off_t>(saved.offset + done));
    if (got <= 0)
      break;
    done += static_cast<uint64_t>(got);
  }
  ::close(handle);
  if (done != saved.bytes ||
      sha256Hex({reinterpret_cast<const char *>(data.data()), data.size()}) !=
          saved.sha256)
    return badInput("'" + path + "' is damaged: the SHA-256 of '" +
                    saved.path + "' differs");
  return data;
}

/// Fills `wanted` of a variable from all boxes that meet it.
Result<std::vector<std::byte>> gather(const CheckpointIndex &index,
                                      const std::string &path, DType dtype,
                                      const Box &wanted) {
  uint64_t size = bytesOf(dtype);
  std::vector<std::byte> target(wanted.elements() * size);
  uint64_t found = 0;
  for (const SavedBox &saved : index.boxes) {
    if (saved.path != path)
      continue;
    if (saved.dtype != dtype || saved.box.globalDims != wanted.globalDims)
      return badInput("checkpoint '" + index.directory + "' holds '" + path +
                      "' with another type or shape");
    if (!meet(saved.box, wanted))
      continue;
    Result<std::vector<std::byte>> data = readSaved(index, saved);
    if (data.failed())
      return data.status();
    found += copyCommon(saved.box, data->data(), wanted, target.data(), size);
  }
  if (found != wanted.elements())
    return badInput("checkpoint '" + index.directory + "' has " +
                    std::to_string(found) + " of " +
                    std::to_string(wanted.elements()) + " elements of '" +
                    path + "'");
  return target;
}

} // namespace

Result<CheckpointIndex> readIndex(const std::string &directory) {
  const std::string path = directory + "/" + indexName;
  Result<std::string> text = readFile(path);
  if (text.failed())
    return text.status();
  Result<Json> parsed = parseJson(*text, path);
  CheckpointIndex index;
  index.directory = directory;
  try {
    const Json root = parsed.failed() ? Json() : std::move(*parsed);
    const std::string version = root.at("format_version").get<std::string>();
    if (version.rfind(std::to_string(formatMajor) + ".", 0) != 0)
      return Status::error(ErrorKind::Unsupported,
                           "'" + path + "' has format version " + version);
    index.modelHash = root.at("model_hash").get<std::string>();
    index.nextStep = root.at("next_step").get<int64_t>();
    index.seed = root.at("seed").get<int64_t>();
    for (const Json &box : root.at("boxes")) {
      index.boxes.push_back(savedBoxOf(box));
      if (!isSane(index.boxes.back()))
        return badInput("'" + path + "' has a bad box of '" +
                        index.boxes.back().path + "'");
    }
  } catch (const std::exception &) {
    return badInput("'" + path + "' is damaged");
  }
  return index;
}

Status loadCheckpoint(const CheckpointIndex &index, Executor &executor) {
  for (const auto &variable : executor.program().variables) {
    if (variable->kind == VariableKind::Gradient)
      continue;
    auto data = gather(index, variable->path, variable->operand->dtype,
                       boxOf(*variable, executor.info()));
    if (data.failed())
      return data.status();
    if (Status s = executor.writeVariable(*variable, data->data()); s.failed())
      return s;
  }
  return Status();
}

Result<std::vector<std::byte>> assemble(const CheckpointIndex &index,
                                        const std::string &path) {
  for (const SavedBox &saved : index.boxes) {
    if (saved.path != path)
      continue;
    Box whole;
    whole.globalDims = whole.dims = saved.box.globalDims;
    whole.offsets.assign(whole.dims.size(), 0);
    return gather(index, path, saved.dtype, whole);
  }
  return badInput("checkpoint '" + index.directory + "' has no '" + path +
                  "'");
}

} // namespace whale::runtime
