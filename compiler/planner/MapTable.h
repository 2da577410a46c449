//===- MapTable.h - the device maps of forms --------------------*- C++ -*-===//
//
// deviceMaps() of the forms that a search meets, made once for all forms of
// equal size: their stages are alike, and nothing else of them matters. Maps
// that give the stages the same blocks of devices in another order stand
// together: what does not depend on the order has one bound for all of them.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_MAPTABLE_H
#define WHALE_PLANNER_MAPTABLE_H

#include "compiler/planner/Devices.h"
#include "compiler/planner/Search.h"

#include <map>
#include <mutex>
#include <tuple>

namespace whale::planner {

struct FormMaps {
  std::vector<DeviceMap> maps;
  /// Indices of maps; each group in order, and groups by their first.
  std::vector<std::vector<size_t>> alike;
  /// Of each map: its blocks (stages, or replicas) in each pool; empty where
  /// one of them lies in several. Of equal devices, all stages.
  std::vector<std::vector<int64_t>> blocks;
};

/// Safe for several threads.
class MapTable {
public:
  explicit MapTable(const cost::Hardware &hardware) : hardware(hardware) {}

  /// Of the form of a choice.
  const FormMaps &of(const Choice &choice);

private:
  const cost::Hardware &hardware;
  std::mutex mutex;
  /// By stages, devices inside one, and ranks.
  std::map<std::tuple<int64_t, int64_t, int64_t>, FormMaps> known;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_MAPTABLE_H
