//===- Run.cpp ------------------------------------------------------------===//

#include "Run.h"

#include "runtime/comm/Launcher.h"
#include "runtime/core/Convert.h"
#include "runtime/core/Executor.h"
#include "runtime/cpu/CpuDevice.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

using namespace whale::runtime;
using namespace whale::format;

namespace e2e {

namespace {

constexpr int64_t timeoutMilliseconds = 20000;

/// Part of a variable on one rank.
struct Part {
  const VariableT *variable;
  Box box;
  std::vector<std::byte> bytes;
};

/// What the ranks bring home, by rank.
struct RankState {
  std::vector<std::vector<Part>> parts; ///< by moment
  std::vector<Metrics> metrics;         ///< by step
};

Status readParts(Executor &executor, RankState &state) {
  std::vector<Part> parts;
  for (const auto &variable : executor.program().variables) {
    Part part{variable.get(), boxOf(*variable, executor.info()), {}};
    part.bytes.resize(*bytesOf(*variable->operand));
    if (Status s = executor.readVariable(*variable, part.bytes.data());
        s.failed())
      return s;
    parts.push_back(std::move(part));
  }
  state.parts.push_back(std::move(parts));
  return Status();
}

Status rankMain(const ProgramSet &set, uint32_t rank, World &world,
                int64_t steps, RankState &state) {
  CpuOptions options;
  options.arena = world.arena(rank);
  std::unique_ptr<Device> device = makeCpuDevice(options);
  auto network = makeCommunicator(world, rank, timeoutMilliseconds);
  auto executor = Executor::prepare(set, rank, *device, *network, nullptr, 0);
  if (executor.failed())
    return executor.status();
  if ((*executor)->has(entryInit))
    if (auto metrics = (*executor)->run(entryInit, 0); metrics.failed())
      return metrics.status();
  if (Status s = network->barrier(); s.failed())
    return s;
  if (Status s = readParts(**executor, state); s.failed())
    return s;
  for (int64_t step = 0; step < steps; ++step) {
    auto metrics = (*executor)->run(entryStep, step);
    if (metrics.failed())
      return metrics.status();
    state.metrics.push_back(*metrics);
    if (Status s = network->barrier(); s.failed())
      return s;
    if (Status s = readParts(**executor, state); s.failed())
      return s;
  }
  return Status();
}

/// Puts a part into the whole tensor; NaN marks what nobody has written yet.
std::string place(const Part &part, std::vector<double> &whole) {
  const Box &box = part.box;
  std::vector<int64_t> index(box.dims.size(), 0);
  const uint64_t count = box.elements();
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d)
      at = at * static_cast<uint64_t>(box.globalDims[d]) +
           static_cast<uint64_t>(box.offsets[d] + index[d]);
    double value =
        loadNumber(part.variable->operand->dtype, part.bytes.data(), i);
    if (!std::isnan(whole[at]) && whole[at] != value)
      return "ranks differ in variable '" + part.variable->path + "'";
    whole[at] = value;
    for (size_t d = index.size(); d-- > 0 && ++index[d] == box.dims[d];)
      index[d] = 0;
  }
  return "";
}

std::string assemble(const std::vector<RankState> &states, size_t moment,
                     std::map<std::string, std::vector<double>> &out) {
  for (const RankState &state : states)
    for (const Part &part : state.parts[moment]) {
      auto [it, isNew] = out.try_emplace(part.variable->path);
      if (isNew)
        it->second.assign(*elementsOf(part.box.globalDims), NAN);
      if (std::string problem = place(part, it->second); !problem.empty())
        return problem + " after " + std::to_string(moment) + " steps";
    }
  return "";
}

/// The metrics of all ranks, as whale-run combines them, summed.
double lossOf(const std::vector<RankState> &states, size_t step) {
  std::map<std::string, double> totals;
  for (const RankState &state : states)
    for (const auto &[name, metric] : state.metrics[step]) {
      auto [total, isNew] = totals.emplace(name, metric.value);
      if (!isNew && metric.combine == Combine::Sum)
        total->second += metric.value;
    }
  double sum = 0;
  for (const auto &[name, total] : totals)
    sum += total;
  return sum;
}

bool isSameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

std::string difference(const std::string &what, const std::vector<double> &a,
                       const std::vector<double> &b, double tolerance) {
  if (a.size() != b.size())
    return what + " has another size";
  double largest = 1e-3, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    double apart = std::abs(a[i] - b[i]);
    worst = std::max(worst, std::isnan(apart) ? INFINITY : apart);
  }
  if (worst <= tolerance * largest)
    return "";
  char text[160];
  std::snprintf(text, sizeof text, ": %.3g apart, largest %.3g", worst,
                largest);
  return what + text;
}

} // namespace

RunResult run(const ProgramSet &set, int64_t steps) {
  RunResult result;
  auto world = World::create(planWorld(set), Sharing::Threads);
  if (world.failed()) {
    result.error = world.status().error().text();
    return result;
  }
  std::vector<RankState> states(set.manifest.ranks.size());
  Status status =
      runRanks(**world, Sharing::Threads, [&](uint32_t rank, World &shared) {
        return rankMain(set, rank, shared, steps, states[rank]);
      });
  if (status.failed()) {
    result.error = status.error().text();
    return result;
  }
  for (size_t step = 0; step < static_cast<size_t>(steps); ++step)
    result.losses.push_back(lossOf(states, step));
  result.variables.resize(static_cast<size_t>(steps) + 1);
  for (size_t moment = 0; moment < result.variables.size(); ++moment)
    if (result.error.empty())
      result.error = assemble(states, moment, result.variables[moment]);
  return result;
}

Traffic trafficOf(const ProgramSet &set) {
  Traffic traffic;
  auto pathsOf = [&](uint32_t rank) {
    std::set<std::string> paths;
    for (const auto &variable : set.programOf(rank).variables)
      paths.insert(variable->path);
    return paths;
  };
  for (uint32_t rank = 0; rank < set.manifest.ranks.size(); ++rank) {
    const ProgramT &program = set.programOf(rank);
    traffic.isSplit |= pathsOf(rank) != pathsOf(0);
    for (const auto &variable : program.variables)
      traffic.isSplit |= variable->operand->dims != variable->globalDims;
    for (const auto &entry : program.entries) {
      if (entry->name != entryStep)
        continue;
      for (const Visit &visit : entry->schedule)
        for (const auto &i : program.sections[visit.section()]->instructions) {
          if (const CollectiveT *c = i->operation.AsCollective())
            traffic.bytes += *bytesOf(*c->input);
          if (const SendT *send = i->operation.AsSend())
            traffic.bytes += *bytesOf(*send->operand);
          if (const InputT *input = i->operation.AsInput())
            traffic.isSplit |=
                input->operand->dims != program.inputs[input->input]->dims;
        }
    }
  }
  return traffic;
}

std::map<std::string, std::vector<double>> inputsOf(const ProgramSet &set) {
  std::map<std::string, std::vector<double>> out;
  for (const auto &[role, program] : set.programs)
    for (const auto &info : program.inputs) {
      const uint64_t count = *elementsOf(info->dims);
      std::vector<std::byte> bytes(count * bytesOf(info->dtype));
      Status status = fillInput(*info, BatchKey(), nullptr,
                                std::vector<int64_t>(info->dims.size(), 0),
                                info->dims, bytes.data());
      std::vector<double> values;
      for (uint64_t i = 0; status.ok() && i < count; ++i)
        values.push_back(loadNumber(info->dtype, bytes.data(), i));
      out[info->name] = std::move(values);
    }
  return out;
}

std::string compare(const RunResult &a, const RunResult &b, double tolerance,
                    bool changes) {
  std::string out =
      difference("initial loss", {a.losses[0]}, {b.losses[0]}, tolerance);
  if (!out.empty())
    return out;
  for (const auto &[path, before] : b.variables[0]) {
    auto mine = a.variables[0].find(path);
    if (mine == a.variables[0].end())
      return "variable '" + path + "' is missing";
    if (std::string d =
            difference("initial '" + path + "'", mine->second, before, 0);
        !d.empty())
      return d;
    std::vector<double> left = a.variables[1].at(path);
    std::vector<double> right = b.variables[1].at(path);
    for (size_t i = 0; changes && i < left.size(); ++i) {
      left[i] -= before[i];
      right[i] -= before[i];
    }
    if (std::string d =
            difference("'" + path + "' after a step", left, right, tolerance);
        !d.empty())
      return d;
  }
  return "";
}

std::string compareBits(const RunResult &a, const RunResult &b) {
  auto other = [](const std::string &what, double left, double right) {
    char text[120];
    std::snprintf(text, sizeof text, " is %.17g, on one rank %.17g", left,
                  right);
    return what + text;
  };
  for (size_t step = 0; step < b.losses.size(); ++step)
    if (!isSameBits(a.losses[step], b.losses[step]))
      return other("loss of step " + std::to_string(step), a.losses[step],
                   b.losses[step]);
  for (size_t moment = 0; moment < b.variables.size(); ++moment)
    for (const auto &[path, values] : b.variables[moment]) {
      const std::vector<double> &mine = a.variables[moment].at(path);
      for (size_t i = 0; i < values.size(); ++i)
        if (!isSameBits(mine[i], values[i]))
          return other("element " + std::to_string(i) + " of '" + path +
                           "' after " + std::to_string(moment) + " steps",
                       mine[i], values[i]);
    }
  return "";
}

} // namespace e2e
