// Convolutions, batch norm with running statistics, both poolings, residual.
whale.model @convnet {
  whale.module @norm(%x: tensor<4x6x6x3xf64>) -> tensor<4x6x6x3xf64> {
    %s = whale.variable "scale" normal(1.0, 0.1) : tensor<3xf64>
    %b = whale.variable "shift" normal(0.0, 0.1) : tensor<3xf64>
    %y, %mean, %variance = whale.batch_norm %x, %s, %b over 2 : tensor<4x6x6x3xf64>, tensor<3xf64>
    %old = whale.variable "running.mean" kind statistic constant(0.0) : tensor<3xf64>
    %keep = whale.constant 0.9 : tensor<f64>
    %take = whale.constant 0.1 : tensor<f64>
    %a = whale.mul %old, %keep : tensor<3xf64>, tensor<f64>
    %c = whale.mul %mean, %take : tensor<3xf64>, tensor<f64>
    %new = whale.add %a, %c : tensor<3xf64>, tensor<3xf64>
    whale.assign "running.mean", %new : tensor<3xf64>
    whale.return %y : tensor<4x6x6x3xf64>
  }
  whale.module @block(%x: tensor<4x6x6x3xf64>) -> tensor<4x6x6x3xf64> {
    %w = whale.variable "weight" normal(0.0, 0.4) : tensor<3x3x3x3xf64>
    %c = whale.conv2d %x, %w strides [1, 1] padding [1, 1, 1, 1] : tensor<4x6x6x3xf64>, tensor<3x3x3x3xf64> -> tensor<4x6x6x3xf64>
    %n = whale.instance @norm "norm"(%c) : (tensor<4x6x6x3xf64>) -> tensor<4x6x6x3xf64>
    %r = whale.relu %n : tensor<4x6x6x3xf64>
    %y = whale.add %x, %r : tensor<4x6x6x3xf64>, tensor<4x6x6x3xf64>
    whale.return %y : tensor<4x6x6x3xf64>
  }
  whale.module @main() {
    %x = whale.input "image" [batch, height, width, channels] : tensor<4x12x12x2xf64>
    %label = whale.input "label" [batch] range 5 : tensor<4xi32>
    %w = whale.variable "stem" normal(0.0, 0.4) : tensor<3x3x2x3xf64>
    %c = whale.conv2d %x, %w strides [2, 2] padding [0, 1, 0, 1] : tensor<4x12x12x2xf64>, tensor<3x3x2x3xf64> -> tensor<4x6x6x3xf64>
    %y = whale.instance @block "blocks"(%c) repeat 2 : (tensor<4x6x6x3xf64>) -> tensor<4x6x6x3xf64>
    %m = whale.pool max %y window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<4x6x6x3xf64> -> tensor<4x3x3x3xf64>
    %a = whale.pool average %m window [3, 3] strides [1, 1] padding [0, 0, 0, 0] : tensor<4x3x3x3xf64> -> tensor<4x1x1x3xf64>
    %f = whale.reshape %a : tensor<4x1x1x3xf64> -> tensor<4x3xf64>
    %wh = whale.variable "head" normal(0.0, 0.8) : tensor<3x5xf64>
    %logits = whale.einsum "batch features, features classes -> batch classes" %f, %wh : tensor<4x3xf64>, tensor<3x5xf64> -> tensor<4x5xf64>
    %ce, %lse = whale.cross_entropy %logits, %label : tensor<4x5xf64>, tensor<4xi32> -> tensor<4xf64>
    %s = whale.reduce sum %ce [0] : tensor<4xf64> -> tensor<f64>
    %n = whale.constant 4.0 : tensor<f64>
    whale.loss "l" %s over %n : tensor<f64>
    whale.return
  }
}
