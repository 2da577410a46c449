//===- Fragments.h - instances cut into fragments ---------------*- C++ -*-===//
//
// A stage of a pipeline may begin inside of an instance, after one of its
// forward ops: a few layers a stage are then no longer all or nothing. What
// becomes of a workload where some instances are cut so: each of them is a
// chain of runs of their own, its fragments, which hand on what those behind
// them use, and give back its gradients. All other instances stay what they
// are, so that a model is as many classes more as it has ways to be cut, not as
// it has layers.
//
// A backward op is where the forward op is that it comes from by its name; a
// sum of gradients where its last summand is. O(instances' ops * cuts).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_WORKLOAD_FRAGMENTS_H
#define WHALE_WORKLOAD_FRAGMENTS_H

#include "compiler/workload/Workload.h"

#include <map>

namespace whale::workload {

/// Before which of its forward ops an instance is cut, ascending; 0 is no cut.
using InnerCuts = std::vector<size_t>;

/// Where an instance of the class may be cut, at some or all of them, into
/// fragments that together do the same: no variable is in two, and no more
/// crosses than so many times its results. One place between two products.
InnerCuts innerCuts(const ModuleClass &module, int64_t mostCrossing);

/// The fragments of a class; empty where they would not do the same.
std::vector<ModuleClass> fragmentsOf(const ModuleClass &module,
                                     const InnerCuts &cuts);

/// By position the cuts of instances, of which there are fragmentsOf().
using CutInstances = std::map<int64_t, InnerCuts>;
Workload withFragments(const Workload &workload, const CutInstances &cuts);

} // namespace whale::workload

#endif // WHALE_WORKLOAD_FRAGMENTS_H
