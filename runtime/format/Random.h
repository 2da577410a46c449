//===- Random.h - Random numbers by counter ---------------------*- C++ -*-===//
//
// Philox4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC'11. A random number is a pure function of
// (seed, step, path, global element index), so that no plan changes it.
//
//   key     = low and high half of    seed + step * 0x9E3779B97F4A7C15
//   counter = low and high half of    global element index (row-major),
//             low and high half of    pathHash(path)
//
// Initial values use step 0. Generated kernels (dropout) follow the same rule:
// keep an element when word 0 of its block >= rate * 2^32 (rounded down).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_FORMAT_RANDOM_H
#define WHALE_RUNTIME_FORMAT_RANDOM_H

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace whale::format {

/// FNV-1a, 64 bits: the stable name of a variable or op in random numbers.
constexpr uint64_t pathHash(std::string_view path) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : path)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

/// The four words of a block.
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter,
                                         std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t(0xD2511F53) * counter[0];
    uint64_t p1 = uint64_t(0xCD9E8D57) * counter[2];
    counter = {uint32_t(p1 >> 32) ^ counter[1] ^ key[0], uint32_t(p1),
               uint32_t(p0 >> 32) ^ counter[3] ^ key[1], uint32_t(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Key of a (seed, step); step 0 for initial values.
constexpr std::array<uint32_t, 2> randomKey(uint64_t seed, uint64_t step) {
  uint64_t mixed = seed + step * 0x9E3779B97F4A7C15ull;
  return {uint32_t(mixed), uint32_t(mixed >> 32)};
}

/// The block of one global element.
constexpr std::array<uint32_t, 4> randomBlock(std::array<uint32_t, 2> key,
                                              uint64_t path, uint64_t index) {
  return philox({uint32_t(index), uint32_t(index >> 32), uint32_t(path),
                 uint32_t(path >> 32)},
                key);
}

/// A word as a number strictly between 0 and 1.
constexpr double unitInterval(uint32_t word) {
  return (double(word) + 0.5) * 0x1p-32;
}

/// Standard normal by Box and Muller (1958), of words 0 and 1.
inline double standardNormal(const std::array<uint32_t, 4> &block) {
  constexpr double twoPi = 6.283185307179586;
  return std::sqrt(-2.0 * std::log(unitInterval(block[0]))) *
         std::cos(twoPi * unitInterval(block[1]));
}

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_RANDOM_H
