#include "compiler/support/Diagnostics.h"
#include <catch2/catch.hpp>

using namespace whale;

TEST_CASE("a message prints as file:line:column, with its notes") {
  Diagnostics diags;
  diags.error(Place("c.json", 12, 9), "unknown GPU type 'h1oo'")
      .hint("did you mean 'h100'?")
      .note(Place("d.json"), "types come from here");
  diags.warning({}, "no place");
  CHECK(diags.str() == "c.json:12:9: error: unknown GPU type 'h1oo'\n"
                       "c.json:12:9: note: did you mean 'h100'?\n"
                       "d.json: note: types come from here\n"
                       "warning: no place\n");
  CHECK(diags.errorCount() == 1);
}

TEST_CASE("the first error decides the exit code") {
  Diagnostics diags;
  diags.warning({}, "w");
  CHECK(diags.exitCode() == ExitCode::Ok);
  CHECK_FALSE(diags.hasErrors());
  diags.error({}, "a", ExitCode::Unsupported);
  diags.error({}, "b");
  CHECK(diags.exitCode() == ExitCode::Unsupported);
}

TEST_CASE("a file cannot drive the terminal through a message") {
  Diagnostics diags;
  diags.error(Place("a\x1b[2Jb", 1, 1), "found '\x1b]0;x\x07\xff'\nnext");
  CHECK(diags.str() == "a\\u{1b}[2Jb:1:1: error: found "
                       "'\\u{1b}]0;x\\u{07}\\xff'\\nnext\n");
}

TEST_CASE("messages beyond the limit are counted, not kept") {
  Diagnostics diags;
  for (int i = 0; i < 1000; ++i)
    diags.error({}, "e").hint("h");
  CHECK(diags.messages().size() == Diagnostics::maxKept);
  CHECK(diags.errorCount() == 1000);
  CHECK(diags.str().find("note: 900 more messages are not shown\n") !=
        std::string::npos);
}

TEST_CASE("appended messages keep order, count and exit code") {
  Diagnostics a, b;
  a.warning({}, "first");
  b.error({}, "second", ExitCode::Infeasible);
  for (int i = 0; i < 150; ++i)
    b.error({}, "more");
  a.append(b);
  CHECK(a.errorCount() == 151);
  CHECK(a.exitCode() == ExitCode::Infeasible);
  CHECK(a.messages()[1].message == "second");
  CHECK(a.str().find("52 more messages") != std::string::npos);
}
