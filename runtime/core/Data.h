//===- Data.h - Samples for the inputs of a step ----------------*- C++ -*-===//
//
// What a sample is depends on (seed, step, global sample index) alone: any
// plan reads the same batch, and a resumed run goes on where it stopped.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CORE_DATA_H
#define WHALE_RUNTIME_CORE_DATA_H

#include "runtime/format/Format.h"

#include <memory>
#include <string>
#include <vector>

namespace whale::runtime {

using format::ErrorKind;
using format::Result;
using format::Status;

/// A sequence of tokens. The last tenth is held out from training.
class TokenData {
public:
  TokenData() = default;
  TokenData(const TokenData &) = delete;
  TokenData &operator=(const TokenData &) = delete;
  ~TokenData();

  /// Maps a file: `.npy` (one dimension, u1/i1/u2/i2/u4/i4/u8/i8, little
  /// endian), `.bin` (unsigned, `binBytes` = 2 or 4 bytes each), else bytes
  /// of text.
  static Result<std::unique_ptr<TokenData>> open(const std::string &path,
                                                 unsigned binBytes = 2);

  uint64_t size() const { return Tokens; }
  /// First token that is held out.
  uint64_t heldOutStart() const { return Tokens - Tokens / 10; }
  int64_t operator[](uint64_t index) const;
  const std::string &path() const { return Path; }

private:
  Status readNpyHeader();

  std::string Path;
  void *Mapping = nullptr;
  uint64_t MappedBytes = 0;
  const unsigned char *First = nullptr;
  uint64_t Tokens = 0;
  unsigned Width = 1;
  bool Signed = false;
};

/// Which batch is read.
struct BatchKey {
  uint64_t seed = 0;
  int64_t step = 0;
  format::DataSplit split = format::DataSplit::Training;
};

/// Fills `out` (dense, of info.dtype) with the box [offsets, offsets + dims)
/// of the batch. `tokens` may be null: then tokens are random in [0, range).
Status fillInput(const format::InputInfoT &info, const BatchKey &key,
                 const TokenData *tokens, const std::vector<int64_t> &offsets,
                 const std::vector<int64_t> &dims, void *out);

/// Fails when the data is too short for the sequences of the inputs. Tokens
/// outside of the vocabulary are found by fillInput.
Status checkData(const format::ProgramT &program, const TokenData &tokens);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_DATA_H
