//===- TestPrograms.h - Programs and calls written by hand ------*- C++ -*-===//

#ifndef WHALE_TEST_UNIT_RUNTIME_TESTPROGRAMS_H
#define WHALE_TEST_UNIT_RUNTIME_TESTPROGRAMS_H

#include "runtime/format/Check.h"
#include "runtime/format/Sha256.h"

#include <filesystem>
#include <fstream>
#include <random>

#include <unistd.h>

namespace whale::test {

using namespace whale::format;

inline OperandT operand(DType dtype, std::vector<int64_t> dims,
                        uint64_t offset) {
  OperandT out;
  out.dtype = dtype;
  out.dims = std::move(dims);
  out.offset = offset;
  return out;
}

inline std::unique_ptr<OperandT> boxed(const OperandT &value) {
  return std::make_unique<OperandT>(value);
}

inline std::unique_ptr<ScalarT> scalar(int64_t constant,
                                       std::vector<Term> terms = {}) {
  auto out = std::make_unique<ScalarT>();
  out->constant = constant;
  out->terms = std::move(terms);
  return out;
}

template <typename T>
void append(SectionT &section, T node, int32_t source = -1) {
  auto instruction = std::make_unique<InstructionT>();
  instruction->operation.Set(std::move(node));
  instruction->source = source;
  section.instructions.push_back(std::move(instruction));
}

inline SectionT &addSection(ProgramT &program, const std::string &name) {
  program.sections.push_back(std::make_unique<SectionT>());
  program.sections.back()->name = name;
  return *program.sections.back();
}

inline EntryT &addEntry(ProgramT &program, const std::string &name,
                        std::vector<Visit> schedule) {
  program.entries.push_back(std::make_unique<EntryT>());
  program.entries.back()->name = name;
  program.entries.back()->schedule = std::move(schedule);
  return *program.entries.back();
}

inline ProgramT emptyProgram(const std::string &role, uint64_t arenaBytes) {
  ProgramT program;
  program.formatMajor = formatMajor;
  program.role = role;
  program.target = "cpu";
  program.arenaBytes = arenaBytes;
  return program;
}

/// A directory that is removed with its content.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "whale-test-XXXXXX").string();
    Path = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(Path, ignored);
  }
  const std::string &path() const { return Path; }
  std::string operator/(const std::string &name) const {
    return Path + "/" + name;
  }

private:
  std::string Path;
};

inline void writeText(const std::string &path, const std::string &text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// Writes programs and manifest; fills in files and roles.
inline void writePrograms(const std::string &directory, Manifest manifest,
                          const std::vector<const ProgramT *> &programs) {
  for (const ProgramT *program : programs) {
    std::vector<uint8_t> bytes = packProgram(*program);
    std::string text(bytes.begin(), bytes.end());
    const std::string name = program->role + programExtension;
    writeText(directory + "/" + name, text);
    manifest.files.push_back({name, text.size(), sha256Hex(text)});
    manifest.roles.push_back({program->role, name});
  }
  writeText(directory + "/" + manifestName, writeManifest(manifest));
}

} // namespace whale::test

#endif // WHALE_TEST_UNIT_RUNTIME_TESTPROGRAMS_H
