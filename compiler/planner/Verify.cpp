//===- Verify.cpp - whether a plan is what it says ------------------------===//

#include "compiler/planner/Explain.h"
#include "compiler/planner/Plan.h"

#include "compiler/support/Text.h"

#include <fmt/format.h>

namespace whale::planner {

namespace {

class Verifier {
public:
  Verifier(const Plan &plan, const Problem &problem, Diagnostics &diags)
      : plan(plan), problem(problem), diags(diags) {}

  bool run() {
    size_t before = diags.errorCount();
    inputs();
    form();
    if (diags.errorCount() == before)
      devices();
    if (diags.errorCount() == before &&
        checkShares(plan.chosen.form, problem.workload, diags))
      prediction();
    return diags.errorCount() == before;
  }

private:
  template <class... T>
  void fail(fmt::format_string<T...> text, T &&...values) {
    diags.error({}, fmt::format(text, std::forward<T>(values)...),
                ExitCode::Finding);
  }

  void inputs() {
    for (const InputHash &mine : problem.options.inputs)
      for (const InputHash &input : plan.inputs)
        if (input.name == mine.name && input.sha256 != mine.sha256)
          fail("the plan was made from another {}: {} against {}", mine.name,
               input.sha256.substr(0, 12), mine.sha256.substr(0, 12));
    if (plan.globalBatch != problem.workload.globalBatch)
      fail("the plan is for a global batch of {}, the model has {}",
           plan.globalBatch, problem.workload.globalBatch);
    if (plan.precision && plan.precision->to != problem.workload.precision)
      fail("the plan computes in '{}', the model in '{}'", plan.precision->to,
           problem.workload.precision);
    if (plan.parameters != workload::parameterCount(problem.workload))
      fail("the plan is for {} parameters, the model has {}", plan.parameters,
           workload::parameterCount(problem.workload));
  }

  void form() {
    std::optional<NormalForm> form =
        normalize(plan.strategy, diags, Space::Full);
    if (!form)
      return;
    if (!(*form == plan.chosen.form))
      return fail("the stages and axes are not those of the strategy");
    auto cuts = cutsOf(*form, problem.workload, diags);
    if (cuts && *cuts != plan.chosen.cuts)
      fail("the stages' instances are not those of their paths");
  }

  void devices() {
    const DeviceMap &map = plan.chosen.devices;
    size_t blocks = map.kind == DeviceMap::Kind::ByStage
                        ? plan.chosen.form.stages.size()
                    : map.kind == DeviceMap::Kind::ByRank
                        ? static_cast<size_t>(rankCount(plan.chosen.form))
                        : outerCount();
    if (map.kind != DeviceMap::Kind::Identity && map.first.size() != blocks)
      return fail("{} blocks of devices, expected {}", map.first.size(),
                  blocks);
    int64_t ranks = rankCount(plan.chosen.form);
    int64_t count = problem.hardware.deviceCount();
    if (ranks > count)
      return fail("{} ranks on {} devices", ranks, count);
    std::vector<bool> used(count, false);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      int64_t device =
          map.deviceOf(plan.chosen.form, coordinatesOf(plan.chosen.form, rank));
      if (device < 0 || device >= count)
        return fail("rank {} is on device {} of {}", rank, device, count);
      if (used[device])
        return fail("device {} has two ranks", device);
      used[device] = true;
    }
  }

  size_t outerCount() const {
    size_t count = 1;
    for (unsigned a = 0; a < plan.chosen.form.outerAxes; ++a)
      count *= plan.chosen.form.stages.front().axes[a].size;
    return count;
  }

  void prediction() {
    CostTable table(problem.workload, problem.hardware);
    Prediction again = evaluate(table, plan.chosen);
    if (again.step != plan.prediction.step)
      fail("the step is said to take {}, the cost model gives {}",
           formatTime(plan.prediction.step), formatTime(again.step));
    for (size_t s = 0; s < again.stages.size(); ++s) {
      Bytes now = again.stages[s].memory.total();
      Bytes said = plan.prediction.stages[s].memory.total();
      // What the compiler laid out only it can check.
      if (plan.prediction.memoryMeasured)
        now = said;
      if (now != said)
        fail("stage {} is said to need {}, the cost model gives {}", s,
             formatBytes(said), formatBytes(now));
      if (now > again.stages[s].capacity)
        fail("stage {} needs {}, its device has {}", s, formatBytes(now),
             formatBytes(again.stages[s].capacity));
    }
  }

  const Plan &plan;
  const Problem &problem;
  Diagnostics &diags;
};

} // namespace

bool verify(const Plan &plan, const Problem &problem,
            Diagnostics &diagnostics) {
  return Verifier(plan, problem, diagnostics).run();
}

} // namespace whale::planner
