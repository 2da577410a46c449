// RUN: whale-opt --whale-partition %s | FileCheck %s

// replica(2, shares 6 and 2){pipeline(2){stage, stage}}: activations and their
// gradients go between the stages; the tied weight `w` is sent to the second
// stage once per step, and its gradient comes back once per step, after the
// replicas' parts are summed there. Shares 6 and 2 with two micro-batches give
// micro-batches of 3 and 1 samples, so each stage has two roles.

// CHECK-LABEL: rank.program @role0_step
// CHECK: %[[W:.*]] = rank.variable "w"
// CHECK-NEXT: rank.send %[[W]] to 0 tag 1 {{.*}}phase = "prologue"
// CHECK: rank.input "x" {{.*}} -> tensor<3x4xf32>
// CHECK: rank.send {{.*}} to 0 tag 0 {{.*}}phase = "forward"{{.*}} tensor<3x4xf32>
// CHECK: rank.receive from 0 tag 2 {{.*}}phase = "backward"{{.*}} tensor<3x4xf32>
// CHECK: %[[OWN:.*]] = rank.accumulate
// CHECK: rank.receive from 0 tag 3 {{.*}}phase = "update"
// CHECK: rank.assign "w"
// CHECK: rank.program @role1_step
// CHECK: rank.input "x" {{.*}} -> tensor<1x4xf32>
// CHECK: rank.program @role2_step
// CHECK: rank.receive from 0 tag 0
// CHECK: rank.receive from 0 tag 1 {{.*}}phase = "prologue"
// CHECK: %[[SUM:.*]] = rank.accumulate {{.*}} tensor<4x4xf32>
// CHECK-NEXT: %[[ALL:.*]] = rank.all_reduce sum %[[SUM]]
// CHECK-NEXT: rank.send %[[ALL]] to 0 tag 3 {{.*}}phase = "update"

whale.model @m attributes {strategy = "{\"primitive\":\"replica\",\"degree\":2,\"shares\":[6,2],\"body\":[{\"primitive\":\"pipeline\",\"micro_batches\":2,\"schedule\":\"1f1b\",\"body\":[{\"primitive\":\"stage\"},{\"primitive\":\"stage\"}]}]}"} {
  whale.module @step() {
    %w = whale.variable "w" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w", variable_path = "w"} : tensor<4x4xf32>
    %x = whale.input "x" [batch, hidden] {phase = "forward", graph = 0, path = "x"} : tensor<8x4xf32>
    %h = whale.einsum "batch hidden, hidden out -> batch out" %x, %w {phase = "forward", graph = 0, path = "a"} : tensor<8x4xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
    %y = whale.einsum "batch hidden, hidden out -> batch out" %h, %w {phase = "forward", graph = 1, path = "b"} : tensor<8x4xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
    %s = whale.reduce sum %y [0, 1] {phase = "forward", graph = 1, path = "s"} : tensor<8x4xf32> -> tensor<f32>
    %n = whale.constant 8.0 {phase = "prologue", graph = 1, path = "n"} : tensor<f32>
    whale.loss "loss" %s over %n {phase = "update", graph = 1, path = "loss"} : tensor<f32>
    %one = whale.constant 1.0 {phase = "backward", graph = 1, path = "one"} : tensor<8x4xf32>
    %dw1 = whale.einsum "batch hidden, batch out -> hidden out" %h, %one {phase = "backward", graph = 1, path = "b#dw"} : tensor<8x4xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
    %dh = whale.einsum "batch out, hidden out -> batch hidden" %one, %w {phase = "backward", graph = 1, path = "b#dx"} : tensor<8x4xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
    %dw0 = whale.einsum "batch hidden, batch out -> hidden out" %x, %dh {phase = "backward", graph = 0, path = "a#dw"} : tensor<8x4xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
    %dw = whale.add %dw0, %dw1 {phase = "backward", graph = 0, path = "dw"} : tensor<4x4xf32>, tensor<4x4xf32>
    %u = whale.sub %w, %dw {phase = "update", graph = 0, path = "u"} : tensor<4x4xf32>, tensor<4x4xf32>
    whale.assign "w", %u {phase = "update", graph = 0, path = "assign"} : tensor<4x4xf32>
    whale.return
  }
}
