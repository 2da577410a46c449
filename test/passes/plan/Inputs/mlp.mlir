whale.model @mlp {
  whale.module @block(%x: tensor<8x16xf32>) -> tensor<8x16xf32> {
    %w1 = whale.variable "fc.weight" normal(0.0, 0.1) : tensor<16x32xf32>
    %b1 = whale.variable "fc.bias" constant(0.0) : tensor<32xf32>
    %w2 = whale.variable "out.weight" normal(0.0, 0.1) : tensor<32x16xf32>
    %h = whale.einsum "batch hidden, hidden ffn -> batch ffn" %x, %w1 : tensor<8x16xf32>, tensor<16x32xf32> -> tensor<8x32xf32>
    %hb = whale.add %h, %b1 : tensor<8x32xf32>, tensor<32xf32>
    %a = whale.relu %hb : tensor<8x32xf32>
    %d = whale.dropout %a rate 0.1 : tensor<8x32xf32>
    %o = whale.einsum "batch ffn, ffn hidden -> batch hidden" %d, %w2 : tensor<8x32xf32>, tensor<32x16xf32> -> tensor<8x16xf32>
    %y = whale.add %x, %o : tensor<8x16xf32>, tensor<8x16xf32>
    whale.return %y : tensor<8x16xf32>
  }
  whale.module @main() {
    %x = whale.input "x" [batch, hidden] : tensor<8x16xf32>
    %l = whale.input "label" [batch] range 4 : tensor<8xi32>
    %y = whale.instance @block "layers"(%x) repeat 2 : (tensor<8x16xf32>) -> tensor<8x16xf32>
    %w = whale.variable "head" normal(0.0, 0.1) : tensor<16x4xf32>
    %z = whale.einsum "batch hidden, hidden classes -> batch classes" %y, %w {name = "logits"} : tensor<8x16xf32>, tensor<16x4xf32> -> tensor<8x4xf32>
    %loss, %lse = whale.cross_entropy %z, %l : tensor<8x4xf32>, tensor<8xi32> -> tensor<8xf32>
    %s = whale.reduce sum %loss [0] : tensor<8xf32> -> tensor<f32>
    %one = whale.constant 1.0 : tensor<8xf32>
    %n = whale.reduce sum %one [0] : tensor<8xf32> -> tensor<f32>
    whale.loss "loss" %s over %n : tensor<f32>
    whale.return
  }
  whale.training {optimizer = {name = "adamw", learning_rate = 0.1, weight_decay = 0.1}, clip_norm = 1.0, groups = [{match = "**bias", weight_decay = 0.0}]}
}
