// RUN: tenon-opt %s --tenon-cpu-emit-kernels --split-input-file | FileCheck %s --implicit-check-not=llvm.intr.masked.gather

// Tiles of whole registers need no masks, and no tile is partly empty: 196 pixels are 31 tiles of 6 and 2 of 5.
// CHECK: kernel.func @table{{.*}} tiles = #graph.dims<[3]>, work = #graph.dims<[14450688]>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @table(%x: tensor<1x14x14x64xf32>, %w: tensor<64x64x3x3xf32> {kernel.layout = #kernel.layout<order = [0, 2, 3, 1], n = 1, groups = 1, width = 16>}) -> tensor<1x14x14x64xf32> {
  %0 = graph.conv %x, %w strides [1, 1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x14x14x64xf32>, tensor<64x64x3x3xf32> -> tensor<1x14x14x64xf32>
  kernel.return %0 : tensor<1x14x14x64xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_table
// CHECK-NOT:   masked
// The block's table is made when the block changes, with the zero row where a tap is outside.
// CHECK:       scf.if
// CHECK:       arith.cmpi ult
// CHECK:       %[[AT:.*]] = arith.select %{{.*}}, %{{.*}}, %{{.*}} : !llvm.ptr
// CHECK:       llvm.store %[[AT]], %{{.*}} : !llvm.ptr, !llvm.ptr
// 6 rows by 2 vectors, carried through taps and channels.
// CHECK:       %[[TAPS:.*]]:12 = scf.for
// CHECK-COUNT-6: llvm.load %{{.*}} -> !llvm.ptr
// CHECK:       %[[SUMS:.*]]:12 = scf.for
// CHECK:       math.fma
// CHECK:       scf.yield %[[SUMS]]#0
// The rest: 5 rows.
// CHECK:       :10 = scf.for
// CHECK-NOT:   masked
// CHECK:       return

// -----

// A 1x1 window with stride 1 reads the input as a matrix: no table, no copy, no scratch.
// CHECK: kernel.func @direct{{.*}}scratch = #graph.dims<[0]>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @direct(%x: tensor<?x14x14x64xf32, #graph.dims<[s0, 14, 14, 64]>>, %w: tensor<64x64x1x1xf32> {kernel.layout = #kernel.layout<order = [0, 2, 3, 1], n = 1, groups = 1, width = 16>}) -> tensor<?x14x14x64xf32, #graph.dims<[s0, 14, 14, 64]>> {
  %0 = graph.conv %x, %w strides [1, 1] low [0, 0] high [0, 0] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<?x14x14x64xf32, #graph.dims<[s0, 14, 14, 64]>>, tensor<64x64x1x1xf32> -> tensor<?x14x14x64xf32, #graph.dims<[s0, 14, 14, 64]>>
  kernel.return %0 : tensor<?x14x14x64xf32, #graph.dims<[s0, 14, 14, 64]>>
}
}
// CHECK-LABEL: func.func @tn_kernel_direct
// CHECK-NOT:   llvm.store %{{.*}} : !llvm.ptr, !llvm.ptr
// A multiple of 196 pixels always divides into tiles of 6 and 5: nothing is stored under a condition.
// CHECK-NOT:   scf.if
// CHECK-NOT:   masked
// CHECK:       return

// -----

// Pixels of any number: the last tile stores what exists.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @symbolic(%x: tensor<1x?x?x32xf32, #graph.dims<[1, s0, s1, 32]>>, %w: tensor<16x32x1x1xf32> {kernel.layout = #kernel.layout<order = [0, 2, 3, 1], n = 1, groups = 1, width = 16>}) -> tensor<1x?x?x16xf32, #graph.dims<[1, s0, s1, 16]>> {
  %0 = graph.conv %x, %w strides [1, 1] low [0, 0] high [0, 0] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x?x?x32xf32, #graph.dims<[1, s0, s1, 32]>>, tensor<16x32x1x1xf32> -> tensor<1x?x?x16xf32, #graph.dims<[1, s0, s1, 16]>>
  kernel.return %0 : tensor<1x?x?x16xf32, #graph.dims<[1, s0, s1, 16]>>
}
}
// CHECK-LABEL: func.func @tn_kernel_symbolic
// CHECK:       scf.if

// -----

// Three channels: 7 x 7 x 3 products lie side by side and are summed in one loop. 20 outputs: the last 4 need a mask.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @patch(%x: tensor<1x32x32x3xf32>, %w: tensor<20x3x7x7xf32> {kernel.layout = #kernel.layout<order = [0, 2, 3, 1], n = 1, groups = 1, width = 16>}) -> tensor<1x16x16x20xf32> {
  %0 = graph.conv %x, %w strides [2, 2] low [3, 3] high [3, 3] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x32x32x3xf32>, tensor<20x3x7x7xf32> -> tensor<1x16x16x20xf32>
  kernel.return %0 : tensor<1x16x16x20xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_patch
// Where a run of taps is inside the image it is copied by vectors, else by its parts.
// CHECK:       scf.if
// CHECK:       llvm.load %{{.*}} -> vector<8xf32>
// CHECK:       } else {
// CHECK:       math.fma
// CHECK:       llvm.intr.masked.store
