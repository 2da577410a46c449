// RUN: whale-opt %s --whale-emit-kernels | FileCheck %s

// One loop over all elements; equal clusters give one kernel. The body's
// buffers do not overlap, and an entry unpacks them.

// CHECK: llvm.func internal @[[K:k_[0-9a-f]+]]_body(%{{.*}}: !llvm.ptr {llvm.noalias}, %{{.*}}: !llvm.ptr {llvm.noalias}, %{{.*}}: !llvm.ptr {llvm.noalias})
// CHECK: scf.for %{{.*}} = %{{.*}} to %c32_i64
// CHECK: llvm.load
// CHECK: math.exp
// CHECK: llvm.store
// CHECK: llvm.func @[[K]](%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr)
// CHECK: llvm.call @[[K]]_body
// CHECK-NOT: llvm.func
rank.program @a attributes {role = 0 : i64} {
  %x = rank.input "x" first <0> batch 4 {phase = "forward"} -> tensor<4x8xf32>
  %z = rank.input "z" first <0> batch 4 {phase = "forward"} -> tensor<2x16xf32>
  %y = whale.exp %x {phase = "forward"} : tensor<4x8xf32>
  %u = whale.exp %z {phase = "forward"} : tensor<2x16xf32>
  rank.assign "y", %y {phase = "update"} : tensor<4x8xf32>
  rank.assign "u", %u {phase = "update"} : tensor<2x16xf32>
}
