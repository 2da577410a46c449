//===- Sha256.h - SHA-256 (FIPS 180-4) --------------------------*- C++ -*-===//

#ifndef WHALE_RUNTIME_FORMAT_SHA256_H
#define WHALE_RUNTIME_FORMAT_SHA256_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace whale::format {

/// Incremental SHA-256.
class Sha256 {
public:
  /// Adds bytes.
  void update(const void *data, size_t size);
  /// Digest as 64 lower-case hexadecimal digits; no update after it.
  std::string hex();

private:
  void block(const uint8_t *data);

  std::array<uint32_t, 8> State = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                   0xa54ff53a, 0x510e527f, 0x9b05688c,
                                   0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> Pending = {};
  size_t PendingBytes = 0;
  uint64_t TotalBytes = 0;
};

/// Digest of one piece of data.
std::string sha256Hex(std::string_view data);

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_SHA256_H
