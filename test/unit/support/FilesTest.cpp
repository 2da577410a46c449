#include "compiler/support/Files.h"
#include "compiler/support/Sha256.h"
#include <catch2/catch.hpp>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

using namespace whale;
namespace fs = std::filesystem;

namespace {
struct TemporaryFolder {
  fs::path path;
  TemporaryFolder() {
    std::string name = fs::temp_directory_path() / "whale-files-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~TemporaryFolder() { fs::remove_all(path); }
};
} // namespace

TEST_CASE("a written file reads back and leaves nothing beside it") {
  TemporaryFolder folder;
  Diagnostics diags;
  std::string path = folder.path / "a.bin";
  std::string bytes("x\0y\n", 4);
  REQUIRE(writeFile(path, "old, and longer", diags));
  REQUIRE(writeFile(path, bytes, diags));
  CHECK(readFile(path, diags) == bytes);
  CHECK(std::distance(fs::directory_iterator(folder.path),
                      fs::directory_iterator()) == 1);
  CHECK_FALSE(diags.hasErrors());
}

TEST_CASE("a new file obeys the user's mask") {
  TemporaryFolder folder;
  Diagnostics diags;
  std::string path = folder.path / "a";
  mode_t mask = umask(027);
  REQUIRE(writeFile(path, "", diags));
  umask(mask);
  struct stat status;
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
}

TEST_CASE("missing files, folders and long files are named") {
  TemporaryFolder folder;
  auto messageOf = [&](const std::string &path, uint64_t limit) {
    Diagnostics diags;
    CHECK_FALSE(readFile(path, diags, limit));
    return diags.str();
  };
  std::string missing = folder.path / "missing";
  CHECK(messageOf(missing, 100) ==
        missing + ": error: cannot open: No such file or directory\n");
  CHECK(messageOf(folder.path, 100) ==
        folder.path.string() + ": error: cannot read: Is a directory\n");
  Diagnostics diags;
  std::string longFile = folder.path / "long";
  REQUIRE(writeFile(longFile, std::string(101, 'x'), diags));
  CHECK(messageOf(longFile, 100) ==
        longFile + ": error: file is longer than the limit of 100 B\n");
  CHECK(readFile(longFile, diags, 101));
}

TEST_CASE("writing into a missing folder fails and says so") {
  Diagnostics diags;
  CHECK_FALSE(writeFile("/nonexistent-whale/a", "x", diags));
  CHECK(diags.str() == "/nonexistent-whale/a: error: cannot write: No such "
                       "file or directory\n");
}

TEST_CASE("devices are written in place") {
  Diagnostics diags;
  CHECK(writeFile("/dev/null", "x", diags));
  CHECK(fs::is_character_file("/dev/null"));
}

// FIPS 180-4 example vectors (NIST CSRC, "SHA256.pdf") and the empty message.
TEST_CASE("SHA-256 of the published vectors") {
  CHECK(sha256Hex("") == "e3b0c44298fc1c149afbf4c8996fb924"
                         "27ae41e4649b934ca495991b7852b855");
  CHECK(sha256Hex("abc") == "ba7816bf8f01cfea414140de5dae2223"
                            "b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256Hex(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes arrive") {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += static_cast<char>(i);
  for (size_t step : {1, 7, 63, 64, 65}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += step)
      hash.update(std::string_view(text).substr(at, step));
    CHECK(hash.hex() == sha256Hex(text));
  }
}
