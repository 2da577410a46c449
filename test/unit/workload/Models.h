//===- Models.h - hand-written workloads for tests --------------*- C++ -*-===//

#ifndef WHALE_TEST_WORKLOAD_MODELS_H
#define WHALE_TEST_WORKLOAD_MODELS_H

#include "compiler/workload/Workload.h"

#include <map>

namespace whale::test {

using namespace whale::workload;

/// Writes classes in einsum notation: "b s h, h f -> b s f" with extents by
/// letter group. Names that begin with '_' are loops that cannot be cut.
class ClassBuilder {
public:
  ClassBuilder(std::string name, std::map<std::string, int64_t> extents,
               int64_t elementBytes)
      : extents(std::move(extents)), elementBytes(elementBytes) {
    module.name = std::move(name);
  }

  uint32_t value(std::string name, const std::string &dims,
                 ValueKind kind = ValueKind::Temporary, uint32_t index = 0,
                 int64_t bytes = 0) {
    Value v;
    v.name = std::move(name);
    v.kind = kind;
    v.index = index;
    v.elementBytes = bytes ? bytes : elementBytes;
    for (const std::string &d : words(dims))
      v.extents.push_back(extents.at(d));
    module.values.push_back(v);
    return static_cast<uint32_t>(module.values.size() - 1);
  }

  uint32_t argument(std::string name, const std::string &dims,
                    int64_t bytes = 0) {
    uint32_t v = value(std::move(name), dims, ValueKind::Argument,
                       module.arguments.size(), bytes);
    module.arguments.push_back(v);
    module.argumentGradients.push_back(-1);
    return v;
  }

  uint32_t variable(std::string name, const std::string &dims,
                    std::string tied = "") {
    Variable v;
    v.name = name;
    v.elementBytes = elementBytes;
    v.dimNames = words(dims);
    v.tied = std::move(tied);
    for (const std::string &d : v.dimNames)
      v.extents.push_back(extents.at(d));
    module.variables.push_back(v);
    return value(name, dims, ValueKind::Variable, module.variables.size() - 1);
  }

  uint32_t gradientOf(uint32_t variable, const std::string &dims) {
    return value(module.values[variable].name + "#d", dims,
                 ValueKind::VariableGradient, module.values[variable].index, 4);
  }

  /// `operands` and `results` give values; `text` their dimensions.
  Op &op(std::string name, OpKind kind, Phase phase, const std::string &text,
         std::vector<uint32_t> operands, std::vector<uint32_t> results,
         int64_t flopsPerPoint) {
    Op o;
    o.name = std::move(name);
    o.kind = kind;
    o.phase = phase;
    o.flopsPerPoint = flopsPerPoint;
    size_t arrow = text.find("->");
    o.operands = accesses(o, text.substr(0, arrow), operands);
    o.results = accesses(o, text.substr(arrow + 2), results);
    module.ops.push_back(std::move(o));
    return module.ops.back();
  }

  ModuleClass take() { return std::move(module); }
  ModuleClass module;

private:
  static std::vector<std::string> words(const std::string &text,
                                        char separator = ' ') {
    std::vector<std::string> result(1);
    for (char c : text)
      if (c == separator)
        result.emplace_back();
      else if (c != ' ' || separator == ' ')
        result.back() += c;
    std::erase(result, "");
    return result;
  }
  static std::vector<std::string> lists(const std::string &text) {
    std::vector<std::string> result(1);
    for (char c : text)
      if (c == ',')
        result.emplace_back();
      else
        result.back() += c;
    return result;
  }

  uint32_t loop(Op &op, std::string name) {
    bool whole = name[0] == '_', indexed = name[0] == '#';
    if (whole || indexed)
      name = name.substr(1);
    for (uint32_t l = 0; l < op.loops.size(); ++l)
      if (op.loops[l].name == name)
        return l;
    LoopDim dim;
    dim.name = name;
    dim.extent = extents.at(name);
    dim.kind = whole     ? LoopKind::Whole
               : indexed ? LoopKind::Indexed
                         : LoopKind::Parallel;
    op.loops.push_back(dim);
    return static_cast<uint32_t>(op.loops.size() - 1);
  }

  std::vector<Access> accesses(Op &op, const std::string &text,
                               const std::vector<uint32_t> &values) {
    std::vector<Access> result;
    std::vector<std::string> parts = lists(text);
    for (size_t i = 0; i < values.size(); ++i) {
      Access access;
      access.value = values[i];
      for (const std::string &d : words(parts[i]))
        access.dims.push_back({loop(op, d)});
      result.push_back(access);
    }
    return result;
  }

  std::map<std::string, int64_t> extents;
  int64_t elementBytes;
};

struct GptShape {
  int64_t layers = 4, hidden = 64, heads = 4, sequence = 32, vocabulary = 256;
  int64_t batch = 16, ffn = 0;
  int64_t elementBytes = 2;
  bool tied = true;
};

/// One transformer block with its backward part.
inline ModuleClass gptBlock(std::map<std::string, int64_t> extents,
                            int64_t bytes) {
  ClassBuilder c("block", extents, bytes);
  using K = OpKind;
  constexpr Phase F = Phase::Forward, I = Phase::BackwardInput,
                  W = Phase::BackwardWeight;
  const std::string x3 = "batch sequence hidden", u3 = "batch sequence ffn",
                    q4 = "batch heads sequence head_dim",
                    qw = "hidden heads head_dim", ow = "heads head_dim hidden",
                    norm = "batch sequence _hidden, _hidden -> batch sequence "
                           "_hidden";
  auto x = c.argument("x", x3);
  auto g1 = c.variable("norm1", "hidden"), wq = c.variable("q", qw),
       wk = c.variable("k", qw), wv = c.variable("v", qw),
       wo = c.variable("o", ow), g2 = c.variable("norm2", "hidden"),
       w1 = c.variable("fc1", "hidden ffn"),
       w2 = c.variable("fc2", "ffn hidden");
  auto n1 = c.value("n1", x3), q = c.value("q", q4), k = c.value("k", q4),
       v = c.value("v", q4), o = c.value("o", q4), p = c.value("p", x3),
       y = c.value("y", x3), n2 = c.value("n2", x3), u = c.value("u", u3),
       a = c.value("a", u3), w = c.value("w", x3), z = c.value("z", x3);
  auto stats =
      c.value("lse", "batch heads sequence", ValueKind::Temporary, 0, 4);
  c.op("norm1", K::Reduction, F, norm, {x, g1}, {n1}, 8).cheap = true;
  const std::string proj = x3 + "," + qw + "->" + q4;
  c.op("q", K::Contraction, F, proj, {n1, wq}, {q}, 2);
  c.op("k", K::Contraction, F, proj, {n1, wk}, {k}, 2);
  c.op("v", K::Contraction, F, proj, {n1, wv}, {v}, 2);
  const std::string s4 = "batch heads _sequence _head_dim";
  auto attention = [&](Op &op, int64_t flops) {
    LoopDim keys;
    keys.name = "keys";
    keys.extent = extents.at("sequence");
    keys.kind = LoopKind::Whole;
    op.loops.push_back(keys);
    op.flopsPerPoint = flops;
    op.usedDenominator = 2;
  };
  attention(
      c.op("attention", K::Attention, F,
           s4 + "," + s4 + "," + s4 + "->" + s4 + ",batch heads _sequence",
           {q, k, v}, {o, stats}, 1),
      4);
  c.op("o", K::Contraction, F, q4 + "," + ow + "->" + x3, {o, wo}, {p}, 2);
  const std::string add = x3 + "," + x3 + "->" + x3;
  auto plus = [&](std::string name, Phase phase, uint32_t l, uint32_t r,
                  uint32_t to) {
    Op &op = c.op(std::move(name), K::Elementwise, phase, add, {l, r}, {to}, 1);
    op.linearity = Linearity::Joint;
    op.cheap = true;
  };
  plus("add1", F, x, p, y);
  c.op("norm2", K::Reduction, F, norm, {y, g2}, {n2}, 8).cheap = true;
  c.op("fc1", K::Contraction, F, x3 + ",hidden ffn->" + u3, {n2, w1}, {u}, 2);
  c.op("gelu", K::Elementwise, F, u3 + "->" + u3, {u}, {a}, 10).cheap = true;
  c.op("fc2", K::Contraction, F, u3 + ",ffn hidden->" + x3, {a, w2}, {w}, 2);
  plus("add2", F, y, w, z);
  c.module.results = {z};

  auto dz = c.value("dz", x3, ValueKind::ResultGradient),
       da = c.value("da", u3), du = c.value("du", u3), dn2 = c.value("dn2", x3),
       dy1 = c.value("dy1", x3), dy = c.value("dy", x3), dO = c.value("do", q4),
       dq = c.value("dq", q4), dk = c.value("dk", q4), dv = c.value("dv", q4),
       xq = c.value("xq", x3), xk = c.value("xk", x3), xv = c.value("xv", x3),
       xqk = c.value("xqk", x3), dn1 = c.value("dn1", x3),
       dx1 = c.value("dx1", x3), dx = c.value("dx", x3);
  c.op("fc2.dx", K::Contraction, I, x3 + ",ffn hidden->" + u3, {dz, w2}, {da},
       2);
  c.op("fc2.dw", K::Contraction, W, u3 + "," + x3 + "->ffn hidden", {a, dz},
       {c.gradientOf(w2, "ffn hidden")}, 2);
  c.op("gelu.dx", K::Elementwise, I, u3 + "," + u3 + "->" + u3, {da, u}, {du},
       12);
  c.op("fc1.dx", K::Contraction, I, u3 + ",hidden ffn->" + x3, {du, w1}, {dn2},
       2);
  c.op("fc1.dw", K::Contraction, W, x3 + "," + u3 + "->hidden ffn", {n2, du},
       {c.gradientOf(w1, "hidden ffn")}, 2);
  const std::string dnorm = "batch sequence _hidden,batch sequence _hidden,"
                            "_hidden->batch sequence _hidden,_hidden";
  c.op("norm2.dx", K::Reduction, I, dnorm, {y, dn2, g2},
       {dy1, c.gradientOf(g2, "hidden")}, 12);
  plus("dy", I, dz, dy1, dy);
  c.op("o.dx", K::Contraction, I, x3 + "," + ow + "->" + q4, {dy, wo}, {dO}, 2);
  c.op("o.dw", K::Contraction, W, q4 + "," + x3 + "->" + ow, {o, dy},
       {c.gradientOf(wo, ow)}, 2);
  attention(c.op("attention.dx", K::Attention, I,
                 s4 + "," + s4 + "," + s4 + "," + s4 +
                     ",batch heads _sequence," + s4 + "->" + s4 + "," + s4 +
                     "," + s4,
                 {q, k, v, o, stats, dO}, {dq, dk, dv}, 1),
            10);
  const std::string back = q4 + "," + qw + "->" + x3,
                    weight = x3 + "," + q4 + "->" + qw;
  c.op("q.dx", K::Contraction, I, back, {dq, wq}, {xq}, 2);
  c.op("k.dx", K::Contraction, I, back, {dk, wk}, {xk}, 2);
  c.op("v.dx", K::Contraction, I, back, {dv, wv}, {xv}, 2);
  c.op("q.dw", K::Contraction, W, weight, {n1, dq}, {c.gradientOf(wq, qw)}, 2);
  c.op("k.dw", K::Contraction, W, weight, {n1, dk}, {c.gradientOf(wk, qw)}, 2);
  c.op("v.dw", K::Contraction, W, weight, {n1, dv}, {c.gradientOf(wv, qw)}, 2);
  plus("xqk", I, xq, xk, xqk);
  plus("dn1", I, xqk, xv, dn1);
  c.op("norm1.dx", K::Reduction, I, dnorm, {x, dn1, g1},
       {dx1, c.gradientOf(g1, "hidden")}, 12);
  plus("dx", I, dy, dx1, dx);
  c.module.argumentGradients[0] = dx;
  return c.take();
}

/// Embedding, blocks, norm and tied head with cross-entropy.
inline Workload gpt(const GptShape &shape) {
  std::map<std::string, int64_t> extents = {
      {"batch", shape.batch},
      {"sequence", shape.sequence},
      {"hidden", shape.hidden},
      {"heads", shape.heads},
      {"head_dim", shape.hidden / shape.heads},
      {"ffn", shape.ffn ? shape.ffn : 4 * shape.hidden},
      {"vocabulary", shape.vocabulary}};
  using K = OpKind;
  constexpr Phase F = Phase::Forward, I = Phase::BackwardInput,
                  W = Phase::BackwardWeight;
  int64_t bytes = shape.elementBytes;
  const std::string x3 = "batch sequence hidden",
                    l3 = "batch sequence vocabulary",
                    table = "vocabulary hidden";

  ClassBuilder e("embedding", extents, bytes);
  auto tokens = e.argument("tokens", "batch sequence", 4);
  auto wte = e.variable("wte", table);
  auto h = e.value("h", x3);
  e.op("lookup", K::Gather, F,
       "batch sequence,#vocabulary hidden->batch sequence hidden",
       {tokens, wte}, {h}, 1)
      .usedDenominator = shape.vocabulary;
  e.module.results = {h};
  auto dh = e.value("dh", x3, ValueKind::ResultGradient);
  e.op("lookup.dw", K::Scatter, W,
       "batch sequence,batch sequence hidden->#vocabulary hidden", {tokens, dh},
       {e.gradientOf(wte, table)}, 1)
      .usedDenominator = shape.vocabulary;

  ClassBuilder c("head", extents, bytes);
  auto x = c.argument("x", x3);
  auto targets = c.argument("targets", "batch sequence", 4);
  auto g = c.variable("norm", "hidden");
  auto w = c.variable("wte", table, shape.tied ? "embedding/wte" : "");
  auto n = c.value("n", x3), logits = c.value("logits", l3),
       loss = c.value("loss", "batch sequence", ValueKind::Temporary, 0, 4),
       stats = c.value("lse", "batch sequence", ValueKind::Temporary, 0, 4);
  c.op("norm", K::Reduction, F,
       "batch sequence _hidden,_hidden->batch sequence _hidden", {x, g}, {n}, 8)
      .cheap = true;
  c.op("logits", K::Contraction, F, x3 + "," + table + "->" + l3, {n, w},
       {logits}, 2);
  c.op("loss", K::Reduction, F,
       "batch sequence _vocabulary,batch sequence->batch sequence,"
       "batch sequence",
       {logits, targets}, {loss, stats}, 6)
      .expansionReductions = 2;
  auto dlogits = c.value("dlogits", l3), dn = c.value("dn", x3),
       dx = c.value("dx", x3);
  c.op("loss.dx", K::Elementwise, I,
       "batch sequence vocabulary,batch sequence,batch sequence->" + l3,
       {logits, targets, stats}, {dlogits}, 4);
  c.op("logits.dx", K::Contraction, I, l3 + "," + table + "->" + x3,
       {dlogits, w}, {dn}, 2);
  c.op("logits.dw", K::Contraction, W, l3 + "," + x3 + "->" + table,
       {dlogits, n}, {c.gradientOf(w, table)}, 2);
  c.op("norm.dx", K::Reduction, I,
       "batch sequence _hidden,batch sequence _hidden,_hidden->batch sequence "
       "_hidden,_hidden",
       {x, dn, g}, {dx, c.gradientOf(g, "hidden")}, 12);
  c.module.argumentGradients[0] = dx;

  Workload model;
  model.modelName = "gpt";
  model.modelHash = "0";
  model.precision = bytes == 2 ? "bf16" : "f32";
  model.globalBatch = shape.batch;
  ParameterGroup group;
  group.name = "all";
  group.slotBytes = {4, 4};
  group.masterBytes = bytes == 2 ? 4 : 0;
  model.groups = {group};
  model.classes = {e.take(), gptBlock(extents, bytes), c.take()};
  model.runs = {{0, "embedding", 1, {{-1, 0}}},
                {1, "layers", shape.layers, {{0, 0}}},
                {2, "head", 1, {{1, 0}, {-1, 1}}}};
  return model;
}

/// The same with the names that differentiation gives backward ops.
inline Workload namedGpt(const GptShape &shape) {
  Workload model = gpt(shape);
  const std::map<std::string, std::string> sums = {{"dy", "add1#sum"},
                                                   {"xqk", "norm1#sum"},
                                                   {"dn1", "norm1#sum.1"},
                                                   {"dx", "x#sum"}};
  for (Op &op : model.classes[1].ops) {
    if (auto it = sums.find(op.name); it != sums.end())
      op.name = it->second;
    for (auto [old, fresh] : {std::pair(".dx", "#d"), {".dw", "#d.1"}})
      if (op.name.ends_with(old))
        op.name.replace(op.name.size() - 3, 3, fresh);
  }
  return model;
}

} // namespace whale::test

#endif // WHALE_TEST_WORKLOAD_MODELS_H
