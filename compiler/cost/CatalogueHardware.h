//===- CatalogueHardware.h - a cluster file as hardware ---------*- C++ -*-===//

#ifndef WHALE_COST_CATALOGUEHARDWARE_H
#define WHALE_COST_CATALOGUEHARDWARE_H

#include "compiler/cluster/Cluster.h"
#include "compiler/cost/CollectiveModel.h"

namespace whale::cost {

/// Rooflines and collectives from the catalogue's data: measured where there is
/// a measurement, else peak and link rates. A device type here is a node class
/// of the cluster. The cluster must outlive it.
///
/// opTime: max(FLOPs / (peak * efficiency), bytes / reachable bandwidth) plus
/// the launch overhead; roofline of Williams, Waterman, Patterson, CACM 52(4),
/// 2009.
/// Collectives: CollectiveModel.
class CatalogueHardware : public Hardware {
public:
  explicit CatalogueHardware(const Cluster &cluster);

  const std::vector<Pool> &pools() const override { return poolList; }
  std::string typeName(unsigned type) const override;
  Bytes capacity(unsigned type) const override;
  Bytes reserve(unsigned type) const override;
  HostShare host(unsigned type) const override;
  FlopsPerSecond peak(unsigned type, std::string_view name) const override;
  Picoseconds opTime(unsigned type, const OpWork &work) const override;
  Picoseconds collectiveTime(const Group &group, CollectiveKind kind,
                             Bytes bytes) const override;
  Picoseconds exchangeTime(const Group &group,
                           const RowExchange &rows) const override;
  std::string collectiveMethod(const Group &group, CollectiveKind kind,
                               Bytes bytes) const override;
  Picoseconds sendTime(int64_t from, int64_t to, int64_t concurrent,
                       Bytes bytes) const override;

private:
  const DeviceType &device(unsigned type) const {
    return cluster.classes[type].type.device;
  }
  double efficiency(const DeviceType &on, const OpWork &work,
                    Precision precision) const;
  /// Speed within a step over that of a benchmark.
  double sustained(const CollectiveEstimate &estimate) const;
  const Cluster &cluster;
  CollectiveModel model;
  std::vector<Pool> poolList;
};

} // namespace whale::cost

#endif // WHALE_COST_CATALOGUEHARDWARE_H
