// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-apply-plan=canonical | FileCheck %s
// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-apply-plan=canonical | FileCheck %s --check-prefix=NONE
// RUN: whale-opt %s --split-input-file --whale-differentiate --whale-apply-plan=canonical --verify-diagnostics -o /dev/null

// Every sum of reals is an accumulator that one op rounds, whatever it is part
// of: contractions, losses and their counts, softmax, gradients, norms.
// CHECK: whale.module @step() attributes {canonical, {{.*}}}
// CHECK: %[[COUNT:.*]] = whale.reduce sum {{.*}}path = "reduce.1#count", phase = "prologue"{{.*}} -> tensor<!whale.accumulator>
// CHECK-NEXT: whale.round_sum %[[COUNT]] {{.*}}path = "reduce.1#count.round", phase = "prologue"} : tensor<!whale.accumulator> -> tensor<f32>
// CHECK: %[[H:.*]] = whale.einsum {{.*}}path = "layers.0/einsum.0", phase = "forward"{{.*}} -> tensor<8x32x!whale.accumulator>
// CHECK-NEXT: whale.round_sum %[[H]] {{.*}} : tensor<8x32x!whale.accumulator> -> tensor<8x32xf32>
// CHECK: whale.reduce max {{.*}}path = "cross_entropy.0.0"{{.*}} -> tensor<8xf32>
// CHECK: whale.reduce sum {{.*}}path = "cross_entropy.0.4"{{.*}} -> tensor<8x!whale.accumulator>
// CHECK: whale.einsum {{.*}}path = "layers.0/einsum.0#d.1", phase = "backward"{{.*}} -> tensor<16x32x!whale.accumulator>
// CHECK: whale.reduce sum {{.*}}path = "layers.0/fc.weight#norm.1", phase = "update"{{.*}} -> tensor<!whale.accumulator>
// CHECK: whale.module @eval() attributes {canonical, {{.*}}}
// NONE-NOT: whale.einsum {{.*}}xf32>{{$}}
// NONE-NOT: whale.reduce sum {{.*}}f32>{{$}}
// NONE-NOT: whale.cross_entropy{{ }}

// Attention in primitive ops; only seen keys count.
whale.model @attention {
  whale.module @main() {
    %x = whale.input "x" [batch, sequence, heads, group, head] : tensor<2x4x2x1x8xf32>
    %k = whale.input "k" [batch, sequence, heads, head] : tensor<2x4x2x8xf32>
    %w = whale.variable "w" constant(1.0) : tensor<f32>
    %v = whale.mul %k, %w : tensor<2x4x2x8xf32>, tensor<f32>
    %y, %lse = whale.attention %x, %k, %v scale 0.5 causal window 2 : (tensor<2x4x2x1x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>) -> (tensor<2x4x2x1x8xf32>, tensor<2x2x1x4xf32>)
    %s = whale.reduce sum %y [0, 1, 2, 3, 4] : tensor<2x4x2x1x8xf32> -> tensor<f32>
    %one = whale.constant 1.0 : tensor<f32>
    whale.loss "loss" %s over %one : tensor<f32>
    whale.return
  }
}

// -----

// 16 bits: a fused kernel rounds between its ops or not, as it is cut.
whale.model @narrow {
  whale.module @main() {
    %x = whale.input "x" [batch] : tensor<8xf32>
    %w = whale.variable "w" constant(1.0) : tensor<f32>
    %v = whale.mul %x, %w : tensor<8xf32>, tensor<f32>
    // expected-error @+1 {{'whale.cast' op has elements of 'bf16'; canonical mode computes in f32 or f64}}
    %y = whale.cast %v : tensor<8xf32> -> tensor<8xbf16>
    %z = whale.cast %y : tensor<8xbf16> -> tensor<8xf32>
    %s = whale.reduce sum %z [0] : tensor<8xf32> -> tensor<f32>
    %one = whale.constant 1.0 : tensor<f32>
    whale.loss "loss" %s over %one : tensor<f32>
    whale.return
  }
}

// -----

whale.model @long {
  whale.module @main() {
    %x = whale.input "x" [batch, row] : tensor<65536x65536xf32>
    %w = whale.variable "w" constant(1.0) : tensor<f32>
    %v = whale.mul %x, %w : tensor<65536x65536xf32>, tensor<f32>
    // expected-error @+1 {{'whale.reduce' op adds up 4294967296 terms, an accumulator takes at most 2147483647}}
    %s = whale.reduce sum %v [0, 1] : tensor<65536x65536xf32> -> tensor<f32>
    %one = whale.constant 1.0 : tensor<f32>
    whale.loss "loss" %s over %one : tensor<f32>
    whale.return
  }
}
