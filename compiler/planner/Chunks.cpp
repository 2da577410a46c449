//===- Chunks.cpp - several parts of the model on one stage ---------------===//

#include "compiler/planner/Chunks.h"

#include "compiler/planner/Dealing.h"
#include "compiler/planner/Partition.h"

#include <algorithm>
#include <cassert>
#include <optional>

namespace whale::planner {

namespace {

simulator::Layout layoutOf(Schedule schedule, int64_t stages, int64_t chunks) {
  simulator::ScheduleSpec spec;
  spec.order = schedule;
  spec.stages = stages;
  spec.chunks = chunks;
  return simulator::layoutOf(spec);
}

/// Layers that what stays at the end may stand for, since a head may take as
/// long as several; at the front each instance for one.
constexpr int64_t mostAtEnd = 4;
int64_t mostAtFront(const Dealing &dealt) {
  return std::min(dealt.before, mostAtEnd);
}

/// Layers of each part, with `front` fewer in the first one and `end` fewer in
/// the last one than were dealt out; nothing where a part would be empty.
std::optional<std::vector<int64_t>> deal(const Dealing &dealt, int64_t parts,
                                         int64_t front, int64_t end) {
  int64_t all = dealt.layers + front + end;
  int64_t more = all % parts, start = (parts - more) / 2;
  std::vector<int64_t> sizes(parts, all / parts);
  for (int64_t k = start; k < start + more; ++k)
    ++sizes[k];
  sizes.front() -= front;
  sizes.back() -= end;
  for (int64_t k = 0; k < parts; ++k) {
    bool others =
        (k == 0 && dealt.before > 0) || (k == parts - 1 && dealt.after > 0);
    if (sizes[k] < (others ? 0 : 1))
      return std::nullopt;
  }
  return sizes;
}

std::vector<int64_t> cutsOf(const Dealing &dealt,
                            const std::vector<int64_t> &sizes) {
  std::vector<int64_t> cuts = {0};
  int64_t position = dealt.before;
  for (int64_t size : sizes)
    cuts.push_back(position += size);
  cuts.back() += dealt.after;
  return cuts;
}

/// Whether the parts at the turn of a V share equally, the first one first.
bool turnsInTheMiddle(const simulator::Layout &layout,
                      const std::vector<int64_t> &cuts) {
  if (layout.placement != simulator::Placement::V)
    return true;
  int64_t turn = layout.stages;
  int64_t before = cuts[turn] - cuts[turn - 1];
  int64_t behind = cuts[turn + 1] - cuts[turn];
  return before == behind || before == behind + 1;
}

} // namespace

bool isChunked(Schedule schedule, int64_t stages, int64_t chunks) {
  return chunks > 1 && stages > 1 &&
         layoutOf(schedule, stages, chunks).parts() > stages;
}

bool isChunked(const NormalForm &form) {
  return isChunked(form.schedule, static_cast<int64_t>(form.stages.size()),
                   form.virtualStages);
}

simulator::Layout partLayout(const NormalForm &form) {
  auto stages = static_cast<int64_t>(form.stages.size());
  if (!isChunked(form))
    return {simulator::Placement::Loop, stages, 1, form.microBatches};
  simulator::Layout layout =
      layoutOf(form.schedule, stages, form.virtualStages);
  layout.microBatches = form.microBatches;
  return layout;
}

int64_t partCount(const NormalForm &form) { return partLayout(form).parts(); }

std::vector<Range> rangesOf(const NormalForm &form,
                            const std::vector<int64_t> &cuts, int64_t stage) {
  simulator::Layout layout = partLayout(form);
  assert(std::ssize(cuts) == layout.parts() + 1);
  std::vector<Range> ranges;
  for (int64_t chunk = 0; chunk < layout.chunks; ++chunk) {
    int64_t part = layout.part({stage, chunk});
    ranges.push_back({cuts[part], cuts[part + 1]});
  }
  return ranges;
}

int64_t stageAt(const NormalForm &form, const std::vector<int64_t> &cuts,
                int64_t position) {
  auto after = std::upper_bound(cuts.begin(), cuts.end(), position);
  return partLayout(form).site(after - cuts.begin() - 1, 0).stage;
}

bool dealsEvenly(const workload::Workload &workload, int64_t parts) {
  Dealing dealt(workload.runs);
  for (int64_t front = 0; front <= mostAtFront(dealt); ++front)
    for (int64_t end = 0; end <= mostAtEnd; ++end)
      if ((dealt.layers + front + end) % parts == 0 &&
          deal(dealt, parts, front, end))
        return true;
  return false;
}

std::vector<std::vector<int64_t>> dealtCuts(const workload::Workload &workload,
                                            const NormalForm &form) {
  Dealing dealt(workload.runs);
  int64_t parts = partCount(form);
  std::vector<std::vector<int64_t>> even, other;
  for (int64_t front = 0; front <= mostAtFront(dealt); ++front)
    for (int64_t end = 0; end <= mostAtEnd; ++end)
      if (auto sizes = deal(dealt, parts, front, end)) {
        bool divides = (dealt.layers + front + end) % parts == 0;
        (divides ? even : other).push_back(cutsOf(dealt, *sizes));
      }
  return even.empty() ? other : even;
}

std::vector<std::vector<int64_t>> allCuts(const workload::Workload &workload,
                                          const NormalForm &form) {
  std::vector<std::vector<int64_t>> all;
  simulator::Layout layout = partLayout(form);
  int64_t instances = workload::instanceCount(workload);
  if (instances >= layout.parts())
    forEachPartition(instances, layout.parts(),
                     [&](const std::vector<int64_t> &cuts) {
                       if (turnsInTheMiddle(layout, cuts))
                         all.push_back(cuts);
                     });
  return all;
}

} // namespace whale::planner
