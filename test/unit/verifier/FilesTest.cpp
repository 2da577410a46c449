//===- FilesTest.cpp - directories of programs
//-----------------------------===//

#include "TestSet.h"

#include "compiler/support/Files.h"
#include "compiler/support/Sha256.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <unistd.h>

using namespace whale;
using namespace whale::verifier;
using namespace whale::verifier::test;

namespace {

/// A directory that is removed again.
struct Directory {
  Directory()
      : path(std::filesystem::temp_directory_path() /
             ("whale-verifier-test-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~Directory() { std::filesystem::remove_all(path); }

  void write(const std::string &name, std::string_view bytes) {
    Diagnostics diags;
    REQUIRE(writeFile((path / name).string(), bytes, diags));
  }
  std::string read(const std::string &name) {
    Diagnostics diags;
    return *readFile((path / name).string(), diags);
  }
  std::string findings() {
    Diagnostics diags;
    CHECK(verifyDirectory(path.string(), diags) == !diags.hasErrors());
    return diags.str();
  }

  std::filesystem::path path;
};

void writeSet(Directory &directory, TestSet &set) {
  for (const auto &[role, program] : set.programs) {
    std::vector<uint8_t> bytes = format::packProgram(program);
    std::string text(bytes.begin(), bytes.end());
    directory.write(role + ".whalep", text);
    set.manifest.files.push_back(
        {role + ".whalep", text.size(), sha256Hex(text)});
    set.manifest.roles.push_back({role, role + ".whalep"});
  }
  directory.write("manifest.json", format::writeManifest(set.manifest));
}

} // namespace

TEST_CASE("files are read, hashed and proved") {
  Directory directory;
  TestSet set = makeTestSet();
  writeSet(directory, set);
  CHECK(directory.findings() == "");

  SECTION("a changed byte") {
    std::string bytes = directory.read("last.whalep");
    bytes[bytes.size() / 2] ^= 1;
    directory.write("last.whalep", bytes);
    CHECK_THAT(directory.findings(), Catch::Contains("its SHA-256 differs"));
  }
  SECTION("a truncated file") {
    std::string bytes = directory.read("last.whalep");
    directory.write("last.whalep", bytes.substr(0, bytes.size() - 8));
    CHECK_THAT(directory.findings(), Catch::Contains("bytes, expected"));
  }
  SECTION("a truncated file with the right hash") {
    std::string bytes = directory.read("last.whalep");
    bytes.resize(bytes.size() / 2);
    directory.write("last.whalep", bytes);
    for (format::FileInfo &file : set.manifest.files)
      if (file.path == "last.whalep")
        file = {file.path, bytes.size(), sha256Hex(bytes)};
    directory.write("manifest.json", format::writeManifest(set.manifest));
    CHECK_THAT(directory.findings(), Catch::Contains("is damaged"));
  }
  SECTION("a stale model hash") {
    set.manifest.modelHash = std::string(64, 'a');
    directory.write("manifest.json", format::writeManifest(set.manifest));
    CHECK_THAT(directory.findings(),
               Catch::Contains("was made from another model"));
  }
  SECTION("a missing file") {
    std::filesystem::remove(directory.path / "last.whalep");
    CHECK_THAT(directory.findings(), Catch::Contains("last.whalep"));
  }
  SECTION("no manifest") {
    std::filesystem::remove(directory.path / "manifest.json");
    CHECK_THAT(directory.findings(), Catch::Contains("manifest.json"));
  }
  SECTION("arenas against the prediction") {
    uint64_t largest = 0;
    for (const auto &[role, program] : set.programs)
      largest = std::max(largest, program.arenaBytes);
    auto predict = [&](uint64_t bytes) {
      set.manifest.predicted =
          "{\"memory_from\": \"measured\", \"memory_bytes\": [{\"total\": 7}, "
          "{\"reserve\": 50, \"total\": " +
          std::to_string(bytes + 50) + "}]}";
      directory.write("manifest.json", format::writeManifest(set.manifest));
      return directory.findings();
    };
    CHECK(predict(largest) == "");
    CHECK_THAT(predict(largest - 1), Catch::Contains("the plan predicts"));
    CHECK_THAT(predict(largest * 2), Catch::Contains("the plan predicts"));
  }
}
