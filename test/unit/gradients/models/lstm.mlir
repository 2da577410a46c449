// A bidirectional LSTM by two scans over the sequence, with dropout in the
// cell.
whale.model @lstm {
  whale.module @cell(%h: tensor<2x4xf64>, %c: tensor<2x4xf64>, %x: tensor<2x3xf64>) -> (tensor<2x4xf64>, tensor<2x4xf64>, tensor<2x4xf64>) {
    %wx = whale.variable "x.weight" normal(0.0, 0.6) : tensor<3x4x4xf64>
    %wh = whale.variable "h.weight" normal(0.0, 0.6) : tensor<4x4x4xf64>
    %b = whale.variable "bias" normal(0.0, 0.2) : tensor<4x4xf64>
    %gx = whale.einsum "batch features, features gates hidden -> batch gates hidden" %x, %wx : tensor<2x3xf64>, tensor<3x4x4xf64> -> tensor<2x4x4xf64>
    %gh = whale.einsum "batch state, state gates hidden -> batch gates hidden" %h, %wh : tensor<2x4xf64>, tensor<4x4x4xf64> -> tensor<2x4x4xf64>
    %g0 = whale.add %gx, %gh : tensor<2x4x4xf64>, tensor<2x4x4xf64>
    %g = whale.add %g0, %b : tensor<2x4x4xf64>, tensor<4x4xf64>
    %i0 = whale.slice %g dim 1 from 0 : tensor<2x4x4xf64> -> tensor<2x1x4xf64>
    %f0 = whale.slice %g dim 1 from 1 : tensor<2x4x4xf64> -> tensor<2x1x4xf64>
    %o0 = whale.slice %g dim 1 from 2 : tensor<2x4x4xf64> -> tensor<2x1x4xf64>
    %u0 = whale.slice %g dim 1 from 3 : tensor<2x4x4xf64> -> tensor<2x1x4xf64>
    %i1 = whale.reshape %i0 : tensor<2x1x4xf64> -> tensor<2x4xf64>
    %f1 = whale.reshape %f0 : tensor<2x1x4xf64> -> tensor<2x4xf64>
    %o1 = whale.reshape %o0 : tensor<2x1x4xf64> -> tensor<2x4xf64>
    %u1 = whale.reshape %u0 : tensor<2x1x4xf64> -> tensor<2x4xf64>
    %i = whale.sigmoid %i1 : tensor<2x4xf64>
    %f = whale.sigmoid %f1 : tensor<2x4xf64>
    %o = whale.sigmoid %o1 : tensor<2x4xf64>
    %u = whale.tanh %u1 : tensor<2x4xf64>
    %fc = whale.mul %f, %c : tensor<2x4xf64>, tensor<2x4xf64>
    %iu = whale.mul %i, %u : tensor<2x4xf64>, tensor<2x4xf64>
    %c2 = whale.add %fc, %iu : tensor<2x4xf64>, tensor<2x4xf64>
    %t = whale.tanh %c2 : tensor<2x4xf64>
    %h2 = whale.mul %o, %t : tensor<2x4xf64>, tensor<2x4xf64>
    %y = whale.dropout %h2 rate 0.3 : tensor<2x4xf64>
    whale.return %h2, %c2, %y : tensor<2x4xf64>, tensor<2x4xf64>, tensor<2x4xf64>
  }
  whale.module @main() {
    %t = whale.input "tokens" [batch, sequence] range 7 : tensor<2x5xi32>
    %w = whale.variable "embedding" normal(0.0, 0.8) : tensor<7x3xf64>
    %x = whale.embedding %w, %t : tensor<7x3xf64>, tensor<2x5xi32> -> tensor<2x5x3xf64>
    %h0 = whale.variable "h0" normal(0.0, 0.5) : tensor<2x4xf64>
    %c0 = whale.constant 0.0 : tensor<2x4xf64>
    %h1, %c1, %ys = whale.scan @cell "forward" carry(%h0, %c0) over(%x) dim 1 : (tensor<2x4xf64>, tensor<2x4xf64>), (tensor<2x5x3xf64>) -> tensor<2x4xf64>, tensor<2x4xf64>, tensor<2x5x4xf64>
    %h2, %c2, %zs = whale.scan @cell "backward" carry(%h1, %c0) over(%x) dim 1 reverse : (tensor<2x4xf64>, tensor<2x4xf64>), (tensor<2x5x3xf64>) -> tensor<2x4xf64>, tensor<2x4xf64>, tensor<2x5x4xf64>
    %both = whale.concat %ys, %zs dim 2 : tensor<2x5x4xf64>, tensor<2x5x4xf64> -> tensor<2x5x8xf64>
    %wo = whale.variable "out" normal(0.0, 0.8) : tensor<8x7xf64>
    %logits = whale.einsum "batch sequence hidden, hidden vocabulary -> batch sequence vocabulary" %both, %wo : tensor<2x5x8xf64>, tensor<8x7xf64> -> tensor<2x5x7xf64>
    %ce, %lse = whale.cross_entropy %logits, %t : tensor<2x5x7xf64>, tensor<2x5xi32> -> tensor<2x5xf64>
    %s = whale.reduce sum %ce [0, 1] : tensor<2x5xf64> -> tensor<f64>
    %n = whale.constant 10.0 : tensor<f64>
    whale.loss "l" %s over %n : tensor<f64>
    whale.return
  }
}
