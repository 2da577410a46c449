//===- Programs.cpp -------------------------------------------------------===//

#include "Programs.h"

#include "Matrix.h"

#include "compiler/verifier/Verifier.h"

#include <unistd.h>

namespace e2e {

Compiled::Compiled(const std::string &name)
    : path(std::filesystem::temp_directory_path() /
           ("whale-e2e-" + std::to_string(getpid()) + "-" + name)) {}

Compiled::~Compiled() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::unique_ptr<Compiled> build(const ModelCase &model,
                                const whale::planner::Node &plan,
                                std::string &error) {
  static int number = 0;
  auto out = std::make_unique<Compiled>(std::to_string(number++));
  error = compile(model, plan, out->path.string());
  if (!error.empty())
    return nullptr;
  whale::Diagnostics diags;
  if (!whale::verifier::verifyDirectory(out->path.string(), diags)) {
    error = "verifier: " + diags.str();
    return nullptr;
  }
  auto set = whale::runtime::loadPrograms(out->path.string());
  if (set.failed()) {
    error = set.status().error().text();
    return nullptr;
  }
  out->set = std::move(*set);
  return out;
}

std::unique_ptr<Compiled> build(const Row &row, std::string &error) {
  auto compiled = build(row.model, row.plan, error);
  if (!compiled || compiled->set.manifest.ranks.size() == row.ranks)
    return compiled;
  error = "has " + std::to_string(compiled->set.manifest.ranks.size()) +
          " ranks, expected " + std::to_string(row.ranks);
  return nullptr;
}

const RunResult &oneRank(const ModelCase &model, int64_t steps) {
  static std::map<std::pair<ModelCase, int64_t>, RunResult> results;
  auto [it, isNew] = results.try_emplace({model, steps});
  if (!isNew)
    return it->second;
  std::string error;
  auto compiled = build(model, replica(1), error);
  it->second = compiled ? run(compiled->set, steps) : RunResult{error, {}, {}};
  return it->second;
}

std::string checkBits(const Row &row, const ModelCase &one) {
  const RunResult &expected = oneRank(one, bitSteps);
  if (!expected.error.empty())
    return "one rank: " + expected.error;
  std::string error;
  auto compiled = build(row, error);
  if (!compiled)
    return error;
  RunResult many = run(compiled->set, bitSteps);
  return many.error.empty() ? compareBits(many, expected)
                            : "run: " + many.error;
}

} // namespace e2e
