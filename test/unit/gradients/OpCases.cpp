//===- OpCases.cpp - one small use of every compute op --------------------===//

#include "test/unit/gradients/OpCases.h"

using namespace reference;

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

static void addUnary(std::vector<OpCase> &cases) {
  for (const char *name :
       {"neg", "abs", "sign", "exp", "tanh", "sigmoid", "erf", "sin", "cos",
        "relu", "silu", "floor", "stop_gradient", "gelu"})
    cases.push_back(
        {std::string(name) + " $0 : $t0", {"3x4xf64 -3..3"}, {"3x4xf64"}});
  for (const char *name : {"log", "sqrt", "rsqrt", "reciprocal"})
    cases.push_back(
        {std::string(name) + " $0 : $t0", {"2x5xf64 0.5..2"}, {"2x5xf64"}});
  cases.push_back({"gelu $0 tanh : $t0", {"7xf64 -3..3"}, {"7xf64"}});
  cases.push_back(
      {"gelu_grad $0, $1 : $t0", {"7xf64 -3..3", "7xf64"}, {"7xf64"}});
  cases.push_back(
      {"gelu_grad $0, $1 tanh : $t0", {"7xf64 -3..3", "7xf64"}, {"7xf64"}});
  cases.push_back(
      {"silu_grad $0, $1 : $t0", {"7xf64 -3..3", "7xf64"}, {"7xf64"}});
}

static void addBinary(std::vector<OpCase> &cases) {
  for (const char *name : {"add", "sub", "mul", "div", "max", "min", "pow"}) {
    std::string text = std::string(name) + " $0, $1 : $t0, $t1";
    cases.push_back({text, {"3x4xf64 0.5..2", "3x4xf64 0.5..2"}, {"3x4xf64"}});
    cases.push_back(
        {text, {"2x3x4xf64 0.5..2", "4xf64 0.5..2"}, {"2x3x4xf64"}});
    cases.push_back(
        {text, {"3x1xf64 0.5..2", "2x1x5xf64 0.5..2"}, {"2x3x5xf64"}});
    cases.push_back({text, {"f64 0.5..2", "4xf64 0.5..2"}, {"4xf64"}});
  }
  cases.push_back(
      {"compare lt $0, $1 : $t0, $t1", {"3x4xf64", "4xf64"}, {"3x4xi1"}});
  cases.push_back(
      {"compare ge $0, $1 : $t0, $t1", {"3xi32 0..3", "3xi32 0..3"}, {"3xi1"}});
  std::string select = "select $0, $1, $2 : $t0, $t1, $t2";
  cases.push_back({select, {"3x4xi1 0..2", "3x4xf64", "4xf64"}, {"3x4xf64"}});
  cases.push_back({select, {"3x1xi1 0..2", "f64", "3x4xf64"}, {"3x4xf64"}});
  cases.push_back({"cast $0 : $t0 -> $r0", {"3x4xf64"}, {"3x4xf32"}});
  cases.push_back({"cast $0 : $t0 -> $r0", {"3x4xi32 -5..5"}, {"3x4xf64"}});
  cases.push_back(
      {"dropout $0 rate 0.4 key \"d\" : $t0", {"4x6xf64"}, {"4x6xf64"}});
}

//===----------------------------------------------------------------------===//
// Contractions, reductions, shapes
//===----------------------------------------------------------------------===//

static void addContractions(std::vector<OpCase> &cases) {
  auto einsum = [&](const char *equation, const char *lhs, const char *rhs,
                    const char *result) {
    cases.push_back(
        {std::string("einsum \"") + equation + "\" $0, $1 : $t0, $t1 -> $r0",
         {lhs, rhs},
         {result}});
  };
  einsum("b s h, h o -> b s o", "2x3x4xf64", "4x5xf64", "2x3x5xf64");
  einsum("b i k, b j k -> b i j", "2x3x4xf64", "2x5x4xf64", "2x3x5xf64");
  einsum("i, j -> j i", "3xf64", "4xf64", "4x3xf64");
  einsum("i j, i j ->", "3x4xf64", "3x4xf64", "f64");
  einsum("b s n g d, n g d h -> b s h", "2x3x2x1x4xf64", "2x1x4x5xf64",
         "2x3x5xf64");
  for (const char *kind : {"sum", "max", "min"}) {
    std::string text = std::string("reduce ") + kind + " $0 ";
    cases.push_back({text + "[1] : $t0 -> $r0", {"3x4xf64"}, {"3xf64"}});
    cases.push_back({text + "[0, 2] : $t0 -> $r0", {"3x4x2xf64"}, {"4xf64"}});
    cases.push_back({text + "[0, 1] : $t0 -> $r0", {"3x4xf64"}, {"f64"}});
  }
}

static void addShapes(std::vector<OpCase> &cases) {
  cases.push_back({"constant 2.5 : $r0", {}, {"3x4xf64"}});
  cases.push_back({"constant 3 : $r0", {}, {"3xi32"}});
  cases.push_back({"iota dim 1 : $r0", {}, {"3x5xi32"}});
  cases.push_back({"step_number : $r0", {}, {"f64"}});
  cases.push_back({"broadcast $0 [1] : $t0 -> $r0", {"4xf64"}, {"3x4x2xf64"}});
  cases.push_back({"broadcast $0 [] : $t0 -> $r0", {"f64"}, {"3x4xf64"}});
  std::string reshape = "reshape $0 : $t0 -> $r0";
  cases.push_back({reshape, {"3x8xf64"}, {"3x4x2xf64"}});
  cases.push_back({reshape, {"2x3x5xf64"}, {"6x5xf64"}});
  cases.push_back({reshape, {"4x6xf64"}, {"6x4xf64"}});
  cases.push_back({reshape, {"3x1x4xf64"}, {"3x4xf64"}});
  cases.push_back({reshape, {"2x6x4xf64"}, {"2x2x3x4xf64"}});
  cases.push_back({reshape, {"f64"}, {"1x1xf64"}});
  cases.push_back({reshape, {"3x4xf64"}, {"1x3x4xf64"}});
  cases.push_back(
      {"transpose $0 [2, 0, 1] : $t0 -> $r0", {"3x4x5xf64"}, {"5x3x4xf64"}});
  cases.push_back(
      {"slice $0 dim 1 from 2 : $t0 -> $r0", {"3x6xf64"}, {"3x3xf64"}});
  cases.push_back(
      {"pad $0 dim 0 low 1 : $t0 -> $r0", {"3x4xf64"}, {"6x4xf64"}});
  cases.push_back({"concat $0, $1, $2 dim 1 : $t0, $t1, $t2 -> $r0",
                   {"3x2xf64", "3x1xf64", "3x4xf64"},
                   {"3x7xf64"}});
}

static void addGathers(std::vector<OpCase> &cases) {
  std::string embedding = "embedding $0, $1 : $t0, $t1 -> $r0";
  cases.push_back({embedding, {"7x3xf64", "2x5xi32 0..7"}, {"2x5x3xf64"}});
  cases.push_back({embedding, {"7xf64", "5xi64 -2..9"}, {"5xf64"}});
  cases.push_back({"scatter_add $0, $1 : $t0, $t1 -> $r0",
                   {"2x5xi32 -1..8", "2x5x3xf64"},
                   {"7x3xf64"}});
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

static void addNorms(std::vector<OpCase> &cases) {
  std::string gradient = " : ($t0, $t1, $t2) -> ";
  cases.push_back({"softmax $0 : $t0", {"2x3x5xf64"}, {"2x3x5xf64"}});
  cases.push_back(
      {"softmax_grad $0, $1 : $t0", {"3x5xf64", "3x5xf64"}, {"3x5xf64"}});
  cases.push_back({"layer_norm $0, $1, $2 epsilon 1.0e-3 : $t0, $t1",
                   {"2x3x5xf64", "5xf64", "5xf64"},
                   {"2x3x5xf64"}});
  cases.push_back({"layer_norm_grad $0, $1, $2" + gradient + "($r0, $r1, $r2)",
                   {"2x3x5xf64", "5xf64", "2x3x5xf64"},
                   {"2x3x5xf64", "5xf64", "5xf64"}});
  cases.push_back(
      {"rms_norm $0, $1 : $t0, $t1", {"3x5xf64", "5xf64"}, {"3x5xf64"}});
  cases.push_back({"rms_norm_grad $0, $1, $2" + gradient + "($r0, $r1)",
                   {"3x5xf64", "5xf64", "3x5xf64"},
                   {"3x5xf64", "5xf64"}});
  for (const char *over : {"", " over 2"}) {
    cases.push_back({std::string("batch_norm $0, $1, $2") + over +
                         " epsilon 1.0e-3 : $t0, $t1",
                     {"4x3x5xf64", "5xf64", "5xf64"},
                     {"4x3x5xf64", "5xf64", "5xf64"},
                     1});
    cases.push_back({std::string("batch_norm_grad $0, $1, $2") + over +
                         gradient + "($r0, $r1, $r2)",
                     {"4x3x5xf64", "5xf64", "4x3x5xf64"},
                     {"4x3x5xf64", "5xf64", "5xf64"}});
  }
  cases.push_back({"cross_entropy $0, $1 : $t0, $t1 -> $r0",
                   {"2x3x5xf64", "2x3xi32 -1..6"},
                   {"2x3xf64", "2x3xf64"}});
  cases.push_back({"cross_entropy_grad $0, $1, $2, $3 "
                   ": ($t0, $t1, $t2, $t3) -> $r0",
                   {"2x3x5xf64", "2x3xi32 -1..6", "2x3xf64", "2x3xf64"},
                   {"2x3x5xf64"}});
}

static void addAttention(std::vector<OpCase> &cases) {
  std::string q = "2x4x2x3x2xf64", k = "2x4x2x2xf64", lse = "2x2x3x4xf64";
  std::string bias = "2x3x4x4xf64";
  for (const char *mask : {"", " causal", " causal window 2"}) {
    cases.push_back({std::string("attention $0, $1, $2 scale 0.7") + mask +
                         " : ($t0, $t1, $t2) -> ($r0, $r1)",
                     {q, k, k},
                     {q, lse},
                     1});
    cases.push_back({std::string("attention $0, $1, $2 bias $3 scale 0.7") +
                         mask + " : ($t0, $t1, $t2, $t3) -> ($r0, $r1)",
                     {q, k, k, bias},
                     {q, lse},
                     1});
  }
  cases.push_back({"attention $0, $1, $2 scale 1.0 "
                   ": ($t0, $t1, $t2) -> ($r0, $r1)",
                   {"2x3x1x2x4xf64", "2x5x1x4xf64", "2x5x1x4xf64"},
                   {"2x3x1x2x4xf64", "2x1x2x3xf64"},
                   1});
  // Values wider and narrower than keys (latent attention).
  for (std::string w : {"3", "5"}) {
    std::string v = "2x4x2x" + w + "xf64", out = "2x4x2x3x" + w + "xf64";
    cases.push_back({"attention $0, $1, $2 scale 0.7 causal "
                     ": ($t0, $t1, $t2) -> ($r0, $r1)",
                     {q, k, v},
                     {out, lse},
                     1});
    cases.push_back({"attention_grad $0, $1, $2, $3, $4, $5 scale 0.7 causal "
                     ": ($t0, $t1, $t2, $t3, $t4, $t5) -> ($r0, $r1, $r2)",
                     {q, k, v, out, lse, out},
                     {q, k, v}});
  }
  std::string gradient = "attention_grad $0, $1, $2, $3, $4, $5";
  cases.push_back({gradient +
                       " scale 0.7 causal "
                       ": ($t0, $t1, $t2, $t3, $t4, $t5) -> ($r0, $r1, $r2)",
                   {q, k, k, q, lse, q},
                   {q, k, k}});
  cases.push_back({gradient + " bias $6 scale 0.7 "
                              ": ($t0, $t1, $t2, $t3, $t4, $t5, $t6) "
                              "-> ($r0, $r1, $r2, $r3)",
                   {q, k, k, q, lse, q, bias},
                   {q, k, k, bias}});
  cases.push_back(
      {"rotary $0 theta 100.0 : $t0", {"2x5x3x4xf64"}, {"2x5x3x4xf64"}});
  cases.push_back({"rotary $0 theta 1.0e4 inverse : $t0",
                   {"2x5x2x3x6xf64"},
                   {"2x5x2x3x6xf64"}});
  for (const char *scaling : {"linear(4.0)", "llama3(8.0, 1.0, 4.0, 32.0)",
                              "yarn(4.0, 1.0, 8.0, 64.0, 1.25) inverse"})
    cases.push_back(
        {std::string("rotary $0 theta 100.0 scaling ") + scaling + " : $t0",
         {"2x5x3x8xf64"},
         {"2x5x3x8xf64"}});
}

static void addConvolutions(std::vector<OpCase> &cases) {
  auto three = [&](const std::string &x, const std::string &w,
                   const std::string &y, const std::string &place) {
    std::string types = place + " : $t0, $t1 -> $r0";
    cases.push_back({"conv2d $0, $1 " + types, {x, w}, {y}});
    cases.push_back({"conv2d_input_grad $0, $1 " + types, {y, w}, {x}});
    cases.push_back({"conv2d_filter_grad $0, $1 " + types, {x, y}, {w}});
  };
  three("2x5x4x3xf64", "3x2x3x2xf64", "2x3x3x2xf64",
        "strides [1, 1] padding [0, 0, 0, 0]");
  three("2x5x6x2xf64", "3x3x2x3xf64", "2x3x3x3xf64",
        "strides [2, 2] padding [1, 1, 1, 0]");
  for (const char *kind : {"max", "average"}) {
    std::string place = " window [2, 3] strides [2, 1] padding [1, 0, 1, 1]";
    cases.push_back(
        {std::string("pool ") + kind + " $0" + place + " : $t0 -> $r0",
         {"2x5x4x3xf64"},
         {"2x3x4x3xf64"}});
    cases.push_back({std::string("pool_grad ") + kind + " $0, $1" + place +
                         " : ($t0, $t1) -> $r0",
                     {"2x5x4x3xf64", "2x3x4x3xf64"},
                     {"2x5x4x3xf64"}});
  }
}

static void addExperts(std::vector<OpCase> &cases) {
  cases.push_back({"top_k $0 k 2 : $t0 -> $r0, $r1",
                   {"2x3x5xf64"},
                   {"2x3x2xf64", "2x3x2xi32"}});
  std::string types = " : $t0, $t1, $t2 -> $r0";
  std::string experts = "2x3x2xi32 0..4";
  cases.push_back({"expert_matmul $0, $1, $2" + types,
                   {"2x3x2x3xf64", "4x3x5xf64", experts},
                   {"2x3x2x5xf64"}});
  cases.push_back({"expert_matmul $0, $1, $2 transposed" + types,
                   {"2x3x2x5xf64", "4x3x5xf64", experts},
                   {"2x3x2x3xf64"}});
  cases.push_back({"expert_outer $0, $1, $2" + types,
                   {"2x3x2x3xf64", "2x3x2x5xf64", experts},
                   {"4x3x5xf64"}});
  cases.push_back({"expert_slot $0 experts 3 capacity 2 over 2 : $t0",
                   {"6x3x2xi32 0..3"},
                   {"6x3x2xi32"}});
  // Rows may share a slot here, which no expert_slot gives: sums are still the
  // adjoint of what collect reads.
  cases.push_back({"dispatch $0, $1, $2 : $t0, $t1 -> $r0",
                   {"4x3x1x3xf64", "4x3x1xi32 0..2", "4x3x1xi32 -1..4"},
                   {"2x2x4x3xf64"}});
  cases.push_back({"collect $0, $1, $2 : $t0, $t1 -> $r0",
                   {"2x2x4x3xf64", "4x3x1xi32 0..2", "4x3x1xi32 -1..4"},
                   {"4x3x1x3xf64"}});
}

const std::vector<OpCase> &reference::opCases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (auto *add :
         {addUnary, addBinary, addContractions, addShapes, addGathers, addNorms,
          addAttention, addConvolutions, addExperts})
      add(all);
    return all;
  }();
  return cases;
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

std::string reference::typeText(const std::string &operand) {
  return "tensor<" + operand.substr(0, operand.find(' ')) + ">";
}

/// Replaces `$0`, `$t0` and `$r0`.
static std::string substitute(const OpCase &opCase) {
  std::string text;
  for (size_t i = 0; i < opCase.text.size(); ++i) {
    if (opCase.text[i] != '$') {
      text += opCase.text[i];
      continue;
    }
    char next = opCase.text[++i];
    if (next == 't')
      text += typeText(opCase.operands.at(opCase.text[++i] - '0'));
    else if (next == 'r')
      text += typeText(opCase.results.at(opCase.text[++i] - '0'));
    else
      text += std::string("%a") + next;
  }
  return text;
}

std::string reference::operationText(const OpCase &opCase) {
  std::string text;
  for (size_t i = 0; i < opCase.results.size(); ++i)
    text += (i ? ", %r" : "%r") + std::to_string(i);
  return text + " = whale." + substitute(opCase) + "\n";
}

void reference::fill(Tensor &tensor, const std::string &operand,
                     std::mt19937_64 &random) {
  double low = -1, high = 1;
  size_t range = operand.find(' ');
  if (range != std::string::npos) {
    low = std::stod(operand.substr(range + 1));
    high = std::stod(operand.substr(operand.find("..") + 2));
  }
  // By hand: the standard's distributions differ between libraries.
  auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  for (double &value : tensor.reals)
    value = low + (high - low) * unit();
  for (int64_t &value : tensor.integers)
    value = static_cast<int64_t>(low + std::floor((high - low) * unit()));
}
