// Attention with a relative position bias that all layers of a chain share, and
// a frozen variable.
whale.model @t5 {
  whale.module @block(%x: tensor<2x4x6xf64>, %bias: tensor<2x1x4x4xf64>) -> tensor<2x4x6xf64> {
    %wq = whale.variable "q.weight" normal(0.0, 0.4) : tensor<6x2x1x3xf64>
    %wk = whale.variable "k.weight" normal(0.0, 0.4) : tensor<6x2x3xf64>
    %wv = whale.variable "v.weight" normal(0.0, 0.4) : tensor<6x2x3xf64>
    %wo = whale.variable "out.weight" normal(0.0, 0.4) : tensor<2x1x3x6xf64>
    %q = whale.einsum "batch sequence hidden, hidden heads group head -> batch sequence heads group head" %x, %wq : tensor<2x4x6xf64>, tensor<6x2x1x3xf64> -> tensor<2x4x2x1x3xf64>
    %k = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %x, %wk : tensor<2x4x6xf64>, tensor<6x2x3xf64> -> tensor<2x4x2x3xf64>
    %v = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %x, %wv : tensor<2x4x6xf64>, tensor<6x2x3xf64> -> tensor<2x4x2x3xf64>
    %a, %l = whale.attention %q, %k, %v bias %bias scale 1.0 : (tensor<2x4x2x1x3xf64>, tensor<2x4x2x3xf64>, tensor<2x4x2x3xf64>, tensor<2x1x4x4xf64>) -> (tensor<2x4x2x1x3xf64>, tensor<2x2x1x4xf64>)
    %o = whale.einsum "batch sequence heads group head, heads group head hidden -> batch sequence hidden" %a, %wo : tensor<2x4x2x1x3xf64>, tensor<2x1x3x6xf64> -> tensor<2x4x6xf64>
    %y = whale.add %x, %o : tensor<2x4x6xf64>, tensor<2x4x6xf64>
    whale.return %y : tensor<2x4x6xf64>
  }
  whale.module @main() {
    %t = whale.input "tokens" [batch, sequence] range 5 : tensor<2x4xi32>
    %w = whale.variable "embedding" normal(0.0, 0.8) frozen : tensor<5x6xf64>
    %x = whale.embedding %w, %t : tensor<5x6xf64>, tensor<2x4xi32> -> tensor<2x4x6xf64>
    %i = whale.iota dim 0 : tensor<4x4xi32>
    %j = whale.iota dim 1 : tensor<4x4xi32>
    %d = whale.sub %j, %i : tensor<4x4xi32>, tensor<4x4xi32>
    %three = whale.constant 3 : tensor<i32>
    %bucket = whale.add %d, %three : tensor<4x4xi32>, tensor<i32>
    %table = whale.variable "bias" normal(0.0, 0.8) : tensor<7x2x1xf64>
    %b0 = whale.embedding %table, %bucket : tensor<7x2x1xf64>, tensor<4x4xi32> -> tensor<4x4x2x1xf64>
    %b = whale.transpose %b0 [2, 3, 0, 1] : tensor<4x4x2x1xf64> -> tensor<2x1x4x4xf64>
    %y = whale.instance @block "layers"(%x, %b) repeat 3 : (tensor<2x4x6xf64>, tensor<2x1x4x4xf64>) -> tensor<2x4x6xf64>
    %logits = whale.einsum "batch sequence hidden, vocabulary hidden -> batch sequence vocabulary" %y, %w : tensor<2x4x6xf64>, tensor<5x6xf64> -> tensor<2x4x5xf64>
    %ce, %lse = whale.cross_entropy %logits, %t : tensor<2x4x5xf64>, tensor<2x4xi32> -> tensor<2x4xf64>
    %s = whale.reduce sum %ce [0, 1] : tensor<2x4xf64> -> tensor<f64>
    %n = whale.constant 8.0 : tensor<f64>
    whale.loss "l" %s over %n : tensor<f64>
    whale.return
  }
}
