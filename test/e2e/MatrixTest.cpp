//===- MatrixTest.cpp - N ranks against one rank ---------------------------===//
//
// Each row: import, plan, compile in f64 with plain SGD, prove the programs,
// run them on N ranks and on one, compare losses and gradients. See Matrix.h
// for the rows.
//
//===----------------------------------------------------------------------===//

#include "Compile.h"
#include "Matrix.h"
#include "Run.h"

#include "compiler/verifier/Verifier.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <unistd.h>

using namespace e2e;
using whale::runtime::ProgramSet;

namespace {

/// |a - b| <= this * max(1e-3, max|b|), f64.
constexpr double tolerance = 1e-12;

/// A folder that is removed again.
struct Folder {
  explicit Folder(const std::string &name)
      : path(std::filesystem::temp_directory_path() /
             ("whale-e2e-" + std::to_string(getpid()) + "-" + name)) {}
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

struct Compiled {
  std::unique_ptr<Folder> folder;
  ProgramSet set;
};

/// Compiles, proves and loads; `error` says what went wrong.
std::unique_ptr<Compiled> build(const ModelCase &model,
                                const whale::planner::Node &plan,
                                std::string &error) {
  static int number = 0;
  auto out = std::make_unique<Compiled>();
  out->folder = std::make_unique<Folder>(std::to_string(number++));
  const std::string path = out->folder->path.string();
  error = compile(model, plan, path);
  if (!error.empty())
    return nullptr;
  whale::Diagnostics diags;
  if (!whale::verifier::verifyDirectory(path, diags)) {
    error = "verifier: " + diags.str();
    return nullptr;
  }
  auto set = whale::runtime::loadPrograms(path);
  if (set.failed()) {
    error = set.status().error().text();
    return nullptr;
  }
  out->set = std::move(*set);
  return out;
}

/// The one-rank run of a model, made once.
const RunResult &oneRank(const ModelCase &model) {
  static std::map<ModelCase, RunResult> results;
  auto [it, isNew] = results.try_emplace(model);
  if (!isNew)
    return it->second;
  std::string error;
  auto compiled = build(model, replica(1), error);
  it->second = compiled ? run(compiled->set, 1) : RunResult{error, {}, {}};
  return it->second;
}

/// Empty, or why the row does not hold.
std::string checkRow(const Row &row) {
  const RunResult &one = oneRank(row.model);
  if (!one.error.empty())
    return "one rank: " + one.error;
  std::string error;
  auto compiled = build(row.model, row.plan, error);
  if (!compiled)
    return error;
  if (compiled->set.manifest.ranks.size() != row.ranks)
    return "has " + std::to_string(compiled->set.manifest.ranks.size()) +
           " ranks, expected " + std::to_string(row.ranks);
  Traffic traffic = trafficOf(compiled->set);
  if (!traffic.isSplit || traffic.bytes == 0)
    return "nothing is split or nothing moves";
  RunResult many = run(compiled->set, 1);
  if (!many.error.empty())
    return "run: " + many.error;
  return compare(many, one, tolerance, row.model.optimizer == "sgd");
}

} // namespace

TEST_CASE("one rank gives what the interpreter gives", "[oracle]") {
  for (const ModelCase &model : models()) {
    DYNAMIC_SECTION(model.preset) {
      const RunResult &one = oneRank(model);
      REQUIRE(one.error == "");
      std::string error;
      auto compiled = build(model, replica(1), error);
      REQUIRE(compiled);
      Reference reference;
      REQUIRE(interpret(model, inputsOf(compiled->set), reference) == "");
      RunResult other;
      other.losses = {reference.loss};
      other.variables = {one.variables[0], reference.variables};
      // Variables that the interpreter has not touched stay what they were.
      for (const auto &[path, values] : one.variables[0])
        other.variables[1].try_emplace(path, values);
      CHECK(compare(one, other, 1e-11, true) == "");
    }
  }
}

TEST_CASE("N ranks give what one rank gives", "[matrix]") {
  for (const Row &row : rows()) {
    DYNAMIC_SECTION(row.model.preset << " "
                                     << whale::planner::printStrategy(row.plan)
                                     << " #" << row.number) {
      CHECK(checkRow(row) == "");
    }
  }
}
