// RUN: whale-opt --split-input-file --whale-partition %s | FileCheck %s

// Whale's classifier: features on two replicas, classes cut over the same two
// devices. The features are gathered; the classifier's gradient is whole where
// it is made; the features' gradient is summed and scattered.

// CHECK-LABEL: rank.program @role0_step
// CHECK: rank.variable "w1" {{.*}} -> tensor<6x4xf32>
// CHECK: rank.variable "w2" {{.*}} of [4, 10] at {{.*}} -> tensor<4x5xf32>
// CHECK: rank.input "x" {{.*}} -> tensor<4x6xf32>
// CHECK: %[[F:.*]] = whale.einsum "batch in, in features -> batch features" {{.*}} -> tensor<4x4xf32>
// CHECK-NEXT: %[[ALL:.*]] = rank.all_gather %[[F]] dim 0 counts [4, 4] group 0 {{.*}} -> tensor<8x4xf32>
// CHECK-NEXT: %[[Z:.*]] = whale.einsum {{.*}} %[[ALL]], {{.*}} -> tensor<8x5xf32>
// CHECK: %[[DW2:.*]] = whale.einsum "batch features, batch classes -> features classes" %[[ALL]], %[[Z]] {{.*}} -> tensor<4x5xf32>
// CHECK: %[[DF:.*]] = whale.einsum {{.*}} -> tensor<8x4xf32>
// CHECK-NEXT: rank.reduce_scatter sum %[[DF]] dim 0 counts [4, 4] group 0 {{.*}} -> tensor<4x4xf32>
// CHECK: %[[DW1:.*]] = whale.einsum "batch in, batch features -> in features"
// CHECK: rank.all_reduce sum {{.*}} tensor<6x4xf32>
// CHECK-NOT: rank.all_reduce
// CHECK: rank.assign "w2", {{.*}} : tensor<4x5xf32>
// CHECK-NOT: rank.program

whale.model @classifier attributes {strategy = "{\"primitive\":\"replica\",\"degree\":2,\"body\":[{\"primitive\":\"split\",\"dims\":[\"classes\"],\"colocated\":true}]}"} {
  whale.module @step() {
    %x = whale.input "x" [batch, in] {phase = "forward", graph = 0, path = "x"} : tensor<8x6xf32>
    %w1 = whale.variable "w1" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w1", variable_path = "w1"} : tensor<6x4xf32>
    %w2 = whale.variable "w2" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w2", variable_path = "w2"} : tensor<4x10xf32>
    %f = whale.einsum "batch in, in features -> batch features" %x, %w1 {phase = "forward", graph = 0, path = "f", split = [[0, 0]]} : tensor<8x6xf32>, tensor<6x4xf32> -> tensor<8x4xf32>
    %z = whale.einsum "batch features, features classes -> batch classes" %f, %w2 {phase = "forward", graph = 0, path = "fc", colocated = [[0, 1]]} : tensor<8x4xf32>, tensor<4x10xf32> -> tensor<8x10xf32>
    %dw2 = whale.einsum "batch features, batch classes -> features classes" %f, %z {phase = "backward", graph = 0, path = "dw2", colocated = [[0, 1]]} : tensor<8x4xf32>, tensor<8x10xf32> -> tensor<4x10xf32>
    %df = whale.einsum "batch classes, features classes -> batch features" %z, %w2 {phase = "backward", graph = 0, path = "df", colocated = [[0, 2]]} : tensor<8x10xf32>, tensor<4x10xf32> -> tensor<8x4xf32>
    %dw1 = whale.einsum "batch in, batch features -> in features" %x, %df {phase = "backward", graph = 0, path = "dw1", split = [[0, 2]]} : tensor<8x6xf32>, tensor<8x4xf32> -> tensor<6x4xf32>
    %u1 = whale.sub %w1, %dw1 {phase = "update", graph = 0, path = "u1"} : tensor<6x4xf32>, tensor<6x4xf32>
    %u2 = whale.sub %w2, %dw2 {phase = "update", graph = 0, path = "u2", split = [[0, 1]]} : tensor<4x10xf32>, tensor<4x10xf32>
    whale.assign "w1", %u1 {phase = "update", graph = 0, path = "a1"} : tensor<6x4xf32>
    whale.assign "w2", %u2 {phase = "update", graph = 0, path = "a2"} : tensor<4x10xf32>
    whale.return
  }
}

// -----

// Expert parallelism with unequal shares: buffers go from their samples' rank
// to their experts' rank and back by all-to-all. Groups of two samples.

// CHECK-LABEL: rank.program @role0_step
// CHECK: rank.variable "w" {{.*}} -> tensor<2x4x4xf32>
// CHECK: %[[D:.*]] = whale.dispatch {{.*}} -> tensor<1x4x3x4xf32>
// CHECK-NEXT: %[[E:.*]] = rank.all_to_all %[[D]] from 0 [1, 3] to 1 [2, 2] group 0 {{.*}} -> tensor<4x2x3x4xf32>
// CHECK-NEXT: %[[Y:.*]] = whale.einsum {{.*}} %[[E]], {{.*}} -> tensor<4x2x3x4xf32>
// CHECK-NEXT: %[[B:.*]] = rank.all_to_all %[[Y]] from 1 [2, 2] to 0 [1, 3] group 0 {{.*}} -> tensor<1x4x3x4xf32>
// CHECK-NEXT: whale.collect %[[B]]
// CHECK-LABEL: rank.program @role1_step
// CHECK: %[[D1:.*]] = whale.dispatch {{.*}} -> tensor<3x4x3x4xf32>
// CHECK-NEXT: rank.all_to_all %[[D1]] from 0 [1, 3] to 1 [2, 2] group 0 {{.*}} -> tensor<4x2x3x4xf32>

whale.model @experts attributes {strategy = "{\"primitive\":\"replica\",\"shares\":[2,6],\"body\":[{\"primitive\":\"split\",\"dims\":[\"experts\"],\"colocated\":true}]}"} {
  whale.module @step() {
    %x = whale.input "x" [batch, sequence, choices, hidden] {phase = "forward", graph = 0, path = "x"} : tensor<8x3x1x4xf32>
    %e = whale.input "e" [batch, sequence, choices] range 4 {phase = "forward", graph = 0, path = "e"} : tensor<8x3x1xi32>
    %w = whale.variable "w" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w", variable_path = "w"} : tensor<4x4x4xf32>
    %s = whale.expert_slot %e experts 4 capacity 3 over 2 {phase = "forward", graph = 0, path = "s"} : tensor<8x3x1xi32>
    %d = whale.dispatch %x, %e, %s {phase = "forward", graph = 0, path = "d"} : tensor<8x3x1x4xf32>, tensor<8x3x1xi32> -> tensor<4x4x3x4xf32>
    %y = whale.einsum "groups experts capacity hidden, experts hidden out -> groups experts capacity out" %d, %w {phase = "forward", graph = 0, path = "y", colocated = [[0, 1]]} : tensor<4x4x3x4xf32>, tensor<4x4x4xf32> -> tensor<4x4x3x4xf32>
    %r = whale.collect %y, %e, %s {phase = "forward", graph = 0, path = "r"} : tensor<4x4x3x4xf32>, tensor<8x3x1xi32> -> tensor<8x3x1x4xf32>
    %t = whale.reduce sum %r [0, 1, 2, 3] {phase = "forward", graph = 0, path = "t"} : tensor<8x3x1x4xf32> -> tensor<f32>
    %n = whale.constant 8.0 {phase = "prologue", graph = 0, path = "n"} : tensor<f32>
    whale.loss "loss" %t over %n {phase = "update", graph = 0, path = "loss"} : tensor<f32>
    whale.return
  }
}
