// RUN: tenon-opt %s --tenon-device-emit-kernels --split-input-file | FileCheck %s

// A long row belongs to a workgroup: each thread takes every 128th column. Lanes of a subgroup combine by shuffles, then
// subgroups in shared memory.
kernel.func @long(%x: tensor<6x1000xf32>) -> tensor<6xf32> {
  %0 = graph.reduce sum %x dims [1] : tensor<6x1000xf32> -> tensor<6xf32>
  kernel.return %0 : tensor<6xf32>
}
// CHECK:       tiles = #graph.dims<[6]>
// CHECK:       memref.global "private" @[[$SHARED:.*]] : memref<128xf32, 3>
// CHECK-LABEL: func.func @tn_kernel_long
// CHECK-SAME:  %[[THREAD:[a-z0-9]+]]: i64, %{{[a-z0-9]+}}: !llvm.ptr)
// CHECK:       %[[STEP:.*]] = arith.constant 128 : i64
// CHECK:       scf.for %{{.*}} = %[[THREAD]] to %{{.*}} step %{{.*}} iter_args
// CHECK:       %[[MEMORY:.*]] = memref.get_global @[[$SHARED]]
// CHECK:       gpu.shuffle xor
// CHECK:       scf.if
// CHECK:         memref.store %{{.*}}, %[[MEMORY]]
// CHECK:       gpu.barrier
// CHECK:       memref.load %[[MEMORY]]
// CHECK:       gpu.barrier
// CHECK:       scf.if
// CHECK:         llvm.store
// CHECK-NOT:   gpu.barrier

// -----

// A short one, and one whose neighbours lie side by side, to a thread: nothing is shared.
kernel.func @columns(%x: tensor<1000x6xf32>) -> tensor<6xf32> {
  %0 = graph.reduce max %x dims [0] : tensor<1000x6xf32> -> tensor<6xf32>
  kernel.return %0 : tensor<6xf32>
}
// CHECK:       tiles = #graph.dims<[1]>
// CHECK-LABEL: func.func @tn_kernel_columns
// CHECK-NOT:   gpu.barrier
// CHECK:       scf.for
// CHECK-NOT:   gpu.barrier
// CHECK:       return
