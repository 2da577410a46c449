//===- BalancePaper.cpp - Whale's Algorithm 1 -----------------------------===//

#include "compiler/planner/BalancePaper.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>

namespace whale::planner {

namespace {

class Algorithm {
public:
  explicit Algorithm(Balance &balance) : balance(balance) {}

  void run() {
    start();
    while (!overloaded.empty() && !free.empty()) {
      unsigned peak =
          most(overloaded, [&](unsigned i) { return memoryUse(i); });
      unsigned valley = most(free, [&](unsigned i) {
        return std::pair(-flopUse(i), -memoryUse(i));
      });
      double moved = std::min(room(valley), -room(peak));
      if (moved <= 0) {
        balance.moves.push_back({peak, valley, 0});
        free.erase(valley);
        continue;
      }
      balance.moves.push_back({peak, valley, moved});
      balance.loads[peak] -= moved;
      balance.loads[valley] += moved;
      overloaded.erase(peak);
    }
  }

private:
  void start() {
    double sum = 0;
    for (const BalanceDevice &device : balance.devices)
      sum += device.speed.value;
    for (const BalanceDevice &device : balance.devices)
      balance.loads.push_back(device.speed.value / sum);
    balance.first = balance.loads;
    for (unsigned i = 0; i < balance.devices.size(); ++i)
      (memoryUse(i) > 1 ? overloaded : free).insert(i);
  }

  double memoryUse(unsigned i) const {
    const BalanceDevice &device = balance.devices[i];
    return balance.loads[i] * device.whole.asDouble() /
           std::max(1.0, device.memory.asDouble());
  }
  double flopUse(unsigned i) const {
    return balance.loads[i] / balance.devices[i].speed.value;
  }
  /// Load that still fits; negative = too much.
  double room(unsigned i) const {
    const BalanceDevice &device = balance.devices[i];
    return device.memory.asDouble() / std::max(1.0, device.whole.asDouble()) -
           balance.loads[i];
  }

  /// The first with the largest value.
  template <class F>
  static unsigned most(const std::set<unsigned> &among, F value) {
    return *std::max_element(
        among.begin(), among.end(),
        [&](unsigned a, unsigned b) { return value(a) < value(b); });
  }

  Balance &balance;
  std::set<unsigned> overloaded, free;
};

} // namespace

std::vector<unsigned> Balance::overloaded() const {
  std::vector<unsigned> result;
  for (unsigned i = 0; i < loads.size(); ++i)
    // Sums of loads are not exact.
    if (loads[i] * devices[i].whole.asDouble() >
        devices[i].memory.asDouble() * (1 + 1e-9))
      result.push_back(i);
  return result;
}

Balance balancePaper(std::string over, std::vector<BalanceDevice> devices) {
  Balance balance;
  balance.over = std::move(over);
  balance.devices = std::move(devices);
  Algorithm(balance).run();
  return balance;
}

std::vector<int64_t> wholeShares(std::span<const double> loads, int64_t units) {
  std::vector<int64_t> shares;
  std::vector<std::pair<double, size_t>> remainders;
  int64_t left = units;
  for (size_t i = 0; i < loads.size(); ++i) {
    double exact = loads[i] * static_cast<double>(units);
    shares.push_back(std::max<int64_t>(1, std::llround(std::floor(exact))));
    left -= shares.back();
    remainders.emplace_back(static_cast<double>(shares.back()) - exact, i);
  }
  std::stable_sort(remainders.begin(), remainders.end());
  for (size_t k = 0; left > 0; k = (k + 1) % remainders.size(), --left)
    ++shares[remainders[k].second];
  // Where ones were given for less, the largest pay.
  for (; left < 0; ++left)
    --*std::max_element(shares.begin(), shares.end());
  return shares;
}

using json::ObjectReader;
using json::Writer;
constexpr auto oneLine = Writer::Layout::Inline;

void writeBalance(Writer &w, const Balance &balance) {
  w.beginObject().field("name", "paper").field("over", balance.over);
  w.key("devices").beginArray();
  for (size_t i = 0; i < balance.devices.size(); ++i)
    w.beginObject(oneLine)
        .field("flops_per_second", balance.devices[i].speed.value)
        .field("memory_bytes", balance.devices[i].memory.value())
        .field("whole_bytes", balance.devices[i].whole.value())
        .field("first_load", balance.first[i])
        .field("load", balance.loads[i])
        .endObject();
  w.endArray().key("moves").beginArray();
  for (const BalanceMove &move : balance.moves)
    w.beginObject(oneLine)
        .field("from", move.from)
        .field("to", move.to)
        .field("load", move.load)
        .endObject();
  w.endArray().endObject();
}

template <class F>
static void each(ObjectReader &r, std::string_view key, F f) {
  if (const json::Value::Array *array = r.array(key))
    for (const json::Value &value : *array)
      f(value);
}

Balance readBalance(const json::Value &json, Diagnostics &diags) {
  ObjectReader r(json, "balance", diags);
  Balance balance;
  r.requiredString("name");
  balance.over = r.requiredString("over").value_or("");
  each(r, "devices", [&](const json::Value &value) {
    ObjectReader d(value, "device", diags);
    BalanceDevice device;
    device.speed = {d.number("flops_per_second").value_or(0)};
    device.memory = Bytes(d.integer("memory_bytes").value_or(0));
    device.whole = Bytes(d.integer("whole_bytes").value_or(0));
    balance.devices.push_back(device);
    balance.first.push_back(d.number("first_load").value_or(0));
    balance.loads.push_back(d.number("load").value_or(0));
    d.finish();
  });
  each(r, "moves", [&](const json::Value &value) {
    ObjectReader m(value, "move", diags);
    BalanceMove move;
    move.from = static_cast<unsigned>(m.integer("from").value_or(0));
    move.to = static_cast<unsigned>(m.integer("to").value_or(0));
    move.load = m.number("load").value_or(0);
    m.finish();
    balance.moves.push_back(move);
  });
  r.finish();
  return balance;
}

} // namespace whale::planner
