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

} // namespace e2e
