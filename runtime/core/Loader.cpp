//===- Loader.cpp ---------------------------------------------------------===//

#include "runtime/core/Loader.h"

#include "runtime/format/Sha256.h"

#include <fstream>
#include <sstream>

namespace whale::runtime {

using namespace format;

Result<std::string> readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return badInput("cannot open '" + path + "'");
  std::ostringstream text;
  text << file.rdbuf();
  if (!file)
    return badInput("cannot read '" + path + "'");
  return std::move(text).str();
}

namespace {

/// Sizes and hashes of all files, and the text of those that are programs.
Result<std::map<std::string, std::string>>
readFiles(const Manifest &manifest, const std::string &directory) {
  std::map<std::string, std::string> texts;
  for (const FileInfo &file : manifest.files) {
    Result<std::string> text = readFile(directory + "/" + file.path);
    if (text.failed())
      return text.status();
    if (text->size() != file.bytes || sha256Hex(*text) != file.sha256)
      return badInput("'" + directory + "/" + file.path +
                      "' is not the file of the manifest (its SHA-256 "
                      "differs); compile again");
    if (file.path.ends_with(programExtension))
      texts[file.path] = std::move(*text);
  }
  return texts;
}

Status checkLibraries(const ProgramT &program, const Manifest &manifest) {
  for (const auto &kernel : program.kernels)
    if (!manifest.findLibrary(kernel->library))
      return badInput("kernel '" + kernel->symbol + "' is in library '" +
                      kernel->library + "', which the manifest lacks");
  return Status();
}

Result<ProgramT> loadRole(const RoleInfo &role, const Manifest &manifest,
                          const std::map<std::string, std::string> &texts) {
  auto text = texts.find(role.file);
  if (text == texts.end())
    return badInput("role '" + role.name + "' has no program file");
  Result<ProgramT> program =
      unpackProgram(reinterpret_cast<const uint8_t *>(text->second.data()),
                    text->second.size(), role.file);
  if (program.failed())
    return program.status();
  if (program->modelHash != manifest.modelHash ||
      program->planHash != manifest.planHash)
    return badInput("program '" + role.file +
                    "' was made from another model or plan than the manifest");
  if (Status status = checkProgram(*program, role.file); status.failed())
    return status;
  if (Status status = checkLibraries(*program, manifest); status.failed())
    return status;
  return program;
}

} // namespace

Result<ProgramSet> loadPrograms(const std::string &directory) {
  ProgramSet set;
  set.directory = directory;
  const std::string path = directory + "/" + manifestName;
  Result<std::string> text = readFile(path);
  if (text.failed())
    return text.status();
  Result<Manifest> manifest = readManifest(*text, path);
  if (manifest.failed())
    return manifest.status();
  set.manifest = std::move(*manifest);
  auto texts = readFiles(set.manifest, directory);
  if (texts.failed())
    return texts.status();
  for (const RoleInfo &role : set.manifest.roles) {
    Result<ProgramT> program = loadRole(role, set.manifest, *texts);
    if (program.failed())
      return program.status();
    set.programs.emplace(role.name, std::move(*program));
  }
  for (uint32_t rank = 0; rank < set.manifest.ranks.size(); ++rank)
    if (Status status = checkRank(set.programOf(rank), set.manifest, rank);
        status.failed())
      return status;
  return set;
}

Box boxOf(const VariableT &variable, const RankInfo &rank) {
  Box box;
  box.globalDims = variable.globalDims;
  box.dims = variable.operand->dims;
  ScalarValues values;
  values.rankScalars = &rank.scalars;
  for (size_t i = 0; i < box.dims.size(); ++i)
    box.offsets.push_back(i < variable.offsets.size()
                              ? evaluate(*variable.offsets[i], values)
                              : 0);
  return box;
}

} // namespace whale::runtime
