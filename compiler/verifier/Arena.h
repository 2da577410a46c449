//===- Arena.h - what is known of the bytes of a rank -----------*- C++ -*-===//
//
// Problem:    say of every byte range that a program reads which writes it
//             comes from.
// Guarantee:  exact for writes of whole operands; strided boxes (Copy, products
//             into a part) are kept as pieces of the operand that they belong
//             to and are taken to be disjoint: more of them than the operand
//             has room for are of another value in the same place.
// Complexity: O(log n) amortised for each access, n = live ranges.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_VERIFIER_ARENA_H
#define WHALE_VERIFIER_ARENA_H

#include "compiler/verifier/Samples.h"

#include <optional>

namespace whale::verifier {

/// The instruction that wrote some bytes.
struct Writer {
  static constexpr uint32_t none = UINT32_MAX;
  uint32_t section = none; ///< none: there before the entry
  uint32_t instruction = 0;
  uint32_t microBatch = 0;
  /// The section is visited for several micro-batches.
  bool isRepeated = false;
};

/// Bytes [begin, end) of the arena.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  bool operator==(const ByteRange &) const = default;
  uint64_t size() const { return end - begin; }
  bool contains(const ByteRange &other) const {
    return begin <= other.begin && other.end <= end;
  }
};

/// Part of an operand that one instruction wrote: `bytes` bytes, all of them
/// within `span`; `key` identifies the box.
struct Piece {
  uint64_t key = 0;
  uint64_t bytes = 0;
  ByteRange span;
  Value value;
  Writer writer;
};

/// Why a read is wrong.
enum class ReadProblem {
  None,
  Undefined,       ///< bytes that nobody has written in this entry
  Overwritten,     ///< bytes of a buffer of which a part was overwritten since
  OtherMicroBatch, ///< bytes of another micro-batch
  Mixed            ///< a part of one buffer and something else
};

struct ReadResult {
  Value value;
  ReadProblem problem = ReadProblem::None;
  Writer writer;      ///< whose bytes they are, or who overwrote them
  uint64_t where = 0; ///< first bad byte
};

class Arena {
public:
  explicit Arena(SampleSets &sets) : Sets(&sets) {}

  /// Reads `range` for an instruction `reader`. An update (`anyMicroBatch`)
  /// may read what an earlier micro-batch wrote: that is what it is for.
  ReadResult read(const ByteRange &range, const Writer &reader,
                  bool anyMicroBatch);
  /// Overwrites a whole operand.
  void write(const ByteRange &range, const Value &value, const Writer &writer);
  /// Overwrites a box of the operand at `range`.
  void writePiece(const ByteRange &range, const Piece &piece);

private:
  /// The bytes of one operand, as they were written last.
  struct Content {
    ByteRange range;
    std::optional<Value> base; ///< absent: only the pieces are defined
    Writer writer;
    std::vector<Piece> pieces; ///< in the order of their writes
    uint64_t pieceBytes = 0;
    bool isTorn = false;
    Writer tornBy;
    uint32_t references = 0;

    bool isCovered() const { return pieceBytes >= range.size(); }
  };
  struct Run {
    uint64_t end = 0;
    uint32_t content = 0;
  };
  using Runs = std::map<uint64_t, Run>;

  uint32_t allocate();
  void release(uint32_t content);
  /// Cuts runs at the ends of the range and removes those inside.
  void clear(const ByteRange &range, const Writer &writer);
  void insert(const ByteRange &range, uint32_t content);
  Runs::iterator runAt(uint64_t where);
  /// What is exactly at the range, or null.
  Content *contentAt(const ByteRange &range);
  ReadResult readRun(const Content &content, const ByteRange &part,
                     const Writer &reader, bool anyMicroBatch) const;
  ReadResult readPieces(const Content &content, const ByteRange &part,
                        const Writer &reader, bool anyMicroBatch) const;

  SampleSets *Sets;
  Runs Map;
  std::vector<Content> Contents;
  std::vector<uint32_t> Free;
};

} // namespace whale::verifier

#endif // WHALE_VERIFIER_ARENA_H
