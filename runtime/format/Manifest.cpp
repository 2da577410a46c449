//===- Manifest.cpp -------------------------------------------------------===//

#include "runtime/format/Manifest.h"

#include "runtime/format/Json.h"

#include <algorithm>
#include <set>

namespace whale::format {

namespace {

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Reads fields of one object; the first problem is kept and the rest of the
/// reading gives defaults.
class Fields {
public:
  Fields(const Json &object, std::string where, std::string &problem)
      : Object(object), Where(std::move(where)), Problem(problem) {
    if (!Object.is_object())
      fail(Where + " must be an object");
  }

  const Json *find(const char *key, bool required) {
    if (!Object.is_object())
      return nullptr;
    auto it = Object.find(key);
    if (it != Object.end())
      return &*it;
    if (required)
      fail(Where + " has no '" + key + "'");
    return nullptr;
  }

  std::string text(const char *key, bool required = true) {
    const Json *value = find(key, required);
    if (!value)
      return "";
    if (!value->is_string()) {
      fail("'" + std::string(key) + "' of " + Where + " must be a string");
      return "";
    }
    return value->get<std::string>();
  }

  int64_t integer(const char *key, bool required, int64_t low,
                  int64_t fallback = 0) {
    const Json *value = find(key, required);
    return value ? integerOf(*value, key, low) : fallback;
  }

  bool flag(const char *key) {
    const Json *value = find(key, false);
    if (value && !value->is_boolean())
      fail("'" + std::string(key) + "' of " + Where + " must be true or false");
    return value && value->is_boolean() && value->get<bool>();
  }

  int64_t integerOf(const Json &value, const std::string &key, int64_t low) {
    bool good = value.is_number_integer() &&
                !(value.is_number_unsigned() &&
                  value.get<uint64_t>() > uint64_t(INT64_MAX));
    if (good && value.get<int64_t>() >= low)
      return value.get<int64_t>();
    fail("'" + key + "' of " + Where + " must be an integer of at least " +
         std::to_string(low));
    return low;
  }

  /// Elements of an array; empty when absent and not required.
  const Json::array_t &array(const char *key, bool required = true) {
    static const Json::array_t none;
    const Json *value = find(key, required);
    if (!value)
      return none;
    if (const auto *elements = value->get_ptr<const Json::array_t *>())
      return *elements;
    fail("'" + std::string(key) + "' of " + Where + " must be an array");
    return none;
  }

  template <typename T>
  std::vector<T> integers(const char *key, int64_t low, int64_t high) {
    std::vector<T> out;
    for (const Json &value : array(key, false)) {
      int64_t number = integerOf(value, key, low);
      if (number > high)
        fail("'" + std::string(key) + "' of " + Where + " has " +
             std::to_string(number) + ", at most " + std::to_string(high) +
             " is possible");
      out.push_back(static_cast<T>(number));
    }
    return out;
  }

  void fail(const std::string &message) {
    if (Problem.empty())
      Problem = message;
  }

private:
  const Json &Object;
  std::string Where;
  std::string &Problem;
};

/// Relative, inside the directory, and free of surprises.
bool isSafePath(const std::string &path) {
  if (path.empty() || path[0] == '/' || path.find('\0') != std::string::npos)
    return false;
  for (size_t start = 0; start <= path.size();) {
    size_t end = std::min(path.find('/', start), path.size());
    std::string part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..")
      return false;
    start = end + 1;
  }
  return true;
}

bool isSha256(const std::string &text) {
  return text.size() == 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// Parses one `files` entry.
FileInfo readFile(Fields fields) {
  FileInfo file;
  file.path = fields.text("path");
  file.bytes = static_cast<uint64_t>(fields.integer("bytes", true, 0));
  file.sha256 = fields.text("sha256");
  if (!isSafePath(file.path))
    fields.fail("path '" + file.path + "' leaves the directory");
  if (!isSha256(file.sha256))
    fields.fail("hash of file '" + file.path + "' is not a SHA-256");
  return file;
}

LibraryInfo readLibrary(Fields fields, std::string &problem) {
  LibraryInfo library;
  library.id = fields.text("id");
  for (const Json &value : fields.array("variants")) {
    Fields variant(value, "variant of library '" + library.id + "'", problem);
    library.variants.push_back({variant.text("target"), variant.text("file")});
  }
  return library;
}

RankInfo readRank(Fields fields, int64_t rankCount, int64_t communicators) {
  RankInfo rank;
  rank.role = fields.text("role");
  rank.device = fields.text("device", false);
  rank.firstSample = fields.integer("first_sample", false, 0);
  rank.samples = fields.integer("samples", false, 0);
  rank.scalars = fields.integers<int64_t>("scalars", INT64_MIN, INT64_MAX);
  rank.groups = fields.integers<uint32_t>("groups", 0, communicators - 1);
  rank.peers = fields.integers<uint32_t>("peers", 0, rankCount - 1);
  const Json *coordinates = fields.find("coordinates", false);
  if (coordinates && !coordinates->is_object())
    fields.fail("'coordinates' must be an object");
  if (coordinates && coordinates->is_object())
    for (const auto &[axis, value] : coordinates->items())
      rank.coordinates[axis] = fields.integerOf(value, axis, 0);
  return rank;
}

/// References between the parts.
std::string checkReferences(const Manifest &manifest) {
  std::set<std::string> seen;
  for (const FileInfo &file : manifest.files)
    if (!seen.insert(file.path).second)
      return "file '" + file.path + "' is listed twice";
  seen.clear();
  for (const RoleInfo &role : manifest.roles) {
    if (!manifest.findFile(role.file))
      return "role '" + role.name + "' names unknown file '" + role.file + "'";
    if (!seen.insert(role.name).second)
      return "role '" + role.name + "' is listed twice";
  }
  seen.clear();
  for (const LibraryInfo &library : manifest.libraries) {
    if (!seen.insert(library.id).second)
      return "library '" + library.id + "' is listed twice";
    for (const LibraryVariant &variant : library.variants)
      if (!manifest.findFile(variant.file))
        return "library '" + library.id + "' names unknown file '" +
               variant.file + "'";
  }
  return "";
}

/// Every rank has a role and is a member of its communicators.
std::string checkRanks(const Manifest &manifest) {
  for (size_t i = 0; i < manifest.communicators.size(); ++i) {
    const std::vector<uint32_t> &members = manifest.communicators[i];
    std::set<uint32_t> distinct(members.begin(), members.end());
    if (members.empty() || distinct.size() != members.size() ||
        *distinct.rbegin() >= manifest.ranks.size())
      return "communicator " + std::to_string(i) +
             " must list distinct, existing ranks";
  }
  if (manifest.ranks.empty())
    return "there are no ranks";
  std::set<std::string> roles;
  for (const RoleInfo &role : manifest.roles)
    roles.insert(role.name);
  for (size_t i = 0; i < manifest.ranks.size(); ++i) {
    const RankInfo &rank = manifest.ranks[i];
    if (!roles.count(rank.role))
      return "rank " + std::to_string(i) + " has unknown role '" + rank.role +
             "'";
    for (uint32_t group : rank.groups) {
      const auto &members = manifest.communicators[group];
      if (std::find(members.begin(), members.end(), i) == members.end())
        return "rank " + std::to_string(i) + " is no member of communicator " +
               std::to_string(group);
    }
  }
  return "";
}

Manifest readBody(const Json &root, std::string &problem) {
  Manifest manifest;
  Fields top(root, "the manifest", problem);
  manifest.model = top.text("model", false);
  manifest.modelHash = top.text("model_hash", false);
  manifest.planHash = top.text("plan_hash", false);
  manifest.seed = top.integer("seed", false, INT64_MIN);
  manifest.globalBatch = top.integer("global_batch", false, 0);
  manifest.isCanonical = top.flag("canonical");
  for (const Json &file : top.array("files"))
    manifest.files.push_back(readFile(Fields(file, "a file", problem)));
  for (const Json &value : top.array("roles")) {
    Fields role(value, "a role", problem);
    manifest.roles.push_back({role.text("name"), role.text("file")});
  }
  for (const Json &library : top.array("libraries", false))
    manifest.libraries.push_back(
        readLibrary(Fields(library, "a library", problem), problem));
  const auto &ranks = top.array("ranks");
  for (const Json &members : top.array("communicators", false)) {
    Json wrapped = {{"members", members}};
    Fields fields(wrapped, "a communicator", problem);
    manifest.communicators.push_back(fields.integers<uint32_t>(
        "members", 0, static_cast<int64_t>(ranks.size()) - 1));
  }
  for (size_t i = 0; i < ranks.size(); ++i)
    manifest.ranks.push_back(
        readRank(Fields(ranks[i], "rank " + std::to_string(i), problem),
                 static_cast<int64_t>(ranks.size()),
                 static_cast<int64_t>(manifest.communicators.size())));
  if (auto it = root.find("predicted"); it != root.end())
    manifest.predicted = printJson(*it);
  return manifest;
}

/// Major version of "major.minor", or -1.
int majorOf(const Json &root) {
  auto it = root.find("format_version");
  if (it == root.end() || !it->is_string())
    return -1;
  const std::string text = it->get<std::string>();
  size_t dot = text.find('.');
  if (dot == std::string::npos || dot == 0 || dot > 4 ||
      text.find_first_not_of("0123456789.") != std::string::npos)
    return -1;
  return std::stoi(text.substr(0, dot));
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

Json writeRank(const RankInfo &rank) {
  Json out;
  out["role"] = rank.role;
  out["device"] = rank.device;
  Json coordinates = Json::object();
  for (const auto &[axis, value] : rank.coordinates)
    coordinates[axis] = value;
  out["coordinates"] = std::move(coordinates);
  out["first_sample"] = rank.firstSample;
  out["samples"] = rank.samples;
  out["scalars"] = rank.scalars;
  out["groups"] = rank.groups;
  out["peers"] = rank.peers;
  return out;
}

Json writeLibrary(const LibraryInfo &library) {
  Json variants = Json::array();
  for (const LibraryVariant &variant : library.variants)
    variants.push_back(
        Json{{"target", variant.target}, {"file", variant.file}});
  return Json{{"id", library.id}, {"variants", std::move(variants)}};
}

} // namespace

const RoleInfo *Manifest::findRole(const std::string &name) const {
  auto it = std::find_if(roles.begin(), roles.end(),
                         [&](const RoleInfo &r) { return r.name == name; });
  return it == roles.end() ? nullptr : &*it;
}

const LibraryInfo *Manifest::findLibrary(const std::string &id) const {
  auto it = std::find_if(libraries.begin(), libraries.end(),
                         [&](const LibraryInfo &l) { return l.id == id; });
  return it == libraries.end() ? nullptr : &*it;
}

const FileInfo *Manifest::findFile(const std::string &path) const {
  auto it = std::find_if(files.begin(), files.end(),
                         [&](const FileInfo &f) { return f.path == path; });
  return it == files.end() ? nullptr : &*it;
}

std::string writeManifest(const Manifest &manifest) {
  Json root;
  root["format_version"] =
      std::to_string(formatMajor) + "." + std::to_string(formatMinor);
  root["model"] = manifest.model;
  root["model_hash"] = manifest.modelHash;
  root["plan_hash"] = manifest.planHash;
  root["seed"] = manifest.seed;
  root["global_batch"] = manifest.globalBatch;
  if (manifest.isCanonical)
    root["canonical"] = true;
  for (const char *key : {"files", "roles", "libraries", "ranks"})
    root[key] = Json::array();
  for (const FileInfo &file : manifest.files)
    root["files"].push_back(Json{{"path", file.path},
                                        {"bytes", file.bytes},
                                        {"sha256", file.sha256}});
  for (const RoleInfo &role : manifest.roles)
    root["roles"].push_back(
        Json{{"name", role.name}, {"file", role.file}});
  for (const LibraryInfo &library : manifest.libraries)
    root["libraries"].push_back(writeLibrary(library));
  root["communicators"] = manifest.communicators;
  for (const RankInfo &rank : manifest.ranks)
    root["ranks"].push_back(writeRank(rank));
  if (!manifest.predicted.empty())
    root["predicted"] = *parseJson(manifest.predicted, "predicted");
  return printJson(root, 1) + "\n";
}

Result<Manifest> readManifest(const std::string &text,
                              const std::string &name) {
  Result<Json> parsed = parseJson(text, name);
  if (parsed.failed())
    return parsed.status();
  const Json &root = *parsed;
  if (!root.is_object())
    return badInput("'" + name + "' is not valid JSON");
  int major = majorOf(root);
  if (major < 0)
    return badInput("'" + name + "' has no format_version");
  if (major != formatMajor)
    return Status::error(ErrorKind::Unsupported,
                         "'" + name + "' has format version " +
                             std::to_string(major) + ", this version reads " +
                             std::to_string(formatMajor));
  std::string problem;
  Manifest manifest = readBody(root, problem);
  if (problem.empty())
    problem = checkReferences(manifest);
  if (problem.empty())
    problem = checkRanks(manifest);
  if (!problem.empty())
    return badInput("'" + name + "': " + problem);
  return manifest;
}

} // namespace whale::format
