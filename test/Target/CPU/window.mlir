// RUN: tenon-opt %s --tenon-cpu-emit-kernels --split-input-file | FileCheck %s

// Channels last: 8 vectors of channels go together through the window, whose bounds leave out what is outside.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @channels_last(%x: tensor<1x8x8x64xf32>) -> tensor<1x4x4x64xf32> {
  %0 = graph.reduce_window max %x window [1, 3, 3, 1] strides [1, 2, 2, 1] low [0, 1, 1, 0] dilations [1, 1, 1, 1] : tensor<1x8x8x64xf32> -> tensor<1x4x4x64xf32>
  kernel.return %0 : tensor<1x4x4x64xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_channels_last
// CHECK-NOT:   masked
// CHECK:       %[[LOW:.*]] = arith.divui
// CHECK:       :8 = scf.for %{{.*}} = %{{.*}} to %{{.*}}
// CHECK:       :8 = scf.for
// CHECK-COUNT-8: llvm.load %{{.*}} -> vector<8xf32>
// CHECK-NOT:   masked
// CHECK:       return

// -----

// A window along the innermost dimension: element by element.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @channels_first(%x: tensor<1x64x8x8xf32>) -> tensor<1x64x4x4xf32> {
  %0 = graph.reduce_window max %x window [1, 1, 2, 2] strides [1, 1, 2, 2] low [0, 0, 0, 0] dilations [1, 1, 1, 1] : tensor<1x64x8x8xf32> -> tensor<1x64x4x4xf32>
  kernel.return %0 : tensor<1x64x4x4xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_channels_first
// CHECK-NOT:   vector<
// CHECK:       llvm.load %{{.*}} -> f32
