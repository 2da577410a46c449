// RUN: whale-opt %s --whale-dimension-names -o /dev/null | FileCheck %s

// Names of inputs go everywhere, an einsum's letters stay where they are, ops
// without names take those of their operands, variables those of the einsums
// that read them.
// CHECK-LABEL: @block
// CHECK: einsum.0 (batch) (ffn columns) (hidden rows)
// CHECK: relu.0 (batch) (ffn columns)
// CHECK: bias (batch) (ffn columns)
// A loop without a name of its own or its operands takes its users'.
// CHECK: ones (batch) (ffn columns)
// CHECK: masked (batch) (ffn columns)
// CHECK: einsum.1 (batch) (hidden columns) (ffn rows)
whale.model @names {
  whale.module @block(%x: tensor<8x4xf32>) -> tensor<8x4xf32> {
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<4x6xf32>
    %b = whale.variable "b" constant(0.0) : tensor<6xf32>
    %v = whale.variable "v" normal(0.0, 1.0) : tensor<6x4xf32>
    %h = whale.einsum "batch hidden, hidden ffn -> batch ffn" %x, %w : tensor<8x4xf32>, tensor<4x6xf32> -> tensor<8x6xf32>
    %r = whale.relu %h : tensor<8x6xf32>
    %c = whale.add %r, %b {name = "bias"} : tensor<8x6xf32>, tensor<6xf32>
    %o = whale.constant 1.0 {name = "ones"} : tensor<8x6xf32>
    %m = whale.mul %c, %o {name = "masked"} : tensor<8x6xf32>, tensor<8x6xf32>
    %y = whale.einsum "batch ffn, ffn hidden -> batch hidden" %m, %v : tensor<8x6xf32>, tensor<6x4xf32> -> tensor<8x4xf32>
    whale.return %y : tensor<8x4xf32>
  }
  // CHECK-LABEL: @main
  // CHECK: embedding.0 (batch) (sequence) (vocabulary) (hidden)
  // CHECK: flat (batch) (sequence) (hidden)
  // CHECK: back (batch) () (hidden)
  whale.module @main() {
    %t = whale.input "tokens" [batch, sequence] range 9 : tensor<8x2xi32>
    %w = whale.variable "wte" normal(0.0, 1.0) : tensor<9x4xf32>
    %e = whale.embedding %w, %t : tensor<9x4xf32>, tensor<8x2xi32> -> tensor<8x2x4xf32>
    %f = whale.reshape %e {name = "flat"} : tensor<8x2x4xf32> -> tensor<16x4xf32>
    %g = whale.reshape %f {name = "back"} : tensor<16x4xf32> -> tensor<8x2x4xf32>
    %s = whale.reduce sum %g [1] : tensor<8x2x4xf32> -> tensor<8x4xf32>
    %y = whale.instance @block "layers"(%s) repeat 2 : (tensor<8x4xf32>) -> tensor<8x4xf32>
    %l = whale.einsum "batch hidden, vocabulary hidden -> batch vocabulary" %y, %w : tensor<8x4xf32>, tensor<9x4xf32> -> tensor<8x9xf32>
    whale.return
  }
}
