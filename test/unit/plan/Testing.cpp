//===- Testing.cpp - models and plans for the tests of passes/plan --------===//

#include "test/unit/plan/Testing.h"

#include "passes/strategy/Strategy.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <fstream>
#include <sstream>

using namespace whale;
using namespace whale::test;
using reference::Tensor;
using reference::TensorMap;

const std::vector<std::string> &test::modelNames() {
  static const std::vector<std::string> names = {
      "convnet", "gpt", "llama", "lstm", "t5", "moe-capacity", "moe-grouped"};
  return names;
}

std::string test::modelText(const std::string &name, const std::string &spec) {
  std::ifstream file(std::string(WHALE_MODELS) + "/" + name + ".mlir");
  std::stringstream stream;
  stream << file.rdbuf();
  std::string text = stream.str();
  size_t end = text.rfind('}');
  REQUIRE(end != std::string::npos);
  return text.substr(0, end) + "  whale.training " + spec + "\n}\n";
}

static void narrow(mlir::Value value) {
  if (tensorType(value).getElementType().isF64())
    value.setType(
        tensorType(value).clone(mlir::Float32Type::get(value.getContext())));
}

void test::toFloat32(ModelOp model) {
  model.walk([](mlir::Operation *op) {
    for (mlir::Value value : op->getResults())
      narrow(value);
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &block : region)
        for (mlir::Value value : block.getArguments())
          narrow(value);
  });
  model.walk([](ModuleDefOp module) {
    mlir::Block &block = module.getBody().front();
    module.setFunctionTypeAttr(mlir::TypeAttr::get(
        mlir::FunctionType::get(module.getContext(), block.getArgumentTypes(),
                                block.getTerminator()->getOperandTypes())));
  });
}

TensorMap test::randomInputs(ModelOp model, llvm::StringRef name,
                             uint64_t seed) {
  std::mt19937_64 random(seed);
  TensorMap inputs;
  auto module = model.lookupSymbol<ModuleDefOp>(name);
  for (auto input : module.getBody().front().getOps<InputOp>()) {
    Tensor value(input.getType());
    int64_t range = input.getRange() ? int64_t(*input.getRange()) : 1;
    for (double &element : value.reals)
      element = std::uniform_real_distribution<double>(-1, 1)(random);
    for (int64_t &element : value.integers)
      element = std::uniform_int_distribution<int64_t>(0, range - 1)(random);
    inputs.try_emplace(input.getName().str(), value);
  }
  return inputs;
}

double test::difference(const TensorMap &a, const TensorMap &b) {
  double worst = 0;
  for (const auto &[name, tensor] : a)
    if (!b.count(name) && name.find('#') == std::string::npos)
      return INFINITY;
  for (const auto &[name, expected] : b) {
    auto it = a.find(name);
    if (it == a.end() || it->second.shape != expected.shape)
      return INFINITY;
    for (size_t i = 0; i < expected.reals.size(); ++i) {
      double found = it->second.reals[i], wanted = expected.reals[i];
      double error = std::abs(found - wanted) / std::max(1.0, std::abs(wanted));
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

planner::NormalForm test::planOf(const std::string &scopes) {
  Diagnostics diagnostics;
  planner::Node root;
  planner::Node *inner = &root;
  for (planner::Node &node : parseScopes(scopes, Place(), diagnostics)) {
    inner->body.push_back(std::move(node));
    inner = &inner->body.back();
  }
  auto form = planner::normalize(root, diagnostics);
  INFO(diagnostics.str());
  REQUIRE(form);
  return *form;
}
