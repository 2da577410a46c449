// RUN: whale-opt --whale-partition %s | FileCheck %s

// replica(2){split(2, ffn)}: column split, then row split with one all-reduce;
// ffn = 5 is cut 3 + 2, so there are two roles. The gradient of w1 is a sum over
// the replicas, of which the update wants its own rows: a reduce-scatter.

// CHECK-LABEL: rank.program @role0_step
// CHECK: rank.variable "w1" {{.*}} -> tensor<6x3xf32>
// CHECK: rank.input "x" {{.*}} -> tensor<4x6xf32>
// CHECK: whale.einsum {{.*}} -> tensor<4x3xf32>
// CHECK: %[[Y:.*]] = whale.einsum {{.*}} tensor<4x3xf32>, tensor<3x6xf32> -> tensor<4x6xf32>
// CHECK-NEXT: rank.all_reduce sum %[[Y]] group 0
// CHECK: %[[LOSS:.*]] = rank.accumulate
// CHECK-NEXT: rank.all_reduce sum %[[LOSS]] group 1
// CHECK: %[[DW:.*]] = whale.einsum "batch hidden, batch ffn -> hidden ffn"
// CHECK-NOT: all_reduce
// CHECK: rank.slice {{.*}} : tensor<6x3xf32> -> tensor<3x3xf32>
// CHECK: rank.reduce_scatter sum {{.*}} dim 0 counts [3, 3] group 1
// CHECK: whale.sub {{.*}} tensor<3x3xf32>
// CHECK: rank.all_gather {{.*}} dim 0 counts [3, 3] group 1
// CHECK: rank.assign "w1", {{.*}} : tensor<6x3xf32>
// CHECK-LABEL: rank.program @role1_step
// CHECK: rank.variable "w1" {{.*}} at [#rank.scalar<0>, #rank.scalar<3>] {{.*}} -> tensor<6x2xf32>

whale.model @m attributes {strategy = "{\"primitive\":\"replica\",\"degree\":2,\"body\":[{\"primitive\":\"split\",\"degree\":2,\"dims\":[\"ffn\"]}]}"} {
  whale.module @step() {
    %x = whale.input "x" [batch, hidden] {phase = "forward", graph = 0, path = "x"} : tensor<8x6xf32>
    %w1 = whale.variable "w1" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w1", variable_path = "w1"} : tensor<6x5xf32>
    %w2 = whale.variable "w2" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w2", variable_path = "w2"} : tensor<5x6xf32>
    %h = whale.einsum "batch hidden, hidden ffn -> batch ffn" %x, %w1 {phase = "forward", graph = 0, path = "fc1", split = [[1, 1]]} : tensor<8x6xf32>, tensor<6x5xf32> -> tensor<8x5xf32>
    %y = whale.einsum "batch ffn, ffn hidden -> batch hidden" %h, %w2 {phase = "forward", graph = 0, path = "fc2", split = [[1, 2]]} : tensor<8x5xf32>, tensor<5x6xf32> -> tensor<8x6xf32>
    %t = whale.tanh %y {phase = "forward", graph = 0, path = "t"} : tensor<8x6xf32>
    %s = whale.reduce sum %t [0, 1] {phase = "forward", graph = 0, path = "s"} : tensor<8x6xf32> -> tensor<f32>
    %n = whale.constant 8.0 {phase = "prologue", graph = 0, path = "n"} : tensor<f32>
    whale.loss "loss" %s over %n {phase = "update", graph = 0, path = "loss"} : tensor<f32>
    %dw = whale.einsum "batch hidden, batch ffn -> hidden ffn" %x, %h {phase = "backward", graph = 0, path = "dw", split = [[1, 1]]} : tensor<8x6xf32>, tensor<8x5xf32> -> tensor<6x5xf32>
    %u = whale.sub %w1, %dw {phase = "update", graph = 0, path = "u", split = [[0, 0]]} : tensor<6x5xf32>, tensor<6x5xf32>
    whale.assign "w1", %u {phase = "update", graph = 0, path = "a"} : tensor<6x5xf32>
    whale.return
  }
}
