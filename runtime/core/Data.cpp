//===- Data.cpp -----------------------------------------------------------===//

#include "runtime/core/Data.h"

#include "runtime/core/Convert.h"
#include "runtime/format/Random.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace whale::runtime {

using namespace format;

//===----------------------------------------------------------------------===//
// Token files
//===----------------------------------------------------------------------===//

TokenData::~TokenData() {
  if (Mapping)
    munmap(Mapping, MappedBytes);
}

int64_t TokenData::operator[](uint64_t index) const {
  const unsigned char *p = First + index * Width;
  uint64_t value = 0;
  std::memcpy(&value, p, Width);
  unsigned unused = 64 - 8 * Width;
  return Signed ? static_cast<int64_t>(value << unused) >> unused
                : static_cast<int64_t>(value);
}

/// NumPy format 1.0 to 3.0: magic, version, header length, a Python dict.
Status TokenData::readNpyHeader() {
  auto bad = [&](const std::string &why) {
    return badInput("'" + Path + "' " + why);
  };
  const unsigned char *bytes = static_cast<unsigned char *>(Mapping);
  if (MappedBytes < 12 || std::memcmp(bytes, "\x93NUMPY", 6) != 0)
    return bad("is not a .npy file");
  uint64_t lengthBytes = bytes[6] == 1 ? 2 : 4;
  uint64_t length = 0;
  std::memcpy(&length, bytes + 8, lengthBytes);
  uint64_t start = 8 + lengthBytes;
  if (length > MappedBytes - start)
    return bad("has a damaged header");
  std::string header(reinterpret_cast<const char *>(bytes) + start, length);
  size_t at = header.find("'descr': '");
  if (at == std::string::npos || at + 13 > header.size())
    return bad("has a header without type");
  char order = header[at + 10], kind = header[at + 11];
  Width = static_cast<unsigned>(header[at + 12] - '0');
  Signed = kind == 'i';
  if ((order != '<' && order != '|') || (kind != 'i' && kind != 'u') ||
      (Width != 1 && Width != 2 && Width != 4 && Width != 8))
    return bad("must hold little-endian integers");
  First = bytes + start + length;
  Tokens = (MappedBytes - start - length) / Width;
  return Status();
}

Result<std::unique_ptr<TokenData>> TokenData::open(const std::string &path,
                                                   unsigned binBytes) {
  auto data = std::make_unique<TokenData>();
  data->Path = path;
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info = {};
  if (file < 0 || fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    if (file >= 0)
      close(file);
    return badInput("cannot open data file '" + path + "'");
  }
  data->MappedBytes = static_cast<uint64_t>(info.st_size);
  void *mapping = data->MappedBytes == 0
                      ? MAP_FAILED
                      : mmap(nullptr, data->MappedBytes, PROT_READ, MAP_SHARED,
                             file, 0);
  close(file);
  if (mapping == MAP_FAILED)
    return badInput("data file '" + path + "' is empty or cannot be mapped");
  data->Mapping = mapping;
  data->First = static_cast<unsigned char *>(mapping);
  data->Width = path.ends_with(".bin") ? binBytes : 1;
  data->Tokens = data->MappedBytes / data->Width;
  if (path.ends_with(".npy"))
    if (Status status = data->readNpyHeader(); status.failed())
      return status;
  return data;
}

//===----------------------------------------------------------------------===//
// Batches
//===----------------------------------------------------------------------===//

namespace {

/// Where values come from once `Automatic` is decided.
InputSource sourceOf(const InputInfoT &info) {
  if (info.source != InputSource::Automatic)
    return info.source;
  if (!isFloat(info.dtype) && info.dims.size() == 2) {
    if (info.name == "tokens")
      return InputSource::Tokens;
    if (info.name == "labels")
      return InputSource::Labels;
  }
  return isFloat(info.dtype) ? InputSource::Normal : InputSource::Uniform;
}

/// First token of a sample: a random window of the training part, or
/// consecutive windows of the held-out part.
uint64_t windowStart(const TokenData &tokens, const BatchKey &key,
                     uint64_t sample, uint64_t batch, uint64_t length) {
  uint64_t split = tokens.heldOutStart();
  if (key.split == DataSplit::HeldOut) {
    uint64_t windows = (tokens.size() - split - 1) / length;
    uint64_t index = static_cast<uint64_t>(key.step) * batch + sample;
    return split + index % windows * length;
  }
  auto block = randomBlock(randomKey(key.seed, key.step),
                           pathHash("input/sample"), sample);
  uint64_t word = uint64_t(block[0]) << 32 | block[1];
  return word % (split - length);
}

/// One value of the batch at a global index.
class ValueSource {
public:
  ValueSource(const InputInfoT &info, const BatchKey &key,
              const TokenData *tokens)
      : Info(info), Key(key), Tokens(tokens), Source(sourceOf(info)),
        RandomKey(randomKey(key.seed, key.step)),
        Path(pathHash((key.split == DataSplit::HeldOut ? "heldout/" : "input/") +
                      streamName())) {}

  /// index: row-major global index; sample and last: first and last index.
  double at(uint64_t index, uint64_t sample, uint64_t last) const {
    auto block = [&] { return randomBlock(RandomKey, Path, index); };
    uint64_t range = Info.range > 0 ? static_cast<uint64_t>(Info.range) : 2;
    switch (Source) {
    case InputSource::Tokens:
    case InputSource::Labels:
      return static_cast<double>(tokenAt(sample, last, range));
    case InputSource::Uniform:
      return isFloat(Info.dtype)
                 ? unitInterval(block()[0])
                 : static_cast<double>(block()[0] * uint64_t(range) >> 32);
    case InputSource::Normal:
      return standardNormal(block());
    case InputSource::Ones:
      return 1;
    case InputSource::Positions:
      return static_cast<double>(last);
    case InputSource::Zeros:
    case InputSource::Automatic:
      break;
    }
    return 0;
  }

private:
  /// Labels are the tokens, shifted, so both draw from one stream.
  std::string streamName() const {
    return Source == InputSource::Labels ? "tokens" : Info.name;
  }

  int64_t tokenAt(uint64_t sample, uint64_t last, uint64_t range) const {
    uint64_t length = static_cast<uint64_t>(Info.dims.back());
    uint64_t position = last + (Source == InputSource::Labels ? 1 : 0);
    if (!Tokens)
      return static_cast<int64_t>(
          randomBlock(RandomKey, Path, sample * (length + 1) + position)[0] *
              uint64_t(range) >>
          32);
    if (sample != CachedSample) {
      CachedStart = windowStart(*Tokens, Key, sample,
                                static_cast<uint64_t>(Info.dims[0]), length);
      CachedSample = sample;
    }
    return (*Tokens)[CachedStart + position];
  }

  const InputInfoT &Info;
  const BatchKey &Key;
  const TokenData *Tokens;
  InputSource Source;
  std::array<uint32_t, 2> RandomKey;
  uint64_t Path;
  mutable uint64_t CachedSample = UINT64_MAX;
  mutable uint64_t CachedStart = 0;
};

} // namespace

Status fillInput(const InputInfoT &info, const BatchKey &key,
                 const TokenData *tokens, const std::vector<int64_t> &offsets,
                 const std::vector<int64_t> &dims, void *out) {
  size_t rank = dims.size();
  ValueSource source(info, key, tokens);
  uint64_t count = *elementsOf(dims);
  std::vector<int64_t> index(rank, 0);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t global = 0;
    for (size_t d = 0; d < rank; ++d)
      global = global * static_cast<uint64_t>(info.dims[d]) +
               static_cast<uint64_t>(offsets[d] + index[d]);
    uint64_t sample = rank ? static_cast<uint64_t>(offsets[0] + index[0]) : 0;
    uint64_t last =
        rank ? static_cast<uint64_t>(offsets[rank - 1] + index[rank - 1]) : 0;
    double value = source.at(global, sample, last);
    if (info.range > 0 && !isFloat(info.dtype) &&
        (value < 0 || value >= static_cast<double>(info.range)))
      return badInput("token " + std::to_string(static_cast<int64_t>(value)) +
                      " of the data is outside of the model's vocabulary of " +
                      std::to_string(info.range));
    storeNumber(info.dtype, out, i, value);
    for (size_t d = rank; d-- > 0 && ++index[d] == dims[d];)
      index[d] = 0;
  }
  return Status();
}

Status checkData(const ProgramT &program, const TokenData &tokens) {
  for (const auto &info : program.inputs) {
    InputSource source = sourceOf(*info);
    if (source != InputSource::Tokens && source != InputSource::Labels)
      continue;
    uint64_t needed = static_cast<uint64_t>(info->dims.back()) + 1;
    uint64_t heldOut = tokens.size() - tokens.heldOutStart();
    if (heldOut < needed || tokens.heldOutStart() <= needed)
      return badInput("data file '" + tokens.path() + "' has " +
                      std::to_string(tokens.size()) +
                      " tokens; sequences of " + std::to_string(needed - 1) +
                      " need at least " + std::to_string(10 * needed));
  }
  return Status();
}

} // namespace whale::runtime
