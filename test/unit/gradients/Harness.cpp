//===- Harness.cpp - models from text, gradients by differences -----------===//

#include "test/unit/gradients/Harness.h"

#include "passes/differentiate/Passes.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <cmath>

using namespace reference;

Model::Model(const std::string &text) {
  context.disableMultithreading();
  context.printOpOnDiagnostic(false);
  context.loadDialect<whale::WhaleDialect>();
  context.getDiagEngine().registerHandler([this](mlir::Diagnostic &d) {
    messages += d.str() + "\n";
    for (mlir::Diagnostic &note : d.getNotes())
      messages += "note: " + note.str() + "\n";
  });
  module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
}

whale::ModelOp Model::op() const {
  return *module.get().getOps<whale::ModelOp>().begin();
}

bool Model::differentiate() {
  mlir::PassManager passes(&context);
  passes.addNestedPass<whale::ModelOp>(whale::createUnrollScan());
  passes.addNestedPass<whale::ModelOp>(whale::createDifferentiate());
  return mlir::succeeded(passes.run(*module));
}

/// Central difference of the total loss by one element.
static double difference(Interpreter &interpreter, double &element) {
  constexpr double step = 1e-5;
  double kept = element;
  element = kept + step;
  double above = interpreter.run()->totalLoss();
  element = kept - step;
  double below = interpreter.run()->totalLoss();
  element = kept;
  return (above - below) / (2 * step);
}

GradientCheck
reference::checkGradients(Interpreter &interpreter, const StepResult &result,
                          const std::vector<std::string> &variables,
                          size_t perVariable, std::mt19937_64 &random) {
  GradientCheck check;
  for (const std::string &path : variables) {
    Tensor &variable = interpreter.variables.at(path);
    auto gradient = result.gradients.find(path);
    size_t count = variable.reals.size();
    for (size_t i = 0; i < std::min(count, perVariable); ++i) {
      size_t at = count <= perVariable ? i : random() % count;
      double found =
          gradient == result.gradients.end() ? 0.0 : gradient->second.reals[at];
      double expected = difference(interpreter, variable.reals[at]);
      double error =
          std::fabs(found - expected) / std::max(1.0, std::fabs(expected));
      ++check.entries;
      if (!(error <= check.worst)) {
        check.worst = error;
        check.worstPlace = path + "[" + std::to_string(at) + "]: found " +
                           std::to_string(found) + ", expected " +
                           std::to_string(expected);
      }
    }
  }
  return check;
}
