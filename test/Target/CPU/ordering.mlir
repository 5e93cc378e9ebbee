// RUN: tenon-opt %s --tenon-cpu-emit-kernels --canonicalize --cse | FileCheck %s

module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {

// Neighbouring lines share a vector when the dimension is not the innermost one.

kernel.func @argmax_outer(%x: tensor<16x64xf32>) -> tensor<64xi64> {
  %r = graph.arg_reduce max %x dim 0 : tensor<16x64xf32> -> tensor<64xi64>
  kernel.return %r : tensor<64xi64>
}

kernel.func @cumsum_inner(%x: tensor<16x64xf32>) -> tensor<16x64xf32> {
  %r = graph.cumulate sum %x dim 1 : tensor<16x64xf32>
  kernel.return %r : tensor<16x64xf32>
}

// Lanes scan a line as a tree; a block begins with its carry. Products of floats keep their order.

kernel.func @blocks(%x: tensor<3x5000xf32>, %c: tensor<3x4xf32>) -> tensor<3x5000xf32> {
  %r = graph.cumulate sum %x dim 1 block 1024 carries %c : tensor<3x5000xf32>, tensor<3x4xf32>
  kernel.return %r : tensor<3x5000xf32>
}

kernel.func @cumprod(%x: tensor<16x64xf32>) -> tensor<16x64xf32> {
  %r = graph.cumulate prod %x dim 1 : tensor<16x64xf32>
  kernel.return %r : tensor<16x64xf32>
}

// Two buffers of words: value and position as one integer.

// CHECK-LABEL: kernel.func @sort
// CHECK-SAME: scratch = #graph.dims<[1664]>
kernel.func @sort(%x: tensor<4x100xf32>) -> (tensor<4x100xf32>, tensor<4x100xi64>) {
  %v, %i = graph.sort %x dim 1 descending : tensor<4x100xf32> -> tensor<4x100xi64>
  kernel.return %v, %i : tensor<4x100xf32>, tensor<4x100xi64>
}

// Heads and columns of a cache are windows: tiles and lanes. The rest is copied only when the buffers differ.

// CHECK-LABEL: kernel.func @cache
// CHECK-SAME: tiles = #graph.dims<[6]>
kernel.func @cache(%u: tensor<2x3x1x32xf32>, %d: tensor<2x3x40x32xf32> {kernel.may_alias = 0 : i64}, %i: tensor<1xi64>) -> tensor<2x3x40x32xf32> attributes {sites = ["index"], symbol_count = 0 : i64} {
  %r = graph.scatter set %u into %d at (%i) maps [affine_map<(d0, d1, d2, d3) -> (d2)>] coords [0, 1, -1, 3] {site = 0 : i64} : tensor<2x3x1x32xf32> into tensor<2x3x40x32xf32> at (tensor<1xi64>)
  kernel.return %r : tensor<2x3x40x32xf32>
}

// Without the attribute there is nothing to compare.

kernel.func @rows(%u: tensor<5x32xf32>, %d: tensor<40x32xf32>, %i: tensor<5xi64>) -> tensor<40x32xf32> {
  %r = graph.scatter sum %u into %d at (%i) maps [affine_map<(d0, d1) -> (d0)>] coords [-1, 1] : tensor<5x32xf32> into tensor<40x32xf32> at (tensor<5xi64>)
  kernel.return %r : tensor<40x32xf32>
}
}

// CHECK-LABEL: func.func @tn_kernel_argmax_outer
//       CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xi64>)
//       CHECK: arith.cmpf ugt, {{.*}} : vector<8xf32>

// CHECK-LABEL: func.func @tn_kernel_cumsum_inner
//       CHECK: scf.for {{.*}} -> (vector<8xf32>)
// CHECK-COUNT-3: vector.shuffle
//       CHECK: arith.addf {{.*}} : vector<8xf32>

// CHECK-LABEL: func.func @tn_kernel_blocks
//       CHECK: %[[FIRST:.*]] = arith.minsi %{{.*}}, %c1_i64
//       CHECK: %[[CARRY:.*]] = scf.for {{.*}} to %[[FIRST]] {{.*}} -> (vector<8xf32>)
//       CHECK: scf.for {{.*}} iter_args(%{{.*}} = %[[CARRY]]) -> (vector<8xf32>)

// CHECK-LABEL: func.func @tn_kernel_cumprod
//       CHECK: scf.for {{.*}} -> (f32)
//       CHECK: arith.mulf {{.*}} : f32

// CHECK-LABEL: func.func @tn_kernel_sort
//       CHECK: arith.cmpi ult, {{.*}} : i64
//       CHECK: scf.while
//   CHECK-NOT: cf.cond_br

// CHECK-LABEL: func.func @tn_kernel_cache
//       CHECK: %[[DIFFER:.*]] = arith.cmpi ne
//       CHECK: scf.if %[[DIFFER]]
//       CHECK: arith.cmpi uge
//       CHECK: llvm.store {{.*}} : vector<8xf32>

// CHECK-LABEL: func.func @tn_kernel_rows
//   CHECK-NOT: llvm.ptrtoint
//       CHECK: arith.addf {{.*}} : vector<8xf32>
