//===- RandomProblem.h - small planning problems by number ------*- C++ -*-===//

#ifndef WHALE_TEST_PLANNER_RANDOMPROBLEM_H
#define WHALE_TEST_PLANNER_RANDOMPROBLEM_H

#include "compiler/planner/Search.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <random>

namespace whale::test {

/// The same problem for the same seed on every machine: only the generator's
/// raw numbers are used, since distributions differ between libraries.
class RandomProblem {
public:
  explicit RandomProblem(unsigned seed)
      : random(seed), model(makeModel()), machine(makeMachine()) {
    options.space =
        percent(50) ? planner::Space::Full : planner::Space::Default;
    makePins();
    addHosts();
    makeTable();
    cutParameters();
  }

  planner::Problem problem() const { return {model, machine, options}; }
  const workload::Workload &workload() const { return model; }
  RoundHardware &hardware() { return machine; }
  const RoundHardware &hardware() const { return machine; }
  std::vector<RoundNodes> nodes;
  planner::Options options;

  /// For messages.
  std::string text() const {
    std::string result = fmt::format("batch {}, runs", model.globalBatch);
    for (const workload::Run &run : model.runs)
      result += fmt::format(" {}", run.count);
    for (const RoundNodes &some : nodes) {
      const RoundDevice &device = machine.devices[some.type];
      result += fmt::format("; {} devices in nodes of {}: {:.3g} FLOP/s, {} B",
                            some.count, some.perNode, device.flopsPerSecond,
                            device.memory);
      if (device.hostMemory > 0)
        result += fmt::format(" and {} B of the host", device.hostMemory);
    }
    return result + "; pins '" + planner::printPins(options.pins) + "'" +
           (options.space == planner::Space::Full ? ", full" : "");
  }

private:
  int64_t below(int64_t n) { return static_cast<int64_t>(random() % n); }
  bool percent(int64_t p) { return below(100) < p; }
  int64_t oneOf(std::initializer_list<int64_t> values) {
    return values.begin()[below(static_cast<int64_t>(values.size()))];
  }

  workload::Workload makeModel() {
    int64_t batch = oneOf({1, 2, 3, 4, 4, 6, 8, 8});
    int64_t sequence = oneOf({1, 1, 8, 16, 2048}),
            hidden = oneOf({32, 64, 128});
    std::vector<ModuleClass> classes;
    std::vector<int64_t> counts;
    int64_t runs = 1 + below(3), left = 12;
    // Experts have other dimensions: they follow nothing else.
    bool experts = percent(15);
    for (int64_t r = 0; r < (experts ? 1 : runs); ++r) {
      int64_t count = 1 + below(percent(70) ? 3 : left - (runs - r) + 1);
      count = std::min(count, left - (runs - 1 - r));
      counts.push_back(count);
      left -= count;
      int64_t ffn = hidden * oneOf({1, 2, 4, 8, 16});
      classes.push_back(experts ? expertLayer(batch, oneOf({2, 8, 32}), ffn,
                                              oneOf({2, 4, 8}), hidden)
                                : denseLayer({{"batch", batch},
                                              {"sequence", sequence},
                                              {"hidden", hidden},
                                              {"ffn", ffn}}));
    }
    return chain(std::move(classes), counts, batch);
  }

  RoundHardware makeMachine() {
    int64_t types = oneOf({1, 1, 1, 2, 2, 3}), left = 8;
    std::vector<RoundDevice> devices;
    double scale = std::pow(10, static_cast<double>(8 + below(4)));
    for (int64_t t = 0; t < types; ++t) {
      RoundDevice device;
      device.name = fmt::format("type{}", t);
      device.flopsPerSecond = scale * static_cast<double>(1 + below(8));
      device.memoryBytesPerSecond = scale * static_cast<double>(1 + below(8));
      // What the model needs on one device, and parts of it.
      if (percent(50))
        device.memory = stateBytes() * (2 + below(30)) / 8;
      devices.push_back(device);
      int64_t count = std::min(left, oneOf({1, 2, 2, 3, 4, 4, 8}));
      if (t + 1 < types)
        count = std::min(count, left - (types - 1 - t));
      left -= count;
      int64_t perNode = count;
      if (percent(40))
        perNode = count % 2 == 0 ? count / 2 : 1;
      nodes.push_back({static_cast<unsigned>(t), count, perNode});
    }
    RoundHardware made(devices, nodes);
    made.inside.bytesPerSecond = scale * static_cast<double>(oneOf({1, 2, 8}));
    made.outside.bytesPerSecond =
        made.inside.bytesPerSecond / static_cast<double>(oneOf({1, 4, 16}));
    return made;
  }

  int64_t stateBytes() const {
    return workload::parameterCount(model) * 16 + 4096;
  }

  /// Enough to keep the number of plans small.
  void makePins() {
    planner::Pins &pins = options.pins;
    if (percent(30))
      pins.recompute =
          percent(70) ? workload::Recompute::None : workload::Recompute::Full;
    if (percent(30))
      pins.zero = below(2);
    if (percent(20))
      pins.tensor = 1;
    if (percent(15))
      pins.pipeline = 1 + below(3);
    if (percent(10))
      pins.data = 1 + below(4);
    if (percent(15))
      pins.microBatches = oneOf({1, 2, 4});
    if (percent(20))
      pins.schedule = planner::Schedule::OneFOneB;
  }

  /// Memory of the host in a third of the problems: from half of what the model
  /// needs on one device to twice that.
  void addHosts() {
    if (!percent(35))
      return;
    for (RoundDevice &device : machine.devices) {
      device.hostMemory = stateBytes() * (1 + below(4)) / 2;
      device.linkBytesPerSecond =
          device.memoryBytesPerSecond / static_cast<double>(1 + below(64));
      device.hostBytesPerSecond =
          device.memoryBytesPerSecond / static_cast<double>(1 + below(32));
    }
  }

  /// The last layer becomes a table in some problems: a head's vocabulary.
  void makeTable() {
    bool isTable = percent(25), isPinned = percent(10);
    if (!isTable || model.runs.back().count > 1)
      return;
    for (workload::Op &op : model.classes.back().ops)
      for (workload::LoopDim &loop : op.loops)
        if (loop.name == "ffn")
          loop.name = "vocabulary";
    if (isPinned)
      options.pins.vocabulary = oneOf({1, 2});
  }

  /// Seldom the best, but where little else has room: as a pin.
  void cutParameters() {
    if (options.space != planner::Space::Full || !percent(8))
      return;
    options.pins.zero = 3;
    for (RoundDevice &device : machine.devices)
      if (percent(50))
        device.memory = stateBytes() * (2 + below(14)) / 16;
  }

  std::mt19937 random;
  workload::Workload model;
  RoundHardware machine;
};

} // namespace whale::test

#endif // WHALE_TEST_PLANNER_RANDOMPROBLEM_H
