//===- Execution.h - the software that runs a plan --------------*- C++ -*-===//
//
// What the cost model has to know of software besides the machine: a few
// documented switches (which kernels there are, what overlaps) and a few global
// numbers. The numbers are data (parameters.json), fitted on measured training
// runs by tools/fit/fit_parameters.py; there is none per model, per run or per
// source of a measurement.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_EXECUTION_H
#define WHALE_COST_EXECUTION_H

#include "compiler/support/Diagnostics.h"
#include "compiler/support/Json.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace whale::cost {

/// How operators reach the device.
enum class Dispatch {
  /// As one captured graph or program: no host time.
  Captured,
  /// One by one, a few large ones per layer (Transformer Engine, compiled
  /// graphs).
  Fused,
  /// One by one, as a framework's modules are written.
  Fine,
};

/// How attention is computed.
enum class Attention {
  /// One kernel made for the device that never writes the scores (cuDNN).
  Fused,
  /// The same, written portably (FlashAttention 2).
  Portable,
  /// The same, of before that (FlashAttention 1, Triton's of 2022).
  PortableFirst,
  /// Products, softmax and dropout with the scores in memory.
  Unfused,
};

/// Of unfused attention, in one direction: scores, scale and mask, softmax,
/// dropout, values, and a transposition.
constexpr int64_t unfusedAttentionKernels = 6;

/// Switches. The defaults are the programs that `whalec compile` writes.
struct Stack {
  Attention attention = Attention::Fused;
  /// The products of attention are in 8 bits.
  bool narrowAttention = false;
  /// Bytes of an element of the copies of the logits that the loss and its
  /// gradient are computed on.
  int64_t logitCopyBytes = 0;
  /// One copy serves both and is overwritten; the logits go when it is made.
  bool replacesLogits = false;
  /// Elementwise chains run as one kernel (a compiler, or fused by hand);
  /// otherwise each op reads and writes memory in a kernel of its own.
  bool fusedElementwise = true;
  Dispatch dispatch = Dispatch::Captured;
  /// Every new buffer is filled first, by a kernel that the host issues as well
  /// (PyTorch's deterministic algorithms).
  bool fillsBuffers = false;
  /// Gradients are reduced while the backward part still runs, and parameters
  /// gathered while the forward part does.
  bool overlapsGradients = false;
  /// Share of the collectives of split axes that are cut into pieces which run
  /// beside those of the products that need them.
  double overlappedSplits = 0;
  /// Messages between stages run beside compute.
  bool overlapsPipeline = true;
  /// Ranks of a split axis that hold the same value send a share of it each to
  /// the next stage, which gathers them (Narayanan et al., SC 2021, section
  /// 4.1).
  bool scattersMessages = false;
  /// Parameters that are cut over the replicas (ZeRO-3) are gathered for what
  /// is recomputed, and once more for the backward part.
  bool gathersTwiceBackward = false;
  /// Each tensor is gathered by itself, into a buffer for each rank, which is
  /// copied (DeepSpeed of 2021).
  bool gathersTensors = false;
  /// Selective recompute repeats attention and nothing else (Korthikanti et al.
  /// 2022, section 5).
  bool selectsAttention = false;
  /// What sequence parallelism gathers is gathered again in the backward part,
  /// beside the product of the input's gradient, instead of being kept.
  bool gathersAgain = false;
  /// Products in 8 or fewer bits keep their inputs in 8 bits, and weights that
  /// are never updated are in 8 bits.
  bool keepsNarrow = false;
  /// Products in 8 bits have a scale for each row and column instead of one for
  /// each tensor.
  bool scalesRows = false;
  /// The optimizer keeps a float32 copy of the gradients with its state.
  bool copiesGradients = false;
  /// A vocabulary of an odd number of tokens is not padded, so that rows of
  /// 16-bit logits begin at any 2 bytes; asynchronous copies take 4 at least.
  bool keepsOddRows = false;
  /// Weights that multiply the same rows in one module are one matrix.
  bool joinsProducts = false;
  /// Partial sums for the gradient of one value are added before they are
  /// exchanged.
  bool addsPartials = false;
  /// What sequence parallelism gathers for products in 8 or fewer bits is
  /// gathered in 8 bits.
  bool gathersNarrow = false;
  /// Selective recompute keeps attention's result and every second product of a
  /// layer, and repeats the rest (torchtitan's selection by operator).
  bool keepsSecondProducts = false;
  /// What a dropout lets through is kept for the backward part, a byte an
  /// element (PyTorch's native_dropout; TorchInductor keeps it too), not drawn
  /// again.
  bool keepsMasks = false;
  /// The epilogue of a product adds the bias.
  bool addsBiasInProducts = false;
  /// A product adds its result to the accumulator of the gradient.
  bool accumulatesInProducts = false;
  /// The backward kernels of activation functions compute again what lies
  /// between the ops that they are made of, instead of reading it.
  bool repeatsActivations = false;
  /// Recompute is for the layers, not for what is there once (embedding, head).
  bool repeatsLayersOnly = false;
  /// Shards of a sequence are replicas of the model to the optimizer: gradients
  /// are summed, and state is cut, over both together.
  bool joinsSequenceReplicas = false;
  /// Norms, activations and the softmax of attention work on float32 copies of
  /// 16-bit values.
  bool widensElementwise = false;
  /// Samples are packs of examples of about this many tokens, which attention
  /// keeps apart; 0 = they are not.
  int64_t packedTokens = 0;
  /// Optimizer sharding also cuts the master copies.
  bool shardsMasters = false;
  /// Gradients have buffers of their own from the beginning, with a single
  /// micro-batch as well.
  bool holdsGradients = false;
  /// A stage that borrows a variable stores and updates it like its owner.
  bool storesTied = false;
  /// Of the buckets in which gradients are reduced and parameters gathered.
  int64_t bucketBytes = 0;
  /// A row goes to its experts once for each node and once for each device
  /// that has any of them (DeepEP, HybridEP), not once for each expert.
  bool sendsRowsOnce = true;
  /// Rows go to their experts, and come back, beside the computation of other
  /// micro-batches.
  bool overlapsExchange = false;
  /// All experts get equally many rows.
  bool balancesExperts = false;
  /// Ranks of a split that cuts experts and the sequence have whole experts
  /// each, and send the rows of their positions to them (Megatron-Core with
  /// expert_tensor_parallel_size 1).
  bool sendsPositions = false;
  /// Bytes of an element of a gradient, in memory and on the wire; 0 = as the
  /// model's training spec accumulates it.
  int64_t gradientBytes = 0;

  auto operator<=>(const Stack &) const = default;
};

/// Fitted numbers; each is explained in parameters.json.
struct Parameters {
  double matmulSustained = 1, matmulSustainedFp8 = 1;
  double attentionForward = 0.6, attentionBackward = 0.6;
  double attentionPortable = 0.4, attentionProducts = 0.6;
  double attentionHalfLength = 0;
  double rowScaledProducts = 1, unalignedProducts = 1, oddProducts = 1;
  double memorySustained = 1, unfusedTraffic = 1;
  double launchShown = 1;
  double dispatchFineSeconds = 0, dispatchFusedSeconds = 0;
  double dispatchBackward = 1, dispatchJitter = 0;
  double stepSeconds = 0;
  double expertImbalance = 1;
  double splitSustained = 1, networkSustained = 1;
  double splitOverlap = 0;
  double exchangeOverlap = 0;
  double gradientOverlap = 0, shardOverlap = 0;
  double stragglersPerDoubling = 0;
  double allocatorReserved = 0;
};

/// A parameter by the name that it has in parameters.json.
struct ParameterField {
  std::string_view name;
  double Parameters::*member;
};
std::span<const ParameterField> parameterFields();

/// The numbers that the compiler ships.
const Parameters &defaultParameters();

/// Reads `{"name": number, ...}` or `{"name": {"value": number, ...}, ...}`
/// over `parameters`. Unknown names and negative numbers are errors.
bool readParameters(const json::Value &json, Parameters &parameters,
                    Diagnostics &diagnostics);

struct Execution {
  Stack stack;
  /// Neutral, so that hardware made by hand has round numbers.
  Parameters parameters;
};

} // namespace whale::cost

#endif // WHALE_COST_EXECUTION_H
