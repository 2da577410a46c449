//===- PlanReport.cpp - a plan for people ---------------------------------===//

#include "compiler/report/PlanReport.h"

#include "compiler/report/Economics.h"
#include "compiler/report/ErrorBands.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace whale::report {

using namespace planner;

namespace {

/// Whether the row is that of a stage, not of a named part.
bool isNumbered(const std::vector<std::string> &row) {
  return !row.empty() && !row[0].empty() && row[0][0] >= '0' &&
         row[0][0] <= '9';
}

/// Neighbouring numbered rows whose cells from the third on are equal become
/// one.
std::vector<std::vector<std::string>>
joined(const std::vector<std::vector<std::string>> &rows) {
  std::vector<std::vector<std::string>> result;
  for (size_t i = 0; i < rows.size();) {
    size_t next = i + 1;
    while (next < rows.size() && rows[i].size() > 2 && isNumbered(rows[i]) &&
           std::equal(rows[i].begin() + 2, rows[i].end(),
                      rows[next].begin() + 2, rows[next].end()))
      ++next;
    result.push_back(rows[i]);
    if (next > i + 1) {
      result.back()[0] += "-" + rows[next - 1][0];
      if (rows[i][1] != rows[next - 1][1])
        result.back()[1] += " ...";
    }
    i = next;
  }
  return result;
}

/// Long strategies are cut for the list of runner-up plans.
std::string shortened(std::string text, size_t most) {
  if (text.size() <= most)
    return text;
  text.resize(most - 3);
  return text + "...";
}

double inGibibytes(Bytes bytes) {
  return static_cast<double>(bytes.value()) / 1073741824.0;
}

class Explainer {
public:
  explicit Explainer(const Plan &plan)
      : plan(plan), form(plan.chosen.form), p(plan.prediction) {}

  std::string run() {
    out = summary(plan);
    errors();
    words();
    time();
    stages();
    balance();
    bounds();
    memory();
    hostMemory();
    traffic();
    marginals();
    economics();
    alternatives();
    return std::move(out);
  }

private:
  void title(std::string_view text) { out += fmt::format("\n{}\n", text); }
  void line(std::string_view text) { out += fmt::format("  {}\n", text); }

  void errors() {
    if (!plan.insight)
      return;
    out += fmt::format("step time {}\n", print(plan.insight->band));
    const MemoryBand &band = plan.insight->memoryBand;
    out += fmt::format("memory {}\n", print(band));
    if (band.count > 0)
      memoryMargin(band);
  }

  /// Says so where less is free than nine of ten measured runs needed. All of
  /// a device but the type's reserve is predicted or free.
  void memoryMargin(const MemoryBand &band) {
    double free = std::numeric_limits<double>::infinity(), reserve = 0;
    for (const StagePrediction &stage : p.stages) {
      double usable =
          inGibibytes(stage.capacity - stage.memory.reserve + band.margin);
      double part = usable / inGibibytes(stage.memory.arena()) - 1;
      if (part >= free)
        continue;
      free = part;
      reserve = inGibibytes(stage.capacity) - usable / (1 + band.over);
    }
    if (free < band.over)
      line(fmt::format("{:.1f} % are free; with 'reserve_gibibytes': {:.1f} in "
                       "the cluster file so much would be",
                       100 * free, reserve));
  }

  static std::string_view shardWords(Shard shard) {
    switch (shard) {
    case Shard::None:
      break;
    case Shard::Optimizer:
      return "; the optimizer's state is cut over them";
    case Shard::Gradients:
      return "; the optimizer's state and gradients are cut over them";
    case Shard::Parameters:
      return "; the optimizer's state, gradients and parameters are cut over "
             "them";
    }
    return "";
  }

  void splitWords(const Axis &axis) {
    line(fmt::format("every op is cut {} ways along the first of its "
                     "dimensions among {}",
                     axis.size, quotedList(axis.dims)));
    if (axis.shares.empty())
      return;
    int64_t sum =
        std::accumulate(axis.shares.begin(), axis.shares.end(), int64_t(0));
    line(fmt::format("its parts are {} of {}; compile does not lower that yet",
                     fmt::join(axis.shares, ", "), sum));
  }

  void axisWords(const Axis &axis) {
    if (axis.kind == AxisKind::Split)
      return splitWords(axis);
    std::string shares =
        axis.shares.empty()
            ? fmt::format("{} of {} samples each", plan.globalBatch / axis.size,
                          plan.globalBatch)
            : fmt::format(
                  "{} to {} samples",
                  *std::min_element(axis.shares.begin(), axis.shares.end()),
                  *std::max_element(axis.shares.begin(), axis.shares.end()));
    line(fmt::format("{} replicas with {}{}", axis.size, shares,
                     shardWords(axis.shard)));
    for (const ColocatedSplit &split : axis.colocated)
      line(fmt::format("on their devices {} cut along the first of {} instead "
                       "of the batch",
                       split.paths.empty()
                           ? std::string("every op that has one is")
                           : fmt::format("{} are", quotedList(split.paths)),
                       quotedList(split.dims)));
  }

  void words() {
    title("in words");
    int64_t ranks = rankCount(form);
    line(fmt::format("{} ranks{}", formatCount(ranks),
                     plan.idleDevices
                         ? fmt::format(", {} devices stay idle",
                                       formatCount(plan.idleDevices))
                         : ""));
    if (form.stages.size() > 1 && !cutsBatchAlike(form))
      line("stages cut the batch differently: samples change hands between "
           "them; compile does not lower that yet");
    else
      for (const Axis &axis : form.stages.front().axes)
        axisWords(axis);
    if (form.stages.size() > 1)
      line(fmt::format("a pipeline of {} stages, {} micro-batches, schedule {}",
                       form.stages.size(), form.microBatches,
                       nameOf(form.schedule)));
    else if (form.microBatches > 1)
      line(fmt::format("gradients are accumulated over {} micro-batches",
                       form.microBatches));
    if (form.stages.front().recompute != Recompute::None)
      line(fmt::format("the backward part computes {} again",
                       form.stages.front().recompute == Recompute::Full
                           ? "whole instances"
                           : "cheap values"));
    int64_t layers = 0, selective = 0, gathered = 0;
    for (const StageForm &stage : form.stages) {
      layers += stage.recomputeLayers;
      selective += stage.selectiveLayers;
      gathered += stage.gatheredLayers;
    }
    if (layers > 0)
      line(fmt::format("the first instances of stages, {} together, are "
                       "computed again whole: that makes them fit",
                       layers));
    if (selective > 0)
      line(fmt::format("of {} instances {} the backward part computes cheap "
                       "values again: that makes their stages fit",
                       layers > 0 ? "behind those"
                                  : "at the beginning of stages",
                       selective));
    if (gathered > 0)
      line(fmt::format("the first instances of stages, {} together, keep their "
                       "parameters gathered, which spares gathering them for "
                       "every micro-batch: there is memory for that",
                       gathered));
    offloadWords();
  }

  /// What lies in the host's memory, over all stages.
  void offloadWords() {
    planner::Offload all;
    for (const StageForm &stage : form.stages)
      planner::forEachOffload([](auto, int64_t &sum, int64_t n) { sum += n; },
                              all, stage.offload);
    if (all == planner::Offload())
      return;
    std::vector<std::string> words;
    auto add = [&](int64_t layers, std::string_view what) {
      if (layers > 0)
        words.push_back(fmt::format("{} of {} instances", what, layers));
    };
    add(all.optimizer, "optimizer state");
    add(all.parameters, "parameters and gradients");
    add(all.activations, "activations");
    line(fmt::format("in the host's memory: {}", fmt::join(words, ", ")));
    line("compile does not lower that yet");
  }

  void time() {
    title("where the step goes (busiest stage)");
    std::vector<std::vector<std::string>> rows;
    auto add = [&](std::string name, Picoseconds part) {
      double share = 100 * part.asDouble() / p.step.asDouble();
      rows.push_back(
          {std::move(name), formatTime(part), fmt::format("{:.1f} %", share)});
    };
    add("compute", p.breakdown.compute);
    add("recompute", p.breakdown.recompute);
    add("split communication", p.breakdown.splitCommunication);
    add("pipeline idle", p.breakdown.pipelineIdle);
    add("gradient synchronisation", p.breakdown.gradientSync);
    add("update", p.breakdown.update);
    if (p.breakdown.hostTransfers > Picoseconds())
      add("waiting for the host's memory", p.breakdown.hostTransfers);
    add("host and stragglers", p.breakdown.overhead);
    out += table({"part", "time", "share"}, rows);
  }

  std::string holds(size_t s) const {
    if (form.stages[s].paths.empty())
      return "the model";
    return fmt::format("{}", fmt::join(form.stages[s].paths, " "));
  }

  void stages() {
    title("stages (times of one micro-batch)");
    std::vector<std::vector<std::string>> rows;
    for (size_t s = 0; s < p.stages.size(); ++s) {
      const StagePrediction &stage = p.stages[s];
      rows.push_back({fmt::format("{}", s), holds(s),
                      plan.deviceTypes[stage.deviceType],
                      formatTime(stage.forward), formatTime(stage.backward),
                      fmt::format("{}", stage.inFlight)});
    }
    out += table(
        {"stage", "holds", "device", "forward", "backward", "in flight"}, rows);
  }

  /// What each stage's time hangs on.
  void bounds() {
    if (!plan.insight || plan.insight->stages.empty())
      return;
    title("what binds the stages (share of the step that hangs on it)");
    std::vector<std::string> header = {"stage", "memory"};
    for (const ResourceTime &each : plan.insight->stages.front().resources)
      header.push_back(each.resource);
    header.insert(header.end(), {"idle", "bound by"});
    auto share = [&](Picoseconds part) {
      return fmt::format("{:.0f} %", 100 * part.asDouble() / p.step.asDouble());
    };
    std::vector<std::vector<std::string>> rows;
    for (size_t s = 0; s < plan.insight->stages.size(); ++s) {
      const StageInsight &stage = plan.insight->stages[s];
      std::vector<std::string> row = {
          fmt::format("{}", s),
          fmt::format("{:.0f} %", 100 * stage.memoryUsed)};
      for (const ResourceTime &each : stage.resources)
        row.push_back(share(each.time));
      row.insert(row.end(), {share(stage.idle), stage.boundBy});
      rows.push_back(std::move(row));
    }
    out += table(header, rows);
  }

  void memory() {
    title("memory of one rank");
    std::vector<std::string> header = {"stage", "of"};
    for (const auto &[name, bytes] : namedParts({}))
      header.emplace_back(name);
    header.push_back("total");
    std::vector<std::vector<std::string>> rows;
    for (size_t s = 0; s < p.stages.size(); ++s) {
      const StagePrediction &stage = p.stages[s];
      std::vector<std::string> row = {fmt::format("{}", s),
                                      formatBytes(stage.capacity)};
      for (const auto &[name, bytes] : namedParts(stage.memory))
        row.push_back(formatBytes(bytes));
      row.push_back(formatBytes(stage.memory.total()));
      rows.push_back(std::move(row));
    }
    out += table(header, rows);
  }

  void hostMemory() {
    if (!p.usesHost())
      return;
    title("the host's memory, share of one rank");
    std::vector<std::string> header = {"stage", "of"};
    for (const auto &[name, bytes] : namedHostParts({}))
      header.emplace_back(name.substr(sizeof("host")));
    header.insert(header.end(), {"total", "moved in a step"});
    std::vector<std::vector<std::string>> rows;
    for (size_t s = 0; s < p.stages.size(); ++s) {
      const StagePrediction &stage = p.stages[s];
      std::vector<std::string> row = {fmt::format("{}", s),
                                      formatBytes(stage.hostCapacity)};
      for (const auto &[name, bytes] : namedHostParts(stage.memory))
        row.push_back(formatBytes(bytes));
      row.push_back(formatBytes(stage.memory.host()));
      row.push_back(formatBytes(stage.hostTraffic));
      rows.push_back(std::move(row));
    }
    out += table(header, rows);
  }

  /// Bytes, and the link that they take where that is known.
  std::string sent(size_t s, std::string_view purpose, Bytes bytes) const {
    if (plan.insight && s < plan.insight->stages.size())
      for (const LinkTraffic &each : plan.insight->stages[s].traffic)
        if (each.purpose == purpose)
          return fmt::format("{} {}", formatBytes(bytes), each.link);
    return formatBytes(bytes);
  }

  /// The trace of Whale's Algorithm 1.
  void balance() {
    if (!plan.balance)
      return;
    const planner::Balance &all = *plan.balance;
    title(fmt::format("the published balance, over {}", all.over));
    auto percent = [](double x) { return fmt::format("{:.1f} %", 100 * x); };
    std::vector<std::vector<std::string>> rows;
    for (size_t i = 0; i < all.devices.size(); ++i) {
      const planner::BalanceDevice &device = all.devices[i];
      auto memory = [&](double load) {
        return percent(load * device.whole.asDouble() /
                       device.memory.asDouble());
      };
      rows.push_back({fmt::format("{}", i), percent(all.first[i]),
                      memory(all.first[i]), percent(all.loads[i]),
                      memory(all.loads[i])});
    }
    out += table({"device", "by FLOP/s", "memory", "load", "memory"}, rows);
    for (size_t k = 0; k < all.moves.size(); ++k) {
      const planner::BalanceMove &move = all.moves[k];
      out += move.load > 0
                 ? fmt::format("  {}. device {} gives {} to device {}\n", k + 1,
                               move.from, percent(move.load), move.to)
                 : fmt::format("  {}. device {} has no room for load of device "
                               "{}\n",
                               k + 1, move.to, move.from);
    }
  }

  void marginals() {
    if (!plan.insight)
      return;
    title("what more would give");
    std::vector<std::vector<std::string>> rows;
    for (const Marginal &each : plan.insight->marginal)
      rows.push_back({each.change, withChange(each.step),
                      each.planned ? withChange(*each.planned) : "-"});
    out += table({"", "this plan", "the best plan then"}, rows);
    for (const Marginal &each : plan.insight->marginal)
      if (!each.strategy.empty())
        line(fmt::format("{}: {}", each.change, shortened(each.strategy, 80)));
  }

  std::string withChange(Picoseconds step) const {
    return fmt::format("{} ({:+.1f} %)", formatTime(step),
                       100 * (step.asDouble() / p.step.asDouble() - 1));
  }

  void economics() {
    if (!plan.economics)
      return;
    title("tokens and costs");
    out += report::print(*plan.economics);
  }

  void traffic() {
    title("bytes sent by one rank in a step");
    std::vector<std::vector<std::string>> rows;
    for (size_t s = 0; s < p.stages.size(); ++s) {
      const StagePrediction &stage = p.stages[s];
      rows.push_back({fmt::format("{}", s),
                      sent(s, "split axes", stage.splitTraffic),
                      sent(s, "between stages", stage.boundaryTraffic),
                      sent(s, "gradients", stage.gradientTraffic)});
    }
    out += table({"stage", "split axes", "between stages", "gradients"}, rows);
  }

  void alternatives() {
    if (plan.alternatives.empty())
      return;
    title("runner-up plans");
    for (const Alternative &other : plan.alternatives) {
      line(shortened(printCompact(other.strategy), 96));
      std::string time = other.step == Picoseconds::max()
                             ? std::string()
                             : formatTime(other.step) + ", ";
      line(fmt::format("  {}{}", time, other.reason));
    }
  }

  const Plan &plan;
  const NormalForm &form;
  const Prediction &p;
  std::string out;
};

} // namespace

std::string table(const std::vector<std::string> &header,
                  const std::vector<std::vector<std::string>> &rows,
                  size_t indent) {
  std::vector<std::vector<std::string>> all = joined(rows);
  all.insert(all.begin(), header);
  std::vector<size_t> widths(header.size());
  for (const auto &row : all)
    for (size_t c = 0; c < row.size(); ++c)
      widths[c] = std::max(widths[c], row[c].size());
  std::string out;
  for (const auto &row : all) {
    std::string line(indent, ' ');
    for (size_t c = 0; c < row.size(); ++c)
      line += c == 0 ? fmt::format("{:<{}}", row[c], widths[c])
                     : fmt::format("  {:>{}}", row[c], widths[c]);
    out += line + "\n";
  }
  return out;
}

/// What another element type changes.
static std::string changeOf(const planner::PrecisionChange &change) {
  std::string text = fmt::format("computes in '{}' instead of '{}', which "
                                 "changes the training; without that ",
                                 change.to, change.from);
  if (!change.without)
    return text + "no plan fits\n";
  return text + fmt::format("{} a step: {}\n", formatTime(change.without->step),
                            printCompact(change.without->strategy));
}

std::string summary(const Plan &plan) {
  const Prediction &p = plan.prediction;
  Bytes most, capacity;
  for (const StagePrediction &stage : p.stages)
    if (stage.memory.total() > most) {
      most = stage.memory.total();
      capacity = stage.capacity;
    }
  std::string text =
      fmt::format("'{}' ({} parameters), global batch {}: {}\n", plan.modelName,
                  formatCount(plan.parameters), formatCount(plan.globalBatch),
                  printCompact(plan.strategy));
  text +=
      fmt::format("step {}, {:.4g} samples/s, {:.1f} % of peak, memory {} "
                  "of {}, at most {:.1f} % from the bound{}\n",
                  formatTime(p.step), p.samplesPerSecond, 100 * p.utilization,
                  formatBytes(most), formatBytes(capacity), 100 * plan.gap,
                  !plan.gapOfInner ? " of plans whose stages hold whole layers"
                  : !plan.gapOfUnlike ? " of plans with like stages"
                                      : "");
  if (plan.precision)
    text += changeOf(*plan.precision);
  return text;
}

std::string explain(const Plan &plan) { return Explainer(plan).run(); }

} // namespace whale::report
