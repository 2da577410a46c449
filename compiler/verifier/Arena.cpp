//===- Arena.cpp ----------------------------------------------------------===//

#include "compiler/verifier/Arena.h"

#include <algorithm>

namespace whale::verifier {

namespace {

bool isOfOtherMicroBatch(const Writer &writer, const Writer &reader) {
  return writer.isRepeated && reader.isRepeated &&
         writer.microBatch != reader.microBatch;
}

ReadResult failure(ReadProblem problem, const Writer &writer, uint64_t where) {
  ReadResult result;
  result.problem = problem;
  result.writer = writer;
  result.where = where;
  return result;
}

} // namespace

uint32_t Arena::allocate() {
  if (Free.empty()) {
    Contents.emplace_back();
    return static_cast<uint32_t>(Contents.size() - 1);
  }
  uint32_t content = Free.back();
  Free.pop_back();
  Contents[content] = Content();
  return content;
}

void Arena::release(uint32_t content) {
  if (--Contents[content].references == 0)
    Free.push_back(content);
}

Arena::Runs::iterator Arena::runAt(uint64_t where) {
  auto it = Map.upper_bound(where);
  if (it != Map.begin() && std::prev(it)->second.end > where)
    return std::prev(it);
  return it;
}

Arena::Content *Arena::contentAt(const ByteRange &range) {
  auto run = runAt(range.begin);
  if (run == Map.end() || ByteRange{run->first, run->second.end} != range)
    return nullptr;
  Content &content = Contents[run->second.content];
  return content.range == range ? &content : nullptr;
}

void Arena::clear(const ByteRange &range, const Writer &writer) {
  for (auto it = runAt(range.begin);
       it != Map.end() && it->first < range.end;) {
    const ByteRange run{it->first, it->second.end};
    const uint32_t index = it->second.content;
    Content &content = Contents[index];
    if (!range.contains(content.range) && !content.isTorn) {
      content.isTorn = true;
      content.tornBy = writer;
    }
    it = Map.erase(it);
    if (run.begin < range.begin) {
      Map[run.begin] = {range.begin, index};
      ++content.references;
    }
    if (range.end < run.end) {
      it = Map.emplace(range.end, Run{run.end, index}).first;
      ++content.references;
      ++it;
    }
    release(index);
  }
}

void Arena::insert(const ByteRange &range, uint32_t content) {
  Map[range.begin] = {range.end, content};
  Contents[content].references = 1;
  Contents[content].range = range;
}

void Arena::write(const ByteRange &range, const Value &value,
                  const Writer &writer) {
  if (range.size() == 0)
    return;
  clear(range, writer);
  uint32_t index = allocate();
  Contents[index].base = value;
  Contents[index].writer = writer;
  insert(range, index);
}

void Arena::writePiece(const ByteRange &range, const Piece &piece) {
  if (piece.bytes == 0)
    return;
  if (piece.bytes >= range.size())
    return write(range, piece.value, piece.writer);
  Content *content = contentAt(range);
  if (!content) {
    clear(range, piece.writer);
    uint32_t index = allocate();
    insert(range, index);
    content = &Contents[index];
  }
  auto remove = [&](std::vector<Piece>::iterator old) {
    content->pieceBytes -= old->bytes;
    content->pieces.erase(old);
  };
  auto &pieces = content->pieces;
  auto same = std::find_if(pieces.begin(), pieces.end(), [&](const Piece &old) {
    return old.key == piece.key;
  });
  if (same != pieces.end())
    remove(same);
  // Disjoint boxes never exceed the operand: the oldest are of another value
  // that was in the same place.
  while (content->pieceBytes + piece.bytes > range.size())
    remove(pieces.begin());
  pieces.push_back(piece);
  content->pieceBytes += piece.bytes;
}

ReadResult Arena::readPieces(const Content &content, const ByteRange &part,
                             const Writer &reader, bool anyMicroBatch) const {
  ReadResult result;
  uint64_t covered = 0;
  for (const Piece &piece : content.pieces) {
    uint64_t begin = std::max(piece.span.begin, part.begin);
    uint64_t end = std::min(piece.span.end, part.end);
    if (begin >= end)
      continue;
    if (!anyMicroBatch && isOfOtherMicroBatch(piece.writer, reader))
      return failure(ReadProblem::OtherMicroBatch, piece.writer, begin);
    covered += piece.span.size() == piece.bytes ? end - begin : 0;
    result.value.hash =
        combine(combine(result.value.hash, piece.key), piece.value.hash);
    result.value.samples =
        Sets->unite(result.value.samples, piece.value.samples);
  }
  bool strided = std::any_of(
      content.pieces.begin(), content.pieces.end(),
      [&](const Piece &piece) { return piece.span.size() != piece.bytes; });
  bool isWhole = part == content.range;
  bool isDefined = content.isCovered() || content.base ||
                   covered >= part.size() ||
                   (strided && !isWhole && result.value.hash != 0);
  if (!isDefined)
    return failure(ReadProblem::Undefined, content.writer, part.begin);
  return result;
}

ReadResult Arena::readRun(const Content &content, const ByteRange &part,
                          const Writer &reader, bool anyMicroBatch) const {
  if (content.isTorn)
    return failure(ReadProblem::Overwritten, content.tornBy, part.begin);
  ReadResult result;
  if (!content.pieces.empty()) {
    result = readPieces(content, part, reader, anyMicroBatch);
    if (result.problem != ReadProblem::None)
      return result;
  }
  if (content.base && !content.isCovered()) {
    if (!anyMicroBatch && isOfOtherMicroBatch(content.writer, reader))
      return failure(ReadProblem::OtherMicroBatch, content.writer, part.begin);
    result.value.hash = content.pieces.empty()
                            ? content.base->hash
                            : combine(result.value.hash, content.base->hash);
    result.value.samples =
        Sets->unite(result.value.samples, content.base->samples);
  }
  if (part != content.range)
    result.value.hash = combine(combine(result.value.hash, part.size()),
                                part.begin - content.range.begin);
  return result;
}

ReadResult Arena::read(const ByteRange &range, const Writer &reader,
                       bool anyMicroBatch) {
  ReadResult result;
  uint64_t at = range.begin;
  for (auto it = runAt(range.begin); at < range.end; ++it) {
    if (it == Map.end() || it->first > at)
      return failure(ReadProblem::Undefined, Writer(), at);
    ByteRange part{at, std::min(it->second.end, range.end)};
    ReadResult one =
        readRun(Contents[it->second.content], part, reader, anyMicroBatch);
    if (one.problem != ReadProblem::None)
      return one;
    bool isAll = part == range;
    const Content &content = Contents[it->second.content];
    if (!isAll && !range.contains(content.range))
      return failure(ReadProblem::Mixed, content.writer, at);
    result.value.hash = isAll ? one.value.hash
                              : combine(combine(result.value.hash, part.size()),
                                        one.value.hash);
    result.value.samples = Sets->unite(result.value.samples, one.value.samples);
    result.writer = content.writer;
    at = part.end;
  }
  return result;
}

} // namespace whale::verifier
