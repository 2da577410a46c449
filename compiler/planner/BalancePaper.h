//===- BalancePaper.h - Whale's published balance ---------------*- C++ -*-===//
//
// Problem: shares of one TaskGraph's work for devices of unlike speed and
// memory, as Whale's Algorithm 1 gives them (Jia et al., USENIX ATC'22, section
// 3.5), for comparison; the planner's own are in Shares.h and Bound.h.
// Method: loads in proportion to peak FLOP/s; then the most overloaded device
// gives load to the one that is least busy (least full among equals), until no
// device is overloaded or none has room. The paper does not say how much moves;
// here it is what is too much, as far as it fits.
// Guarantee: none. A device is looked at no more once it has given something
// away, even if it is overloaded still; what the others take is not spread over
// them; memory counts as proportional to load; there is no rounding rule (here:
// largest remainders). test/unit/planner/BalancePaperTest.cpp has numbers.
// Complexity: O(n^2) for n devices.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_BALANCEPAPER_H
#define WHALE_PLANNER_BALANCEPAPER_H

#include "compiler/support/Diagnostics.h"
#include "compiler/support/Json.h"
#include "compiler/support/Units.h"

#include <span>
#include <string>
#include <vector>

namespace whale::planner {

/// DF and DM of the paper, and TG_mem on this device: what all of the work
/// would need there.
struct BalanceDevice {
  FlopsPerSecond speed;
  Bytes memory, whole;

  bool operator==(const BalanceDevice &) const = default;
};

/// One round: `load` goes from an overloaded device to another; 0: that one had
/// no room and is left out from then on.
struct BalanceMove {
  unsigned from = 0, to = 0;
  double load = 0;

  bool operator==(const BalanceMove &) const = default;
};

/// The algorithm's trace and its result. Loads sum to 1.
struct Balance {
  /// "replicas" or "stages".
  std::string over;
  std::vector<BalanceDevice> devices;
  std::vector<double> first, loads;
  std::vector<BalanceMove> moves;

  bool operator==(const Balance &) const = default;
  /// Devices that the loads do not fit.
  std::vector<unsigned> overloaded() const;
};

/// Algorithm 1.
Balance balancePaper(std::string over, std::vector<BalanceDevice> devices);

/// Whole units in proportion to loads: largest remainders, at least one each.
/// Requires as many units as loads.
std::vector<int64_t> wholeShares(std::span<const double> loads, int64_t units);

/// `balance` in plan.json.
void writeBalance(json::Writer &writer, const Balance &balance);
Balance readBalance(const json::Value &json, Diagnostics &diagnostics);

} // namespace whale::planner

#endif // WHALE_PLANNER_BALANCEPAPER_H
