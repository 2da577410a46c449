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

Bytes Prediction::deficit() const {
  Bytes worst = Bytes(INT64_MIN);
  for (const StagePrediction &stage : stages)
    worst = std::max(worst, stage.memory.total() - stage.capacity);
  return worst;
}

} // namespace whale::planner
