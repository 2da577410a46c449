//===- SimulationState.h - one rank of a simulation -------------*- C++ -*-===//

#ifndef WHALE_VERIFIER_SIMULATIONSTATE_H
#define WHALE_VERIFIER_SIMULATIONSTATE_H

#include "compiler/verifier/Simulation.h"

namespace whale::verifier {

struct Simulation::Rank {
  Rank(uint32_t rank, const ProgramSet &set, SampleSets &sets,
       const std::string &entry);

  uint32_t rank;
  const RoleProgram &role;
  const format::RankInfo &info;
  /// Null when the program has no such entry.
  const std::vector<format::Visit> *schedule = nullptr;
  std::vector<bool> isRepeated; ///< by section, see Writer
  std::vector<size_t> places;   ///< by group: index among its members
  Arena arena;
  format::ScalarValues values;

  /// Where it stands.
  size_t visit = 0;
  uint32_t instruction = 0;
  Writer writer;
  bool isWaiting = false;
  /// It has entered the collective that it stands at.
  bool hasArrived = false;

  uint32_t section() const { return (*schedule)[visit].section(); }
  /// Moves over sections that are at their end.
  void skipEmpty() {
    while (schedule && visit < schedule->size() &&
           instruction >=
               role.program->sections[section()]->instructions.size()) {
      ++visit;
      instruction = 0;
    }
  }
  bool isDone() {
    skipEmpty();
    return !schedule || visit >= schedule->size();
  }
  const format::OperationUnion &operation() const {
    return role.program->sections[section()]
        ->instructions[instruction]
        ->operation;
  }
};

} // namespace whale::verifier

#endif // WHALE_VERIFIER_SIMULATIONSTATE_H
