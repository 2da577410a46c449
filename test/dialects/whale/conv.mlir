// Convolution and pooling: text, windows, channels.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%x: tensor<2x8x8x3xf32>, %f: tensor<3x3x3x4xf32>) {
    // CHECK: = whale.conv2d %{{.*}}, %{{.*}} strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    %y = whale.conv2d %x, %f strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    // CHECK: = whale.conv2d_input_grad %{{.*}}, %{{.*}} strides [2, 2] padding [1, 1, 1, 1] : tensor<2x4x4x4xf32>, tensor<3x3x3x4xf32> -> tensor<2x8x8x3xf32>
    %d = whale.conv2d_input_grad %y, %f strides [2, 2] padding [1, 1, 1, 1] : tensor<2x4x4x4xf32>, tensor<3x3x3x4xf32> -> tensor<2x8x8x3xf32>
    // CHECK: = whale.conv2d_filter_grad %{{.*}}, %{{.*}} strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<2x4x4x4xf32> -> tensor<3x3x3x4xf32>
    %e = whale.conv2d_filter_grad %x, %y strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<2x4x4x4xf32> -> tensor<3x3x3x4xf32>
    // CHECK: = whale.pool max %{{.*}} window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf32>
    %p = whale.pool max %y window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf32>
    // CHECK: = whale.pool average %{{.*}} window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf32>
    %v = whale.pool average %y window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf32>
    // CHECK: = whale.pool_grad average %{{.*}}, %{{.*}} window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : (tensor<2x4x4x4xf32>, tensor<2x2x2x4xf32>) -> tensor<2x4x4x4xf32>
    %g = whale.pool_grad average %y, %p window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : (tensor<2x4x4x4xf32>, tensor<2x2x2x4xf32>) -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// A filter has 4 dimensions.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3xf32>) {
    // expected-error @+1 {{'whale.conv2d' op filter is 3x3x3, expected 4 dimensions}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// An input has 4 dimensions.
whale.model @m {
  whale.module @rule(%a: tensor<8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op input is 8x8x3, expected 4 dimensions}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// A result has 4 dimensions.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op result is 4x4x4, expected 4 dimensions}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<4x4x4xf32>
    whale.return
  }
}

// -----

// Two strides.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op needs 2 window extents, 2 strides and 4 paddings}}
    %0 = whale.conv2d %a, %b strides [2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// Four paddings.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op needs 2 window extents, 2 strides and 4 paddings}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// Strides go on.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op window and strides must be 1 or more}}
    %0 = whale.conv2d %a, %b strides [2, 0] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// Padding is not negative.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op window 3 does not fit extent 8 with padding}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [-1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// Padding has a bound.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op padding must be at most 1073741824}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [9223372036854775807, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// The window fits.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<9x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op window 9 does not fit extent 8 with padding}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [0, 0, 1, 1] : tensor<2x8x8x3xf32>, tensor<9x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// The output has the extent of the windows.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op output extent 5, expected 4}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x5x4x4xf32>
    whale.return
  }
}

// -----

// The batch stays.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op batch 2 becomes 3}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<3x4x4x4xf32>
    whale.return
  }
}

// -----

// Channels of the input.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x5xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op filter has channels 3 -> 4, expected 5 -> 4}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x5xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// Channels of the result.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op filter has channels 3 -> 4, expected 3 -> 7}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x7xf32>
    whale.return
  }
}

// -----

// The gradient of the input has its extent.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x4x4xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d_input_grad' op output extent 4, expected 5}}
    %0 = whale.conv2d_input_grad %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x4x4x4xf32>, tensor<3x3x3x4xf32> -> tensor<2x9x8x3xf32>
    whale.return
  }
}

// -----

// The gradient of the filter has its channels.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<2x4x4x4xf32>) {
    // expected-error @+1 {{'whale.conv2d_filter_grad' op filter has channels 3 -> 5, expected 3 -> 4}}
    %0 = whale.conv2d_filter_grad %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<2x4x4x4xf32> -> tensor<3x3x3x5xf32>
    whale.return
  }
}

// -----

// A pool keeps channels.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x4x4xf32>) {
    // expected-error @+1 {{'whale.pool' op channels 4 become 5}}
    %0 = whale.pool max %a window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x5xf32>
    whale.return
  }
}

// -----

// A pool has two window extents.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x4x4xf32>) {
    // expected-error @+1 {{'whale.pool' op needs 2 window extents, 2 strides and 4 paddings}}
    %0 = whale.pool max %a window [2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf32>
    whale.return
  }
}

// -----

// A pool has a window.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x4x4xf32>) {
    // expected-error @+1 {{'whale.pool' op window and strides must be 1 or more}}
    %0 = whale.pool max %a window [0, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf32>
    whale.return
  }
}

// -----

// A pool has the extent of its windows.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x4x4xf32>) {
    // expected-error @+1 {{'whale.pool' op output extent 3, expected 2}}
    %0 = whale.pool max %a window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x3x2x4xf32>
    whale.return
  }
}

// -----

// A filter has the element type of the input.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf16>) {
    // expected-error @+1 {{'whale.conv2d' op filter has elements of 'f16', expected 'f32'}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf16> -> tensor<2x4x4x4xf32>
    whale.return
  }
}

// -----

// A convolution keeps the element type.
whale.model @m {
  whale.module @rule(%a: tensor<2x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) {
    // expected-error @+1 {{'whale.conv2d' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.conv2d %a, %b strides [2, 2] padding [1, 1, 1, 1] : tensor<2x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<2x4x4x4xf16>
    whale.return
  }
}

// -----

// A pool keeps the element type.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x4x4xf32>) {
    // expected-error @+1 {{'whale.pool' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.pool max %a window [2, 2] strides [2, 2] padding [0, 0, 0, 0] : tensor<2x4x4x4xf32> -> tensor<2x2x2x4xf16>
    whale.return
  }
}
