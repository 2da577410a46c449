// RUN: whale-opt %s --whale-name-ops | FileCheck %s
// RUN: whale-opt %s --whale-name-ops --whale-name-ops | FileCheck %s

// Names count per mnemonic, given ones included; dropouts get a key.
// CHECK: whale.relu {{.*}} {name = "relu.0"}
// CHECK: whale.relu {{.*}} {name = "second"}
// CHECK: whale.relu {{.*}} {name = "relu.2"}
// CHECK: whale.dropout {{.*}} key "dropout.0" {name = "dropout.0"}
whale.model @names {
  whale.module @main() {
    %x = whale.input "x" [batch] : tensor<4xf32>
    %a = whale.relu %x : tensor<4xf32>
    %b = whale.relu %a {name = "second"} : tensor<4xf32>
    %c = whale.relu %b : tensor<4xf32>
    %d = whale.dropout %c rate 0.5 : tensor<4xf32>
    whale.return
  }
}
