// Softmax, norms, cross-entropy: text, shapes, groups.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%x: tensor<4x6x8xf32>, %s: tensor<8xf32>, %b: tensor<8xf32>, %l: tensor<4x6xi32>) {
    // CHECK: = whale.softmax %{{.*}} : tensor<4x6x8xf32>
    %0 = whale.softmax %x : tensor<4x6x8xf32>
    // CHECK: = whale.softmax_grad %{{.*}}, %{{.*}} : tensor<4x6x8xf32>
    %1 = whale.softmax_grad %0, %x : tensor<4x6x8xf32>
    // CHECK: = whale.layer_norm %{{.*}}, %{{.*}}, %{{.*}} : tensor<4x6x8xf32>, tensor<8xf32>
    %2 = whale.layer_norm %1, %s, %b : tensor<4x6x8xf32>, tensor<8xf32>
    // CHECK: = whale.layer_norm %{{.*}}, %{{.*}}, %{{.*}} epsilon 1.0e-6 : tensor<4x6x8xf32>, tensor<8xf32>
    %20 = whale.layer_norm %1, %s, %b epsilon 1.0e-6 : tensor<4x6x8xf32>, tensor<8xf32>
    // CHECK: = whale.layer_norm_grad %{{.*}}, %{{.*}}, %{{.*}} : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<4x6x8xf32>) -> (tensor<4x6x8xf32>, tensor<8xf32>, tensor<8xf32>)
    %3:3 = whale.layer_norm_grad %x, %s, %2 : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<4x6x8xf32>) -> (tensor<4x6x8xf32>, tensor<8xf32>, tensor<8xf32>)
    // CHECK: = whale.rms_norm %{{.*}}, %{{.*}} : tensor<4x6x8xf32>, tensor<8xf32>
    %4 = whale.rms_norm %3#0, %s : tensor<4x6x8xf32>, tensor<8xf32>
    // CHECK: = whale.rms_norm_grad %{{.*}}, %{{.*}}, %{{.*}} epsilon 0.125 : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<4x6x8xf32>) -> (tensor<4x6x8xf32>, tensor<8xf32>)
    %5:2 = whale.rms_norm_grad %x, %s, %4 epsilon 0.125 : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<4x6x8xf32>) -> (tensor<4x6x8xf32>, tensor<8xf32>)
    // CHECK: = whale.batch_norm %{{.*}}, %{{.*}}, %{{.*}} over 2 : tensor<4x6x8xf32>, tensor<8xf32>
    %6:3 = whale.batch_norm %5#0, %s, %b over 2 : tensor<4x6x8xf32>, tensor<8xf32>
    // CHECK: = whale.batch_norm %{{.*}}, %{{.*}}, %{{.*}} epsilon 0.001 : tensor<4x6x8xf32>, tensor<8xf32>
    %60:3 = whale.batch_norm %5#0, %s, %b epsilon 0.001 : tensor<4x6x8xf32>, tensor<8xf32>
    // CHECK: = whale.batch_norm_grad %{{.*}}, %{{.*}}, %{{.*}} over 2 : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<4x6x8xf32>) -> (tensor<4x6x8xf32>, tensor<8xf32>, tensor<8xf32>)
    %7:3 = whale.batch_norm_grad %x, %s, %6#0 over 2 : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<4x6x8xf32>) -> (tensor<4x6x8xf32>, tensor<8xf32>, tensor<8xf32>)
    // CHECK: = whale.cross_entropy %{{.*}}, %{{.*}} : tensor<4x6x8xf32>, tensor<4x6xi32> -> tensor<4x6xf32>
    %8, %9 = whale.cross_entropy %7#0, %l : tensor<4x6x8xf32>, tensor<4x6xi32> -> tensor<4x6xf32>
    // CHECK: = whale.cross_entropy_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : (tensor<4x6x8xf32>, tensor<4x6xi32>, tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6x8xf32>
    %10 = whale.cross_entropy_grad %7#0, %l, %9, %8 : (tensor<4x6x8xf32>, tensor<4x6xi32>, tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6x8xf32>
    whale.return
  }
}

// -----

// layer_norm has rows.
whale.model @m {
  whale.module @rule(%x: tensor<f32>, %s: tensor<8xf32>) {
    // expected-error @+1 {{'whale.layer_norm' op operand is a scalar, expected rows}}
    %0 = whale.layer_norm %x, %s, %s : tensor<f32>, tensor<8xf32>
    whale.return
  }
}

// -----

// The scale of layer_norm is that of the last dimension.
whale.model @m {
  whale.module @rule(%x: tensor<4x6x8xf32>, %s: tensor<6xf32>) {
    // expected-error @+1 {{'whale.layer_norm' op scale is 6, expected 8}}
    %0 = whale.layer_norm %x, %s, %s : tensor<4x6x8xf32>, tensor<6xf32>
    whale.return
  }
}

// -----

// rms_norm has rows.
whale.model @m {
  whale.module @rule(%x: tensor<f32>, %s: tensor<8xf32>) {
    // expected-error @+1 {{'whale.rms_norm' op operand is a scalar, expected rows}}
    %0 = whale.rms_norm %x, %s : tensor<f32>, tensor<8xf32>
    whale.return
  }
}

// -----

// The scale of rms_norm is that of the last dimension.
whale.model @m {
  whale.module @rule(%x: tensor<4x6x8xf32>, %s: tensor<6xf32>) {
    // expected-error @+1 {{'whale.rms_norm' op scale is 6, expected 8}}
    %0 = whale.rms_norm %x, %s : tensor<4x6x8xf32>, tensor<6xf32>
    whale.return
  }
}

// -----

// batch_norm has rows.
whale.model @m {
  whale.module @rule(%x: tensor<f32>, %s: tensor<8xf32>) {
    // expected-error @+1 {{'whale.batch_norm' op operand is a scalar, expected rows}}
    %0:3 = whale.batch_norm %x, %s, %s : tensor<f32>, tensor<8xf32>
    whale.return
  }
}

// -----

// The scale of batch_norm is that of the last dimension.
whale.model @m {
  whale.module @rule(%x: tensor<4x6x8xf32>, %s: tensor<6xf32>) {
    // expected-error @+1 {{'whale.batch_norm' op scale is 6, expected 8}}
    %0:3 = whale.batch_norm %x, %s, %s : tensor<4x6x8xf32>, tensor<6xf32>
    whale.return
  }
}

// -----

// Groups divide the batch.
whale.model @m {
  whale.module @rule(%x: tensor<4x6x8xf32>, %s: tensor<8xf32>) {
    // expected-error @+1 {{'whale.batch_norm' op groups of 3 samples do not divide a batch of 4}}
    %0:3 = whale.batch_norm %x, %s, %s over 3 : tensor<4x6x8xf32>, tensor<8xf32>
    whale.return
  }
}

// -----

// Groups have samples.
whale.model @m {
  whale.module @rule(%x: tensor<4x6x8xf32>, %s: tensor<8xf32>) {
    // expected-error @+1 {{'whale.batch_norm' op groups of 0 samples do not divide a batch of 4}}
    %0:3 = whale.batch_norm %x, %s, %s over 0 : tensor<4x6x8xf32>, tensor<8xf32>
    whale.return
  }
}

// -----

// Logits have classes.
whale.model @m {
  whale.module @rule(%x: tensor<f32>, %l: tensor<i32>) {
    // expected-error @+1 {{'whale.cross_entropy' op logits are a scalar, expected classes}}
    %0, %1 = whale.cross_entropy %x, %l : tensor<f32>, tensor<i32> -> tensor<f32>
    whale.return
  }
}

// -----

// One label per row.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>, %l: tensor<5xi32>) {
    // expected-error @+1 {{'whale.cross_entropy' op labels is 5, expected 4}}
    %0, %1 = whale.cross_entropy %x, %l : tensor<4x8xf32>, tensor<5xi32> -> tensor<4xf32>
    whale.return
  }
}

// -----

// One loss per row.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>, %l: tensor<4xi32>) {
    // expected-error @+1 {{'whale.cross_entropy' op loss is 8, expected 4}}
    %0, %1 = whale.cross_entropy %x, %l : tensor<4x8xf32>, tensor<4xi32> -> tensor<8xf32>
    whale.return
  }
}
