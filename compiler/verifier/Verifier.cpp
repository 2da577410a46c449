//===- Verifier.cpp -------------------------------------------------------===//

#include "compiler/verifier/Verifier.h"

#include "compiler/support/Files.h"
#include "compiler/support/Sha256.h"
#include "compiler/verifier/Memory.h"
#include "compiler/verifier/State.h"
#include "runtime/format/Check.h"

#include <set>

namespace whale::verifier {

using namespace format;

namespace {

/// The runtime's error as a finding.
bool reportStatus(const Status &status, Diagnostics &diags) {
  Error error = status.error();
  const std::string place = std::move(error.place);
  error.place.clear();
  std::string text = error.text();
  text.erase(0, std::string("error: ").size());
  if (!place.empty())
    text += " at " + place;
  diags.error(Place(), text, ExitCode::Finding);
  return false;
}

/// Roles with the effects of their instructions.
bool prepareRole(const std::string &name, const ProgramT &program,
                 RoleProgram &role, Diagnostics &diags) {
  role.program = &program;
  for (const auto &variable : program.variables)
    role.variableHashes.push_back(hashOf(variable->path));
  for (size_t s = 0; s < program.sections.size(); ++s) {
    role.effects.emplace_back();
    for (size_t i = 0; i < program.sections[s]->instructions.size(); ++i) {
      std::string problem;
      role.effects.back().push_back(
          effectsOf(program, *program.sections[s]->instructions[i], problem));
      if (problem.empty())
        continue;
      Status status = badInput("program " + ("'" + name + "': ") + problem);
      locate(program, s, i, status.error());
      return reportStatus(status, diags);
    }
  }
  return true;
}

bool prepare(const Manifest &manifest, const Programs &programs,
             ProgramSet &set, Diagnostics &diags) {
  set.manifest = &manifest;
  std::map<std::string, uint32_t> indices;
  for (const auto &[name, program] : programs) {
    if (Status status = checkProgram(program, name); status.failed())
      return reportStatus(status, diags);
    indices.emplace(name, static_cast<uint32_t>(set.roles.size()));
    if (!prepareRole(name, program, set.roles.emplace_back(), diags))
      return false;
  }
  for (uint32_t rank = 0; rank < manifest.ranks.size(); ++rank) {
    auto role = indices.find(manifest.ranks[rank].role);
    if (role == indices.end())
      return reportStatus(
          badInput("role '" + manifest.ranks[rank].role + "' has no program"),
          diags);
    set.roleOf.push_back(role->second);
    if (Status status =
            checkRank(*set.roles[role->second].program, manifest, rank);
        status.failed())
      return reportStatus(status, diags);
  }
  return true;
}

bool verifyEntry(const ProgramSet &set, const std::string &entry,
                 Diagnostics &diags) {
  SampleSets sets;
  Simulation simulation(set, sets, entry, diags);
  return simulation.run() && checkInputs(set, sets, entry, simulation, diags) &&
         checkMetrics(set, sets, entry, simulation, diags) &&
         checkResults(set, sets, entry, simulation, diags);
}

/// Reads a file of the manifest; reports another size or hash.
std::optional<std::string> readChecked(const std::string &directory,
                                       const FileInfo &file,
                                       Diagnostics &diags) {
  const std::string path = directory + "/" + file.path;
  std::optional<std::string> text = readFile(path, diags, maxProgramBytes);
  if (!text || (text->size() == file.bytes && sha256Hex(*text) == file.sha256))
    return text;
  diags.error(Place(path),
              "is not the file of the manifest: " +
                  (text->size() == file.bytes
                       ? "its SHA-256 differs"
                       : "it has " + std::to_string(text->size()) +
                             " bytes, expected " + std::to_string(file.bytes)),
              ExitCode::Finding);
  return std::nullopt;
}

} // namespace

bool verifyPrograms(const Manifest &manifest, const Programs &programs,
                    Diagnostics &diags) {
  ProgramSet set;
  if (!prepare(manifest, programs, set, diags) || !checkVariables(set, diags) ||
      !checkMemory(set, diags))
    return false;
  std::set<std::string> entries;
  for (const auto &[name, program] : programs)
    for (const auto &entry : program.entries)
      entries.insert(entry->name);
  bool good = true;
  for (const std::string &entry : entries)
    good &= verifyEntry(set, entry, diags);
  return good;
}

bool verifyDirectory(const std::string &directory, Diagnostics &diags) {
  const std::string path = directory + "/" + manifestName;
  std::optional<std::string> text = readFile(path, diags);
  if (!text)
    return false;
  Result<Manifest> manifest = readManifest(*text, path);
  if (manifest.failed())
    return reportStatus(manifest.status(), diags);
  std::map<std::string, std::string> files;
  for (const FileInfo &file : manifest->files) {
    std::optional<std::string> bytes = readChecked(directory, file, diags);
    if (!bytes)
      return false;
    if (file.path.ends_with(programExtension))
      files[file.path] = std::move(*bytes);
  }
  Programs programs;
  for (const RoleInfo &role : manifest->roles) {
    const std::string &bytes = files[role.file];
    Result<ProgramT> program =
        unpackProgram(reinterpret_cast<const uint8_t *>(bytes.data()),
                      bytes.size(), role.file);
    if (program.failed())
      return reportStatus(program.status(), diags);
    if (program->modelHash != manifest->modelHash ||
        program->planHash != manifest->planHash)
      return reportStatus(
          badInput("program '" + role.file +
                   "' was made from another model or plan than the manifest"),
          diags);
    programs.emplace(role.name, std::move(*program));
  }
  return verifyPrograms(*manifest, programs, diags);
}

} // namespace whale::verifier
