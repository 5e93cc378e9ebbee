// RUN: tenon-opt %s --tenon-device-emit-kernels --split-input-file | FileCheck %s

// Of a device of which nothing is known: a tile of 64 x 64 for 256 threads with 4 x 4 sums each, blocks 8 deep of both operands in
// shared memory. What the next turn multiplies is read before this one's products, and written behind them to the other half.
kernel.func @square(%a: tensor<100x48xf32>, %b: tensor<48x70xf32>) -> tensor<100x70xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<100x48xf32>, tensor<48x70xf32> -> tensor<100x70xf32>
  kernel.return %0 : tensor<100x70xf32>
}
// CHECK:       tiles = #graph.dims<[4]>
// CHECK-COUNT-2: memref.global "private" @{{.*}} : memref<1088xf32, 3>
// CHECK-LABEL: func.func @tn_kernel_square
// CHECK-SAME:  device.threads = 256
// CHECK:       gpu.barrier
// CHECK:       %{{.*}}:16 = scf.for
// CHECK:         llvm.load
// CHECK-COUNT-128: math.fma
// CHECK:         memref.store
// CHECK:         gpu.barrier
// CHECK:         scf.yield
// The sums leave through shared memory, a row of each thread at a time.
// CHECK:       scf.for
// CHECK:         gpu.barrier
// CHECK:         llvm.store
// CHECK-NOT:     llvm.store
// CHECK:         gpu.barrier

// -----

module attributes {target.gpu = #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 166912, matrix = mma, hasBF16 = true>} {
// Many tiles: they are large, and everything is moved four neighbours at a time.
kernel.func @large(%a: tensor<1280x64xf32>, %b: tensor<64x1280xf32>) -> tensor<1280x1280xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<1280x64xf32>, tensor<64x1280xf32> -> tensor<1280x1280xf32>
  kernel.return %0 : tensor<1280x1280xf32>
}
// CHECK:       tiles = #graph.dims<[100]>
// CHECK-LABEL: func.func @tn_kernel_large
// CHECK-SAME:  device.threads = 256
// CHECK:       %{{.*}}:64 = scf.for
// CHECK-COUNT-4: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK:         vector.load {{.*}} vector<4xf32>
// CHECK-COUNT-1024: math.fma
// CHECK-COUNT-2: vector.store {{.*}} vector<4xf32>
// CHECK:         gpu.barrier
// CHECK:         scf.yield
}

// -----

module attributes {target.gpu = #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 166912, matrix = mma, hasBF16 = true>} {
// Few tiles: they are small, and four threads share the depth of each sum.
kernel.func @small(%a: tensor<64x256xf32>, %b: tensor<256x64xf32>) -> tensor<64x64xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<64x256xf32>, tensor<256x64xf32> -> tensor<64x64xf32>
  kernel.return %0 : tensor<64x64xf32>
}
// CHECK:       tiles = #graph.dims<[4]>
// CHECK-LABEL: func.func @tn_kernel_small
// CHECK-SAME:  device.threads = 256
// CHECK:       %{{.*}}:16 = scf.for %{{.*}} = %{{.*}} to %c256{{.*}} step %c32
// CHECK-COUNT-128: math.fma
// CHECK:         gpu.barrier
// CHECK:         scf.yield
// CHECK:       scf.for
// CHECK:         gpu.barrier
// CHECK-COUNT-4: vector.load
// CHECK:         llvm.store {{.*}} vector<4xf32>
}

// -----

// Few rows: sixteen neighbouring columns are read together, and sixteen threads share the depth of each.
kernel.func @vector(%a: tensor<2x256xf32>, %b: tensor<256x300xf32>) -> tensor<2x300xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x256xf32>, tensor<256x300xf32> -> tensor<2x300xf32>
  kernel.return %0 : tensor<2x300xf32>
}
// CHECK:       tiles = #graph.dims<[19]>
// CHECK-LABEL: func.func @tn_kernel_vector
// CHECK-SAME:  device.threads = 256
// CHECK:       scf.for {{.*}} step %c16
// CHECK-COUNT-2: math.fma
// CHECK-NOT:     math.fma
// CHECK:         scf.yield
// CHECK-COUNT-4: gpu.barrier
// CHECK-NOT:   gpu.barrier
// CHECK:       scf.if
// CHECK:         llvm.store

// -----

module attributes {target.gpu = #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 166912, matrix = mma, hasBF16 = true>} {
// A matrix that lies along the depth: a subgroup for each column, whose threads read 16 bytes each.
kernel.func @along(%a: tensor<1x2048xf16>, %b: tensor<300x2048xf16>) -> tensor<1x300xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<1x2048xf16>, tensor<300x2048xf16> -> tensor<1x300xf16>
  kernel.return %0 : tensor<1x300xf16>
}
// CHECK:       tiles = #graph.dims<[75]>
// CHECK-LABEL: func.func @tn_kernel_along
// CHECK-SAME:  device.threads = 128
// CHECK:       scf.for {{.*}} step %c256
// CHECK-COUNT-2: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<8xf16>
// CHECK:         math.fma {{.*}} vector<8xf32>
// CHECK:         scf.yield
// CHECK-COUNT-5: gpu.barrier
}

// -----

// Channels of their own: neighbouring threads have neighbouring channels of a pixel.
kernel.func @depthwise(%x: tensor<1x12x12x32xf32>, %w: tensor<32x1x3x3xf32>) -> tensor<1x12x12x32xf32> {
  %0 = graph.conv %x, %w strides [1, 1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 32 : tensor<1x12x12x32xf32>, tensor<32x1x3x3xf32> -> tensor<1x12x12x32xf32>
  kernel.return %0 : tensor<1x12x12x32xf32>
}
// CHECK:       tiles = #graph.dims<[36]>
// CHECK-LABEL: func.func @tn_kernel_depthwise
// CHECK-NOT:   gpu.barrier
// CHECK:       arith.remui %{{.*}}, %c32
// CHECK:       scf.for
// CHECK:         math.fma

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
