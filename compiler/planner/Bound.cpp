//===- Bound.cpp - what no cuts of a form can beat ------------------------===//

#include "compiler/planner/Bound.h"

#include "compiler/workload/Workload.h"

#include <algorithm>
#include <cmath>

namespace whale::planner {

namespace {

/// An instance in the middle of the run with the most.
int64_t usualPosition(const workload::Workload &workload) {
  int64_t usual = 0, most = 0, start = 0;
  for (const workload::Run &run : workload.runs) {
    if (run.count > most && start + run.count > 1)
      usual = start + std::min<int64_t>(run.count - 1, 1), most = run.count;
    start += run.count;
  }
  return usual;
}

/// Positions at which less is sent than at `usual`.
int64_t fewerBytes(const workload::Workload &workload, const FormCosts &costs,
                   int64_t usual) {
  int64_t fewer = 0, start = 0;
  auto isLess = [&](int64_t position) {
    return position > 0 && (costs.messageThere(0, position) <
                                costs.messageThere(0, usual) ||
                            costs.messageBack(0, position) <
                                costs.messageBack(0, usual));
  };
  // Instances of a run but its first have equal arguments.
  for (const workload::Run &run : workload.runs) {
    fewer += isLess(start);
    if (run.count > 1 && isLess(start + 1))
      fewer += run.count - 1;
    start += run.count;
  }
  return fewer;
}

/// The run that takes longest.
size_t longestRun(const SpreadCosts &costs) {
  auto time = [](const SpreadCosts::Run &run) {
    return run.each.sum() * static_cast<double>(run.count);
  };
  auto longest = std::max_element(
      costs.runs.begin(), costs.runs.end(),
      [&](const auto &a, const auto &b) { return time(a) < time(b); });
  return longest - costs.runs.begin();
}

/// A row as a line in the times that are before the stage, in it and behind it:
/// constant + before * (T - y - x) + behind * (y + x) + own * x.
struct Line {
  double constant = 0, before = 0, behind = 0, own = 0;
};

/// Weighted times as a share of all times, where every instance counts as those
/// of the longest run; what others may take less goes to the constant.
class Flattening {
public:
  explicit Flattening(const SpreadCosts &costs)
      : costs(costs), longest(longestRun(costs)) {}

  double share(const Parts &weights, double &constant) const {
    double usual = shareOf(weights, longest);
    for (size_t r = 0; r < costs.runs.size(); ++r) {
      const SpreadCosts::Run &run = costs.runs[r];
      constant -= std::max(0.0, usual * run.each.sum() -
                                    dot(weights, run.each)) *
                  static_cast<double>(run.count);
    }
    return usual;
  }

private:
  double shareOf(const Parts &weights, size_t run) const {
    const Parts &each = costs.runs[run].each;
    return each.sum() > 0 ? dot(weights, each) / each.sum() : 0;
  }

  const SpreadCosts &costs;
  size_t longest;
};

class Spreading {
public:
  Spreading(const SpreadCosts &costs, const PipelineShape &shape,
            const std::vector<int64_t> &alive)
      : costs(costs), shape(shape), total(costs.all.sum()) {
    Flattening flat(costs);
    lines.resize(shape.stages);
    for (int64_t s = 0; s < shape.stages; ++s)
      for (const Row &row : boundRows(shape, s, alive[s]))
        lines[s].push_back(lineOf(row, s, flat));
  }

  double run() const {
    double even = total * static_cast<double>(shape.microBatches) /
                  static_cast<double>(shape.stages);
    double limit = std::max(even, wholeInstances());
    // The first steps do nearly all.
    for (int step = 0; step < 8; ++step) {
      auto [held, slope] = heldWithin(limit);
      if (held >= total || slope <= 0)
        break;
      double more = (total - held) / slope;
      limit += more;
      if (more < limit * 1e-6)
        break;
    }
    return limit;
  }

private:
  Line lineOf(const Row &row, int64_t s, const Flattening &flat) const {
    Line line;
    int64_t free = freeMessages(shape.schedule), last = shape.stages - 1;
    line.constant = dot(row.whole.times, costs.all) +
                    costs.messages.least(row.whole, 0, last, free) +
                    costs.messages.least(row.before, 0, s, free) +
                    costs.messages.least(row.behind, s, last, free);
    line.before = flat.share(row.before.times, line.constant);
    line.behind = flat.share(row.behind.times, line.constant);
    line.own = flat.share(row.own, line.constant);
    return line;
  }

  /// What the stages hold at most where the step is no longer, and how that
  /// grows with it.
  std::pair<double, double> heldWithin(double limit) const {
    double held = 0, slope = 0;
    for (size_t s = lines.size(); s-- > 0;) {
      double most = 1e300, growth = 0;
      for (const Line &line : lines[s]) {
        double divisor = line.own - line.before + line.behind;
        double net = line.before - line.behind;
        if (divisor <= 0)
          continue;
        double own =
            (limit - line.constant - line.before * total + net * held) /
            divisor;
        if (own < most)
          most = own, growth = (1 + net * slope) / divisor;
      }
      held += most;
      slope += growth;
    }
    return {held, slope};
  }

  /// Some stage holds as many instances of a run as its share, rounded up.
  double wholeInstances() const {
    double unit = 0;
    for (const SpreadCosts::Run &run : costs.runs)
      unit = std::max(
          unit, run.each.sum() *
                    static_cast<double>(ceilDivide(run.count, shape.stages)));
    double least = 1e300;
    for (const std::vector<Line> &stage : lines) {
      double value = 0;
      for (const Line &line : stage)
        value = std::max(value,
                         line.constant + (line.behind + line.own) * unit);
      least = std::min(least, value);
    }
    return least;
  }

  const SpreadCosts &costs;
  const PipelineShape &shape;
  double total;
  /// By stage.
  std::vector<std::vector<Line>> lines;
};

} // namespace

Messages::Messages(CostTable &table, const FormCosts &costs, int64_t stages) {
  int64_t usual = usualPosition(table.workload);
  fewer = fewerBytes(table.workload, costs, usual);
  there = back = {0};
  for (int64_t s = 0; s + 1 < stages; ++s) {
    double out = costs.messageThere(s, usual).asDouble();
    double in = costs.messageBack(s, usual).asDouble();
    there.push_back(there.back() + out);
    back.push_back(back.back() + in);
    mostThere = std::max(mostThere, out);
    mostBack = std::max(mostBack, in);
  }
}

double Messages::least(const Region &weights, int64_t from, int64_t to,
                       int64_t free) const {
  if (there.empty())
    return 0;
  auto dropped = static_cast<double>(fewer + free);
  return weights.sendForward *
             std::max(0.0, there[to] - there[from] - dropped * mostThere) +
         weights.sendBack *
             std::max(0.0, back[to] - back[from] - dropped * mostBack);
}

SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const FormCosts &costs) {
  SpreadCosts result;
  auto stages = static_cast<int64_t>(form.stages.size());
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    Picoseconds forward = Picoseconds::max(), backward = Picoseconds::max();
    Picoseconds weight;
    for (unsigned s = 0; s < stages; ++s) {
      forward = std::min(forward, costs.forward(s, r));
      backward = std::min(backward, costs.backward(s, r));
      weight = std::max(weight, costs.run(s, r).weight);
      if (costs.isUniform())
        break;
    }
    int64_t count = table.workload.runs[r].count;
    result.runs.push_back({partsOf(forward, backward, weight), count});
    result.all += result.runs.back().each * static_cast<double>(count);
  }
  if (stages > 1)
    result.messages = Messages(table, costs, stages);
  return result;
}

Parts partsOf(Picoseconds forward, Picoseconds backward, Picoseconds weight) {
  double w = std::min(weight, backward).asDouble();
  return {forward.asDouble(), backward.asDouble() - w, w};
}

Picoseconds evenBound(const SpreadCosts &costs, int64_t stages,
                      int64_t microBatches) {
  double unit = costs.all.sum() / static_cast<double>(stages);
  for (const SpreadCosts::Run &run : costs.runs)
    unit = std::max(unit, run.each.sum() *
                              static_cast<double>(ceilDivide(run.count, stages)));
  return Picoseconds(static_cast<int64_t>(
      unit * static_cast<double>(microBatches) * (1 - 1e-9)));
}

Picoseconds spreadBound(const SpreadCosts &costs, const PipelineShape &shape,
                        const std::vector<int64_t> &alive) {
  // A hair less, for the rounding of doubles and of the chunks' times.
  auto rounded = [&](double time) {
    auto tasks = static_cast<double>(
        2 * shape.chunks * (shape.stages * 3 + shape.microBatches));
    return Picoseconds(
        static_cast<int64_t>(std::max(0.0, time * (1 - 1e-9) - tasks)));
  };
  if (shape.stages == 1)
    return rounded(costs.all.sum() * static_cast<double>(shape.microBatches));
  return rounded(Spreading(costs, shape, alive).run());
}

} // namespace whale::planner
