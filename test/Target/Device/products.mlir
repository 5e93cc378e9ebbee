// RUN: tenon-opt %s --tenon-device-emit-kernels --split-input-file | FileCheck %s

// A tile of 64 x 64 for 256 threads: 4 x 4 sums each, blocks of both operands in shared memory.
kernel.func @square(%a: tensor<100x48xf32>, %b: tensor<48x70xf32>) -> tensor<100x70xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<100x48xf32>, tensor<48x70xf32> -> tensor<100x70xf32>
  kernel.return %0 : tensor<100x70xf32>
}
// CHECK:       tiles = #graph.dims<[4]>
// CHECK-COUNT-2: memref.global "private" @{{.*}} : memref<1024xf32, 3>
// CHECK-LABEL: func.func @tn_kernel_square
// CHECK-SAME:  device.threads = 256
// CHECK:       %{{.*}}:16 = scf.for
// CHECK:         memref.store
// CHECK:         gpu.barrier
// CHECK-COUNT-256: math.fma
// CHECK:         gpu.barrier
// CHECK:         scf.yield
// CHECK-COUNT-16: llvm.store

// -----

// Few rows: a column for each thread.
kernel.func @vector(%a: tensor<1x48xf32>, %b: tensor<48x300xf32>) -> tensor<1x300xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<1x48xf32>, tensor<48x300xf32> -> tensor<1x300xf32>
  kernel.return %0 : tensor<1x300xf32>
}
// CHECK:       tiles = #graph.dims<[3]>
// CHECK-LABEL: func.func @tn_kernel_vector
// CHECK-NOT:   gpu.barrier
// CHECK:       scf.for
// CHECK:         math.fma
// CHECK-NOT:   gpu.barrier
// CHECK:       return

// -----

// A convolution is a product whose rows are pixels; padding reads as 0.
kernel.func @conv(%x: tensor<1x12x12x3xf32>, %w: tensor<16x3x3x3xf32>) -> tensor<1x12x12x16xf32> {
  %0 = graph.conv %x, %w strides [1, 1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x12x12x3xf32>, tensor<16x3x3x3xf32> -> tensor<1x12x12x16xf32>
  kernel.return %0 : tensor<1x12x12x16xf32>
}
// CHECK:       tiles = #graph.dims<[3]>
// CHECK-LABEL: func.func @tn_kernel_conv
// CHECK:       arith.cmpi ult
// CHECK:       arith.select %{{.*}}, %{{.*}}, %{{.*}} : f32
// CHECK:       math.fma
