//===- State.cpp ----------------------------------------------------------===//

#include "compiler/verifier/State.h"

#include <algorithm>
#include <map>

namespace whale::verifier {

using namespace format;

namespace {

std::string quoted(const std::string &name) { return "'" + name + "'"; }

std::string boxText(const std::vector<int64_t> &values) {
  std::string out;
  for (int64_t value : values)
    out += (out.empty() ? "" : ", ") + std::to_string(value);
  return "[" + out + "]";
}

Box boxOf(const VariableT &variable, const RankInfo &rank) {
  Box box;
  box.dims = variable.operand->dims;
  box.offsets.assign(box.dims.size(), 0);
  ScalarValues values;
  values.rankScalars = &rank.scalars;
  for (size_t i = 0; i < variable.offsets.size(); ++i)
    box.offsets[i] = evaluate(*variable.offsets[i], values);
  return box;
}

/// A finding about a rank, without an instruction.
Diag &report(Diagnostics &diags, const ProgramSet &set, uint32_t rank,
             const std::string &message) {
  return diags.error(Place(),
                     message + " (rank " + std::to_string(rank) + ", role '" +
                         set.of(rank).program->role + "')",
                     ExitCode::Finding);
}

/// Ranges of a program's variables must be apart.
bool checkApart(const ProgramSet &set, uint32_t rank, Diagnostics &diags) {
  const ProgramT &program = *set.of(rank).program;
  std::vector<std::pair<uint64_t, const VariableT *>> order;
  for (const auto &variable : program.variables)
    if (*bytesOf(*variable->operand) > 0)
      order.emplace_back(variable->operand->offset, variable.get());
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const VariableT &before = *order[i - 1].second, &after = *order[i].second;
    if (before.operand->offset + *bytesOf(*before.operand) <=
        after.operand->offset)
      continue;
    report(diags, set, rank,
           "variables " + quoted(before.path) + " and " + quoted(after.path) +
               " overlap");
    return false;
  }
  return true;
}

/// All that ranks hold of one variable.
struct Shards {
  const VariableT *first = nullptr;
  uint32_t rank = 0;
  std::vector<Box> boxes;
};

bool checkShards(const ProgramSet &set, Shards &shards, Diagnostics &diags) {
  std::sort(shards.boxes.begin(), shards.boxes.end());
  shards.boxes.erase(std::unique(shards.boxes.begin(), shards.boxes.end()),
                     shards.boxes.end());
  auto gap = findGap(shards.boxes, shards.first->globalDims);
  if (!gap)
    return true;
  report(diags, set, shards.rank,
         "no rank holds element " + boxText(*gap) + " of variable " +
             quoted(shards.first->path) + " of shape " +
             boxText(shards.first->globalDims));
  return false;
}

} // namespace

bool checkVariables(const ProgramSet &set, Diagnostics &diags) {
  std::map<std::string, Shards> all;
  std::vector<bool> isChecked(set.roles.size());
  for (uint32_t rank = 0; rank < set.roleOf.size(); ++rank) {
    if (!isChecked[set.roleOf[rank]] && !checkApart(set, rank, diags))
      return false;
    isChecked[set.roleOf[rank]] = true;
    for (const auto &variable : set.of(rank).program->variables) {
      Shards &shards = all[variable->path];
      if (!shards.first) {
        shards.first = variable.get();
        shards.rank = rank;
      }
      if (shards.first->globalDims != variable->globalDims ||
          shards.first->kind != variable->kind ||
          shards.first->operand->dtype != variable->operand->dtype) {
        report(diags, set, rank,
               "variable " + quoted(variable->path) +
                   " has another shape, type or kind than on rank " +
                   std::to_string(shards.rank));
        return false;
      }
      shards.boxes.push_back(boxOf(*variable, set.manifest->ranks[rank]));
    }
  }
  for (auto &[path, shards] : all)
    if (!checkShards(set, shards, diags))
      return false;
  return true;
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

namespace {

/// What one rank reads of one input: its rows, in order.
struct Rows {
  std::vector<std::pair<int64_t, int64_t>> ranges; ///< [first, last)
  const InputUse *use = nullptr;
};

/// Sorted and merged; reports rows that are read in two visits.
bool mergeRows(const ProgramSet &set, const SampleSets &sets,
               const std::string &entry, Rows &rows, Diagnostics &diags) {
  std::sort(rows.ranges.begin(), rows.ranges.end());
  std::vector<std::pair<int64_t, int64_t>> merged;
  for (const auto &range : rows.ranges) {
    if (!merged.empty() && range.first < merged.back().second) {
      reportAt(diags, set, entry, rows.use->spot,
               "reads sample " + std::to_string(range.first) + " of input " +
                   quoted(sets.inputOf(rows.use->key)) + " twice");
      return false;
    }
    if (!merged.empty() && range.first == merged.back().second)
      merged.back().second = range.second;
    else
      merged.push_back(range);
  }
  rows.ranges = std::move(merged);
  return true;
}

/// Micro-batches may be cut before replicas, so rows need not be consecutive;
/// there are as many as the manifest says.
bool checkShare(const ProgramSet &set, const SampleSets &sets,
                const std::string &entry, const Rows &rows,
                Diagnostics &diags) {
  const int64_t expected = set.manifest->ranks[rows.use->spot.rank].samples;
  int64_t found = 0;
  for (const auto &[first, last] : rows.ranges)
    found += last - first;
  if (expected == 0 || found == expected)
    return true;
  reportAt(diags, set, entry, rows.use->spot,
           "reads " + std::to_string(found) + " samples of input " +
               quoted(sets.inputOf(rows.use->key)) + ", the rank's share is " +
               std::to_string(expected));
  return false;
}

/// Shares of different replicas are apart and make the batch; `boxes` (whole
/// rows) cover the input.
bool checkBatch(
    const ProgramSet &set, const SampleSets &sets, const std::string &entry,
    const std::map<std::pair<int64_t, int64_t>, const InputUse *> &shares,
    std::vector<Box> boxes, Diagnostics &diags) {
  int64_t next = 0;
  const InputUse *last = nullptr;
  for (const auto &[share, use] : shares) {
    last = use;
    if (share.first == next) {
      next = share.second;
      continue;
    }
    reportAt(diags, set, entry, use->spot,
             "input " + quoted(sets.inputOf(use->key)) + ": samples from " +
                 std::to_string(std::min(share.first, next)) + " are read by " +
                 (share.first > next ? "no replica" : "two replicas"));
    return false;
  }
  if (next != last->info->dims[0]) {
    reportAt(diags, set, entry, last->spot,
             "input " + quoted(sets.inputOf(last->key)) + ": samples from " +
                 std::to_string(next) + " to " +
                 std::to_string(last->info->dims[0] - 1) +
                 " are read by no replica");
    return false;
  }
  std::sort(boxes.begin(), boxes.end());
  boxes.erase(std::unique(boxes.begin(), boxes.end()), boxes.end());
  auto gap = findGap(boxes, last->info->dims);
  if (!gap)
    return true;
  reportAt(diags, set, entry, last->spot,
           "input " + quoted(sets.inputOf(last->key)) +
               ": nobody reads element " + boxText(*gap));
  return false;
}

} // namespace

bool checkInputs(const ProgramSet &set, const SampleSets &sets,
                 const std::string &entry, const Simulation &simulation,
                 Diagnostics &diags) {
  // key -> rank -> rows. Boxes of several columns of one row range are one.
  std::map<uint32_t, std::map<uint32_t, Rows>> all;
  std::map<uint32_t, std::vector<Box>> boxes;
  for (const InputUse &use : simulation.inputs()) {
    if (use.box.dims.empty())
      continue;
    Rows &rows = all[use.key][use.spot.rank];
    rows.use = &use;
    rows.ranges.emplace_back(use.box.offsets[0],
                             use.box.offsets[0] + use.box.dims[0]);
    boxes[use.key].push_back(use.box);
  }
  for (auto &[key, byRank] : all) {
    std::map<std::pair<int64_t, int64_t>, const InputUse *> shares;
    for (auto &[rank, rows] : byRank) {
      if (!mergeRows(set, sets, entry, rows, diags) ||
          !checkShare(set, sets, entry, rows, diags))
        return false;
      for (const auto &range : rows.ranges)
        shares.emplace(range, rows.use);
    }
    if (!checkBatch(set, sets, entry, shares, std::move(boxes[key]), diags))
      return false;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Metrics
//===----------------------------------------------------------------------===//

namespace {

int64_t batchOf(const ProgramSet &set) {
  if (set.manifest->globalBatch > 0)
    return set.manifest->globalBatch;
  for (const RoleProgram &role : set.roles)
    for (const auto &input : role.program->inputs)
      if (!input->dims.empty())
        return input->dims[0];
  return 0;
}

std::string gapText(const SampleSets &sets, const SampleRange &range) {
  return "it depends on samples " + std::to_string(range.first) + " to " +
         std::to_string(range.last - 1) + " of input " +
         quoted(sets.inputOf(range.key)) + " and not on the others";
}

/// Metrics that some rank of the entry would report.
std::map<std::string, Spot> metricsOf(const ProgramSet &set,
                                      const std::string &entryName) {
  std::map<std::string, Spot> spots;
  for (uint32_t rank = 0; rank < set.roleOf.size(); ++rank)
    for (const auto &entry : set.of(rank).program->entries) {
      if (entry->name != entryName)
        continue;
      for (const Visit &visit : entry->schedule) {
        const auto &section = set.of(rank).program->sections[visit.section()];
        for (uint32_t i = 0; i < section->instructions.size(); ++i)
          if (auto *m = section->instructions[i]->operation.AsMetric())
            spots.emplace(m->name, Spot{rank, visit.section(), i});
      }
    }
  return spots;
}

bool checkMetric(const ProgramSet &set, SampleSets &sets,
                 const std::string &entry,
                 const std::vector<const MetricUse *> &uses,
                 Diagnostics &diags) {
  SampleSet samples = 0;
  const MetricUse &first = *uses[0];
  const std::string name = "metric " + quoted(first.metric->name);
  const int64_t batch = batchOf(set);
  // Of several reports that are added up none may be of the whole batch, and
  // no two of the same samples.
  std::map<SampleSet, const MetricUse *> seen;
  for (const MetricUse *use : uses) {
    samples = sets.unite(samples, use->value.samples);
    if (use->metric->combine != Combine::Sum)
      continue;
    bool isPart = sets.incomplete(use->value.samples, batch) != nullptr;
    auto [it, isNew] = seen.emplace(use->value.samples, use);
    if (isNew && (isPart || seen.size() == 1))
      continue;
    reportAt(diags, set, entry, use->spot, name + " is reported twice")
        .hint("rank " + std::to_string(it->second->spot.rank) +
              " reports it too");
    return false;
  }
  if (const SampleRange *gap = sets.incomplete(samples, batch)) {
    reportAt(diags, set, entry, first.spot, name + " is not of the whole batch")
        .hint(gapText(sets, *gap));
    return false;
  }
  return true;
}

} // namespace

bool checkMetrics(const ProgramSet &set, SampleSets &sets,
                  const std::string &entry, const Simulation &simulation,
                  Diagnostics &diags) {
  std::map<std::string, std::vector<const MetricUse *>> byName;
  for (const MetricUse &use : simulation.metrics())
    byName[use.metric->name].push_back(&use);
  for (const auto &[name, spot] : metricsOf(set, entry))
    if (!byName.count(name)) {
      reportAt(diags, set, entry, spot,
               "metric " + quoted(name) + " is reported by no rank");
      return false;
    }
  for (const auto &[name, uses] : byName)
    if (!checkMetric(set, sets, entry, uses, diags))
      return false;
  return true;
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

namespace {

/// The box of a variable on the first rank that holds it.
struct Holder {
  uint32_t rank = 0;
  uint32_t role = 0;
  VariableState state;
};

Diag &reportVariable(Diagnostics &diags, const ProgramSet &set,
                     const std::string &entry, uint32_t rank,
                     const VariableState &state, const std::string &message) {
  const Writer &writer = state.content.writer;
  if (writer.section == Writer::none)
    return report(diags, set, rank, message + " in entry " + quoted(entry));
  return reportAt(diags, set, entry, {rank, writer.section, writer.instruction},
                  message);
}

bool checkResult(const ProgramSet &set, const SampleSets &sets,
                 const std::string &entry, uint32_t rank,
                 const VariableT &variable, const VariableState &state,
                 Diagnostics &diags) {
  const std::string name = "variable " + quoted(variable.path);
  if (variable.kind == VariableKind::Gradient && !state.isWritten)
    return true;
  if (state.content.problem != ReadProblem::None) {
    bool isUndefined = state.content.problem == ReadProblem::Undefined;
    reportVariable(diags, set, entry, rank, state,
                   name + (isUndefined ? " is not initialised"
                                       : " is overwritten in part"));
    return false;
  }
  if (!state.isWritten)
    return true;
  SampleSet samples = state.content.value.samples;
  if (const SampleRange *gap = sets.incomplete(samples, batchOf(set))) {
    reportVariable(diags, set, entry, rank, state,
                   name + " is not updated by the whole batch")
        .hint(gapText(sets, *gap));
    return false;
  }
  if (samples == 0 && entry == entryStep &&
      variable.kind == VariableKind::Parameter) {
    reportVariable(diags, set, entry, rank, state,
                   name + " is updated without any input");
    return false;
  }
  return true;
}

/// Ranks of one role compute the same where they hold the same. Ranks of other
/// roles may compute it in another way, but of the same samples.
bool checkReplica(const ProgramSet &set, const std::string &entry,
                  const Holder &first, const Holder &other,
                  const VariableT &variable, Diagnostics &diags) {
  const Value &a = first.state.content.value, &b = other.state.content.value;
  bool isEqual = first.state.isWritten == other.state.isWritten &&
                 a.samples == b.samples &&
                 (first.role != other.role || a.hash == b.hash);
  if (isEqual)
    return true;
  reportVariable(diags, set, entry, other.rank, other.state,
                 "variable " + quoted(variable.path) +
                     " becomes another value than on rank " +
                     std::to_string(first.rank) +
                     ", which holds the same part of it");
  return false;
}

} // namespace

bool checkResults(const ProgramSet &set, const SampleSets &sets,
                  const std::string &entry, Simulation &simulation,
                  Diagnostics &diags) {
  // By role first: replicas of one role are compared exactly.
  std::map<std::tuple<std::string, Box, uint32_t>, Holder> holders;
  std::map<std::pair<std::string, Box>, Holder> firsts;
  for (uint32_t rank = 0; rank < set.roleOf.size(); ++rank) {
    const ProgramT &program = *set.of(rank).program;
    const bool hasEntry = std::any_of(
        program.entries.begin(), program.entries.end(),
        [&](const auto &candidate) { return candidate->name == entry; });
    for (size_t i = 0; hasEntry && i < program.variables.size(); ++i) {
      const VariableT &variable = *program.variables[i];
      // Gradients are kept by the entries that make them, in memory that others
      // use.
      bool isKept = variable.kind != VariableKind::Gradient ||
                    entry == entryStep || entry == entryGradients;
      if (*bytesOf(*variable.operand) == 0 || !isKept)
        continue;
      Holder holder{rank, set.roleOf[rank], simulation.variable(rank, i)};
      if (!checkResult(set, sets, entry, rank, variable, holder.state, diags))
        return false;
      Box box = boxOf(variable, set.manifest->ranks[rank]);
      auto first = firsts.try_emplace({variable.path, box}, holder).first;
      auto same =
          holders
              .try_emplace({variable.path, std::move(box), holder.role}, holder)
              .first;
      for (const Holder *other : {&same->second, &first->second})
        if (!checkReplica(set, entry, *other, holder, variable, diags))
          return false;
    }
  }
  return true;
}

} // namespace whale::verifier
