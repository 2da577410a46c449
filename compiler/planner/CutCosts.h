//===- CutCosts.h - what stages take, by what they hold ---------*- C++ -*-===//
//
// Times, tails and fit of a form's stages for any instances that they may hold,
// remembered: algorithms that look for cuts ask again and again.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_CUTCOSTS_H
#define WHALE_PLANNER_CUTCOSTS_H

#include "compiler/planner/Bound.h"

#include <unordered_map>

namespace whale::planner {

/// Sums of times over the first instances.
using Prefix = std::vector<Parts>;

/// All arguments must outlive it. For one thread.
class CutCosts {
public:
  CutCosts(const CostTable &table, const NormalForm &form,
           const ReplicaCosts &costs);

  int64_t stages() const { return stageCount; }
  int64_t instances() const { return instanceCount; }

  /// The first of the neighbours of a stage whose classes cost the same.
  int64_t likeOf(unsigned stage) const { return like[stage]; }
  /// On the device of a stage of a class of replicas.
  const Prefix &prefix(size_t replicaClass, unsigned stage) const {
    return prefixes[replicaClass][stage];
  }
  /// What is done so that the instances fit adds.
  Parts relieved(size_t replicaClass, unsigned stage, int64_t first,
                 int64_t last) const;
  /// Gradients and update after the last task of a stage, on the replica that
  /// has the least of them, with exchanges of gradients with other stages.
  double tail(unsigned stage, int64_t first, int64_t last) const {
    return ownTail(stage, first, last) + ties(stage, first, last);
  }
  /// Its two parts: of the stage alone, and the exchanges.
  double ownTail(unsigned stage, int64_t first, int64_t last) const;
  double ties(unsigned stage, int64_t first, int64_t last) const;
  /// The same on one class of replicas. What other stages hold of shared
  /// variables is known here, so that holding more may make it less.
  double tailOf(size_t replicaClass, unsigned stage, int64_t first,
                int64_t last) const;
  bool fits(unsigned stage, int64_t first, int64_t last) const;

private:
  void addPrefixes(const FormCosts &one);
  Prefix prefixOf(const std::vector<Parts> &times) const;
  void findRuns();
  void findLike();
  std::pair<int64_t, int64_t> shifted(int64_t first, int64_t last) const;
  uint64_t keyOf(int64_t stage, int64_t first, int64_t last) const;
  int64_t memoryLike(unsigned stage) const;
  double tiesOf(size_t replicaClass, unsigned stage, int64_t first,
                int64_t last) const;
  double leastTime(size_t replicaClass, size_t tie, unsigned stage,
                   bool isUser) const;

  const CostTable &table;
  const NormalForm &form;
  const ReplicaCosts &costs;
  int64_t instanceCount, stageCount;
  /// Whether instances inside a run are alike.
  bool shiftable = true;
  /// By instance: where its run begins and ends.
  std::vector<std::pair<int64_t, int64_t>> runs;
  /// By class of replicas, then stage.
  std::vector<std::vector<Prefix>> prefixes;
  std::vector<int64_t> like;
  mutable std::unordered_map<uint64_t, double> tails, tied;
  mutable std::unordered_map<uint64_t, bool> fitting;
  /// By class of replicas, tie, stage, and whether that holds the user.
  mutable std::unordered_map<uint64_t, double> tieTimes;
  /// By the first stage like it, first and last instance, and class.
  mutable std::unordered_map<uint64_t, double> tailsOf;
  /// By memoryLike() the stage, first and last instance, and class of replicas.
  mutable std::unordered_map<uint64_t, Parts> reliefs;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_CUTCOSTS_H
