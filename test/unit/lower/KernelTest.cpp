//===- KernelTest.cpp - each fused op and elementwise body, f32 and f64 ---===//

#include "test/unit/lower/Oracle.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

using namespace whale;
using namespace whale::test;

namespace {

/// A program whose variables are the operands and the results: `%name` of
/// each operand is defined, and each result is assigned to `name`.
struct ProgramText {
  std::string element, body, state, assigns;

  explicit ProgramText(std::string element) : element(std::move(element)) {}

  std::string type(const std::string &shape, std::string of = "") {
    if (of.empty())
      of = element;
    return "tensor<" + shape + (shape.empty() ? "" : "x") + of + ">";
  }
  std::string variable(const std::string &name, const std::string &shape,
                       const std::string &of = "", bool slot = false) {
    std::string dims = shape, offsets;
    for (char &c : dims)
      if (c == 'x')
        c = ',';
    if (!shape.empty())
      offsets = "#rank.scalar<0>";
    for (char c : shape)
      if (c == 'x')
        offsets += ", #rank.scalar<0>";
    return "  %" + name + " = rank.variable \"" + name + "\" " +
           (slot ? "slot" : "parameter") + " <constant, 0.0, 0.0> of [" + dims +
           "] at [" + offsets + "] {phase = \"prologue\"} -> " +
           type(shape, of) + "\n";
  }
  void operand(const std::string &name, const std::string &shape,
               const std::string &of = "", bool positive = false) {
    state += variable(name, shape, of, positive);
  }
  /// Declares result variable `name`, assigned from %value.
  void result(const std::string &name, const std::string &value,
              const std::string &shape, const std::string &of = "") {
    state += variable(name, shape, of);
    assigns += "  rank.assign \"" + name + "\", %" + value +
               " {phase = \"update\"} : " + type(shape, of) + "\n";
  }
  std::string text() const {
    return "rank.program @role0_step attributes {role = 0 : i64, entry = "
           "\"step\"} {\n" +
           state + body + assigns + "}\n";
  }
};

double toleranceOf(const std::string &element) {
  return element == "f64" ? 1e-12 : 1e-5;
}

} // namespace

TEST_CASE("elementwise bodies", "[kernel]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  for (std::string target : {"x86-64-v3", "x86-64-v4"}) {
    if (target == "x86-64-v4" && !__builtin_cpu_supports("avx512vl"))
      continue;
    ProgramText p(element);
    std::string t = p.type("5x37");
    p.operand("x", "5x37");
    p.operand("y", "37");
    p.operand("z", "5x37", "", true);
    for (const char *op :
         {"neg", "abs", "sign", "exp", "tanh", "sigmoid", "erf", "sin", "cos",
          "relu", "silu", "floor", "gelu"}) {
      p.body +=
          std::string("  %r") + op + " = whale." + op + " %x : " + t + "\n";
      p.result(std::string("o") + op, std::string("r") + op, "5x37");
    }
    p.body += "  %one = whale.constant 1.0e-2 : " + p.type("") + "\n";
    p.body += "  %pos = whale.add %z, %one : " + t + ", " + p.type("") + "\n";
    for (const char *op : {"log", "sqrt", "rsqrt", "reciprocal"}) {
      p.body +=
          std::string("  %r") + op + " = whale." + op + " %pos : " + t + "\n";
      p.result(std::string("o") + op, std::string("r") + op, "5x37");
    }
    for (const char *op : {"add", "sub", "mul", "div", "max", "min"}) {
      p.body += std::string("  %r") + op + " = whale." + op + " %x, %y : " + t +
                ", " + p.type("37") + "\n";
      p.result(std::string("o") + op, std::string("r") + op, "5x37");
    }
    p.body +=
        "  %rpow = whale.pow %pos, %y : " + t + ", " + p.type("37") + "\n";
    p.result("opow", "rpow", "5x37");
    p.body += "  %rgt = whale.gelu %x tanh : " + t + "\n";
    p.result("ogt", "rgt", "5x37");
    p.body += "  %rgg = whale.gelu_grad %x, %z : " + t + "\n";
    p.result("ogg", "rgg", "5x37");
    p.body += "  %rggt = whale.gelu_grad %x, %z tanh : " + t + "\n";
    p.result("oggt", "rggt", "5x37");
    p.body += "  %rsg = whale.silu_grad %x, %z : " + t + "\n";
    p.result("osg", "rsg", "5x37");
    p.body +=
        "  %c = whale.compare gt %x, %y : " + t + ", " + p.type("37") + "\n";
    p.body += "  %rsel = whale.select %c, %x, %z : " + p.type("5x37", "i1") +
              ", " + t + ", " + t + "\n";
    p.result("osel", "rsel", "5x37");
    p.body += "  %ri = whale.cast %pos : " + t + " -> " +
              p.type("5x37", "i32") + "\n";
    p.result("oi", "ri", "5x37", "i32");
    Comparison comparison{p.text(), toleranceOf(element)};
    comparison.target = target;
    auto machine = requireEqual(comparison);
    // All of it is one pass over x.
    CHECK(machine->count(format::Operation::Launch) == 1);
  }
}

/// What each of `expressions` gives as %r, over vectors %x, %y, %z of type T of
/// `count` elements; the first elements are the same for every count.
static std::vector<std::vector<double>>
elementwise(const std::string &element, const std::string &target,
            const std::vector<std::string> &expressions, size_t count) {
  ProgramText p(element);
  std::string shape = std::to_string(count), t = p.type(shape);
  for (const char *operand : {"x", "y", "z"})
    p.operand(operand, shape);
  for (size_t i = 0; i < expressions.size(); ++i) {
    std::string number = std::to_string(i);
    for (char c : expressions[i])
      p.body += c == 'T' ? t : c == '$' ? "%v" + number : std::string(1, c);
    p.result("o" + number, "v" + number + "r", shape);
  }
  Machine machine(p.text(), {}, target);
  for (auto [name, scale] : {std::pair("x", 0.37), {"y", -1.3}, {"z", 2.1}}) {
    std::vector<double> values(count);
    for (size_t i = 0; i < count; ++i)
      values[i] = scale * std::sin(1.0 + double(i) * (1 + scale));
    machine.set(name, values);
  }
  machine.run("step");
  std::vector<std::vector<double>> results;
  for (size_t i = 0; i < expressions.size(); ++i)
    results.push_back(machine.get("o" + std::to_string(i)));
  return results;
}

TEST_CASE("an element's bits depend neither on its shard nor on fusion",
          "[kernel]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  const std::vector<std::string> apart = {"  $r = whale.mul %x, %y : T, T\n",
                                          "  $r = whale.abs %z : T\n"};
  std::vector<std::string> expressions = {
      // A multiplication and an addition that must not become one rounding.
      "  $m = whale.mul %x, %y : T, T\n  $a = whale.abs %z : T\n"
      "  $r = whale.add $m, $a : T, T\n",
      "  $m = whale.mul %x, %y : T, T\n  $r = whale.sub %z, $m : T, T\n",
      "  $a = whale.abs %x : T\n  $r = whale.pow $a, %y : T, T\n",
      "  $a = whale.abs %x : T\n  $r = whale.log $a : T\n",
      "  $a = whale.abs %x : T\n  $r = whale.rsqrt $a : T\n",
      "  $r = whale.div %x, %y : T, T\n",
      "  $r = whale.gelu %x tanh : T\n",
      "  $r = whale.gelu_grad %x, %y tanh : T\n",
      "  $r = whale.silu_grad %x, %y : T\n"};
  for (const char *op : {"exp", "tanh", "sigmoid", "erf", "sin", "cos", "gelu"})
    expressions.push_back(std::string("  $r = whale.") + op + " %x : T\n");
  for (std::string target : {"x86-64-v3", "x86-64-v4"}) {
    if (target == "x86-64-v4" && !__builtin_cpu_supports("avx512vl"))
      continue;
    auto whole = elementwise(element, target, expressions, 135);
    // Single elements, tails, and whole vectors.
    for (size_t count : {1, 7, 33, 64}) {
      auto part = elementwise(element, target, expressions, count);
      for (size_t i = 0; i < expressions.size(); ++i) {
        INFO(element << " " << target << " " << count << "\n"
                     << expressions[i]);
        REQUIRE(std::memcmp(part[i].data(), whole[i].data(),
                            count * sizeof(double)) == 0);
      }
    }
    auto terms = elementwise(element, target, apart, 135);
    for (size_t i = 0; i < whole[0].size(); ++i) {
      double sum = terms[0][i] + terms[1][i];
      REQUIRE(whole[0][i] == (element == "f32" ? double(float(sum)) : sum));
    }
  }
}

TEST_CASE("row clusters are one kernel each", "[kernel]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  auto shape = GENERATE(as<std::string>(), "6x33", "2x3x64", "4x1", "1x130");
  ProgramText p(element);
  std::string last = shape.substr(shape.rfind('x') + 1);
  std::string rows = shape.substr(0, shape.rfind('x'));
  std::string t = p.type(shape), v = p.type(last);
  p.operand("x", shape);
  p.operand("dy", shape);
  p.operand("s", last);
  p.operand("b", last);
  SECTION("softmax") {
    p.body = "  %r = whale.softmax %x : " + t + "\n";
    p.result("o", "r", shape);
  }
  SECTION("softmax gradient") {
    p.body = "  %r = whale.softmax_grad %x, %dy : " + t + "\n";
    p.result("o", "r", shape);
  }
  SECTION("layer norm with the residual before it") {
    p.body = "  %h = whale.add %x, %dy : " + t + ", " + t + "\n" +
             "  %r = whale.layer_norm %h, %s, %b : " + t + ", " + v + "\n";
    p.result("o", "r", shape);
    p.result("oh", "h", shape);
  }
  SECTION("layer norm gradient") {
    p.body = "  %dx, %ds, %db = whale.layer_norm_grad %x, %s, %dy : (" + t +
             ", " + v + ", " + t + ") -> (" + t + ", " + v + ", " + v + ")\n";
    p.result("o", "dx", shape);
    p.result("os", "ds", last);
    p.result("ob", "db", last);
  }
  SECTION("rms norm") {
    p.body = "  %r = whale.rms_norm %x, %s : " + t + ", " + v + "\n";
    p.result("o", "r", shape);
  }
  SECTION("rms norm gradient") {
    p.body = "  %dx, %ds = whale.rms_norm_grad %x, %s, %dy : (" + t + ", " + v +
             ", " + t + ") -> (" + t + ", " + v + ")\n";
    p.result("o", "dx", shape);
    p.result("os", "ds", last);
  }
  SECTION("cross-entropy to a sum") {
    std::string dims = rows;
    p.state += "  %labels = rank.input \"labels\" first <0> batch " +
               rows.substr(0, rows.find('x')) + " range " + last +
               " {phase = \"forward\"} -> " + p.type(rows, "i32") + "\n";
    p.body = "  %l, %lse = whale.cross_entropy %x, %labels : " + t + ", " +
             p.type(rows, "i32") + " -> " + p.type(rows) + "\n" +
             "  %sum = whale.reduce sum %l [" +
             (rows.find('x') == std::string::npos ? "0" : "0, 1") +
             "] : " + p.type(rows) + " -> " + p.type("") + "\n";
    p.result("o", "l", rows);
    p.result("ol", "lse", rows);
    p.result("osum", "sum", "");
  }
  Comparison comparison{p.text(),
                        toleranceOf(element) * (shape == "4x1" ? 100 : 1)};
  auto machine = requireEqual(comparison);
  CHECK(machine->count(format::Operation::Launch) == 1);
  CHECK(machine->count(format::Operation::Copy) == 0);
}

TEST_CASE("cross-entropy ignores labels out of range", "[kernel]") {
  ProgramText p("f32");
  p.operand("x", "4x9");
  p.operand("g", "4");
  p.operand("seen", "4");
  p.body = "  %two = whale.constant 12.0 : tensor<f32>\n"
           "  %scaled = whale.mul %seen, %two : tensor<4xf32>, tensor<f32>\n"
           "  %labels = whale.cast %scaled : tensor<4xf32> -> tensor<4xi32>\n"
           "  %l, %lse = whale.cross_entropy %x, %labels : tensor<4x9xf32>, "
           "tensor<4xi32> -> tensor<4xf32>\n"
           "  %dx = whale.cross_entropy_grad %x, %labels, %lse, %g : "
           "(tensor<4x9xf32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>) -> "
           "tensor<4x9xf32>\n";
  p.result("o", "l", "4");
  p.result("odx", "dx", "4x9");
  requireEqual(Comparison(p.text(), 1e-5));
}

TEST_CASE("batch norm over groups", "[kernel]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  auto over = GENERATE(as<std::string>(), "", " over 2");
  ProgramText p(element);
  std::string t = p.type("4x3x3x5"), v = p.type("5");
  p.operand("x", "4x3x3x5");
  p.operand("dy", "4x3x3x5");
  p.operand("s", "5");
  p.operand("b", "5");
  p.body = "  %y, %m, %var = whale.batch_norm %x, %s, %b" + over + " : " + t +
           ", " + v + "\n" +
           "  %dx, %ds, %db = whale.batch_norm_grad %x, %s, %dy" + over +
           " : (" + t + ", " + v + ", " + t + ") -> (" + t + ", " + v + ", " +
           v + ")\n";
  p.result("o", "y", "4x3x3x5");
  p.result("om", "m", "5");
  p.result("ov", "var", "5");
  p.result("odx", "dx", "4x3x3x5");
  p.result("ods", "ds", "5");
  p.result("odb", "db", "5");
  requireEqual(Comparison(p.text(), toleranceOf(element) * 4));
}

TEST_CASE("reductions of every form", "[kernel]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  ProgramText p(element);
  p.operand("x", "7x5x33");
  p.operand("long", "100003");
  std::string t = p.type("7x5x33");
  for (std::string kind : {"sum", "max", "min"}) {
    auto reduce = [&](const std::string &dims, const std::string &name,
                      const std::string &shape) {
      p.body += "  %" + kind + name + " = whale.reduce " + kind + " %x [" +
                dims + "] : " + t + " -> " + p.type(shape) + "\n";
      p.result("o" + kind + name, kind + name, shape);
    };
    reduce("0", "a", "5x33");
    reduce("1", "b", "7x33");
    reduce("2", "c", "7x5");
    reduce("0, 1", "d", "33");
    reduce("1, 2", "e", "7");
    reduce("0, 2", "f", "5");
    reduce("0, 1, 2", "g", "");
    p.body += "  %" + kind + "h = whale.reduce " + kind +
              " %long [0] : " + p.type("100003") + " -> " + p.type("") + "\n";
    p.result("o" + kind + "h", kind + "h", "");
  }
  requireEqual(Comparison(p.text(), toleranceOf(element)));
}

TEST_CASE("broadcasts, indices, slices, transposes, concat, pad", "[kernel]") {
  ProgramText p("f32");
  p.operand("x", "3x4");
  p.operand("y", "2x3x4");
  p.body = "  %b = whale.broadcast %x [0, 2] : tensor<3x4xf32> -> "
           "tensor<3x5x4xf32>\n"
           "  %i = whale.iota dim 1 : tensor<3x5x4xf32>\n"
           "  %r = whale.mul %b, %i : tensor<3x5x4xf32>, tensor<3x5x4xf32>\n"
           "  %t = whale.transpose %y [2, 0, 1] : tensor<2x3x4xf32> -> "
           "tensor<4x2x3xf32>\n"
           "  %s = whale.slice %y dim 1 from 1 : tensor<2x3x4xf32> -> "
           "tensor<2x2x4xf32>\n"
           "  %e = whale.exp %s : tensor<2x2x4xf32>\n"
           "  %c = whale.concat %y, %e dim 1 : tensor<2x3x4xf32>, "
           "tensor<2x2x4xf32> -> tensor<2x5x4xf32>\n"
           "  %p = whale.pad %y dim 1 low 1 : tensor<2x3x4xf32> -> "
           "tensor<2x6x4xf32>\n"
           "  %n = whale.step_number : tensor<f32>\n"
           "  %q = whale.add %s, %n : tensor<2x2x4xf32>, tensor<f32>\n";
  p.result("ob", "b", "3x5x4");
  p.result("or", "r", "3x5x4");
  p.result("ot", "t", "4x2x3");
  p.result("os", "s", "2x2x4");
  p.result("oc", "c", "2x5x4");
  p.result("op", "p", "2x6x4");
  p.result("oq", "q", "2x2x4");
  Comparison comparison{p.text(), 1e-6};
  comparison.steps = 3;
  requireEqual(comparison);
}

TEST_CASE("dropout follows the counter", "[kernel]") {
  ProgramText p("f32");
  p.operand("x", "7x130");
  p.body = "  %d = whale.dropout %x rate 3.0e-1 key \"layers.3/attn/drop\" : "
           "tensor<7x130xf32>\n";
  p.result("o", "d", "7x130");
  Comparison comparison{p.text(), 1e-6};
  comparison.steps = 2;
  requireEqual(comparison);
}

TEST_CASE("rotary embedding", "[kernel]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  ProgramText p(element);
  std::string t = p.type("2x9x3x8");
  p.operand("x", "2x9x3x8");
  p.body = "  %y = whale.rotary %x theta 1.0e4 : " + t + "\n" +
           "  %z = whale.rotary %x theta 1.0e4 inverse : " + t + "\n";
  p.result("oy", "y", "2x9x3x8");
  p.result("oz", "z", "2x9x3x8");
  auto machine = requireEqual(Comparison(p.text(), toleranceOf(element)));
  // One kernel for the tables of both, one for each turn.
  CHECK(machine->count(format::Operation::Launch) == 3);
}

TEST_CASE("scaled rotary embedding", "[kernel]") {
  auto scaling =
      GENERATE(as<std::string>(), "linear(4.0)", "llama3(8.0, 1.0, 4.0, 64.0)",
               "yarn(4.0, 1.0, 8.0, 64.0, 1.25)");
  ProgramText p("f64");
  std::string t = p.type("2x9x3x16");
  p.operand("x", "2x9x3x16");
  p.body = "  %y = whale.rotary %x theta 100.0 scaling " + scaling + " : " + t +
           "\n  %z = whale.rotary %x theta 100.0 scaling " + scaling +
           " inverse : " + t + "\n";
  p.result("oy", "y", "2x9x3x16");
  p.result("oz", "z", "2x9x3x16");
  requireEqual(Comparison(p.text(), toleranceOf("f64")));
}

TEST_CASE("16-bit values are computed in f32", "[kernel]") {
  ProgramText p("bf16");
  p.operand("x", "4x40");
  p.operand("s", "40");
  p.operand("b", "40");
  p.body = "  %y = whale.layer_norm %x, %s, %b : tensor<4x40xbf16>, "
           "tensor<40xbf16>\n"
           "  %sum = whale.reduce sum %x [0] : tensor<4x40xbf16> -> "
           "tensor<40xbf16>\n";
  p.result("o", "y", "4x40");
  p.result("os", "sum", "40");
  requireEqual(Comparison(p.text(), 0.02));
}
