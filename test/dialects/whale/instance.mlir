// Models, modules, instances: text, calls, cycles.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

// CHECK-LABEL: whale.model @good
whale.model @good {
  // CHECK: whale.module @leaf(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  whale.module @leaf(%x: tensor<4xf32>) -> tensor<4xf32> {
    // CHECK: whale.return %{{.*}} : tensor<4xf32>
    whale.return %x : tensor<4xf32>
  }
  // CHECK: whale.module @two(%arg0: tensor<4xf32>, %arg1: tensor<2xi32>) -> (tensor<4xf32>, tensor<2xi32>) {
  whale.module @two(%x: tensor<4xf32>, %i: tensor<2xi32>) -> (tensor<4xf32>, tensor<2xi32>) {
    // CHECK: whale.instance @leaf "plain"(%{{.*}}) : (tensor<4xf32>) -> tensor<4xf32>
    %a = whale.instance @leaf "plain"(%x) : (tensor<4xf32>) -> tensor<4xf32>
    // CHECK: whale.instance @leaf "chain"(%{{.*}}) repeat 12 : (tensor<4xf32>) -> tensor<4xf32>
    %b = whale.instance @leaf "chain"(%a) repeat 12 : (tensor<4xf32>) -> tensor<4xf32>
    // CHECK: whale.instance @leaf "twice"(%{{.*}}) shared : (tensor<4xf32>) -> tensor<4xf32>
    // CHECK: whale.instance @leaf "twice"(%{{.*}}) shared {note = 1 : i64} : (tensor<4xf32>) -> tensor<4xf32>
    %c = whale.instance @leaf "twice"(%b) shared : (tensor<4xf32>) -> tensor<4xf32>
    %d = whale.instance @leaf "twice"(%c) shared {note = 1} : (tensor<4xf32>) -> tensor<4xf32>
    whale.return %d, %i : tensor<4xf32>, tensor<2xi32>
  }
  // CHECK: whale.module @main() {
  whale.module @main() {
    whale.return
  }
  // CHECK: whale.training {seed = 1}
  whale.training {seed = 1}
}

// -----

// CHECK-LABEL: whale.model @backward
whale.model @backward {
  whale.module @scale(%x: tensor<4xf32>) -> tensor<4xf32> {
    %v = whale.variable "v" constant(1.0) : tensor<4xf32>
    %y = whale.mul %x, %v : tensor<4xf32>, tensor<4xf32>
    // CHECK: whale.backward(%arg1: tensor<4xf32>) of [0] {
    whale.backward(%dy: tensor<4xf32>) of [0] {
      %dv = whale.mul %dy, %x : tensor<4xf32>, tensor<4xf32>
      // CHECK: whale.gradient %{{.*}}, %{{.*}} : tensor<4xf32>
      whale.gradient %v, %dv : tensor<4xf32>
      %dx = whale.mul %dy, %v : tensor<4xf32>, tensor<4xf32>
      // CHECK: whale.yield %{{.*}} : tensor<4xf32>
      whale.yield %dx : tensor<4xf32>
    }
    whale.return %y : tensor<4xf32>
  }
  whale.module @main() {
    %x = whale.constant 1.0 : tensor<4xf32>
    %y = whale.instance @scale "scale"(%x) : (tensor<4xf32>) -> tensor<4xf32>
    // CHECK: whale.backward() of [] attributes {note = 1 : i64} {
    whale.backward() of [] attributes {note = 1} {
      // CHECK: whale.instance_backward "scale"(%{{.*}}) of [0] : (tensor<4xf32>) -> tensor<4xf32>
      %d = whale.instance_backward "scale"(%x) of [0] : (tensor<4xf32>) -> tensor<4xf32>
    }
    whale.return
  }
}

// -----

// A model holds modules and a training spec.
whale.model @m {
  // expected-error @+1 {{'whale.constant' op is not allowed in a 'whale.model', which holds 'whale.module' and 'whale.training'}}
  %0 = whale.constant 1.0 : tensor<f32>
}

// -----

// One training spec.
// expected-error @+1 {{'whale.model' op has 2 'whale.training' ops, expected 1}}
whale.model @m {
  whale.training {}
  whale.training {}
}

// -----

// A module is in a model.
// expected-error @+1 {{'whale.module' op expects parent op 'whale.model'}}
whale.module @alone() {
  whale.return
}

// -----

// A module's name is its own.
whale.model @m {
  // expected-note @+1 {{see existing symbol definition here}}
  whale.module @a() {
    whale.return
  }
  // expected-error @+1 {{redefinition of symbol named 'a'}}
  whale.module @a() {
    whale.return
  }
}

// -----

// A return has the module's results.
whale.model @m {
  whale.module @a(%x: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @+1 {{'whale.return' op has 0 operands, but module '@a' has 1 results}}
    whale.return
  }
}

// -----

// A return has their types.
whale.model @m {
  whale.module @a(%x: tensor<4xf32>) -> tensor<5xf32> {
    // expected-error @+1 {{'whale.return' op operand 0 is 'tensor<4xf32>', but module '@a' returns 'tensor<5xf32>'}}
    whale.return %x : tensor<4xf32>
  }
}

// -----

// The callee exists.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op refers to unknown module '@nothing'}}
    whale.instance @nothing "a"() : () -> ()
    whale.return
  }
}

// -----

// As many operands as the module has arguments.
whale.model @m {
  whale.module @leaf(%x: tensor<4xf32>) {
    whale.return
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op has 0 operands, but module '@leaf' has 1}}
    whale.instance @leaf "a"() : () -> ()
    whale.return
  }
}

// -----

// Operands have the types of the arguments.
whale.model @m {
  whale.module @leaf(%x: tensor<4xf32>) {
    whale.return
  }
  whale.module @main() {
    %0 = whale.constant 1.0 : tensor<5xf32>
    // expected-error @+1 {{'whale.instance' op operand 0 is 'tensor<5xf32>', but module '@leaf' has 'tensor<4xf32>'}}
    whale.instance @leaf "a"(%0) : (tensor<5xf32>) -> ()
    whale.return
  }
}

// -----

// As many results as the module has.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op has 1 results, but module '@leaf' has 0}}
    %0 = whale.instance @leaf "a"() : () -> tensor<f32>
    whale.return
  }
}

// -----

// Results have the types of the module's.
whale.model @m {
  whale.module @leaf() -> tensor<4xf32> {
    %0 = whale.constant 1.0 : tensor<4xf32>
    whale.return %0 : tensor<4xf32>
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op result 0 is 'tensor<f32>', but module '@leaf' has 'tensor<4xf32>'}}
    %0 = whale.instance @leaf "a"() : () -> tensor<f32>
    whale.return
  }
}

// -----

// A name is one path segment.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op name 'a/b' must be one path segment, without '/'}}
    whale.instance @leaf "a/b"() : () -> ()
    whale.return
  }
}

// -----

// A name is not empty.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op name '' must be one path segment, without '/'}}
    whale.instance @leaf ""() : () -> ()
    whale.return
  }
}

// -----

// A chain has a step.
whale.model @m {
  whale.module @leaf(%x: tensor<4xf32>) -> tensor<4xf32> {
    whale.return %x : tensor<4xf32>
  }
  whale.module @other(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.instance' op repeats 0 times, expected 1 or more}}
    %0 = whale.instance @leaf "a"(%x) repeat 0 : (tensor<4xf32>) -> tensor<4xf32>
    whale.return
  }
}

// -----

// A chain has an operand for each result.
whale.model @m {
  whale.module @leaf() -> tensor<f32> {
    %0 = whale.constant 1.0 : tensor<f32>
    whale.return %0 : tensor<f32>
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op has more results than operands, so it cannot repeat}}
    %0 = whale.instance @leaf "a"() repeat 2 : () -> tensor<f32>
    whale.return
  }
}

// -----

// A chain's results are its next operands.
whale.model @m {
  whale.module @leaf(%x: tensor<4xf32>) -> tensor<f32> {
    %0 = whale.reduce sum %x [0] : tensor<4xf32> -> tensor<f32>
    whale.return %0 : tensor<f32>
  }
  whale.module @other(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.instance' op result 0 is 'tensor<f32>' but operand 0 is 'tensor<4xf32>', so it cannot repeat}}
    %0 = whale.instance @leaf "a"(%x) repeat 2 : (tensor<4xf32>) -> tensor<f32>
    whale.return
  }
}

// -----

// A module does not contain itself.
whale.model @m {
  whale.module @a() {
    // expected-error @+1 {{'whale.instance' op instantiates module '@a', which contains this instance}}
    whale.instance @a "a"() : () -> ()
    whale.return
  }
}

// -----

// ... nor over other modules and scans.
whale.model @m {
  whale.module @a(%x: tensor<4xf32>) -> tensor<4xf32> {
    %0 = whale.instance @b "b"(%x) : (tensor<4xf32>) -> tensor<4xf32>
    whale.return %0 : tensor<4xf32>
  }
  whale.module @b(%x: tensor<4xf32>) -> tensor<4xf32> {
    %xs = whale.constant 1.0 : tensor<2x4xf32>
    %0, %1 = whale.scan @c "c" carry(%x) over(%xs) dim 0 : (tensor<4xf32>), (tensor<2x4xf32>) -> tensor<4xf32>, tensor<2x4xf32>
    whale.return %0 : tensor<4xf32>
  }
  whale.module @c(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
    // expected-error @+1 {{'whale.instance' op instantiates module '@a', which contains this instance}}
    %0 = whale.instance @a "a"(%x) : (tensor<4xf32>) -> tensor<4xf32>
    whale.return %0, %y : tensor<4xf32>, tensor<4xf32>
  }
}

// -----

// One backward part.
whale.model @m {
  whale.module @a() {
    whale.backward() of [] {
    }
    // expected-error @+1 {{'whale.backward' op is the second of module '@a'}}
    whale.backward() of [] {
    }
    whale.return
  }
}

// -----

// A gradient for each argument that it lists.
whale.model @m {
  whale.module @a(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.backward' op yields 0 values for 1 arguments}}
    whale.backward() of [0] {
    }
    whale.return
  }
}

// -----

// Only for arguments of the module.
whale.model @m {
  whale.module @a(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.backward' op gives argument 1 a gradient, but module '@a' has 1 arguments}}
    whale.backward() of [1] {
      whale.yield %x : tensor<4xf32>
    }
    whale.return
  }
}

// -----

// ... of their types.
whale.model @m {
  whale.module @a(%x: tensor<4xf32>, %y: tensor<5xf32>) {
    // expected-error @+1 {{'whale.backward' op gives argument 1 a gradient of 'tensor<4xf32>', but it is 'tensor<5xf32>'}}
    whale.backward() of [1] {
      whale.yield %x : tensor<4xf32>
    }
    whale.return
  }
}
