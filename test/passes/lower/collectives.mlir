// RUN: whale-opt %s --whale-lower -o /dev/null | FileCheck %s

// Collectives are flat and member-major: what is cut along a dimension that
// does not lead is packed before, or put together after.

// CHECK: section step.forward
// CHECK: Collective AllGather Sum group 0 counts(6,3) f32[3,2]@{{[0-9]+}} f32[3,3]@[[FLAT:[0-9]+]]
// CHECK-NEXT: Copy dims(3,2) from(2,1) to(3,1) {0} {0} f32[3,3]@[[FLAT]] f32[3,3]@[[WHOLE:[0-9]+]]
// CHECK-NEXT: Copy dims(3,1) from(1,1) to(3,1) {6} {2} f32[3,3]@[[FLAT]] f32[3,3]@[[WHOLE]]
// CHECK-NEXT: Collective AllGather Sum group 0 counts(6,3)
// CHECK-NEXT: Copy dims(3,2) from(3,1) to(2,1) {0} {0}
// CHECK-NEXT: Copy dims(3,1) from(3,1) to(1,1) {2} {6}
// CHECK-NEXT: Collective ReduceScatter Sum group 0 counts(6,3)
// CHECK: Collective AllReduce Max group 0
// CHECK: Copy dims(3,1) from(3,1) to(1,1) {0 + 1*rank[0]} {0}
rank.program @role0_step attributes {role = 0 : i64, entry = "step",
    groups = ["t0"], rank_scalars = ["o"]} {
  %a = rank.variable "a" statistic <constant, 0.0, 0.0> of [3, 3] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<3x2xf32>
  %b = rank.variable "b" statistic <constant, 0.0, 0.0> of [3, 3] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<2x3xf32>
  %r = rank.variable "r" statistic <constant, 0.0, 0.0> of [3, 1] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<3x1xf32>
  %whole = rank.all_gather %a dim 1 counts [2, 1] group 0 {phase = "forward"} : tensor<3x2xf32> -> tensor<3x3xf32>
  %rows = rank.all_gather %b dim 0 counts [2, 1] group 0 {phase = "forward"} : tensor<2x3xf32> -> tensor<3x3xf32>
  %part = rank.reduce_scatter sum %whole dim 1 counts [2, 1] group 0 {phase = "forward"} : tensor<3x3xf32> -> tensor<3x2xf32>
  %max = rank.all_reduce max %rows group 0 {phase = "forward"} : tensor<3x3xf32>
  %cut = rank.slice %max at [#rank.scalar<0>, #rank.scalar<0, [2, 0, 1]>] {phase = "forward"} : tensor<3x3xf32> -> tensor<3x1xf32>
  rank.assign "a", %part {phase = "update"} : tensor<3x2xf32>
  rank.assign "r", %cut {phase = "update"} : tensor<3x1xf32>
}
