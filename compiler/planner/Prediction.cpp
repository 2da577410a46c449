//===- Prediction.cpp - parts and sums of what is predicted ---------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

Bytes MemoryParts::total() const {
  Bytes sum;
  for (const auto &[name, bytes] : namedParts(*this))
    sum += bytes;
  return sum;
}

std::vector<std::pair<std::string_view, Bytes>>
namedParts(const MemoryParts &memory) {
  return {{"parameters", memory.parameters},
          {"gradients", memory.gradients},
          {"optimizer", memory.optimizer},
          {"statistics", memory.other},
          {"activations", memory.activations},
          {"transients", memory.transients},
          {"communication", memory.communication},
          {"layout", memory.layout},
          {"reserve", memory.reserve}};
}

Bytes MemoryParts::host() const {
  Bytes sum;
  for (const auto &[name, bytes] : namedHostParts(*this))
    sum += bytes;
  return sum;
}

std::vector<std::pair<std::string_view, Bytes>>
namedHostParts(const MemoryParts &memory) {
  return {{"host parameters", memory.hostParameters},
          {"host gradients", memory.hostGradients},
          {"host optimizer", memory.hostOptimizer},
          {"host activations", memory.hostActivations}};
}

bool Relief::isOpen() const {
  return recomputeLayers == asNeeded || selectiveLayers == asNeeded ||
         offload.optimizer == asNeeded || offload.parameters == asNeeded ||
         offload.activations == asNeeded || gatheredLayers == asNeeded;
}

Relief reliefOf(const StageForm &stage) {
  return {stage.recomputeLayers, stage.selectiveLayers, stage.offload,
          stage.gatheredLayers};
}

void setRelief(StageForm &stage, const Relief &relief) {
  stage.recomputeLayers = relief.recomputeLayers;
  stage.selectiveLayers = relief.selectiveLayers;
  stage.offload = relief.offload;
  stage.gatheredLayers = relief.gatheredLayers;
}

bool Prediction::usesHost() const {
  return std::any_of(stages.begin(), stages.end(), [](const auto &stage) {
    return stage.memory.host() > Bytes();
  });
}

Bytes Prediction::deficit() const {
  Bytes worst = Bytes(INT64_MIN);
  for (const StagePrediction &stage : stages)
    worst = std::max(worst, stage.deficit());
  return worst;
}

} // namespace whale::planner
