//===- Effects.h - what an instruction reads and writes ---------*- C++ -*-===//

#ifndef WHALE_VERIFIER_EFFECTS_H
#define WHALE_VERIFIER_EFFECTS_H

#include "compiler/verifier/Arena.h"
#include "runtime/format/Format.h"

#include <optional>
#include <vector>

namespace whale::verifier {

/// Bytes of an operand that an instruction reads.
struct Reading {
  const format::OperandT *operand = nullptr;
  uint64_t bytes = 0; ///< from the operand's start
};

/// An operand that an instruction writes; `boxBytes` of them (all, where it is
/// the operand's size) within the first `spanBytes`.
struct Writing {
  const format::OperandT *operand = nullptr;
  uint64_t boxBytes = 0;
  uint64_t spanBytes = 0;
  uint64_t boxKey = 0;
  /// What is left there means nothing.
  bool isScratch = false;
  /// It is added to what is there, which may be of an earlier micro-batch and
  /// reaches nothing else.
  bool isSum = false;
  /// Which of the reads go into it; nothing = all.
  std::optional<std::vector<size_t>> from = {};
};

/// Reads come before writes. Collectives, messages, copies, inputs and metrics
/// have theirs too; what they do with values is the simulation's business.
struct Effects {
  std::vector<Reading> reads;
  std::vector<Writing> writes;
  std::vector<const format::ScalarT *> scalars;
  /// Of the operation without operands' places: equal where it computes the
  /// same function.
  uint64_t hash = 0;
};

/// The effects of an instruction of a well-formed program (format::Check.h).
/// `problem` is set where they cannot be known.
Effects effectsOf(const format::ProgramT &program,
                  const format::InstructionT &instruction,
                  std::string &problem);

/// How many of a call's last operands are results.
size_t resultsOf(const format::CallT &call);

} // namespace whale::verifier

#endif // WHALE_VERIFIER_EFFECTS_H
