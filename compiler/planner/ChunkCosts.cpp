//===- ChunkCosts.cpp - what a stage of several chunks costs --------------===//
//
// Each part of the model takes what its instances take; a stage keeps the state
// of all its parts, synchronises and updates it once, and needs the most of any
// part while a task runs. What it keeps of micro-batches depends on which are
// alive together in which chunk: the schedule says (StepTime.cpp).
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

/// The messages to the parts before and behind; none where those are on the
/// same stage.
void FormCosts::setPartMessages(int64_t part, const std::vector<int64_t> &cuts,
                                StagePrediction &result) const {
  simulator::Layout layout = partLayout(form);
  auto stageOf = [&](int64_t which) {
    return static_cast<unsigned>(layout.site(which, 0).stage);
  };
  unsigned stage = stageOf(part);
  auto send = [&](unsigned to, Bytes bytes, Picoseconds gather) {
    if (to == stage)
      return Picoseconds();
    result.boundaryTraffic += bytes * form.microBatches;
    return gather + sendTime(stage, to, bytes);
  };
  if (part + 1 < layout.parts()) {
    unsigned next = stageOf(part + 1);
    cost::Message out = message(next, cuts[part + 1]);
    result.sendForward = send(next, out.forward, out.gatherForward);
  }
  if (part > 0) {
    unsigned before = stageOf(part - 1);
    cost::Message in = message(before, cuts[part]);
    result.sendBackward = send(before, in.backward, in.gatherBackward);
  }
  if (table.hardware.execution.stack.overlapsPipeline)
    return;
  result.forward += result.sendForward;
  result.backward += result.sendBackward;
}

StagePrediction FormCosts::partOf(int64_t part,
                                  const std::vector<int64_t> &cuts) const {
  StagePrediction result;
  result.first = cuts[part];
  result.last = cuts[part + 1];
  setCompute(static_cast<unsigned>(partLayout(form).site(part, 0).stage), {},
             result);
  setPartMessages(part, cuts, result);
  return result;
}

/// Gradients are there from the start, also with one micro-batch.
MemoryParts
FormCosts::chunkedMemory(unsigned stage, const std::vector<int64_t> &cuts,
                         const cost::StateBytes &state,
                         std::vector<StagePrediction> &parts) const {
  simulator::Layout layout = partLayout(form);
  MemoryParts memory = heldState(stage, 0, state, 0);
  Bytes gathered, in, out;
  for (int64_t chunk = 0; chunk < layout.chunks; ++chunk) {
    StagePrediction &one = parts[chunk];
    int64_t part = layout.part({stage, chunk});
    Peak peak = peakOf(stage, one.first, one.last,
                       pieces(stage, one.first, one.last, {}));
    one.memory.activations = peak.saved - peak.once;
    memory.activations += peak.once;
    memory.transients = std::max(memory.transients, peak.transient);
    gathered = std::max(gathered,
                        gatheredMemory(stage, one.first, one.last, state, {}));
    if (part > 0)
      in = std::max(in, boundary(stage, cuts[part], false));
    if (part + 1 < layout.parts())
      out = std::max(out, boundary(stage, cuts[part + 1], true));
  }
  memory.transients += gathered;
  if (form.microBatches > 1)
    memory.communication += in + out;
  memory.communication += Bytes(table.hardware.execution.stack.bucketBytes);
  return memory;
}

FormCosts::Chunked FormCosts::chunked(unsigned stage,
                                      const std::vector<int64_t> &cuts) const {
  Chunked result;
  StagePrediction &whole = result.whole;
  whole.chunks = rangesOf(form, cuts, stage);
  whole.first = whole.chunks.front().first;
  whole.last = whole.chunks.front().last;
  whole.deviceType = deviceType(stage);
  whole.capacity = table.hardware.capacity(whole.deviceType);
  whole.hostCapacity = hostMemory(stage);
  simulator::Layout layout = partLayout(form);
  for (int64_t chunk = 0; chunk < layout.chunks; ++chunk) {
    result.parts.push_back(partOf(layout.part({stage, chunk}), cuts));
    const StagePrediction &part = result.parts.back();
    whole.forward += part.forward;
    whole.backward += part.backward;
    whole.weight += part.weight;
    whole.communication += part.communication;
    whole.recompute += part.recompute;
    whole.gradientSync += part.gradientSync;
    whole.splitTraffic += part.splitTraffic;
    whole.boundaryTraffic += part.boundaryTraffic;
    whole.sendForward = std::max(whole.sendForward, part.sendForward);
    whole.sendBackward = std::max(whole.sendBackward, part.sendBackward);
  }
  cost::StateBytes state = stateOf(stage, whole.chunks);
  whole.memory = chunkedMemory(stage, cuts, state, result.parts);
  setSynchronisation(stage, state, whole);
  setUpdate(stage, {}, state, whole);
  return result;
}

} // namespace whale::planner
