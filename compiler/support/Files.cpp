//===- Files.cpp ----------------------------------------------------------===//

#include "compiler/support/Files.h"
#include "compiler/support/Text.h"
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

using namespace whale;

namespace {
/// Closes a file descriptor at the end of its scope.
class Descriptor {
public:
  explicit Descriptor(int fd) : fd(fd) {}
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  ~Descriptor() { close(); }

  bool isOpen() const { return fd >= 0; }
  int get() const { return fd; }
  bool close() {
    int closing = std::exchange(fd, -1);
    return closing < 0 || ::close(closing) == 0;
  }

private:
  int fd;
};
} // namespace

static std::string systemError() {
  return std::generic_category().message(errno);
}

static bool fail(const std::string &path, const char *verb,
                 Diagnostics &diags) {
  diags.error(Place(path), fmt::format("cannot {}: {}", verb, systemError()));
  return false;
}

std::optional<std::string> whale::readFile(const std::string &path,
                                           Diagnostics &diags,
                                           uint64_t maxBytes) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.isOpen()) {
    fail(path, "open", diags);
    return std::nullopt;
  }
  std::string bytes;
  std::string buffer(1 << 16, '\0');
  while (true) {
    ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0) {
      fail(path, "read", diags);
      return std::nullopt;
    }
    if (count == 0)
      return bytes;
    bytes.append(buffer, 0, static_cast<size_t>(count));
    if (bytes.size() > maxBytes) {
      diags.error(Place(path),
                  fmt::format("file is longer than the limit of {}",
                              formatBytes(Bytes(int64_t(maxBytes)))));
      return std::nullopt;
    }
  }
}

static bool writeAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

static bool writeDirectly(const std::string &path, std::string_view bytes,
                          Diagnostics &diags) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.isOpen() || !writeAll(file.get(), bytes) || !file.close())
    return fail(path, "write", diags);
  return true;
}

/// Creates a new file next to `path`, whose name it stores in `name`.
static int createBeside(const std::string &path, std::string &name) {
  constexpr int attempts = 100;
  for (int i = 0; i < attempts; ++i) {
    name = fmt::format("{}.{}-{}.tmp", path, ::getpid(), i);
    int fd =
        ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0 || errno != EEXIST)
      return fd;
  }
  return -1;
}

bool whale::writeFile(const std::string &path, std::string_view bytes,
                      Diagnostics &diags) {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return writeDirectly(path, bytes, diags);
  std::string beside;
  Descriptor file(createBeside(path, beside));
  if (!file.isOpen())
    return fail(path, "write", diags);
  if (writeAll(file.get(), bytes) && ::fsync(file.get()) == 0 && file.close() &&
      ::rename(beside.c_str(), path.c_str()) == 0)
    return true;
  fail(path, "write", diags);
  ::unlink(beside.c_str());
  return false;
}
