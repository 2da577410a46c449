//===- ArenaTest.cpp - what reads see of writes
//----------------------------===//

#include "compiler/verifier/Arena.h"

#include <catch2/catch.hpp>
#include <random>

using namespace whale::verifier;

namespace {

Writer by(uint32_t instruction, uint32_t microBatch = 0) {
  return {0, instruction, microBatch, true};
}

Piece piece(uint64_t key, uint64_t bytes, ByteRange span, uint64_t hash,
            Writer writer) {
  return {key, bytes, span, {hash, 0}, writer};
}

} // namespace

TEST_CASE("reads see the last write or say what is wrong") {
  SampleSets sets;
  Arena arena(sets);
  CHECK(arena.read({0, 8}, by(0), false).problem == ReadProblem::Undefined);
  arena.write({0, 64}, {5, 0}, by(1));
  CHECK(arena.read({0, 64}, by(2), false).value.hash == 5);
  CHECK(arena.read({0, 32}, by(2), false).value.hash !=
        arena.read({32, 64}, by(2), false).value.hash);
  CHECK(arena.read({0, 72}, by(2), false).problem == ReadProblem::Undefined);
  CHECK(arena.read({32, 72}, by(2), false).problem == ReadProblem::Mixed);
  CHECK(arena.read({0, 64}, by(2, 1), false).problem ==
        ReadProblem::OtherMicroBatch);
  CHECK(arena.read({0, 64}, by(2, 1), true).problem == ReadProblem::None);
  arena.write({48, 80}, {6, 0}, by(3));
  CHECK(arena.read({0, 48}, by(4), false).problem == ReadProblem::Overwritten);
  CHECK(arena.read({48, 80}, by(4), false).value.hash == 6);
}

TEST_CASE("an operand is defined when its pieces are all there") {
  SampleSets sets;
  Arena arena(sets);
  // Two columns, interleaved.
  arena.writePiece({0, 32}, piece(1, 16, {0, 24}, 7, by(1)));
  CHECK(arena.read({0, 32}, by(2), false).problem == ReadProblem::Undefined);
  arena.writePiece({0, 32}, piece(2, 16, {8, 32}, 8, by(2)));
  CHECK(arena.read({0, 32}, by(3), false).problem == ReadProblem::None);
  // The next micro-batch renews one of them only.
  arena.writePiece({0, 32}, piece(1, 16, {0, 24}, 9, by(1, 1)));
  CHECK(arena.read({0, 32}, by(3, 1), false).problem ==
        ReadProblem::OtherMicroBatch);
  // Over a whole write the rest stays what it was.
  arena.write({64, 96}, {3, 0}, by(4));
  arena.writePiece({64, 96}, piece(1, 8, {64, 72}, 7, by(5)));
  CHECK(arena.read({64, 96}, by(6), false).problem == ReadProblem::None);
  CHECK(arena.read({64, 96}, by(6), false).value.hash != 3);
}

TEST_CASE("pieces of another value take the place of all of the last one's") {
  SampleSets sets;
  Arena arena(sets);
  for (uint64_t key : {1, 2})
    arena.writePiece({0, 32}, piece(key, 16, {0, 32}, key, by(1)));
  // Rows after columns, one micro-batch later.
  arena.writePiece({0, 32}, piece(3, 16, {0, 16}, 7, by(2, 1)));
  CHECK(arena.read({0, 32}, by(3, 1), false).problem ==
        ReadProblem::OtherMicroBatch);
  arena.writePiece({0, 32}, piece(4, 16, {16, 32}, 8, by(3, 1)));
  ReadResult whole = arena.read({0, 32}, by(4, 1), false);
  CHECK(whole.problem == ReadProblem::None);
  // What was there before makes no difference.
  for (uint64_t key : {3, 4})
    arena.writePiece({64, 96}, piece(key, 16, {16 + key * 16, 32 + key * 16},
                                     key + 4, by(5, 1)));
  CHECK(arena.read({64, 96}, by(6, 1), false).value.hash == whole.value.hash);
  // A value of one piece over zeros, then one of four in the same place.
  arena.write({128, 160}, {3, 0}, by(7));
  arena.writePiece({128, 160}, piece(5, 8, {128, 136}, 7, by(8)));
  for (uint64_t i = 0; i < 4; ++i)
    arena.writePiece({128, 160},
                     piece(6 + i, 8, {128 + 8 * i, 136 + 8 * i}, 9, by(9, 1)));
  CHECK(arena.read({128, 160}, by(10, 1), false).problem == ReadProblem::None);
}

TEST_CASE("random writes and reads agree with an array of bytes") {
  std::mt19937 random(3);
  SampleSets sets;
  Arena arena(sets);
  struct Byte {
    uint64_t write = 0;
    ByteRange range;
    bool isTorn = false;
  };
  std::vector<Byte> bytes(64);
  for (uint64_t i = 1; i < 5000; ++i) {
    uint64_t begin = random() % 60, end = begin + 1 + random() % (63 - begin);
    if (random() % 2) {
      std::vector<uint64_t> hit;
      for (uint64_t b = begin; b < end; ++b) {
        hit.push_back(bytes[b].write);
        bytes[b] = {i, {begin, end}, false};
      }
      for (Byte &byte : bytes) // what is left of a buffer that was hit
        for (uint64_t write : hit)
          byte.isTorn |= write != 0 && byte.write == write;
      arena.write({begin, end}, {i, 0}, by(0));
      continue;
    }
    ReadProblem expected = ReadProblem::None;
    auto isWithin = [&](const ByteRange &buffer) {
      return buffer.contains({begin, end}) ||
             ByteRange{begin, end}.contains(buffer);
    };
    for (uint64_t b = begin; b < end && expected == ReadProblem::None; ++b)
      expected = bytes[b].write == 0         ? ReadProblem::Undefined
                 : bytes[b].isTorn           ? ReadProblem::Overwritten
                 : !isWithin(bytes[b].range) ? ReadProblem::Mixed
                                             : ReadProblem::None;
    CHECK(arena.read({begin, end}, by(0), false).problem == expected);
  }
}
