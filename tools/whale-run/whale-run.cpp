//===- whale-run.cpp - Runs compiled programs -----------------------------===//

#include "Calibrate.h"
#include "Job.h"

#include "CLI/CLI.hpp"

#include <cstdio>
#include <string>
#include <vector>

using namespace whale::runtime;
using whale::format::ErrorKind;

namespace {

constexpr int foundDifference = 4;

/// Exit codes of the project; 8 = a rank failed while running.
int exitCodeOf(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::BadInput:
    return 1;
  case ErrorKind::Internal:
    return 2;
  case ErrorKind::Unsupported:
    return 6;
  case ErrorKind::Deadline:
  case ErrorKind::PeerLost:
  case ErrorKind::Mismatch:
    break;
  }
  return 8;
}

int report(const Status &status) {
  if (status.ok())
    return 0;
  std::fprintf(stderr, "%s\n", status.error().text().c_str());
  return exitCodeOf(status.error().kind);
}

void addRunOptions(CLI::App &app, JobOptions &options, int64_t &seed) {
  app.add_option("programs", options.programs,
                 "directory written by 'whalec compile'");
  app.add_option("--ranks", options.ranks,
                 "number of ranks; must be what the programs are for")
      ->check(CLI::PositiveNumber);
  app.add_option("--data", options.data,
                 "text, .bin or .npy tokens; random tokens when left out");
  app.add_option("--token-bytes", options.tokenBytes,
                 "width of a token in a .bin file")
      ->check(CLI::IsMember({2, 4}));
  app.add_option("--steps", options.steps, "run until this many steps are done")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--eval-every", options.evalEvery,
                 "held-out loss every so many steps (and at the end)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--eval-batches", options.evalBatches,
                 "batches per held-out loss")
      ->check(CLI::PositiveNumber);
  app.add_flag("--no-eval", options.noEval, "no held-out loss");
  app.add_option("--communicator", options.communicator,
                 "local: ranks are threads; shm: ranks are processes")
      ->check(CLI::IsMember({"local", "shm"}));
  app.add_option("--checkpoint-dir", options.checkpointDirectory,
                 "save here at the end");
  app.add_option("--checkpoint-every", options.checkpointEvery,
                 "and every so many steps")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--resume", options.resume,
               "go on from the latest checkpoint of --checkpoint-dir");
  app.add_option("--seed", seed, "instead of the one compiled in");
  app.add_option("--log", options.log, "write JSON lines to this file");
  app.add_option("--dump", options.dumpDirectory,
                 "write all variables and gradients here");
  app.add_option("--dump-every", options.dumpEvery, "every so many steps")
      ->check(CLI::PositiveNumber);
  app.add_flag("--profile", options.profile,
               "time per instruction of rank 0, on stderr");
  app.add_flag("!--no-blas", options.useBlas,
               "use the built-in matrix product, not OpenBLAS");
  app.add_option("--threads", options.threads, "BLAS threads of each rank")
      ->check(CLI::PositiveNumber);
  app.add_option("--timeout", options.timeoutSeconds,
                 "seconds that any rank waits for another")
      ->check(CLI::PositiveNumber);
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Runs the programs that 'whalec compile' wrote."};
  JobOptions options;
  int64_t seed = 0;
  std::vector<std::string> compared;
  CompareOptions compare;
  addRunOptions(app, options, seed);
  app.add_flag("--json", options.json, "JSON lines on standard output");
  app.add_option("--compare", compared,
                 "compare two checkpoints or dumps instead of running")
      ->expected(2);
  app.add_option("--tolerance", compare.tolerance,
                 "largest difference, relative to a tensor's largest value");
  bool calibrates = false;
  app.add_flag("--calibrate", calibrates,
               "measure this host with --ranks ranks instead of running; JSON "
               "on standard output");
  app.add_flag("--bits", compare.bits, "compare bits, not values");
  app.footer("Exit codes: 0 ok, 1 bad input, 2 bug, 4 --compare found a "
             "difference, 6 not supported, 8 a rank failed.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  if (app.count("--seed") > 0)
    options.seed = seed;
  if (!compared.empty()) {
    bool within = false;
    compare.json = options.json;
    int code = report(compareDumps(compared[0], compared[1], compare, within));
    return code != 0 ? code : within ? 0 : foundDifference;
  }
  if (calibrates)
    return report(calibrate(options));
  if (options.programs.empty())
    return report(whale::format::badInput(
        "no programs directory given; 'whale-run --help' shows how"));
  return report(runJob(options));
}
