// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-apply-plan=plan=%S/Inputs/colocated.json | FileCheck %s

// The classes are cut over the devices on which the rest is replicated. ZeRO-1
// cuts what they do not cut: the classifier's moments lie as the classifier.

// CHECK-DAG: whale.variable "fc.weight" {{.*}}path = "layers.0/fc.weight", phase = "prologue", variable_path
// CHECK-DAG: whale.variable "fc.weight#m" {{.*}}path = "layers.0/fc.weight#m", phase = "prologue", split = {{\[\[}}0, 1]]
// CHECK-DAG: whale.variable "head" {{.*}}path = "head", phase = "prologue", split = {{\[\[}}0, 1]]
// CHECK-DAG: whale.variable "head#m" {{.*}}path = "head#m", phase = "prologue", split = {{\[\[}}0, 1]]
// CHECK: whale.einsum {{.*}}path = "layers.1/einsum.1", phase = "forward", split = {{\[\[}}0, 0]]
// CHECK: whale.einsum {{.*}}{colocated = {{\[\[}}0, 1]], {{.*}}path = "logits", phase = "forward"}
// The cross-entropy became primitive ops; those over the classes are cut there,
// those over samples only as the replica cuts them.
// CHECK: whale.reduce max {{.*}}{colocated = {{\[\[}}0, 1]], {{.*}}path = "cross_entropy.0.0", phase = "forward"}
// CHECK: whale.log {{.*}}phase = "forward", split = {{\[\[}}0, 0]]
// CHECK: whale.einsum {{.*}}{colocated = {{\[\[}}0, {{[0-9]}}]], {{.*}}path = "logits#d
// CHECK: whale.mul {{.*}}path = "head#norm.0", phase = "update", split = {{\[\[}}0, 1]]
