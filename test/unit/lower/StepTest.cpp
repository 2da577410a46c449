//===- StepTest.cpp - whole steps: forward, backward, update --------------===//

#include "test/unit/lower/Oracle.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::test;

namespace {

std::string replaceAll(std::string text, const std::string &from,
                       const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
       at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// matmul, bias, gelu, layer norm, projection, cross-entropy, and AdamW for
/// `w`; MB = micro-batch, MB * micro-batches = 8 samples.
const char *kStep = R"(
rank.program @role0_step attributes {role = 0 : i64, entry = "step",
    micro_batches = MICRO : i64, stage = 0 : i64, stages = STAGES : i64,
    schedule = "1f1b"} {
  %w = rank.variable "w" parameter <normal, 0.0, 0.1> of [12, 16] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<12x16xF>
  %bias = rank.variable "bias" parameter <constant, 0.0, 0.0> of [16] at [#rank.scalar<0>] {phase = "prologue"} -> tensor<16xF>
  %g = rank.variable "g" parameter <constant, 1.0, 0.0> of [16] at [#rank.scalar<0>] {phase = "prologue"} -> tensor<16xF>
  %b = rank.variable "b" parameter <constant, 0.0, 0.0> of [16] at [#rank.scalar<0>] {phase = "prologue"} -> tensor<16xF>
  %u = rank.variable "u" parameter <normal, 0.0, 0.1> of [16, 10] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<16x10xF>
  %m = rank.variable "w#m" slot <constant, 0.0, 0.0> of [12, 16] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<12x16xF>
  %v = rank.variable "w#v" slot <constant, 0.0, 0.0> of [12, 16] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<12x16xF>
  %n = whale.constant 4.0e1 {phase = "prologue"} : tensor<F>

  %x = rank.input "x" first <0, [1, 0, MB]> batch 8 {phase = "forward"} -> tensor<MBx5x12xF>
  %labels = rank.input "labels" first <0, [1, 0, MB]> batch 8 range 10 {phase = "forward"} -> tensor<MBx5xi32>
  %h0 = whale.einsum "batch sequence in, in out -> batch sequence out" %x, %w {phase = "forward"} : tensor<MBx5x12xF>, tensor<12x16xF> -> tensor<MBx5x16xF>
  %h1 = whale.add %h0, %bias {phase = "forward"} : tensor<MBx5x16xF>, tensor<16xF>
  %h2 = whale.gelu %h1 {phase = "forward"} : tensor<MBx5x16xF>
  %h3 = whale.layer_norm %h2, %g, %b {phase = "forward"} : tensor<MBx5x16xF>, tensor<16xF>
  %logits = whale.einsum "batch sequence out, out classes -> batch sequence classes" %h3, %u {phase = "forward"} : tensor<MBx5x16xF>, tensor<16x10xF> -> tensor<MBx5x10xF>
  %loss, %lse = whale.cross_entropy %logits, %labels {phase = "forward"} : tensor<MBx5x10xF>, tensor<MBx5xi32> -> tensor<MBx5xF>
  %sum = whale.reduce sum %loss [0, 1] {phase = "forward"} : tensor<MBx5xF> -> tensor<F>

  %one = whale.constant 1.0 {phase = "backward"} : tensor<F>
  %share = whale.div %one, %n {phase = "backward"} : tensor<F>, tensor<F>
  %dloss = whale.broadcast %share [] {phase = "backward"} : tensor<F> -> tensor<MBx5xF>
  %dlogits = whale.cross_entropy_grad %logits, %labels, %lse, %dloss {phase = "backward"} : (tensor<MBx5x10xF>, tensor<MBx5xi32>, tensor<MBx5xF>, tensor<MBx5xF>) -> tensor<MBx5x10xF>
  %du = whale.einsum "batch sequence out, batch sequence classes -> out classes" %h3, %dlogits {phase = "backward"} : tensor<MBx5x16xF>, tensor<MBx5x10xF> -> tensor<16x10xF>
  %dh3 = whale.einsum "batch sequence classes, out classes -> batch sequence out" %dlogits, %u {phase = "backward"} : tensor<MBx5x10xF>, tensor<16x10xF> -> tensor<MBx5x16xF>
  %dh2, %dg, %db = whale.layer_norm_grad %h2, %g, %dh3 {phase = "backward"} : (tensor<MBx5x16xF>, tensor<16xF>, tensor<MBx5x16xF>) -> (tensor<MBx5x16xF>, tensor<16xF>, tensor<16xF>)
  %dh1 = whale.gelu_grad %h1, %dh2 {phase = "backward"} : tensor<MBx5x16xF>
  %dbias = whale.reduce sum %dh1 [0, 1] {phase = "backward"} : tensor<MBx5x16xF> -> tensor<16xF>
  %dw = whale.einsum "batch sequence in, batch sequence out -> in out" %x, %dh1 {phase = "backward"} : tensor<MBx5x12xF>, tensor<MBx5x16xF> -> tensor<12x16xF>

  %sum_all = rank.accumulate %sum {phase = "update"} : tensor<F>
  %du_all = rank.accumulate %du {phase = "update"} : tensor<16x10xF>
  %dg_all = rank.accumulate %dg {phase = "update"} : tensor<16xF>
  %db_all = rank.accumulate %db {phase = "update"} : tensor<16xF>
  %dbias_all = rank.accumulate %dbias {phase = "update"} : tensor<16xF>
  %dw_all = rank.accumulate %dw {phase = "update", gradient_of = "w"} : tensor<12x16xF>
  rank.metric "loss" %sum_all over %n weight 1.0 {phase = "update"} : tensor<F>

  %t0 = whale.step_number {phase = "update"} : tensor<F>
  %ones = whale.constant 1.0 {phase = "update"} : tensor<F>
  %t = whale.add %t0, %ones {phase = "update"} : tensor<F>, tensor<F>
  %beta1 = whale.constant 9.0e-1 {phase = "update"} : tensor<F>
  %beta2 = whale.constant 9.9e-1 {phase = "update"} : tensor<F>
  %rest1 = whale.constant 1.0e-1 {phase = "update"} : tensor<F>
  %rest2 = whale.constant 1.0e-2 {phase = "update"} : tensor<F>
  %eps = whale.constant 1.0e-8 {phase = "update"} : tensor<F>
  %lr = whale.constant 1.0e-2 {phase = "update"} : tensor<F>
  %p1 = whale.pow %beta1, %t {phase = "update"} : tensor<F>, tensor<F>
  %p2 = whale.pow %beta2, %t {phase = "update"} : tensor<F>, tensor<F>
  %c1 = whale.sub %ones, %p1 {phase = "update"} : tensor<F>, tensor<F>
  %c2 = whale.sub %ones, %p2 {phase = "update"} : tensor<F>, tensor<F>
  %m1 = whale.mul %m, %beta1 {phase = "update"} : tensor<12x16xF>, tensor<F>
  %m2 = whale.mul %dw_all, %rest1 {phase = "update"} : tensor<12x16xF>, tensor<F>
  %m3 = whale.add %m1, %m2 {phase = "update"} : tensor<12x16xF>, tensor<12x16xF>
  %v1 = whale.mul %v, %beta2 {phase = "update"} : tensor<12x16xF>, tensor<F>
  %sq = whale.mul %dw_all, %dw_all {phase = "update"} : tensor<12x16xF>, tensor<12x16xF>
  %v2 = whale.mul %sq, %rest2 {phase = "update"} : tensor<12x16xF>, tensor<F>
  %v3 = whale.add %v1, %v2 {phase = "update"} : tensor<12x16xF>, tensor<12x16xF>
  %mh = whale.div %m3, %c1 {phase = "update"} : tensor<12x16xF>, tensor<F>
  %vh = whale.div %v3, %c2 {phase = "update"} : tensor<12x16xF>, tensor<F>
  %root = whale.sqrt %vh {phase = "update"} : tensor<12x16xF>
  %den = whale.add %root, %eps {phase = "update"} : tensor<12x16xF>, tensor<F>
  %dir = whale.div %mh, %den {phase = "update"} : tensor<12x16xF>, tensor<12x16xF>
  %move = whale.mul %dir, %lr {phase = "update"} : tensor<12x16xF>, tensor<F>
  %w1 = whale.sub %w, %move {phase = "update"} : tensor<12x16xF>, tensor<12x16xF>
  rank.assign "w", %w1 {phase = "update"} : tensor<12x16xF>
  rank.assign "w#m", %m3 {phase = "update"} : tensor<12x16xF>
  rank.assign "w#v", %v3 {phase = "update"} : tensor<12x16xF>
  %su = whale.mul %du_all, %lr {phase = "update"} : tensor<16x10xF>, tensor<F>
  %u1 = whale.sub %u, %su {phase = "update"} : tensor<16x10xF>, tensor<16x10xF>
  rank.assign "u", %u1 {phase = "update"} : tensor<16x10xF>
  %sg = whale.sub %g, %dg_all {phase = "update"} : tensor<16xF>, tensor<16xF>
  rank.assign "g", %sg {phase = "update"} : tensor<16xF>
  %sb = whale.sub %b, %db_all {phase = "update"} : tensor<16xF>, tensor<16xF>
  rank.assign "b", %sb {phase = "update"} : tensor<16xF>
  %sbias = whale.sub %bias, %dbias_all {phase = "update"} : tensor<16xF>, tensor<16xF>
  rank.assign "bias", %sbias {phase = "update"} : tensor<16xF>
}
)";

std::string stepText(const std::string &element, int microBatches, int stages) {
  std::string text = replaceAll(kStep, "MICRO", std::to_string(microBatches));
  text = replaceAll(text, "STAGES", std::to_string(stages));
  text = replaceAll(text, "MB", std::to_string(8 / microBatches));
  text = replaceAll(text, "xF>", "x" + element + ">");
  return replaceAll(text, "<F>", "<" + element + ">");
}

} // namespace

TEST_CASE("a training step gives the reference's numbers", "[step]") {
  auto element = GENERATE(as<std::string>(), "f32", "f64");
  auto microBatches = GENERATE(1, 2, 4);
  auto stages = GENERATE(1, 3);
  Comparison comparison{stepText(element, microBatches, stages),
                        element == "f64" ? 1e-11 : 3e-5};
  comparison.steps = 3;
  auto machine = requireEqual(comparison);
  // Nothing is copied: state is updated in place.
  CHECK(machine->count(format::Operation::Copy) == 0);
  const lower::MemoryReport &memory = machine->set_.roles[0].memory;
  CHECK(memory.areaBytes <= memory.peakBytes * 1.05);
}

TEST_CASE("kept gradients are those of the step", "[step]") {
  Comparison comparison{stepText("f64", 2, 1), 1e-11};
  comparison.options.keepGradients = true;
  auto machine = requireEqual(comparison);
  std::vector<double> gradient = machine->get("gradient:w"),
                      moment = machine->get("w#m");
  CHECK(gradient.size() == moment.size());
  // m = 0.9 m0 + 0.1 g with m0 as set by requireEqual: g must not be zero.
  double sum = 0;
  for (double value : gradient)
    sum += value * value;
  CHECK(sum > 0);
}

TEST_CASE("lowering is deterministic", "[step]") {
  Machine a(stepText("f32", 2, 2)), b(stepText("f32", 2, 2));
  CHECK(format::packProgram(a.set_.roles[0].program) ==
        format::packProgram(b.set_.roles[0].program));
  REQUIRE(a.set_.libraries.size() == 2);
  for (size_t i = 0; i < 2; ++i)
    CHECK(a.set_.libraries[i].bytes == b.set_.libraries[i].bytes);
}
