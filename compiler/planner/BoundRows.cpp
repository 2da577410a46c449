//===- BoundRows.cpp - what one stage makes of a step ---------------------===//

#include "compiler/planner/BoundRows.h"

#include <algorithm>
#include <cmath>

namespace whale::planner {

namespace {

Region &operator+=(Region &region, const Region &more) {
  region.times += more.times;
  region.sendForward += more.sendForward;
  region.sendBack += more.sendBack;
  return region;
}

/// The way of `count` micro-batches through each stage.
Region forwards(double count) { return {{count, 0, 0}, count, 0}; }
Region inputs(double count) { return {{0, count, 0}, 0, count}; }
Region backwards(double count) { return {{0, count, count}, 0, count}; }
Region both(double count) {
  Region region = forwards(count);
  return region += backwards(count);
}
/// There and back, without the gradients of weights.
Region turns(double count) {
  Region region = forwards(count);
  return region += inputs(count);
}
Parts tasks(double count) { return {count, count, count}; }

/// Rounds of a block that advance by `block` micro-batches each, once the
/// forwards before the first backward are over.
double blockRounds(double m, double warm, double block) {
  return block < warm ? std::floor((m - 1 - warm) / block) : 0;
}

/// GPipe and 1F1B. After the last backward of a stage those before it have
/// theirs, or it has its gradients.
std::vector<Row> flushRows(double m, double w, double block) {
  std::vector<Row> rows;
  rows.reserve(8);
  for (bool first : {true, false}) {
    Row back{first, forwards(1), {}, {}, {}, {}};
    (first ? back.whole : back.behind) += backwards(1);
    // A round: a forward waits for the backward w micro-batches before it,
    // which had all stages behind. The bound is linear in the rounds.
    double most = std::floor((m - 1) / w);
    for (double rounds : {1.0, most})
      if (rounds >= 1 && rounds <= most) {
        rows.push_back(back);
        rows.back().behind += both(rounds);
        rows.back().own = tasks(m - rounds * w - 1);
      }
    if (double rounds = blockRounds(m, w, block); rounds >= 1) {
      rows.push_back(back);
      rows.back().behind += both(1);
      rows.back().within = both(rounds);
      rows.back().own = tasks(m - 1 - w - rounds * block);
    }
    back.own = {m - w, m - 1, m - 1};
    rows.push_back(back);
    rows.push_back(
        {first, {}, first ? both(1) : forwards(1), {}, {}, tasks(m)});
  }
  return rows;
}

/// Zero-bubble schedules: `warm` forwards before the first backward, and
/// gradients of weights `lag` micro-batches late, both at most.
std::vector<Row> handRows(double m, double warm, double lag, double block) {
  double after = lag == 0 ? 0 : std::min(m, lag + 1);
  std::vector<Row> rows;
  rows.reserve(4);
  rows.push_back({false, {}, forwards(1), {}, {}, tasks(m)});
  rows.push_back({false, forwards(1), {}, inputs(1), {}, {m - warm, m - 1, m}});
  Row row{true, forwards(1), {}, {}, {}, {m - warm, m - 1, m - after}};
  row.whole += inputs(1);
  rows.push_back(row);
  if (double rounds = std::floor((m - 1) / warm); rounds >= 1) {
    row = {false, {}, forwards(1), {}, {}, tasks(m - rounds * warm)};
    row.behind = turns(rounds);
    rows.push_back(row);
  }
  if (double rounds = blockRounds(m, warm, block); rounds >= 1) {
    row = {false, {}, forwards(1), {}, {}, tasks(m - warm - rounds * block)};
    row.behind = turns(1);
    row.within = turns(rounds);
    rows.push_back(row);
  }
  return rows;
}

} // namespace

std::vector<Row> boundRows(const PipelineShape &shape, int64_t stage,
                           int64_t alive, int64_t last) {
  auto m = static_cast<double>(shape.microBatches);
  auto p = static_cast<double>(shape.stages);
  auto s = static_cast<double>(stage);
  auto most = static_cast<double>(alive);
  auto block = static_cast<double>(last - stage + 1);
  switch (shape.schedule) {
  case Schedule::GPipe:
  case Schedule::OneFOneB:
    return flushRows(m, most, block);
  case Schedule::ZeroBubbleH1:
    return handRows(m, std::min(m, p - s), s, block);
  case Schedule::ZeroBubbleH2:
    return handRows(m, std::min(m, 2 * (p - s) - 1), 2 * s, 2 * block - 1);
  case Schedule::ZeroBubble1p:
  case Schedule::ZeroBubble2p: {
    double held = shape.schedule == Schedule::ZeroBubble1p ? p : 2 * p;
    double warm = s + 1 < p ? std::min(m, held - s) : 1;
    return handRows(m, warm, held - 1, m);
  }
  case Schedule::DualPipe:
    return {{false, {}, {}, {}, {}, tasks(m / 2)}};
  default:
    return {{false, {}, forwards(1), {}, {}, tasks(m)}};
  }
}

int64_t freeMessages(Schedule schedule) {
  return simulator::chunksOf(schedule, 1) == 2 ? 1 : 0;
}

} // namespace whale::planner
