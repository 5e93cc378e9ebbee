// RUN: tenon-opt %s --tenon-device-emit-kernels --split-input-file | FileCheck %s

// A row of the query for each workgroup, 64 keys at a time; no score leaves the workgroup. Keys behind the row are not read.
kernel.func @causal(%q: tensor<1x2x9x32xf32>, %k: tensor<1x1x9x32xf32>, %v: tensor<1x1x9x80xf32>) -> tensor<1x2x9x80xf32> {
  %0 = graph.attention %q, %k, %v scale 0.5 causal : tensor<1x2x9x32xf32>, tensor<1x1x9x32xf32>, tensor<1x1x9x80xf32> -> tensor<1x2x9x80xf32>
  kernel.return %0 : tensor<1x2x9x80xf32>
}
// CHECK:       tiles = #graph.dims<[18]>
// CHECK:       memref.global "private" @{{.*}} : memref<32xf32, 3>
// CHECK-COUNT-2: memref.global "private" @{{.*}} : memref<64xf32, 3>
// CHECK-LABEL: func.func @tn_kernel_causal
// CHECK-SAME:  device.threads = 64
// CHECK:       %[[END:.*]] = arith.minsi
// CHECK:       gpu.barrier
// CHECK:       %{{.*}}:4 = scf.for %{{.*}} = %{{.*}} to %[[END]]
// CHECK:         scf.for
// CHECK:           math.fma
// CHECK:         math.exp
// CHECK:         scf.for
// CHECK:           math.fma
// CHECK:       arith.divf

// -----

// What devices have no code for runs on the CPU.
kernel.func @sort(%x: tensor<4x50xf32>) -> (tensor<4x50xf32>, tensor<4x50xi64>) {
  %0, %1 = graph.sort %x dim 1 : tensor<4x50xf32> -> tensor<4x50xi64>
  kernel.return %0, %1 : tensor<4x50xf32>, tensor<4x50xi64>
}
// CHECK:       kernel.func @sort
// CHECK-NOT:   func.func

// -----

// Lanes of a subgroup have a key together, eight for 64 halves: no barrier before all keys are seen.
module attributes {target.gpu = #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 166912, matrix = mma, hasBF16 = true>} {
kernel.func @decode(%q: tensor<1x4x1x64xf16>, %k: tensor<1x2x500x64xf16>, %v: tensor<1x2x500x64xf16>) -> tensor<1x4x1x64xf16> {
  %0 = graph.attention %q, %k, %v scale 0.5 : tensor<1x4x1x64xf16>, tensor<1x2x500x64xf16>, tensor<1x2x500x64xf16> -> tensor<1x4x1x64xf16>
  kernel.return %0 : tensor<1x4x1x64xf16>
}
// CHECK:       tiles = #graph.dims<[4]>
// CHECK-LABEL: func.func @tn_kernel_decode
// CHECK-SAME:  device.threads = 256
// CHECK-NOT:   gpu.barrier
// CHECK:       scf.for {{.*}} step %c128
// CHECK-COUNT-8: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<8xf16>
// CHECK-COUNT-12: gpu.shuffle
// CHECK-NOT:   gpu.barrier
// CHECK:         scf.yield
// CHECK:       gpu.barrier
}
