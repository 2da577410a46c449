//===- MeasuredRunTest.cpp - tables of measured runs ----------------------===//

#include "compiler/validation/MeasuredRun.h"
#include "test/unit/validation/Runs.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::validation;

namespace {
std::string errorsOf(const std::string &text) {
  Diagnostics diagnostics;
  CHECK(!readRuns(text, "runs.csv", diagnostics));
  return diagnostics.str();
}
} // namespace

TEST_CASE("a row's columns, whatever their order, quotes within quotes") {
  std::string text = "notes," + header() + "\r\n" +
                     "\"tier=A; a \"\"b\"\", c\"," +
                     row({{"id", "vtrain1-0001"},
                          {"layers", "24"},
                          {"params_b", "1.5"},
                          {"sequence_parallel", "1"}}) +
                     "\r\n";
  // The notes come twice: the first column of a name counts.
  text.replace(text.find(",notes\r"), 6, "");
  text.replace(text.rfind(",\r\n"), 1, "");
  Diagnostics diagnostics;
  auto runs = readRuns(text, "runs.csv", diagnostics);
  INFO(diagnostics.str());
  REQUIRE(runs);
  REQUIRE(runs->size() == 1);
  const MeasuredRun &run = runs->front();
  CHECK(run.notes == "tier=A; a \"b\", c");
  CHECK(run.tier() == "A");
  CHECK(run.prefix() == "vtrain1");
  CHECK(run.layers == 24);
  CHECK(run.parameters == 1.5);
  CHECK(run.sequenceParallel);
  CHECK(run.place.line() == 2);
}

TEST_CASE("a line break within quotes belongs to the field") {
  std::string text = header() + "\n" + row({{"notes", "\"tier=B\nmore\""}}) +
                     "\n" + row({{"id", "x-2"}, {"notes", "tier=C"}}) + "\n";
  Diagnostics diagnostics;
  auto runs = readRuns(text, "runs.csv", diagnostics);
  REQUIRE(runs);
  REQUIRE(runs->size() == 2);
  CHECK((*runs)[0].notes == "tier=B\nmore");
  CHECK((*runs)[1].place.line() == 4);
}

TEST_CASE("phrases of the notes, however they are written") {
  auto says = [](const char *notes, const char *phrase) {
    MeasuredRun run;
    run.notes = notes;
    return run.says(phrase);
  };
  for (const char *notes :
       {"TP comm overlap (userbuffers)", "x; tp-comm-overlap",
        "TPCommOverlap on", "TP_COMM_OVERLAP=1"})
    CHECK(says(notes, "TP comm overlap"));
  CHECK(says("with CUDA graphs", "CUDA graph"));
  CHECK(says("asyncTP", "async TP"));
  // Words begin where they begin, and numbers end where they end.
  CHECK(!says("nondeterministic", "deterministic"));
  CHECK(!says("Llama-405B", "Llama-4"));
  CHECK(says("20 of 128 / 80 of 512", "20 of 128"));
  // What is denied is not there.
  CHECK(!says("no CUDA graphs", "CUDA graph"));
  CHECK(!says("without TP comm overlap", "TP comm overlap"));
  CHECK(!says("CUDA graphs: off", "CUDA graph"));
  CHECK(says("CUDA graphs: off in v1, CUDA graphs in v2", "CUDA graph"));
}

TEST_CASE("numbers as people write them") {
  Diagnostics diagnostics;
  auto runs = readRuns(header() + "\n" +
                           row({{"id", "x-1"},
                                {"vocab", "\"51,200\""},
                                {"sequence_parallel", "True"},
                                {"zero_stage", "ZeRO-3"},
                                {"cp", "n/a"},
                                {"ep", "-"},
                                {"inter_node_link_gbps", "200 GB/s"},
                                {"mem_gb_per_gpu", "71.5 GiB"}}) +
                           "\n",
                       "runs.csv", diagnostics);
  INFO(diagnostics.str());
  REQUIRE(runs);
  const MeasuredRun &run = runs->front();
  CHECK(run.vocabulary == 51200);
  CHECK(run.sequenceParallel);
  CHECK(run.zero == 3);
  CHECK(run.context == 0);
  CHECK(run.expert == 0);
  CHECK(run.nodeLink == 1600);
  CHECK(run.memory == 71.5);
}

TEST_CASE("the year is a column that may be missing") {
  std::string head = header() + ",year\n", line = row({{"id", "x-1"}});
  Diagnostics diagnostics;
  auto with = readRuns(head + line + ",2021\n", "runs.csv", diagnostics);
  auto without =
      readRuns(header() + "\n" + line + "\n", "runs.csv", diagnostics);
  REQUIRE(with);
  REQUIRE(without);
  CHECK(with->front().year == 2021);
  CHECK(without->front().year == 0);
}

TEST_CASE("seconds of a step by metric") {
  MeasuredRun run;
  run.globalBatch = 64;
  run.sequence = 1000;
  run.gpus = 8;
  run.metricValue = 16;
  run.metric = "iter_s";
  CHECK(run.stepSeconds() == 16);
  run.metric = "samples_s";
  CHECK(run.stepSeconds() == 4);
  run.metric = "tokens_s_gpu";
  CHECK(run.stepSeconds() == 500);
  run.metric = "tflops_per_gpu";
  CHECK(!run.stepSeconds());
  run.notes = "tier=A; derived_iter_s=2.5; x";
  CHECK(run.stepSeconds() == 2.5);
}

TEST_CASE("tables that cannot be read") {
  CHECK(errorsOf("") == "runs.csv: error: the table of runs is empty\n");
  std::string missing = header();
  missing.replace(missing.find("layers"), 6, "layer");
  CHECK(errorsOf(missing + "\n") ==
        "runs.csv:1:1: error: no column 'layers'\n"
        "runs.csv:1:1: note: is it the column 'layer'?\n");
  CHECK(errorsOf(header() + "\na,b\n") ==
        "runs.csv:2:1: error: 2 fields, expected 34 as in the header\n");
  CHECK(errorsOf(header() + "\n" + row({{"layers", "2.5"}}) + "\n") ==
        "runs.csv:2:1: error: 'layers' is '2.5', expected a whole number or "
        "nothing\n");
  CHECK(errorsOf(header() + "\n" + row({{"params_b", "-1"}}) + "\n") ==
        "runs.csv:2:1: error: 'params_b' is '-1', expected a number or "
        "nothing\n");
}
