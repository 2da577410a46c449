//===- RunTest.cpp - whale-run as a person calls it -----------------------===//

#include "LinearProgram.h"

#include "nlohmann/json.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <sstream>
#include <sys/wait.h>

using namespace whale::test;

namespace {

struct Outcome {
  int code = 0;
  std::string output; ///< stdout and stderr
};

Outcome run(const std::string &arguments) {
  Outcome out;
  const std::string command =
      std::string(WHALE_RUN_PATH) + " " + arguments + " 2>&1";
  std::FILE *pipe = popen(command.c_str(), "r");
  REQUIRE(pipe);
  char buffer[4096];
  while (size_t size = std::fread(buffer, 1, sizeof buffer, pipe))
    out.output.append(buffer, size);
  out.code = WEXITSTATUS(pclose(pipe));
  return out;
}

void writeLinear(const std::string &directory, int64_t ranks, bool sharded) {
  LinearProgram linear(ranks, 2, sharded);
  Manifest manifest = linear.manifest();
  manifest.predicted = R"({"step_seconds": 0.001})";
  writePrograms(directory, manifest, {&linear.program()});
}

std::vector<double> lossesOf(const std::string &jsonLines) {
  std::vector<double> out;
  std::istringstream lines(jsonLines);
  for (std::string line; std::getline(lines, line);) {
    auto record = nlohmann::json::parse(line);
    if (record["event"] == "step")
      out.push_back(record["loss"]);
  }
  return out;
}

} // namespace

TEST_CASE("whale-run prints the losses of plain loops") {
  const NaiveLinear naive(4);
  for (const char *communicator : {"local", "shm"})
    for (int64_t ranks : {1, 2, 4}) {
      TemporaryDirectory programs;
      writeLinear(programs.path(), ranks, ranks > 1);
      Outcome out =
          run(programs.path() + " --ranks " + std::to_string(ranks) +
              " --steps 4 --json --communicator " + communicator + " --log " +
              programs / "log.jsonl");
      INFO(out.output);
      REQUIRE(out.code == 0);
      std::vector<double> losses = lossesOf(out.output);
      REQUIRE(losses.size() == 4);
      for (size_t i = 0; i < 4; ++i)
        CHECK(losses[i] == Approx(naive.losses[i]).epsilon(1e-12));
      CHECK_THAT(out.output,
                 Catch::Contains("\"predicted_step_seconds\":0.001"));
      std::ifstream log(programs / "log.jsonl");
      std::ostringstream text;
      text << log.rdbuf();
      CHECK(text.str() == out.output);
    }
}

TEST_CASE("whale-run resumes bitwise, and compares what it dumped") {
  TemporaryDirectory one, two, saved;
  writeLinear(one.path(), 1, false);
  writeLinear(two.path(), 2, true);
  auto save = [&](const char *name) {
    return " --checkpoint-dir " + saved / name;
  };
  REQUIRE(run(two.path() + " --steps 6" + save("whole")).code == 0);
  REQUIRE(run(two.path() + " --steps 3" + save("part")).code == 0);
  Outcome resumed = run(two.path() + " --steps 6 --resume --communicator shm" +
                        save("part"));
  INFO(resumed.output);
  REQUIRE(resumed.code == 0);
  CHECK(resumed.output.rfind("step 3 ", 0) == 0);
  CHECK(run("--compare " + saved / "whole/step-6" + " " +
            saved / "part/step-6")
            .code == 0);
  // Dumps of one and two ranks agree, gradients too; different steps do not.
  REQUIRE(run(one.path() + " --steps 2 --dump " + saved / "d1").code == 0);
  REQUIRE(run(two.path() + " --steps 2 --dump " + saved / "d2").code == 0);
  Outcome same = run("--compare " + saved / "d1/step-2" + " " +
                     saved / "d2/step-2" + " --tolerance 1e-12");
  CHECK(same.code == 0);
  CHECK_THAT(same.output, Catch::Contains("w#gradient"));
  CHECK(run("--compare " + saved / "d1/step-1" + " " + saved / "d2/step-2" +
            " --tolerance 1e-12")
            .code == 4);
}

TEST_CASE("whale-run says what is wrong and how badly") {
  TemporaryDirectory programs;
  writeLinear(programs.path(), 2, false);
  struct Row {
    std::string arguments;
    int code;
    const char *message;
  };
  for (const Row &row :
       {Row{"", 1, "no programs directory given"},
        Row{"/nowhere", 1, "cannot open '/nowhere/manifest.json'"},
        Row{programs.path() + " --ranks 3", 1, "compiled for 2 ranks, not 3"},
        Row{programs.path() + " --data /nowhere", 1, "cannot open data file"},
        Row{programs.path() + " --resume", 1, "--resume needs"},
        Row{programs.path() + " --communicator pigeon", 1, "pigeon"},
        Row{"--help", 0, "Exit codes"}}) {
    Outcome out = run(row.arguments);
    INFO(row.arguments);
    CHECK(out.code == row.code);
    CHECK_THAT(out.output, Catch::Contains(row.message));
  }
}

TEST_CASE("a program for another device is refused") {
  TemporaryDirectory programs;
  LinearProgram linear(1, 1, false);
  linear.program().target = "abacus";
  writePrograms(programs.path(), linear.manifest(), {&linear.program()});
  Outcome out = run(programs.path());
  CHECK(out.code == 6);
  CHECK_THAT(out.output, Catch::Contains("is for 'abacus'"));
}

TEST_CASE("a program for CUDA says what is missing for it") {
  TemporaryDirectory programs;
  LinearProgram linear(1, 1, false);
  linear.program().target = "cuda";
  writePrograms(programs.path(), linear.manifest(), {&linear.program()});
  Outcome out = run(programs.path());
  CHECK(out.code == 6);
  CHECK_THAT(out.output, Catch::Contains("no usable GPU") ||
                             Catch::Contains("this build has no CUDA") ||
                             Catch::Contains("cannot open any of") ||
                             Catch::Contains("device has no function"));
}

TEST_CASE("a rank that waits for nobody ends the job with exit code 8") {
  TemporaryDirectory programs;
  LinearProgram linear(2, 1, false);
  // A receive that nobody sends, on rank 1's channel from rank 0 and back.
  linear.program().peers = 1;
  ReceiveT receive;
  receive.operand = boxed(operand(DType::F64, {1}, 0));
  append(*linear.program().sections[3], std::move(receive), 0);
  Manifest manifest = linear.manifest();
  manifest.ranks[0].peers = {1};
  manifest.ranks[1].peers = {0};
  writePrograms(programs.path(), manifest, {&linear.program()});
  Outcome out = run(programs.path() + " --timeout 0.3 --communicator shm");
  CHECK(out.code == 8);
  CHECK_THAT(out.output, Catch::Contains("model.mlir:3:0") &&
                             Catch::Contains("receive from rank"));
}
