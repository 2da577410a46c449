// RUN: whale-opt --whale-partition %s --split-input-file --verify-diagnostics | FileCheck %s

// replica(2){pipeline(2, one stage)}, canonical: the gradient of `w` is summed
// over micro-batches and replicas as an accumulator, and rounded behind that,
// in the update; nothing but accumulators is summed.

// CHECK-LABEL: rank.program @role0_step
// CHECK-NOT: all_reduce sum {{.*}}xf32>
// CHECK: %[[S:.*]] = whale.reduce sum {{.*}}phase = "forward"} : tensor<2x4xf32> -> tensor<!whale.accumulator>
// CHECK: %[[ALLMICRO:.*]] = rank.accumulate %[[S]] {{.*}} : tensor<!whale.accumulator>
// CHECK-NEXT: %[[ALL:.*]] = rank.all_reduce sum %[[ALLMICRO]] {{.*}}phase = "update"} : tensor<!whale.accumulator>
// CHECK-NEXT: whale.round_sum %[[ALL]] {{.*}}phase = "update"} : tensor<!whale.accumulator> -> tensor<f32>
// CHECK: %[[G:.*]] = whale.einsum "batch in, batch out -> in out" {{.*}} -> tensor<4x4x!whale.accumulator>
// CHECK: %[[GM:.*]] = rank.accumulate %[[G]]
// CHECK-NEXT: %[[GA:.*]] = rank.all_reduce sum %[[GM]]
// CHECK-NEXT: %[[R:.*]] = whale.round_sum %[[GA]] {{.*}}phase = "update"}
// CHECK-NEXT: whale.tanh %[[R]] {{.*}}phase = "update"}

whale.model @m attributes {strategy = "{\"primitive\":\"pipeline\",\"micro_batches\":2,\"body\":[{\"primitive\":\"stage\",\"body\":[{\"primitive\":\"replica\",\"degree\":2}]}]}"} {
  whale.module @step() attributes {canonical} {
    %x = whale.input "x" [batch, in] {phase = "forward", graph = 0, path = "x"} : tensor<8x4xf32>
    %w = whale.variable "w" normal(0.0, 1.0) {phase = "prologue", graph = 0, path = "w", variable_path = "w"} : tensor<4x4xf32>
    %s = whale.reduce sum %x [0, 1] {phase = "forward", graph = 0, path = "s"} : tensor<8x4xf32> -> tensor<!whale.accumulator>
    %r = whale.round_sum %s {phase = "forward", graph = 0, path = "s.round"} : tensor<!whale.accumulator> -> tensor<f32>
    %n = whale.constant 8.0 {phase = "prologue", graph = 0, path = "n"} : tensor<f32>
    whale.loss "loss" %r over %n {phase = "update", graph = 0, path = "loss"} : tensor<f32>
    %dw = whale.einsum "batch in, batch out -> in out" %x, %x {phase = "backward", graph = 0, path = "dw"} : tensor<8x4xf32>, tensor<8x4xf32> -> tensor<4x4x!whale.accumulator>
    %g = whale.round_sum %dw {phase = "backward", graph = 0, path = "dw.round"} : tensor<4x4x!whale.accumulator> -> tensor<4x4xf32>
    // Not linear: it waits for the whole sum.
    %t = whale.tanh %g {phase = "backward", graph = 0, path = "t"} : tensor<4x4xf32>
    %u = whale.sub %w, %t {phase = "update", graph = 0, path = "u"} : tensor<4x4xf32>, tensor<4x4xf32>
    whale.assign "w", %u {phase = "update", graph = 0, path = "a"} : tensor<4x4xf32>
    whale.return
  }
}

// -----

// What is no accumulator is not summed.
whale.model @refused attributes {strategy = "{\"primitive\":\"replica\",\"degree\":2}"} {
  whale.module @step() attributes {canonical} {
    %x = whale.input "x" [batch] {phase = "forward", graph = 0, path = "x"} : tensor<8xf32>
    // expected-error @+1 {{'whale.reduce' op gives partial sums of 'f32', whose order would matter; canonical mode adds accumulators}}
    %s = whale.reduce sum %x [0] {phase = "forward", graph = 0, path = "s"} : tensor<8xf32> -> tensor<f32>
    %n = whale.constant 8.0 {phase = "prologue", graph = 0, path = "n"} : tensor<f32>
    whale.loss "loss" %s over %n {phase = "update", graph = 0, path = "loss"} : tensor<f32>
    whale.return
  }
}
