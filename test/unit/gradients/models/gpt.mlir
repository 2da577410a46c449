// A small GPT: pre-norm blocks in a chain, learned positions, tied embedding,
// dropout.
whale.model @gpt {
  whale.module @attention(%x: tensor<2x4x8xf64>) -> tensor<2x4x8xf64> {
    %wq = whale.variable "q.weight" normal(0.0, 0.4) : tensor<8x2x1x4xf64>
    %wk = whale.variable "k.weight" normal(0.0, 0.4) : tensor<8x2x4xf64>
    %wv = whale.variable "v.weight" normal(0.0, 0.4) : tensor<8x2x4xf64>
    %wo = whale.variable "out.weight" normal(0.0, 0.4) : tensor<2x1x4x8xf64>
    %q = whale.einsum "batch sequence hidden, hidden heads group head -> batch sequence heads group head" %x, %wq : tensor<2x4x8xf64>, tensor<8x2x1x4xf64> -> tensor<2x4x2x1x4xf64>
    %k = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %x, %wk : tensor<2x4x8xf64>, tensor<8x2x4xf64> -> tensor<2x4x2x4xf64>
    %v = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %x, %wv : tensor<2x4x8xf64>, tensor<8x2x4xf64> -> tensor<2x4x2x4xf64>
    %a, %l = whale.attention %q, %k, %v scale 0.5 causal : (tensor<2x4x2x1x4xf64>, tensor<2x4x2x4xf64>, tensor<2x4x2x4xf64>) -> (tensor<2x4x2x1x4xf64>, tensor<2x2x1x4xf64>)
    %o = whale.einsum "batch sequence heads group head, heads group head hidden -> batch sequence hidden" %a, %wo : tensor<2x4x2x1x4xf64>, tensor<2x1x4x8xf64> -> tensor<2x4x8xf64>
    %d = whale.dropout %o rate 0.25 : tensor<2x4x8xf64>
    whale.return %d : tensor<2x4x8xf64>
  }
  whale.module @block(%x: tensor<2x4x8xf64>) -> tensor<2x4x8xf64> {
    %s1 = whale.variable "norm1.scale" normal(1.0, 0.1) : tensor<8xf64>
    %b1 = whale.variable "norm1.shift" normal(0.0, 0.1) : tensor<8xf64>
    %n1 = whale.layer_norm %x, %s1, %b1 : tensor<2x4x8xf64>, tensor<8xf64>
    %a = whale.instance @attention "attention"(%n1) : (tensor<2x4x8xf64>) -> tensor<2x4x8xf64>
    %y = whale.add %x, %a : tensor<2x4x8xf64>, tensor<2x4x8xf64>
    %s2 = whale.variable "norm2.scale" normal(1.0, 0.1) : tensor<8xf64>
    %b2 = whale.variable "norm2.shift" normal(0.0, 0.1) : tensor<8xf64>
    %n2 = whale.layer_norm %y, %s2, %b2 : tensor<2x4x8xf64>, tensor<8xf64>
    %w1 = whale.variable "ffn.in.weight" normal(0.0, 0.4) : tensor<8x12xf64>
    %c1 = whale.variable "ffn.in.bias" normal(0.0, 0.1) : tensor<12xf64>
    %w2 = whale.variable "ffn.out.weight" normal(0.0, 0.4) : tensor<12x8xf64>
    %h = whale.einsum "batch sequence hidden, hidden ffn -> batch sequence ffn" %n2, %w1 : tensor<2x4x8xf64>, tensor<8x12xf64> -> tensor<2x4x12xf64>
    %hb = whale.add %h, %c1 : tensor<2x4x12xf64>, tensor<12xf64>
    %g = whale.gelu %hb tanh : tensor<2x4x12xf64>
    %m = whale.einsum "batch sequence ffn, ffn hidden -> batch sequence hidden" %g, %w2 : tensor<2x4x12xf64>, tensor<12x8xf64> -> tensor<2x4x8xf64>
    %z = whale.add %y, %m : tensor<2x4x8xf64>, tensor<2x4x8xf64>
    whale.return %z : tensor<2x4x8xf64>
  }
  whale.module @main() {
    %tokens = whale.input "tokens" [batch, sequence] range 11 : tensor<2x4xi32>
    %labels = whale.input "labels" [batch, sequence] range 11 : tensor<2x4xi32>
    %w = whale.variable "wte" normal(0.0, 0.5) : tensor<11x8xf64>
    %p = whale.variable "wpe" normal(0.0, 0.5) : tensor<4x8xf64>
    %e = whale.embedding %w, %tokens : tensor<11x8xf64>, tensor<2x4xi32> -> tensor<2x4x8xf64>
    %x = whale.add %e, %p : tensor<2x4x8xf64>, tensor<4x8xf64>
    %y = whale.instance @block "layers"(%x) repeat 2 : (tensor<2x4x8xf64>) -> tensor<2x4x8xf64>
    %logits = whale.einsum "batch sequence hidden, vocabulary hidden -> batch sequence vocabulary" %y, %w : tensor<2x4x8xf64>, tensor<11x8xf64> -> tensor<2x4x11xf64>
    %ce, %lse = whale.cross_entropy %logits, %labels : tensor<2x4x11xf64>, tensor<2x4xi32> -> tensor<2x4xf64>
    %s = whale.reduce sum %ce [0, 1] : tensor<2x4xf64> -> tensor<f64>
    %n = whale.constant 8.0 : tensor<f64>
    whale.loss "lm" %s over %n : tensor<f64>
    whale.return
  }
}
