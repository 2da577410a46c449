//===- Bound.cpp - what no cuts of a form can beat ------------------------===//

#include "compiler/planner/Bound.h"

#include "compiler/planner/Search.h"
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

/// What some stage takes at least: of instances that take `each` as many as its
/// share, rounded up, or fewer beside one of another run, and others the rest.
double fullestStage(double each, int64_t count, double other, int64_t stages) {
  double least = 1e300;
  for (int64_t beside = ceilDivide(count, stages); beside >= 0; --beside) {
    double here = each * static_cast<double>(beside) + other, rest = 0;
    if (stages > 1)
      rest = each * static_cast<double>(ceilDivide(count - beside, stages - 1));
    else if (beside < count)
      break;
    least = std::min(least, std::max(here, rest));
    if (rest >= here)
      break;
  }
  return least;
}

/// The longest instance, by a measure of each run's, that is not of `longest`.
template <class F>
double longestOther(const SpreadCosts &costs, size_t longest, F timeOf) {
  double most = 0;
  for (size_t r = 0; r < costs.runs.size(); ++r)
    if (r != longest && costs.runs[r].count > 0)
      most = std::max(most, timeOf(r));
  return most;
}

/// A row as a line in the times that are before the stage, in it and behind it:
/// constant + before * (T - y - x) + behind * (y + x) + own * x. The constant
/// with the usual messages, and where some may be smaller.
struct Line {
  double constant[2] = {0, 0};
  double before = 0, behind = 0, own = 0;
};

/// Weighted times as a share of all times, where every instance counts as those
/// of the longest run; what others may take less goes to the constant.
class Flattening {
public:
  explicit Flattening(const SpreadCosts &costs)
      : costs(costs), longest(longestRun(costs)) {}

  double share(const Parts &weights, double &constant) const {
    return share([&](size_t r) { return dot(weights, costs.runs[r].each); },
                 constant);
  }

  /// Of what a stage of this kind holds, with its tail `tails` times.
  double share(const Parts &weights, const SpreadCosts::Kind &kind,
               double tails, double &constant) const {
    return share(
        [&](size_t r) {
          double tail = r == longest ? tails * kind.tail : 0;
          return dot(weights, kind.each[r]) + tail * costs.runs[r].each.sum();
        },
        constant);
  }

private:
  template <class F> double share(F timeOf, double &constant) const {
    double least = costs.runs[longest].each.sum();
    double usual = least > 0 ? timeOf(longest) / least : 0;
    for (size_t r = 0; r < costs.runs.size(); ++r) {
      const SpreadCosts::Run &run = costs.runs[r];
      constant -= std::max(0.0, usual * run.each.sum() - timeOf(r)) *
                  static_cast<double>(run.count);
    }
    return usual;
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
    begins.push_back(0);
    for (int64_t s = 0; s < shape.stages; ++s) {
      std::vector<Row> rows = boundRows(shape, s, alive[s], shape.stages - 1);
      if (s == 0)
        lines.reserve(rows.size() * (shape.stages + 1));
      for (const Row &row : rows)
        lines.push_back(lineOf(row, s, flat));
      begins.push_back(lines.size());
    }
    most.assign(shape.stages, 1e300);
  }

  /// Either all messages are as usual, or an end of the model is a stage by
  /// itself; or nothing is known of them.
  double run() {
    double even = total * static_cast<double>(shape.microBatches) /
                  static_cast<double>(shape.stages);
    atEnds = !costs.messages.onlyAtEnds();
    double least = leastFrom(std::max(even, wholeInstances()));
    if (atEnds)
      return least;
    atEnds = true;
    for (auto [end, time] : {std::pair(most.begin(), costs.head),
                             std::pair(most.end() - 1, costs.tail)}) {
      *end = time;
      if (heldWithin(least).first >= total)
        least = leastFrom(even);
      *end = 1e300;
    }
    return least;
  }

private:
  /// Newton's steps, of which the first do nearly all.
  double leastFrom(double limit) const {
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

  Line lineOf(const Row &row, int64_t s, const Flattening &flat) const {
    Line line;
    int64_t free = freeMessages(shape.schedule), last = shape.stages - 1;
    double times = dot(row.whole.times, costs.all);
    if (row.endsAtFirst || s == 0)
      times += costs.ties;
    line.before = flat.share(row.before.times, times);
    line.behind = flat.share(row.behind.times, times);
    line.own = costs.kindOf.empty()
                   ? flat.share(row.own, times)
                   : flat.share(row.own, costs.kinds[costs.kindOf[s]],
                                row.endsAtFirst && s > 0 ? 0 : 1, times);
    for (bool ends : {false, true})
      line.constant[ends] =
          times + costs.messages.least(row.whole, 0, last, free, ends) +
          costs.messages.least(row.before, 0, s, free, ends) +
          costs.messages.least(row.behind, s, last, free, ends);
    return line;
  }

  /// What the stages hold at most where the step is no longer, and how that
  /// grows with it.
  std::pair<double, double> heldWithin(double limit) const {
    double held = 0, slope = 0;
    for (size_t s = most.size(); s-- > 0;) {
      double here = most[s], growth = 0;
      for (const Line &line : linesOf(s)) {
        double divisor = line.own - line.before + line.behind;
        double net = line.before - line.behind;
        if (divisor <= 0)
          continue;
        double own =
            (limit - line.constant[atEnds] - line.before * total + net * held) /
            divisor;
        if (own < here)
          here = own, growth = (1 + net * slope) / divisor;
      }
      held += here;
      slope += growth;
    }
    return {held, slope};
  }

  std::span<const Line> linesOf(size_t stage) const {
    return std::span(lines).subspan(begins[stage],
                                    begins[stage + 1] - begins[stage]);
  }

  /// By the fullest stage.
  double wholeInstances() const {
    size_t longest = longestRun(costs);
    auto timeOf = [&](size_t r) { return costs.runs[r].each.sum(); };
    double unit =
        fullestStage(timeOf(longest), costs.runs[longest].count,
                     longestOther(costs, longest, timeOf), shape.stages);
    for (const SpreadCosts::Run &run : costs.runs)
      unit = std::max(unit, run.each.sum() * static_cast<double>(ceilDivide(
                                                 run.count, shape.stages)));
    double least = 1e300;
    for (size_t s = 0; s < most.size(); ++s) {
      double value = 0;
      for (const Line &line : linesOf(s))
        value = std::max(value, line.constant[atEnds] +
                                    (line.behind + line.own) * unit);
      least = std::min(least, value);
    }
    return least;
  }

  const SpreadCosts &costs;
  const PipelineShape &shape;
  double total;
  bool atEnds = false;
  /// Of all stages; where those of each begin; and what it holds at most.
  std::vector<Line> lines;
  std::vector<size_t> begins;
  std::vector<double> most;
};

} // namespace

Messages::Messages(CostTable &table, const FormCosts &costs, int64_t stages) {
  int64_t usual = usualPosition(table.workload);
  findFewer(table.workload, costs, usual);
  there = back = {0};
  // By link: few are unlike.
  std::vector<std::tuple<FormCosts::Link, double, double>> known;
  for (int64_t s = 0; s + 1 < stages; ++s) {
    FormCosts::Link link = costs.linkFrom(s);
    auto it = std::find_if(known.begin(), known.end(), [&](const auto &one) {
      return std::get<0>(one) == link;
    });
    if (it == known.end())
      it = known.insert(it, {link, costs.messageThere(s, usual).asDouble(),
                             costs.messageBack(s, usual).asDouble()});
    auto [unused, out, in] = *it;
    there.push_back(there.back() + out);
    back.push_back(back.back() + in);
    mostThere = std::max(mostThere, out);
    mostBack = std::max(mostBack, in);
  }
}

void Messages::findFewer(const workload::Workload &workload,
                         const FormCosts &costs, int64_t usual) {
  auto usualThere = costs.messageThere(0, usual);
  auto usualBack = costs.messageBack(0, usual);
  auto isLess = [&](int64_t position) {
    return position > 0 && (costs.messageThere(0, position) < usualThere ||
                            costs.messageBack(0, position) < usualBack);
  };
  auto add = [&](int64_t position, int64_t count) {
    fewer += count;
    if (count > 1)
      head = -1;
    else if (position <= usual && head >= 0)
      head = position;
    else
      tail = std::min(tail, position);
  };
  // Instances of a run but its first have equal arguments.
  int64_t start = 0, inside = 0;
  for (const workload::Run &run : workload.runs) {
    if (isLess(start))
      add(start, 1);
    if (run.count > 1 && isLess(start + 1))
      add(start + 1, run.count - 1);
    if (start < usual && usual < start + run.count)
      inside = start + run.count;
    start += run.count;
  }
  // Ends are what the run with most instances leaves.
  if (head > usual - 1 || (tail < INT64_MAX && tail < inside))
    head = -1;
}

double Messages::least(const Region &weights, int64_t from, int64_t to,
                       int64_t free, bool atEnds) const {
  if (there.empty())
    return 0;
  auto dropped = static_cast<double>(free + (atEnds ? fewer : 0));
  return weights.sendForward *
             std::max(0.0, there[to] - there[from] - dropped * mostThere) +
         weights.sendBack *
             std::max(0.0, back[to] - back[from] - dropped * mostBack);
}

/// Of what is done once per step for all instances of the longest run, for each
/// second of them. For fewer instances it is no less: the time of a collective
/// grows no faster than its bytes.
static double tailOf(const CostTable &table, const NormalForm &form,
                     const FormCosts &costs, const SpreadCosts &spread,
                     unsigned stage) {
  // Virtual stages hide more of what overlaps.
  if (table.hardware.execution.stack.overlapsGradients)
    return 0;
  size_t longest = longestRun(spread);
  int64_t start = 0;
  for (size_t r = 0; r < longest; ++r)
    start += spread.runs[r].count;
  int64_t count = spread.runs[longest].count;
  double time = spread.runs[longest].each.sum() * static_cast<double>(count);
  double tail = costs.tail(stage, start, start + count).asDouble();
  return time > 0 ? tail / time * (1 - 1e-6) : 0;
}

/// Needs the runs.
static void addKinds(const CostTable &table, const NormalForm &form,
                     const FormCosts &costs, bool tails, SpreadCosts &spread) {
  std::vector<unsigned> first;
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    auto same = std::find(first.begin(), first.end(), costs.likeStage(s));
    spread.kindOf.push_back(same - first.begin());
    if (same != first.end())
      continue;
    first.push_back(costs.likeStage(s));
    SpreadCosts::Kind kind;
    for (size_t r = 0; r < spread.runs.size(); ++r)
      kind.each.push_back(partsOf(costs.forward(s, r), costs.backward(s, r),
                                  costs.run(s, r).weight));
    if (tails)
      kind.tail = tailOf(table, form, costs, spread, s);
    spread.kinds.push_back(std::move(kind));
  }
}

SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const FormCosts &costs, bool tails) {
  SpreadCosts result;
  result.isSmall = isSmall(table.workload, table.hardware);
  auto stages = static_cast<int64_t>(form.stages.size());
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    Picoseconds forward = Picoseconds::max(), backward = Picoseconds::max();
    Picoseconds weight;
    for (unsigned s = 0; s < stages; ++s) {
      if (costs.likeStage(s) != s)
        continue;
      forward = std::min(forward, costs.forward(s, r));
      backward = std::min(backward, costs.backward(s, r));
      weight = std::max(weight, costs.run(s, r).weight);
    }
    int64_t count = table.workload.runs[r].count;
    result.runs.push_back({partsOf(forward, backward, weight), count});
    result.all += result.runs.back().each * static_cast<double>(count);
  }
  if (tails || table.hardware.pools().size() > 1 || !cutsBatchAlike(form))
    addKinds(table, form, costs, tails, result);
  if (stages == 1)
    return result;
  if (tails)
    result.ties = costs.leastTies(0, 0, 1).asDouble();
  result.messages = Messages(table, costs, stages);
  int64_t start = 0;
  for (const SpreadCosts::Run &run : result.runs) {
    int64_t head = std::min(run.count, result.messages.headEnd() - start);
    int64_t tail =
        std::min(run.count, start + run.count - result.messages.tailStart());
    double each = run.each.sum();
    result.head += each * static_cast<double>(std::max<int64_t>(0, head));
    result.tail += each * static_cast<double>(std::max<int64_t>(0, tail));
    start += run.count;
  }
  return result;
}

Parts partsOf(Picoseconds forward, Picoseconds backward, Picoseconds weight) {
  double w = std::min(weight, backward).asDouble();
  return {forward.asDouble(), backward.asDouble() - w, w};
}

/// How many stages of the fastest kind these are worth.
static double fastStages(const SpreadCosts &costs, int64_t stages) {
  if (costs.kindOf.empty())
    return static_cast<double>(stages);
  double sum = 0;
  for (size_t kind : costs.kindOf) {
    double slower = 1e300;
    for (size_t r = 0; r < costs.runs.size(); ++r)
      if (double least = costs.runs[r].each.sum(); least > 0)
        slower = std::min(slower, costs.kinds[kind].each[r].sum() / least);
    sum += 1 / std::max(1.0, slower);
  }
  return sum;
}

/// By kind of stages: what an instance of a run takes of the step, with its
/// part of the tail.
static std::vector<double> timesOf(const SpreadCosts &costs, size_t run,
                                   double microBatches) {
  std::vector<double> times;
  for (const SpreadCosts::Kind &kind : costs.kinds) {
    double tail = run == longestRun(costs) ? kind.tail : 0;
    times.push_back(kind.each[run].sum() * microBatches +
                    tail * costs.runs[run].each.sum());
  }
  return times;
}

/// The least time in which these stages can hold all instances of a run, each
/// whole ones.
static double wholeInstances(const SpreadCosts &costs, size_t run,
                             int64_t stages, double microBatches) {
  int64_t left = costs.runs[run].count;
  if (costs.kindOf.empty())
    return costs.runs[run].each.sum() * microBatches *
           static_cast<double>(ceilDivide(left, stages));
  std::vector<double> times = timesOf(costs, run, microBatches);
  std::vector<int64_t> count(times.size(), 0), held = count;
  for (size_t kind : costs.kindOf)
    ++count[kind];
  double time = 0;
  while (left > 0) {
    auto timeOf = [&](size_t kind) {
      return times[kind] * static_cast<double>(held[kind] + 1);
    };
    size_t next = 0;
    for (size_t kind = 1; kind < held.size(); ++kind)
      if (timeOf(kind) < timeOf(next))
        next = kind;
    time = timeOf(next);
    left -= count[next];
    ++held[next];
  }
  return time;
}

/// fullestStage() where all stages are as fast as the fastest kind.
static double besideOther(const SpreadCosts &costs, int64_t stages,
                          double microBatches) {
  size_t longest = longestRun(costs);
  auto timeOf = [&](size_t r) {
    return costs.runs[r].each.sum() * microBatches;
  };
  std::vector<double> times = timesOf(costs, longest, microBatches);
  double each = times.empty() ? timeOf(longest)
                              : *std::min_element(times.begin(), times.end());
  return fullestStage(each, costs.runs[longest].count,
                      longestOther(costs, longest, timeOf), stages);
}

/// What a stage takes that has no instance but of the longest run: at least all
/// but so many as there are others, the slowest ones at best.
static double leastHeld(const SpreadCosts &costs, double microBatches) {
  size_t longest = longestRun(costs), others = 0;
  for (size_t r = 0; r < costs.runs.size(); ++r)
    others += r == longest ? 0 : costs.runs[r].count;
  std::vector<double> ofKinds = timesOf(costs, longest, microBatches), times;
  for (size_t kind : costs.kindOf)
    times.push_back(ofKinds[kind]);
  if (others >= times.size())
    return 0;
  auto least = times.begin() + static_cast<int64_t>(others);
  std::nth_element(times.begin(), least, times.end(), std::greater<>());
  return *least;
}

Picoseconds evenBound(const SpreadCosts &costs, int64_t stages,
                      int64_t microBatches) {
  auto m = static_cast<double>(microBatches);
  double time = std::max(costs.all.sum() * m / fastStages(costs, stages),
                         leastHeld(costs, m));
  for (size_t r = 0; r < costs.runs.size(); ++r)
    time = std::max(time, wholeInstances(costs, r, stages, m));
  time = std::max(time, besideOther(costs, stages, m));
  return hairBelow(time);
}

Picoseconds spreadBound(const SpreadCosts &costs, const PipelineShape &shape,
                        const std::vector<int64_t> &alive) {
  if (isChunked(shape.schedule, shape.stages, shape.chunks))
    return chunkedSpread(costs, shape);
  // Less what the chunks' times may have been rounded.
  auto rounded = [&](double time) {
    Picoseconds tasks(2 * shape.chunks *
                      (shape.stages * 3 + shape.microBatches));
    return std::max(Picoseconds(), hairBelow(time) - tasks);
  };
  if (shape.stages == 1) {
    double tail = costs.kinds.empty() ? 0 : costs.kinds.front().tail;
    const SpreadCosts::Run &run = costs.runs[longestRun(costs)];
    return rounded(costs.all.sum() * static_cast<double>(shape.microBatches) +
                   tail * run.each.sum() * static_cast<double>(run.count));
  }
  return rounded(Spreading(costs, shape, alive).run());
}

} // namespace whale::planner
