#include "compiler/support/Json.h"
#include "compiler/support/Suggest.h"
#include <catch2/catch.hpp>

using namespace whale;
using json::ObjectReader;
using json::Value;

namespace {
/// Parses `text`, then lets `read` take it apart.
template <class Read> std::string read(std::string_view text, Read read) {
  Diagnostics diags;
  auto value = json::parse(text, "f", diags);
  REQUIRE(value);
  ObjectReader reader(*value, "node", diags);
  read(reader);
  return diags.str();
}
} // namespace

TEST_CASE("present fields are read, absent ones are empty") {
  std::string messages =
      read(R"({"i": 3, "d": 2, "s": "x", "b": false, "a": [1]})",
           [](ObjectReader &r) {
             CHECK(r.integer("i", json::positive) == 3);
             CHECK(r.requiredNumber("d") == 2.0);
             CHECK(r.string("s") == "x");
             CHECK(r.boolean("b") == false);
             CHECK(r.array("a")->size() == 1);
             CHECK_FALSE(r.integer("no"));
             CHECK_FALSE(r.array("neither"));
             CHECK(r.finish());
           });
  CHECK(messages.empty());
}

TEST_CASE("wrong types name both types, at the value") {
  std::string messages =
      read(R"({"i": 1.5, "s": [], "d": "1", "b": null})", [](ObjectReader &r) {
        CHECK_FALSE(r.integer("i"));
        CHECK_FALSE(r.requiredString("s"));
        CHECK_FALSE(r.number("d"));
        CHECK_FALSE(r.boolean("b"));
        CHECK_FALSE(r.finish());
      });
  CHECK(messages == "f:1:7: error: 'i' must be a whole number, found 1.5\n"
                    "f:1:17: error: 's' must be a string, found an array\n"
                    "f:1:26: error: 'd' must be a number, found a string\n"
                    "f:1:36: error: 'b' must be a boolean, found null\n");
}

TEST_CASE("bounds are checked") {
  std::string messages = read(
      R"({"a": 0, "b": 11, "c": 0, "d": -1e-9, "e": 2})", [](ObjectReader &r) {
        CHECK_FALSE(r.integer("a", json::positive));
        CHECK_FALSE(r.integer("b", {0, 10}));
        CHECK_FALSE(r.number("c", json::positiveNumber));
        CHECK_FALSE(r.number("d", json::nonNegativeNumber));
        CHECK_FALSE(r.number("e", {0, 1}));
      });
  CHECK(messages == "f:1:7: error: 'a' must be at least 1, found 0\n"
                    "f:1:15: error: 'b' must be at most 10, found 11\n"
                    "f:1:24: error: 'c' must be greater than 0, found 0\n"
                    "f:1:32: error: 'd' must be at least 0, found -1e-09\n"
                    "f:1:44: error: 'e' must be at most 1, found 2\n");
}

TEST_CASE("a missing key is reported once, at the object") {
  CHECK(read("\n {}", [](ObjectReader &r) {
          CHECK_FALSE(r.requiredInteger("count"));
          CHECK_FALSE(r.finish());
        }) == "f:2:2: error: node needs key 'count'\n");
}

TEST_CASE("unknown keys get a suggestion and the list of allowed ones") {
  CHECK(read(R"({"coutn": 1})",
             [](ObjectReader &r) {
               r.integer("count");
               r.string("type");
               CHECK_FALSE(r.finish());
             }) == "f:1:2: error: unknown key 'coutn' in node\n"
                   "f:1:2: note: did you mean 'count'?\n"
                   "f:1:2: note: allowed keys: 'count', 'type'\n");
}

TEST_CASE("what is no object is reported once") {
  CHECK(read("[1]", [](ObjectReader &r) {
          CHECK_FALSE(r.requiredInteger("count"));
          CHECK_FALSE(r.finish());
        }) == "f:1:1: error: node must be an object, found an array\n");
}

TEST_CASE("format versions: same major passes, others exit with 6") {
  auto check = [](std::string_view text) {
    Diagnostics diags;
    auto value = json::parse(text, "f", diags);
    ObjectReader reader(*value, "cluster", diags);
    bool ok = json::checkFormatVersion(reader, "cluster file", 1, diags);
    CHECK(ok == !diags.hasErrors());
    return diags.exitCode();
  };
  CHECK(check(R"({"format_version": 1})") == ExitCode::Ok);
  CHECK(check(R"({"format_version": "1.7"})") == ExitCode::Ok);
  CHECK(check(R"({"format_version": 2})") == ExitCode::Unsupported);
  CHECK(check(R"({"format_version": "2.0"})") == ExitCode::Unsupported);
  for (const char *bad :
       {"{}", R"({"format_version": "x"})", R"({"format_version": "1."})",
        R"({"format_version": "1.2.3"})", R"({"format_version": null})",
        R"({"format_version": 1.0})", R"({"format_version": "-1"})"})
    CHECK(check(bad) == ExitCode::BadInput);
}

TEST_CASE("edit distance: published and hand-counted cases") {
  CHECK(editDistance("kitten", "sitting") == 3); // Wagner and Fischer's
  CHECK(editDistance("", "abc") == 3);
  CHECK(editDistance("abc", "") == 3);
  CHECK(editDistance("same", "same") == 0);
  CHECK(editDistance("ab", "ba") == 1);
  CHECK(editDistance("ca", "abc") == 3); // optimal string alignment
}

TEST_CASE("suggestions are near or none") {
  std::vector<std::string> names = {"h100-sxm-80", "h100-pcie-80", "a100-80"};
  CHECK(suggest("h100-sxm80", names) == "h100-sxm-80");
  CHECK(suggest("a100-81", names) == "a100-80");
  CHECK(suggest("h100", names) == "h100-sxm-80");
  CHECK(suggest("h100", {"h200", "h100-sxm-80"}) == "h100-sxm-80");
  CHECK(suggest("node", {"node_types", "nodes"}) == "nodes");
  CHECK(suggest("h101", {"a10", "h100-sxm-80"}) == "h100-sxm-80");
  CHECK_FALSE(suggest("tpu", names));
  CHECK_FALSE(suggest("x", {"y"}));
  CHECK_FALSE(suggest(std::string(100'000, 'a'), names));
  CHECK(suggest("b", {"ba", "bb"}) == std::nullopt);
  CHECK(suggest("abc", {"abd", "abe"}) == "abd");
}
