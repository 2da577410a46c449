// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-read-workload -o /dev/null | FileCheck %s

// The chain of two is one class and one run; AdamW has two slots.
// CHECK: "global_batch": 8
// CHECK: {"name": "default", "slot_bytes": [4, 4], "master_bytes": 0, "gradient_bytes": 4}
// CHECK: "name": "block"
// CHECK: {"name": "fc.weight", "kind": "parameter", "extents": [16, 32], "dims": ["hidden", "ffn"], "element_bytes": 4, "group": 0}
// CHECK: {"name": "fc.bias", {{.*}} "dims": ["ffn"], "element_bytes": 4, "group": 1}
// CHECK: "arguments": [0]
// CHECK: "name": "main.0"
// CHECK: {"class": 0, "name": "layers", "count": 2, "arguments": [{"run": -1, "result": 0}]}
// CHECK: {"class": 1, "name": "main.0", "count": 1, "arguments": [{"run": 0, "result": 0}, {"run": -1, "result": 1}
