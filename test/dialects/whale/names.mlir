// Names are unique in a module, because a path is built from them.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

// CHECK-LABEL: whale.model @good
whale.model @good {
  whale.module @leaf(%x: tensor<4xf32>) -> tensor<4xf32> {
    // The same name in another module is another path.
    // CHECK: whale.neg %{{.*}} {name = "a"} : tensor<4xf32>
    %0 = whale.neg %x {name = "a"} : tensor<4xf32>
    whale.return %0 : tensor<4xf32>
  }
  whale.module @top(%x: tensor<4xf32>) {
    %0 = whale.neg %x {name = "a"} : tensor<4xf32>
    %1 = whale.instance @leaf "layers"(%0) repeat 2 : (tensor<4xf32>) -> tensor<4xf32>
    // Not the name of a step: the chain has 0 and 1.
    %2 = whale.instance @leaf "layers.2"(%1) : (tensor<4xf32>) -> tensor<4xf32>
    %3 = whale.instance @leaf "layers.01"(%2) : (tensor<4xf32>) -> tensor<4xf32>
    %4 = whale.instance @leaf "layers.x"(%3) : (tensor<4xf32>) -> tensor<4xf32>
    whale.return
  }
}

// -----

// Two ops of one name.
whale.model @m {
  whale.module @top(%x: tensor<4xf32>) {
    // expected-note @+1 {{the first is here}}
    %0 = whale.neg %x {name = "a"} : tensor<4xf32>
    // expected-error @+1 {{'whale.exp' op name 'a' is taken in module '@top'}}
    %1 = whale.exp %x {name = "a"} : tensor<4xf32>
    whale.return
  }
}

// -----

// Inside a scope too.
whale.model @m {
  whale.module @top(%x: tensor<4xf32>) {
    // expected-note @+1 {{the first is here}}
    %0 = whale.neg %x {name = "a"} : tensor<4xf32>
    whale.stage {
      // expected-error @+1 {{'whale.exp' op name 'a' is taken in module '@top'}}
      %1 = whale.exp %x {name = "a"} : tensor<4xf32>
    }
    whale.return
  }
}

// -----

// Two instances of one name.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @main() {
    // expected-note @+1 {{the first is here}}
    whale.instance @leaf "a"() : () -> ()
    // expected-error @+1 {{'whale.instance' op name 'a' is taken in module '@main'}}
    whale.instance @leaf "a"() : () -> ()
    whale.return
  }
}

// -----

// Both must say that they share.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @main() {
    // expected-note @+1 {{the first is here}}
    whale.instance @leaf "a"() shared : () -> ()
    // expected-error @+1 {{'whale.instance' op name 'a' is taken in module '@main'}}
    whale.instance @leaf "a"() : () -> ()
    whale.return
  }
}

// -----

// Shared instances are of one module.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @other() {
    whale.return
  }
  whale.module @main() {
    // expected-note @+1 {{the first is here}}
    whale.instance @leaf "a"() shared : () -> ()
    // expected-error @+1 {{'whale.instance' op shares its variables as 'a' with an instance of module '@leaf', but is one of '@other'}}
    whale.instance @other "a"() shared : () -> ()
    whale.return
  }
}

// -----

// A step of a chain has a name too.
whale.model @m {
  whale.module @leaf() {
    whale.return
  }
  whale.module @main() {
    // expected-error @+1 {{'whale.instance' op name 'a.1' is taken by a step of chain 'a'}}
    whale.instance @leaf "a.1"() : () -> ()
    // expected-note @+1 {{the first is here}}
    whale.instance @leaf "a"() repeat 2 : () -> ()
    whale.return
  }
}

// -----

// A scan is no instance's namesake.
whale.model @m {
  whale.module @cell(%h: tensor<4xf32>, %x: tensor<4xf32>) -> tensor<4xf32> {
    whale.return %h : tensor<4xf32>
  }
  whale.module @leaf() {
    whale.return
  }
  whale.module @top(%h: tensor<4xf32>, %xs: tensor<5x4xf32>) {
    // expected-note @+1 {{the first is here}}
    whale.instance @leaf "a"() : () -> ()
    // expected-error @+1 {{'whale.scan' op name 'a' is taken in module '@top'}}
    %0 = whale.scan @cell "a" carry(%h) over(%xs) dim 0 : (tensor<4xf32>), (tensor<5x4xf32>) -> tensor<4xf32>
    whale.return
  }
}

// -----

// A variable is no op's namesake.
whale.model @m {
  whale.module @main() {
    // expected-note @+1 {{the first is here}}
    %w = whale.variable "w" constant(0.0) : tensor<4xf32>
    // expected-error @+1 {{'whale.neg' op name 'w' is taken in module '@main'}}
    %0 = whale.neg %w {name = "w"} : tensor<4xf32>
    whale.return
  }
}

// -----

// Two losses of one name.
whale.model @m {
  whale.module @main() {
    %0 = whale.constant 0.0 : tensor<f32>
    // expected-note @+1 {{the first is here}}
    whale.loss "l" %0 over %0 : tensor<f32>
    // expected-error @+1 {{'whale.loss' op name 'l' is taken in module '@main'}}
    whale.loss "l" %0 over %0 : tensor<f32>
    whale.return
  }
}

// -----

// Two inputs of one name.
whale.model @m {
  whale.module @main() {
    // expected-note @+1 {{the first is here}}
    %0 = whale.input "x" [batch] : tensor<8xf32>
    // expected-error @+1 {{'whale.input' op name 'x' is taken in module '@main'}}
    %1 = whale.input "x" [batch] : tensor<8xf32>
    whale.return
  }
}
