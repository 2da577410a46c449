#include "compiler/support/Text.h"
#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::literals;

TEST_CASE("bytes") {
  CHECK(formatBytes(Bytes(0)) == "0 B");
  CHECK(formatBytes(Bytes(1023)) == "1023 B");
  CHECK(formatBytes(1_KiB) == "1.0 KiB");
  CHECK(formatBytes(Bytes((1 << 20) - 1)) == "1.0 MiB");
  CHECK(formatBytes(54_GiB) == "54.0 GiB");
  CHECK(formatBytes(Bytes(-1536)) == "-1.5 KiB");
  CHECK(formatBytes(Bytes::max()) == "8.0 EiB");
}

TEST_CASE("times") {
  CHECK(formatTime(Picoseconds(0)) == "0 s");
  CHECK(formatTime(Picoseconds(7)) == "7.00 ps");
  CHECK(formatTime(4560_us) == "4.56 ms");
  CHECK(formatTime(picosecondsFromSeconds(0.0123)) == "12.3 ms");
  CHECK(formatTime(picosecondsFromSeconds(0.9996)) == "1.00 s");
  CHECK(formatTime(picosecondsFromSeconds(12345)) == "12,345 s");
  CHECK(formatTime(Picoseconds(-1'500'000)) == "-1.50 us");
}

TEST_CASE("counts, rates and doubles") {
  CHECK(formatCount(0) == "0");
  CHECK(formatCount(999) == "999");
  CHECK(formatCount(1000) == "1,000");
  CHECK(formatCount(-1234567) == "-1,234,567");
  CHECK(formatCount(-100) == "-100");
  CHECK(formatCount(std::numeric_limits<int64_t>::min()) ==
        "-9,223,372,036,854,775,808");
  CHECK(formatRate(BytesPerSecond{450e9}) == "450 GB/s");
  CHECK(formatRate(FlopsPerSecond{989.4e12}) == "989 TFLOP/s");
  CHECK(formatDouble(1) == "1.0");
  CHECK(formatDouble(1e-7) == "1e-07");
}

TEST_CASE("lists of names are quoted and cut") {
  CHECK(quotedList({"a", "b"}) == "'a', 'b'");
  CHECK(quotedList({"a", "b", "c"}, 1) == "'a' and 2 more");
  CHECK(quotedList({}) == "");
}

// Unicode standard 3.9, table 3-7, row by row: first and last of each range,
// and their neighbours.
TEST_CASE("UTF-8 is checked as the standard says") {
  for (const char *good :
       {"a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    CHECK(isUtf8(good));
  for (const char *bad :
       {"\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    CHECK_FALSE(isUtf8(bad));
}

TEST_CASE("terminal text keeps letters and shows controls") {
  CHECK(escapeForTerminal("caf\xc3\xa9") == "caf\xc3\xa9");
  CHECK(escapeForTerminal("\xe2\x80\xae") == "\\u{202e}");
  CHECK(escapeForTerminal("\xc2\x9b") == "\\u{9b}");
  CHECK(escapeForTerminal("a\r\nb") == "a\\u{0d}\\nb");
}
