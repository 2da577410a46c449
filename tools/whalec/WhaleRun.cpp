//===- WhaleRun.cpp - starting whale-run ----------------------------------===//

#include "tools/whalec/WhaleRun.h"

#include "compiler/support/Text.h"

#include <cerrno>
#include <climits>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

using namespace whale;
using namespace whale::cli;

extern char **environ;

std::optional<std::string> cli::findWhaleRun(Diagnostics &diagnostics) {
  std::string self(PATH_MAX, '\0');
  ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length <= 0) {
    diagnostics.error(Place(), "cannot find the folder of whalec");
    return std::nullopt;
  }
  self.resize(size_t(length));
  std::string path = self.substr(0, self.rfind('/') + 1) + "whale-run";
  if (::access(path.c_str(), X_OK) == 0)
    return path;
  diagnostics.error(Place(path), "whale-run is not there")
      .note(Place(), "it belongs beside whalec");
  return std::nullopt;
}

/// Pointers as exec takes them; valid as long as the texts.
static std::vector<char *>
argumentPointers(const std::string &program,
                 const std::vector<std::string> &arguments) {
  std::vector<char *> pointers = {const_cast<char *>(program.c_str())};
  for (const std::string &argument : arguments)
    pointers.push_back(const_cast<char *>(argument.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

static void reportStart(const std::string &program, int error,
                        Diagnostics &diagnostics) {
  diagnostics.error(Place(program),
                    "cannot start: " + std::generic_category().message(error));
}

void cli::becomeWhaleRun(const std::vector<std::string> &arguments,
                         Diagnostics &diagnostics) {
  std::optional<std::string> program = findWhaleRun(diagnostics);
  if (!program)
    return;
  ::execv(program->c_str(), argumentPointers(*program, arguments).data());
  reportStart(*program, errno, diagnostics);
}

static std::string readAll(int fd) {
  std::string out;
  char buffer[1 << 14];
  while (true) {
    ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return out;
    out.append(buffer, size_t(count));
  }
}

/// Exit code as a shell gives it.
static int waitFor(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR)
    ;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::optional<RunResult>
cli::callWhaleRun(const std::vector<std::string> &arguments,
                  Diagnostics &diagnostics) {
  std::optional<std::string> program = findWhaleRun(diagnostics);
  int ends[2];
  if (!program)
    return std::nullopt;
  if (::pipe(ends) != 0) {
    reportStart(*program, errno, diagnostics);
    return std::nullopt;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t process = 0;
  int error =
      ::posix_spawn(&process, program->c_str(), &actions, nullptr,
                    argumentPointers(*program, arguments).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::optional<RunResult> result;
  if (error == 0) {
    result.emplace();
    result->output = readAll(ends[0]);
    result->code = waitFor(process);
  } else {
    reportStart(*program, error, diagnostics);
  }
  ::close(ends[0]);
  return result;
}
