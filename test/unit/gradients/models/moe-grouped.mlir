// Dropless experts as grouped products.
whale.model @moe {
  whale.module @main() {
    %x = whale.input "x" [batch, sequence, hidden] : tensor<3x4x6xf64>
    %w = whale.variable "w" normal(0.0, 0.8) : tensor<6x6xf64>
    %h = whale.einsum "batch sequence hidden, hidden out -> batch sequence out" %x, %w : tensor<3x4x6xf64>, tensor<6x6xf64> -> tensor<3x4x6xf64>
    %wr = whale.variable "router" normal(0.0, 0.8) : tensor<6x4xf64>
    %logits = whale.einsum "batch sequence hidden, hidden experts -> batch sequence experts" %h, %wr : tensor<3x4x6xf64>, tensor<6x4xf64> -> tensor<3x4x4xf64>
    %v, %e = whale.top_k %logits k 2 : tensor<3x4x4xf64> -> tensor<3x4x2xf64>, tensor<3x4x2xi32>
    %p = whale.softmax %v : tensor<3x4x2xf64>
    %rows = whale.broadcast %h [0, 1, 3] : tensor<3x4x6xf64> -> tensor<3x4x2x6xf64>
    %w1 = whale.variable "in" normal(0.0, 0.5) : tensor<4x6x5xf64>
    %w2 = whale.variable "out" normal(0.0, 0.5) : tensor<4x6x5xf64>
    %m = whale.expert_matmul %rows, %w1, %e : tensor<3x4x2x6xf64>, tensor<4x6x5xf64>, tensor<3x4x2xi32> -> tensor<3x4x2x5xf64>
    %g = whale.silu %m : tensor<3x4x2x5xf64>
    %o = whale.expert_matmul %g, %w2, %e transposed : tensor<3x4x2x5xf64>, tensor<4x6x5xf64>, tensor<3x4x2xi32> -> tensor<3x4x2x6xf64>
    %y = whale.einsum "batch sequence choices hidden, batch sequence choices -> batch sequence hidden" %o, %p : tensor<3x4x2x6xf64>, tensor<3x4x2xf64> -> tensor<3x4x6xf64>
    %sq = whale.mul %y, %y : tensor<3x4x6xf64>, tensor<3x4x6xf64>
    %s = whale.reduce sum %sq [0, 1, 2] : tensor<3x4x6xf64> -> tensor<f64>
    %n = whale.constant 12.0 : tensor<f64>
    whale.loss "l" %s over %n : tensor<f64>
    whale.return
  }
}
