// Grouped-query attention with rotary positions, RMS norm and a gated silu
// layer; labels of -100 do not count.
whale.model @llama {
  whale.module @block(%x: tensor<2x5x8xf64>) -> tensor<2x5x8xf64> {
    %s1 = whale.variable "norm1" normal(1.0, 0.1) : tensor<8xf64>
    %n1 = whale.rms_norm %x, %s1 epsilon 1.0e-6 : tensor<2x5x8xf64>, tensor<8xf64>
    %wq = whale.variable "q.weight" normal(0.0, 0.4) : tensor<8x2x2x4xf64>
    %wk = whale.variable "k.weight" normal(0.0, 0.4) : tensor<8x2x4xf64>
    %wv = whale.variable "v.weight" normal(0.0, 0.4) : tensor<8x2x4xf64>
    %wo = whale.variable "out.weight" normal(0.0, 0.4) : tensor<2x2x4x8xf64>
    %q = whale.einsum "batch sequence hidden, hidden heads group head -> batch sequence heads group head" %n1, %wq : tensor<2x5x8xf64>, tensor<8x2x2x4xf64> -> tensor<2x5x2x2x4xf64>
    %k = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %n1, %wk : tensor<2x5x8xf64>, tensor<8x2x4xf64> -> tensor<2x5x2x4xf64>
    %v = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %n1, %wv : tensor<2x5x8xf64>, tensor<8x2x4xf64> -> tensor<2x5x2x4xf64>
    %qr = whale.rotary %q theta 1.0e4 : tensor<2x5x2x2x4xf64>
    %kr = whale.rotary %k theta 1.0e4 : tensor<2x5x2x4xf64>
    %a, %l = whale.attention %qr, %kr, %v scale 0.5 causal window 3 : (tensor<2x5x2x2x4xf64>, tensor<2x5x2x4xf64>, tensor<2x5x2x4xf64>) -> (tensor<2x5x2x2x4xf64>, tensor<2x2x2x5xf64>)
    %o = whale.einsum "batch sequence heads group head, heads group head hidden -> batch sequence hidden" %a, %wo : tensor<2x5x2x2x4xf64>, tensor<2x2x4x8xf64> -> tensor<2x5x8xf64>
    %y = whale.add %x, %o : tensor<2x5x8xf64>, tensor<2x5x8xf64>
    %s2 = whale.variable "norm2" normal(1.0, 0.1) : tensor<8xf64>
    %n2 = whale.rms_norm %y, %s2 epsilon 1.0e-6 : tensor<2x5x8xf64>, tensor<8xf64>
    %wg = whale.variable "gate.weight" normal(0.0, 0.4) : tensor<8x12xf64>
    %wu = whale.variable "up.weight" normal(0.0, 0.4) : tensor<8x12xf64>
    %wd = whale.variable "down.weight" normal(0.0, 0.4) : tensor<12x8xf64>
    %g = whale.einsum "batch sequence hidden, hidden ffn -> batch sequence ffn" %n2, %wg : tensor<2x5x8xf64>, tensor<8x12xf64> -> tensor<2x5x12xf64>
    %u = whale.einsum "batch sequence hidden, hidden ffn -> batch sequence ffn" %n2, %wu : tensor<2x5x8xf64>, tensor<8x12xf64> -> tensor<2x5x12xf64>
    %gs = whale.silu %g : tensor<2x5x12xf64>
    %gu = whale.mul %gs, %u : tensor<2x5x12xf64>, tensor<2x5x12xf64>
    %d = whale.einsum "batch sequence ffn, ffn hidden -> batch sequence hidden" %gu, %wd : tensor<2x5x12xf64>, tensor<12x8xf64> -> tensor<2x5x8xf64>
    %z = whale.add %y, %d : tensor<2x5x8xf64>, tensor<2x5x8xf64>
    whale.return %z : tensor<2x5x8xf64>
  }
  whale.module @main() {
    %tokens = whale.input "tokens" [batch, sequence] range 9 : tensor<2x5xi32>
    %raw = whale.input "labels" [batch, sequence] range 9 : tensor<2x5xi32>
    // Label 0 is padding.
    %zero = whale.constant 0 : tensor<i32>
    %ignore = whale.constant -100 : tensor<i32>
    %counts = whale.compare ne %raw, %zero : tensor<2x5xi32>, tensor<i32>
    %labels = whale.select %counts, %raw, %ignore : tensor<2x5xi1>, tensor<2x5xi32>, tensor<i32>
    %w = whale.variable "embedding" normal(0.0, 0.5) : tensor<9x8xf64>
    %x = whale.embedding %w, %tokens : tensor<9x8xf64>, tensor<2x5xi32> -> tensor<2x5x8xf64>
    %y = whale.instance @block "layers"(%x) repeat 2 : (tensor<2x5x8xf64>) -> tensor<2x5x8xf64>
    %s = whale.variable "norm" normal(1.0, 0.1) : tensor<8xf64>
    %n = whale.rms_norm %y, %s : tensor<2x5x8xf64>, tensor<8xf64>
    %wl = whale.variable "head" normal(0.0, 0.5) : tensor<8x9xf64>
    %logits = whale.einsum "batch sequence hidden, hidden vocabulary -> batch sequence vocabulary" %n, %wl : tensor<2x5x8xf64>, tensor<8x9xf64> -> tensor<2x5x9xf64>
    %ce, %lse = whale.cross_entropy %logits, %labels : tensor<2x5x9xf64>, tensor<2x5xi32> -> tensor<2x5xf64>
    %sum = whale.reduce sum %ce [0, 1] : tensor<2x5xf64> -> tensor<f64>
    %real = whale.cast %counts : tensor<2x5xi1> -> tensor<2x5xf64>
    %count = whale.reduce sum %real [0, 1] : tensor<2x5xf64> -> tensor<f64>
    whale.loss "lm" %sum over %count : tensor<f64>
    // The z loss of PaLM, through log_sum_exp.
    %z2 = whale.mul %lse, %lse : tensor<2x5xf64>, tensor<2x5xf64>
    %zs = whale.reduce sum %z2 [0, 1] : tensor<2x5xf64> -> tensor<f64>
    %ten = whale.constant 10.0 : tensor<f64>
    whale.loss "z" %zs over %ten weight 1.0e-1 : tensor<f64>
    whale.return
  }
}
