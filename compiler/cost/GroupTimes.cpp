//===- GroupTimes.cpp - collectives of a class on given groups ------------===//

#include "compiler/cost/ClassCost.h"

#include <algorithm>
#include <bit>

namespace whale::cost {

namespace {

/// Adds the times of collectives to those of the rest.
class GroupTimes {
public:
  GroupTimes(const ClassWork &work, const ClassContext &context,
             const Hardware &hardware)
      : work(work), context(context), hardware(hardware),
        execution(hardware.execution), cost(work.cost) {}

  ClassCost run() {
    cost.oncePerStep.assign(context.mesh.axes.size(), {});
    for (const Exchange &exchange : work.exchanges)
      add(exchange);
    hideRows();
    cost.forward += cost.forwardCommunication;
    cost.backward += cost.backwardCommunication + cost.recompute;
    waitForHost();
    for (size_t i = 0; i < cost.messages.size(); ++i)
      for (uint32_t axis : work.messageShares[i])
        scatter(cost.messages[i], axis);
    return std::move(cost);
  }

private:
  Picoseconds timeOf(const Exchange &exchange) const {
    const Group &group = context.groups[exchange.axis];
    Picoseconds time =
        exchange.rows
            ? hardware.exchangeTime(group, *exchange.rows)
            : hardware.collectiveTime(group, exchange.kind, exchange.bytes);
    return exchange.isHidden
               ? time.scaled(1 - execution.parameters.splitOverlap *
                                     execution.stack.overlappedSplits)
               : time;
  }

  void add(const Exchange &exchange) {
    Picoseconds time = timeOf(exchange);
    if (exchange.oncePerStep) {
      cost.oncePerStep[exchange.axis] += time;
      return;
    }
    if (exchange.rows)
      (exchange.forward ? rowsForward : rowsBackward) += time;
    (exchange.forward ? cost.forwardCommunication
                      : cost.backwardCommunication) += time;
    if (exchange.isRepeated)
      cost.recompute += time;
  }

  /// Rows travel beside the computation of the same direction, and no longer
  /// than it.
  void hideRows() {
    if (!execution.stack.overlapsExchange)
      return;
    auto hide = [&](Picoseconds rows, Picoseconds compute,
                    Picoseconds &communication) {
      communication -=
          std::min(rows.scaled(execution.parameters.exchangeOverlap), compute);
    };
    hide(rowsForward, cost.forward, cost.forwardCommunication);
    hide(rowsBackward, cost.backward, cost.backwardCommunication);
  }

  /// No direction is faster than an interpreter can issue its operators.
  void waitForHost() {
    Dispatch dispatch = execution.stack.dispatch;
    double each = dispatch == Dispatch::Captured ? 0
                  : dispatch == Dispatch::Fused
                      ? execution.parameters.dispatchFusedSeconds
                      : execution.parameters.dispatchFineSeconds;
    each *= execution.stack.fillsBuffers ? 2 : 1;
    auto issue = [&](double kernels) {
      return picosecondsFromSeconds(kernels * each);
    };
    // Ranks of a split axis wait for the slowest host.
    uint64_t ranks = 1;
    for (const SplitAxis &axis : context.mesh.axes)
      ranks *= axis.replica ? 1 : static_cast<uint64_t>(axis.size);
    each *= 1 + execution.parameters.dispatchJitter * std::bit_width(ranks - 1);
    double forward = static_cast<double>(cost.forwardKernels);
    double repeated = static_cast<double>(work.repeatedKernels);
    double backward = static_cast<double>(cost.backwardKernels) - repeated;
    // What is repeated is issued as it was in the forward part; gradients by a
    // loop that is not interpreted.
    backward = repeated + backward * execution.parameters.dispatchBackward;
    cost.forward = std::max(cost.forward, issue(forward));
    cost.backward = std::max(cost.backward, issue(backward));
  }

  void scatter(Message &message, size_t axis) {
    auto share = [&](Bytes &bytes, Picoseconds &gather) {
      gather += hardware.collectiveTime(context.groups[axis],
                                        CollectiveKind::AllGather, bytes);
      bytes = ceilDivide(bytes, context.mesh.axes[axis].size);
    };
    share(message.forward, message.gatherForward);
    share(message.backward, message.gatherBackward);
  }

  const ClassWork &work;
  const ClassContext &context;
  const Hardware &hardware;
  const Execution &execution;
  ClassCost cost;
  /// Of rows with experts.
  Picoseconds rowsForward, rowsBackward;
};

} // namespace

ClassCost withGroups(const ClassWork &work, const ClassContext &context,
                     const Hardware &hardware) {
  return GroupTimes(work, context, hardware).run();
}

} // namespace whale::cost
