// RUN: tenon-opt %s --tenon-cpu-emit-kernels --split-input-file | FileCheck %s

// Lanes along channels, 7 pixels together: each element of the input is loaded once for them, each weight too.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @exact(%x: tensor<1x16x16x32xf32>, %w: tensor<32x1x3x3xf32> {kernel.layout = #kernel.layout<order = [2, 3, 0, 1], n = 0, groups = 1, width = 0>}) -> tensor<1x14x14x32xf32> {
  %0 = graph.conv %x, %w strides [1, 1] low [0, 0] high [0, 0] dilations [1, 1] input_dilation [1, 1] groups 32 : tensor<1x16x16x32xf32>, tensor<32x1x3x3xf32> -> tensor<1x14x14x32xf32>
  kernel.return %0 : tensor<1x14x14x32xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_exact
// CHECK-NOT:   masked
// CHECK-NOT:   arith.select
// CHECK-COUNT-36: llvm.load %{{.*}} -> vector<8xf32>
// CHECK-NOT:   llvm.load
// CHECK:       return

// -----

// At the sides, elements are looked up. 20 channels: two vectors and a half, under a mask.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @sides(%x: tensor<1x14x14x20xf32>, %w: tensor<20x1x3x3xf32> {kernel.layout = #kernel.layout<order = [2, 3, 0, 1], n = 0, groups = 1, width = 0>}) -> tensor<1x14x14x20xf32> {
  %0 = graph.conv %x, %w strides [1, 1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 20 : tensor<1x14x14x20xf32>, tensor<20x1x3x3xf32> -> tensor<1x14x14x20xf32>
  kernel.return %0 : tensor<1x14x14x20xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_sides
// CHECK:       llvm.intr.masked.load
// CHECK:       llvm.store %{{.*}} : !llvm.ptr, !llvm.ptr
// CHECK:       llvm.load %{{.*}} -> !llvm.ptr
// CHECK:       llvm.intr.masked.store
