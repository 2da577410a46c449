//===- Compile.cpp --------------------------------------------------------===//

#include "Compile.h"

#include "compiler/importers/Importers.h"
#include "dialects/rank/Rank.h"
#include "passes/Pipelines.h"
#include "passes/plan/ApplyPlan.h"
#include "test/reference/Interpreter.h"

using namespace mlir;
using namespace whale;

namespace e2e {

namespace {

/// A context that collects messages.
struct Session {
  Session()
      : context(
            [] {
              DialectRegistry registry;
              registry.insert<WhaleDialect, rank::RankDialect>();
              return registry;
            }(),
            MLIRContext::Threading::DISABLED),
        handler(&context, [this](Diagnostic &message) {
          messages += message.str() + "\n";
          return success();
        }) {
    context.loadAllAvailableDialects();
    context.printOpOnDiagnostic(false);
  }

  std::string messages;
  MLIRContext context;
  ScopedDiagnosticHandler handler;
};

OwningOpRef<ModuleOp> import(Session &session, const ModelCase &model) {
  ImportOptions options;
  options.batch = model.batch;
  options.sequence = model.sequence;
  options.precision = model.precision;
  options.optimizer = model.optimizer;
  // A step of 1 makes the change of a parameter its gradient.
  options.learningRate = model.optimizer == "sgd" ? 1.0 : 0.01;
  options.settings = model.settings;
  Diagnostics diags;
  if (!model.lora.empty())
    options.lora = parseLora(model.lora, diags);
  auto module = importPreset(session.context, model.preset, options, diags);
  session.messages += diags.str();
  return module;
}

} // namespace

std::string compile(const ModelCase &model, const planner::Node &plan,
                    const std::string &folder) {
  Session session;
  Compilation work;
  work.module = import(session, model);
  Diagnostics diags;
  if (!work.module)
    return session.messages;
  if (!planner::check(plan, diags))
    return diags.str();
  auto form = planner::normalize(plan, diags);
  if (!form)
    return diags.str();
  work.form = *form;
  work.applyOptions.canonical = model.isCanonical;
  work.lowerOptions.compile.exactMath = model.precision == "f64";
  if (runPhases(work, "", phases().back().name) != PhaseOutcome::Done)
    return "phases: " + session.messages;
  lower::ManifestData data;
  data.globalBatch = model.batch;
  format::Status status =
      lower::writePrograms(folder, *work.programs, work.ranks, data);
  return status.ok() ? "" : status.error().message;
}

std::string interpret(const ModelCase &model,
                      const std::map<std::string, std::vector<double>> &inputs,
                      Reference &result) {
  Session session;
  Compilation work;
  work.module = import(session, model);
  if (!work.module)
    return session.messages;
  work.form = plan::trivialPlan();
  if (runPhases(work, "", "apply-plan") != PhaseOutcome::Done)
    return session.messages;
  reference::Interpreter interpreter(work.model());
  work.module->walk([&](InputOp input) {
    auto type = tensorType(input.getResult());
    auto found = inputs.find(input.getName().str());
    if (found == inputs.end())
      return;
    reference::Tensor tensor(type);
    if (tensor.isInteger)
      tensor.integers.assign(found->second.begin(), found->second.end());
    else
      tensor.reals = found->second;
    interpreter.inputs[input.getName().str()] = tensor;
  });
  auto step = interpreter.train("step");
  if (failed(step))
    return "interpreter: " + session.messages;
  result.loss = step->totalLoss();
  for (const auto &[path, tensor] : interpreter.variables)
    if (!tensor.isInteger)
      result.variables[path] = tensor.reals;
  return "";
}

} // namespace e2e
