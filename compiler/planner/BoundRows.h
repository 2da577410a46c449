//===- BoundRows.h - what one stage makes of a step -------------*- C++ -*-===//
//
// Lower bounds of the step by one stage of a pipeline: weighted sums of the
// times of all stages, of those before it, of it and those behind it, and of
// itself, with the messages in between. Bound.h makes bounds of whole plans
// from them.
//
// Stages of several chunks have bounds of their own (ChunkBound.cpp).
//
// Notation: p stages, m micro-batches; F_s, I_s, W_s what a stage takes for a
// forward part and for the gradients of inputs and weights; B = I + W, T = F +
// B. Any schedule of the kind takes at least, for every stage s,
//   GPipe, 1F1B   sum_{i<s} T_i + m T_s, and
//                 T + (m - w) F_s + (m - 1) B_s, w = min(m, p - s): until the
//                 first micro-batch is back, s runs w forwards, and from then
//                 on all the rest; and for k w < m also
//                 T + k sum_{i>=s} T_i + (m - k w - 1) T_s: a forward waits for
//                 the backward w micro-batches before, which had the stages
//                 behind s before it, k times and at the end; and where a
//                 block of n stages s ... u ends before the last stage, so that
//                 those behind it may be faster,
//                 T + sum_{i>=s} T_i + k sum_{s<=i<=u} T_i + (m - 1 - w - k n)
//                 T_s, k n < m - w: from stage u a micro-batch n - 1 before
//                 comes back, and lets s begin the next one
//   ZB-H1, ZB-H2  sum_{i<s} F_i + m T_s, and
//                 sum F + sum I - I_s + m T_s - w F_s - l W_s: the w forwards
//                 before its first backward, and the l gradients of weights
//                 after its last one; and rounds as in 1F1B, of F + I, for a
//                 block, too, whose w differ by n - 1
//   ZB-1p, ZB-2p  the same but for blocks, where n = p or 2 p micro-batches are
//                 held at most: w is one on the last stage, else n - s at most
//                 (from one stage to the next it gets less, and then each
//                 forward follows a backward), and the last forward waits for
//                 all gradients of weights but n
//   other         sum_{i<s} F_i + m T_s
//   DualPipe      (m / 2) T_s
// and after that the gradients and the update of the stage that ends the step:
// stage 0 where the last micro-batch returns to it, or s.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_BOUNDROWS_H
#define WHALE_PLANNER_BOUNDROWS_H

#include "compiler/planner/Strategy.h"

#include <algorithm>
#include <vector>

namespace whale::planner {

/// Times of one micro-batch, or weights of them.
struct Parts {
  double forward = 0, input = 0, weight = 0;

  bool operator==(const Parts &) const = default;
  double sum() const { return forward + input + weight; }
  Parts &operator+=(const Parts &more) {
    forward += more.forward;
    input += more.input;
    weight += more.weight;
    return *this;
  }
  Parts operator+(const Parts &more) const {
    Parts sum = *this;
    return sum += more;
  }
  Parts operator-(const Parts &less) const {
    return {forward - less.forward, input - less.input, weight - less.weight};
  }
  Parts operator*(double count) const {
    return {forward * count, input * count, weight * count};
  }
};
inline double dot(const Parts &weights, const Parts &times) {
  return weights.forward * times.forward + weights.input * times.input +
         weights.weight * times.weight;
}

/// The least of each.
inline Parts smaller(const Parts &a, const Parts &b) {
  return {std::min(a.forward, b.forward), std::min(a.input, b.input),
          std::min(a.weight, b.weight)};
}

/// Weights of the times of some stages, and of the messages between them.
struct Region {
  Parts times;
  double sendForward = 0, sendBack = 0;
};

struct Row {
  /// Whether stage 0 does what is done once per step after it; else the stage.
  bool endsAtFirst = false;
  /// All stages; those before the stage; it and those behind it; of these the
  /// ones up to the end of its block.
  Region whole, before, behind, within;
  Parts own;
};

struct PipelineShape {
  Schedule schedule = Schedule::OneFOneB;
  int64_t stages = 1, chunks = 1, microBatches = 1;
};

/// `alive` of the stage: (chunk, micro-batch) pairs (CostTable::alive). `last`
/// is the last stage of its block: stages that may differ from those behind.
std::vector<Row> boundRows(const PipelineShape &shape, int64_t stage,
                           int64_t alive, int64_t last);

/// Messages of a way through all stages that the simulator does not charge.
int64_t freeMessages(Schedule schedule);

} // namespace whale::planner

#endif // WHALE_PLANNER_BOUNDROWS_H
