//===- CatalogueHardware.cpp - a cluster file as hardware -----------------===//

#include "compiler/cost/CatalogueHardware.h"

#include <algorithm>

namespace whale::cost {

using workload::OpKind;

namespace {

bool isProduct(OpKind kind) {
  return kind == OpKind::Contraction || kind == OpKind::Convolution ||
         kind == OpKind::Attention;
}

} // namespace

CatalogueHardware::CatalogueHardware(const Cluster &cluster)
    : cluster(cluster), model(cluster) {
  if (cluster.classes.front().type.device.kind == DeviceType::Kind::Gpu)
    execution.parameters = defaultParameters();
  // Only of models in 8 or fewer bits, which are planned, not compiled: as
  // Transformer Engine has it.
  execution.stack.keepsNarrow = execution.stack.gathersNarrow = true;
  for (unsigned i = 0; i < cluster.classes.size(); ++i) {
    const NodeClass &nodes = cluster.classes[i];
    poolList.push_back({i, nodes.firstRank, nodes.rankCount(),
                        nodes.type.devicesPerNode,
                        nodes.type.devicesPerDomain()});
  }
}

std::string CatalogueHardware::typeName(unsigned type) const {
  return device(type).name;
}
Bytes CatalogueHardware::capacity(unsigned type) const {
  return device(type).memory;
}
Bytes CatalogueHardware::reserve(unsigned type) const {
  return device(type).reserve;
}
HostShare CatalogueHardware::host(unsigned type) const {
  const NodeType &node = cluster.classes[type].type;
  if (!node.host)
    return {};
  auto devices = static_cast<double>(node.devicesPerNode);
  auto sharing = static_cast<double>(
      std::min(node.host->devicesPerLink, node.devicesPerNode));
  HostShare share;
  share.memory = node.host->memory.scaled(node.host->usableMemory / devices);
  share.link = {node.device.hostLink->bandwidth.value / sharing};
  share.bandwidth = {node.host->bandwidth.value *
                     node.host->achievableBandwidth / devices};
  share.isAssumed = node.host->isAssumed;
  return share;
}
FlopsPerSecond CatalogueHardware::peak(unsigned type,
                                       std::string_view name) const {
  return device(type).peak(precisionFromName(name).value_or(Precision::F32));
}

static bool isNarrow(Precision precision) {
  return precision == Precision::FP8 || precision == Precision::FP4;
}

static bool isNarrow16(Precision precision) {
  return precision == Precision::BF16 || precision == Precision::F16;
}

/// The format that a kernel computes in: only products of weights are in 8 or
/// fewer bits.
static Precision kernelPrecision(const OpWork &work) {
  Precision precision =
      precisionFromName(work.precision).value_or(Precision::F32);
  return isNarrow(precision) && work.kind != OpKind::Contraction
             ? Precision::BF16
             : precision;
}

/// Products with a side shorter than this are sums of few terms, which no
/// matrix unit is used for (a tile of m16n8k16 would be mostly empty).
static constexpr int64_t shortestSide = 16;

static bool usesMatrixUnits(const OpWork &work) {
  bool thin = work.m > 0 &&
              std::min({work.batch * work.m, work.n, work.k}) < shortestSide;
  return isProduct(work.kind) && !thin;
}

/// Loads of 16 bytes need rows of a multiple of so many 16-bit elements;
/// kernels for others exist, but are slow.
static constexpr int64_t alignedElements = 8;

/// FlashAttention 2 over the kernels before it: 1.7 to 3.0 times as fast as the
/// first, 1.3 to 1.5 times as Triton's (Dao 2023, arXiv 2307.08691, section 4).
static constexpr double secondFaster = 1.4;

/// Attention in 8 bits over that in 16: 1.6 forward in FlashAttention 3 (Shah
/// et al. 2024, arXiv 2407.08608, section 4.1); less backward, estimate for
/// both.
static constexpr double narrowFaster = 1.4;

/// Fraction of peak that attention's arithmetic reaches.
static double attentionEfficiency(const Execution &execution,
                                  const DeviceType &on, const OpWork &work) {
  const Parameters &p = execution.parameters;
  // Starting and ending a tile of queries costs as much as so many keys.
  double keys = static_cast<double>(work.keys);
  double filled = keys > 0 ? keys / (keys + p.attentionHalfLength) : 1;
  switch (execution.stack.attention) {
  case Attention::Fused:
    return filled * (work.backward ? p.attentionBackward : p.attentionForward);
  case Attention::Portable:
    return filled * p.attentionPortable * on.portableFraction;
  case Attention::PortableFirst:
    return filled * p.attentionPortable * on.portableFraction / secondFaster;
  case Attention::Unfused:
    return p.attentionProducts *
           (work.headSize % alignedElements ? p.unalignedProducts : 1);
  }
  return unknownEfficiency;
}

/// Fraction of peak that a kernel's arithmetic reaches.
double CatalogueHardware::efficiency(const DeviceType &on, const OpWork &work,
                                     Precision precision) const {
  if (!usesMatrixUnits(work))
    return unknownEfficiency;
  if (work.kind == OpKind::Attention)
    return attentionEfficiency(execution, on, work);
  if (work.kind != OpKind::Contraction || work.m == 0)
    return unknownEfficiency;
  const Parameters &p = execution.parameters;
  double sustained =
      isNarrow(precision) ? p.matmulSustainedFp8 : p.matmulSustained;
  if (isNarrow(precision) && execution.stack.scalesRows)
    sustained *= p.rowScaledProducts;
  if (isNarrow16(precision) && execution.stack.keepsOddRows && work.oddRows)
    sustained *= p.oddProducts;
  return sustained * matmulEfficiency(on, precision,
                                      saturatingMultiply(work.batch, work.m),
                                      work.n, work.k)
                         .value;
}

/// Share of a sample's scores that packed examples leave.
static double packedShare(const Stack &stack, const OpWork &work) {
  if (stack.packedTokens == 0 || work.keys <= stack.packedTokens)
    return 1;
  return static_cast<double>(stack.packedTokens) /
         static_cast<double>(work.keys);
}

/// Memory traffic of attention whose scores lie in memory, in passes over them.
/// Forward: the product writes them, softmax reads and writes them, dropout
/// too (and a mask of 1 byte), the product with the values reads them.
/// Backward: both products' gradients, dropout and softmax. Source of the
/// passes: Korthikanti et al. 2022 (arXiv 2205.05198), section 4.1, for what is
/// kept.
static constexpr double scorePasses = 6.5, scorePassesBackward = 9.5;

/// Elementwise kernels written portably load 8 bytes a thread, which no longer
/// fills the memory of devices from Hopper on: with 16 they take 4 to 10 % less
/// there (pytorch/pytorch#141959, December 2024).
static constexpr double narrowLoads = 1.07;

Picoseconds CatalogueHardware::opTime(unsigned type, const OpWork &work) const {
  const DeviceType &on = device(type);
  Precision precision = kernelPrecision(work);
  // Elementwise arithmetic runs on the vector units, at float32.
  FlopsPerSecond peak =
      on.peak(usesMatrixUnits(work) ? precision : Precision::F32);
  double reached = efficiency(on, work, precision) * on.sustainedFraction;
  Picoseconds compute = work.flops / FlopsPerSecond{peak.value * reached};
  if (work.kind == OpKind::Attention)
    compute =
        compute.scaled(packedShare(execution.stack, work) /
                       (execution.stack.narrowAttention ? narrowFaster : 1));
  BytesPerSecond streaming{on.memoryBandwidth.value *
                           on.achievableMemoryFraction};
  BytesPerSecond bandwidth{streaming.value *
                           execution.parameters.memorySustained};
  Picoseconds memory = work.bytes / bandwidth;
  const Stack &stack = execution.stack;
  if (!stack.fusedElementwise && !isProduct(work.kind) && !work.fused)
    memory = memory.scaled(execution.parameters.unfusedTraffic *
                           (on.portableFraction < 1 ? narrowLoads : 1));
  int64_t widened = stack.widensElementwise && isNarrow16(precision) ? 2 : 1;
  if (!isProduct(work.kind))
    memory = memory * widened;
  Picoseconds launch =
      work.fused ? Picoseconds()
                 : on.launchOverhead.scaled(execution.parameters.launchShown);
  if (work.kind == OpKind::Attention && stack.attention == Attention::Unfused) {
    double passes = work.backward ? scorePassesBackward : scorePasses;
    Bytes scores = Bytes::fromDouble(work.scores * passes * 2) * widened;
    // Products do not skip what is masked.
    compute = compute.scaled(1 / work.used);
    return compute + memory + scores / streaming +
           launch * unfusedAttentionKernels;
  }
  double imbalance = work.routed ? execution.parameters.expertImbalance : 1;
  return std::max(compute, memory).scaled(imbalance) + launch;
}

double CatalogueHardware::sustained(const CollectiveEstimate &estimate) const {
  return estimate.crossesNetwork ? execution.parameters.networkSustained
                                 : execution.parameters.splitSustained;
}

Picoseconds CatalogueHardware::collectiveTime(const Group &group,
                                              CollectiveKind kind,
                                              Bytes bytes) const {
  CollectiveEstimate estimate = model.collective(group, kind, bytes);
  return estimate.time.scaled(1 / sustained(estimate));
}

Picoseconds CatalogueHardware::exchangeTime(const Group &group,
                                            const RowExchange &rows) const {
  CollectiveEstimate estimate = model.exchange(group, rows);
  return estimate.time.scaled(1 / sustained(estimate));
}

std::string CatalogueHardware::collectiveMethod(const Group &group,
                                                CollectiveKind kind,
                                                Bytes bytes) const {
  if (group.size <= 1 || bytes == Bytes())
    return {};
  CollectiveEstimate estimate = model.collective(group, kind, bytes);
  return std::string(algorithmName(estimate.algorithm)) + ", " +
         std::string(protocolName(estimate.protocol));
}

Picoseconds CatalogueHardware::sendTime(int64_t from, int64_t to,
                                        int64_t concurrent, Bytes bytes) const {
  CollectiveEstimate estimate = model.send(from, to, concurrent, bytes);
  return estimate.time.scaled(1 / sustained(estimate));
}

} // namespace whale::cost
