// Experts with buffers of a capacity; the balance loss is inside the module.
whale.model @moe {
  whale.module @moe(%x: tensor<4x3x6xf64>) -> tensor<4x3x6xf64> {
    %wr = whale.variable "router" normal(0.0, 0.8) : tensor<6x3xf64>
    %logits = whale.einsum "batch sequence hidden, hidden experts -> batch sequence experts" %x, %wr : tensor<4x3x6xf64>, tensor<6x3xf64> -> tensor<4x3x3xf64>
    %p = whale.softmax %logits : tensor<4x3x3xf64>
    %v, %e = whale.top_k %p k 2 : tensor<4x3x3xf64> -> tensor<4x3x2xf64>, tensor<4x3x2xi32>
    %slots = whale.expert_slot %e experts 3 capacity 4 over 2 : tensor<4x3x2xi32>
    %rows = whale.broadcast %x [0, 1, 3] : tensor<4x3x6xf64> -> tensor<4x3x2x6xf64>
    %b = whale.dispatch %rows, %e, %slots : tensor<4x3x2x6xf64>, tensor<4x3x2xi32> -> tensor<2x3x4x6xf64>
    %w1 = whale.variable "in" normal(0.0, 0.5) : tensor<3x6x5xf64>
    %w2 = whale.variable "out" normal(0.0, 0.5) : tensor<3x5x6xf64>
    %h = whale.einsum "groups experts capacity hidden, experts hidden ffn -> groups experts capacity ffn" %b, %w1 : tensor<2x3x4x6xf64>, tensor<3x6x5xf64> -> tensor<2x3x4x5xf64>
    %g = whale.gelu %h : tensor<2x3x4x5xf64>
    %o = whale.einsum "groups experts capacity ffn, experts ffn hidden -> groups experts capacity hidden" %g, %w2 : tensor<2x3x4x5xf64>, tensor<3x5x6xf64> -> tensor<2x3x4x6xf64>
    %back = whale.collect %o, %e, %slots : tensor<2x3x4x6xf64>, tensor<4x3x2xi32> -> tensor<4x3x2x6xf64>
    %y = whale.einsum "batch sequence choices hidden, batch sequence choices -> batch sequence hidden" %back, %v : tensor<4x3x2x6xf64>, tensor<4x3x2xf64> -> tensor<4x3x6xf64>
    %p2 = whale.reduce sum %p [0, 1] : tensor<4x3x3xf64> -> tensor<3xf64>
    %sq = whale.mul %p2, %p2 : tensor<3xf64>, tensor<3xf64>
    %balance = whale.reduce sum %sq [0] : tensor<3xf64> -> tensor<f64>
    %one = whale.constant 12.0 : tensor<f64>
    whale.loss "balance" %balance over %one weight 1.0e-1 : tensor<f64>
    %r = whale.add %x, %y : tensor<4x3x6xf64>, tensor<4x3x6xf64>
    whale.return %r : tensor<4x3x6xf64>
  }
  whale.module @main() {
    %x = whale.input "x" [batch, sequence, hidden] : tensor<4x3x6xf64>
    %w = whale.variable "w" normal(0.0, 0.8) : tensor<6x6xf64>
    %h = whale.einsum "batch sequence hidden, hidden out -> batch sequence out" %x, %w : tensor<4x3x6xf64>, tensor<6x6xf64> -> tensor<4x3x6xf64>
    %y = whale.instance @moe "layers"(%h) repeat 2 : (tensor<4x3x6xf64>) -> tensor<4x3x6xf64>
    %t = whale.tanh %y : tensor<4x3x6xf64>
    %s = whale.reduce sum %t [0, 1, 2] : tensor<4x3x6xf64> -> tensor<f64>
    %n = whale.constant 12.0 : tensor<f64>
    whale.loss "l" %s over %n : tensor<f64>
    whale.return
  }
}
