// RUN: whale-opt %s --whale-lower -o /dev/null | FileCheck %s

// Stage 0 of 3 with four micro-batches, 1F1B: three in flight, so what forward
// leaves for backward has three slots. The weight's gradient is added up by the
// contraction itself, from zero; the weight is updated in place.

// CHECK: variable w Parameter f32[8,8]@0
// CHECK: entry step: step.prologue(0) step.forward(0) step.forward(1) step.forward(2) step.backward(0) step.forward(3) step.backward(1) step.backward(2) step.backward(3) step.update(0)
// CHECK: section step.prologue
// CHECK-NEXT: Fill 0{{.*}} f32[8,8]@[[SUM:[0-9]+]]
// CHECK: section step.forward
// CHECK-NEXT: Input x {0 + 2*mb} f32[2,8]@[[X:[0-9]+\*3\+64]]
// CHECK-NEXT: Contract m2 n8 k8 ld(8,8,8) f32[2,8]@[[X]] f32[8,8]@0 f32[2,8]@[[Y:[0-9]+]]
// CHECK-NEXT: Send peer 0 tag 0 f32[2,8]@[[Y]]
// CHECK: section step.backward
// CHECK-NEXT: Receive peer 0 tag 1 f32[2,8]@[[DY:[0-9]+]]
// CHECK-NEXT: Contract += m8 n8 k2 ld(8,8,8) transA f32[2,8]@[[X]] f32[2,8]@[[DY]] f32[8,8]@[[SUM]]
// CHECK: section step.update
// CHECK-NEXT: Launch {{.*}} f32[8,8]@[[SUM]] f32[8,8]@0
// CHECK: section init
// CHECK-NEXT: Call init_normal ints({{.*}},8,8) floats(0.000000e+00,1.000000e-01) {0 + 1*seed} {0} {0} f32[8,8]@0
rank.program @role0_step attributes {role = 0 : i64, entry = "step",
    micro_batches = 4 : i64, stage = 0 : i64, stages = 3 : i64,
    schedule = "1f1b", peers = 1 : i64, groups = [], rank_scalars = []} {
  %w = rank.variable "w" parameter <normal, 0.0, 0.1> of [8, 8] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<8x8xf32>
  %x = rank.input "x" first <0, [1, 0, 2]> batch 8 {phase = "forward"} -> tensor<2x8xf32>
  %y = whale.einsum "b i, i o -> b o" %x, %w {phase = "forward"} : tensor<2x8xf32>, tensor<8x8xf32> -> tensor<2x8xf32>
  rank.send %y to 0 tag 0 {phase = "forward"} : tensor<2x8xf32>
  %dy = rank.receive from 0 tag 1 {phase = "backward"} : tensor<2x8xf32>
  %dw = whale.einsum "b i, b o -> i o" %x, %dy {phase = "backward"} : tensor<2x8xf32>, tensor<2x8xf32> -> tensor<8x8xf32>
  %sum = rank.accumulate %dw {phase = "update"} : tensor<8x8xf32>
  %new = whale.sub %w, %sum {phase = "update"} : tensor<8x8xf32>, tensor<8x8xf32>
  rank.assign "w", %new {phase = "update"} : tensor<8x8xf32>
}
