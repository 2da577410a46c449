//===- Text.cpp -----------------------------------------------------------===//

#include "compiler/support/Text.h"
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

using namespace whale;

std::string whale::formatBytes(Bytes bytes) {
  static constexpr std::array<const char *, 6> names = {"KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
  if (std::abs(bytes.asDouble()) < 1024)
    return fmt::format("{} B", bytes.value());
  double value = bytes.asDouble() / 1024;
  size_t unit = 0;
  // 1023.95 would print as 1024.0.
  for (; std::abs(value) >= 1023.95 && unit + 1 < names.size(); ++unit)
    value /= 1024;
  return fmt::format("{:.1f} {}", value, names[unit]);
}

/// Three significant digits of a value in [0, 1000).
static std::string threeDigits(double value) {
  int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string whale::formatTime(Picoseconds time) {
  if (time == Picoseconds(0))
    return "0 s";
  if (time < Picoseconds(0))
    return "-" + formatTime(Picoseconds(0) - time);
  static constexpr std::array<const char *, 4> names = {"ps", "ns", "us", "ms"};
  double value = time.asDouble();
  for (const char *name : names) {
    if (value < 999.5)
      return fmt::format("{} {}", threeDigits(value), name);
    value /= 1000;
  }
  if (value < 999.5)
    return threeDigits(value) + " s";
  return fmt::format("{} s", formatCount(roundToInt64(value)));
}

std::string whale::formatCount(int64_t count) {
  std::string digits = fmt::format("{}", count);
  size_t start = count < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > start + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

static std::string formatDecimal(double value, const char *unit) {
  static constexpr std::array<const char *, 6> prefixes = {"",  "k", "M",
                                                           "G", "T", "P"};
  size_t at = 0;
  for (; value >= 999.5 && at + 1 < prefixes.size(); ++at)
    value /= 1000;
  return fmt::format("{} {}{}", threeDigits(value), prefixes[at], unit);
}

std::string whale::formatRate(BytesPerSecond rate) {
  return formatDecimal(rate.value, "B/s");
}

std::string whale::formatRate(FlopsPerSecond rate) {
  return formatDecimal(rate.value, "FLOP/s");
}

std::string whale::formatDouble(double value) {
  std::array<char, 32> buffer;
  auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), end);
  if (text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

std::string whale::quoted(std::string_view name) {
  return fmt::format("'{}'", name);
}

std::string whale::quotedList(const std::vector<std::string> &names,
                              size_t limit) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < limit; ++i)
    out += fmt::format("{}'{}'", i ? ", " : "", names[i]);
  if (names.size() > limit)
    out += fmt::format(" and {} more", names.size() - limit);
  return out;
}

/// Bytes of the well-formed UTF-8 sequence that starts at `at`, 0 if there is
/// none; `code` receives the code point. Table 3-7 of the Unicode standard.
static size_t decodeUtf8(std::string_view text, size_t at, uint32_t &code) {
  auto byte = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  unsigned lead = byte(at);
  if (lead < 0x80) {
    code = lead;
    return 1;
  }
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4)
    return 0;
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(at + 1) < low || byte(at + 1) > high)
    return 0;
  code = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80)
      return 0;
    code = code << 6 | (byte(at + i) & 0x3F);
  }
  return length;
}

bool whale::isUtf8(std::string_view text) {
  uint32_t code = 0;
  for (size_t at = 0; at < text.size();) {
    size_t length = decodeUtf8(text, at, code);
    if (length == 0)
      return false;
    at += length;
  }
  return true;
}

std::vector<std::pair<std::string, std::string>>
whale::splitAssignments(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view one = text.substr(0, comma);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    size_t equals = one.find('=');
    pairs.emplace_back(one.substr(0, equals), equals == one.npos
                                                  ? std::string_view()
                                                  : one.substr(equals + 1));
  }
  return pairs;
}

/// Controls, and the characters that reorder what a terminal shows.
static bool isUnprintable(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) ||
         (code >= 0x200E && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

std::string whale::escapeForTerminal(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    uint32_t code = 0;
    size_t length = decodeUtf8(text, at, code);
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at++]));
      continue;
    }
    if (code == '\n')
      out += "\\n";
    else if (isUnprintable(code))
      out += fmt::format("\\u{{{:02x}}}", code);
    else
      out += text.substr(at, length);
    at += length;
  }
  return out;
}
