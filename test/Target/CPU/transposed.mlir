// RUN: tenon-opt %s --tenon-cpu-emit-kernels --split-input-file | FileCheck %s --implicit-check-not=llvm.intr.masked.gather --implicit-check-not=llvm.intr.masked.scatter

// A transpose reads and writes whole vectors: squares of 8 x 8 change sides in registers.
// CHECK-LABEL: func.func @tn_kernel_square
// CHECK-COUNT-8: llvm.load %{{.*}} -> vector<8xf32>
// CHECK-COUNT-24: vector.shuffle
// CHECK-COUNT-8: llvm.store %{{.*}} : vector<8xf32>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @square(%x: tensor<64x40xf32>) -> tensor<40x64xf32> {
  %0 = graph.permute %x order [1, 0] : tensor<64x40xf32>
  kernel.return %0 : tensor<40x64xf32>
}
}

// -----

// Channels last from three planes: the planes' vectors are interleaved.
// CHECK-LABEL: func.func @tn_kernel_channels
// CHECK-COUNT-3: llvm.load %{{.*}} -> vector<8xf32>
// CHECK: vector.shuffle
// CHECK-COUNT-3: llvm.store %{{.*}} : vector<8xf32>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @channels(%x: tensor<1x3x16x16xf32>) -> tensor<1x16x16x3xf32> {
  %0 = graph.permute %x order [0, 2, 3, 1] : tensor<1x3x16x16xf32>
  kernel.return %0 : tensor<1x16x16x3xf32>
}
}

// -----

// Nothing is read in steps: lanes stay along the innermost dimension.
// CHECK-LABEL: func.func @tn_kernel_plain
// CHECK-NOT: vector.shuffle
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @plain(%x: tensor<16x4x8xf32>) -> tensor<4x16x8xf32> {
  %0 = graph.permute %x order [1, 0, 2] : tensor<16x4x8xf32>
  kernel.return %0 : tensor<4x16x8xf32>
}
}
