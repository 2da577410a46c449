//===- Sha256.h - content hashes of files and models ------------*- C++ -*-===//

#ifndef WHALE_SUPPORT_SHA256_H
#define WHALE_SUPPORT_SHA256_H

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace whale {

/// SHA-256 of FIPS 180-4. Feed bytes with `update`, then take `hex` once.
class Sha256 {
public:
  void update(std::string_view bytes);
  /// 64 lower-case hexadecimal digits; ends the computation.
  std::string hex();

private:
  void compress(const unsigned char *block);

  std::array<uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                   0xa54ff53a, 0x510e527f, 0x9b05688c,
                                   0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> pending{};
  uint64_t totalBytes = 0;
};

/// The hash of one whole text.
std::string sha256Hex(std::string_view bytes);

} // namespace whale

#endif // WHALE_SUPPORT_SHA256_H
