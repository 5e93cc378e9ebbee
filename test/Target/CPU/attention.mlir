// RUN: tenon-opt %s --tenon-cpu-emit-kernels --canonicalize --cse | FileCheck %s

module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {

// Few keys: one block of them, so nothing is rescaled; heads are read and written where they lie; two products of 6 x 2
// vectors with one exponential between them.

// CHECK-LABEL: kernel.func @one_block
// CHECK-SAME: tiles = #graph.dims<[2]>
kernel.func @one_block(%q: tensor<1x32x128xf32>, %k: tensor<1x32x128xf32>, %v: tensor<1x32x128xf32>) -> tensor<1x32x128xf32> {
  %q1 = graph.reshape %q : tensor<1x32x128xf32> -> tensor<1x32x2x64xf32>
  %q2 = graph.permute %q1 order [0, 2, 1, 3] : tensor<1x32x2x64xf32>
  %k1 = graph.reshape %k : tensor<1x32x128xf32> -> tensor<1x32x2x64xf32>
  %k2 = graph.permute %k1 order [0, 2, 1, 3] : tensor<1x32x2x64xf32>
  %v1 = graph.reshape %v : tensor<1x32x128xf32> -> tensor<1x32x2x64xf32>
  %v2 = graph.permute %v1 order [0, 2, 1, 3] : tensor<1x32x2x64xf32>
  %r = graph.attention %q2, %k2, %v2 scale 0.125 : tensor<1x2x32x64xf32>, tensor<1x2x32x64xf32>, tensor<1x2x32x64xf32> -> tensor<1x2x32x64xf32>
  %r1 = graph.permute %r order [0, 2, 1, 3] : tensor<1x2x32x64xf32>
  %r2 = graph.reshape %r1 : tensor<1x32x2x64xf32> -> tensor<1x32x128xf32>
  kernel.return %r2 : tensor<1x32x128xf32>
}

// Query heads that share a key head are the rows of one tile when there is one query.

// CHECK-LABEL: kernel.func @decode
// CHECK-SAME: tiles = #graph.dims<[2]>
kernel.func @decode(%q: tensor<1x8x1x64xf32>, %k: tensor<1x2x2048x64xf32>, %v: tensor<1x2x2048x64xf32>) -> tensor<1x8x1x64xf32> {
  %r = graph.attention %q, %k, %v scale 0.125 : tensor<1x8x1x64xf32>, tensor<1x2x2048x64xf32>, tensor<1x2x2048x64xf32> -> tensor<1x8x1x64xf32>
  kernel.return %r : tensor<1x8x1x64xf32>
}

// Without shared heads a row is alone; a symbolic number of rows decides when it is known.

// CHECK-LABEL: kernel.func @decode_alone
// CHECK-SAME: tiles = #graph.dims<[8]>
kernel.func @decode_alone(%q: tensor<1x8x1x64xf32>, %k: tensor<1x8x?x64xf32, #graph.dims<[1, 8, s0, 64]>>, %v: tensor<1x8x?x64xf32, #graph.dims<[1, 8, s0, 64]>>) -> tensor<1x8x1x64xf32> {
  %r = graph.attention %q, %k, %v scale 0.125 : tensor<1x8x1x64xf32>, tensor<1x8x?x64xf32, #graph.dims<[1, 8, s0, 64]>>, tensor<1x8x?x64xf32, #graph.dims<[1, 8, s0, 64]>> -> tensor<1x8x1x64xf32>
  kernel.return %r : tensor<1x8x1x64xf32>
}

// The keys of a causal tile end at its last row; later keys in the last block are compared with each row.

// CHECK-LABEL: kernel.func @causal
kernel.func @causal(%q: tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>, %k: tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>, %v: tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>) -> tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>> {
  %r = graph.attention %q, %k, %v scale 0.125 causal : tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>, tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>, tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>> -> tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>
  kernel.return %r : tensor<1x2x?x64xf32, #graph.dims<[1, 2, s0, 64]>>
}
}

// CHECK-LABEL: func.func @tn_kernel_one_block
//       CHECK: scf.for
//       CHECK: -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
//       CHECK: math.fma
//   CHECK-NOT: math.exp
//       CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>)
//       CHECK: math.exp
//       CHECK: math.exp
//   CHECK-NOT: math.exp
//       CHECK: math.fma

// Several blocks rescale what is there: a factor and weights.
// CHECK-LABEL: func.func @tn_kernel_decode
//       CHECK: math.exp
//       CHECK: math.exp
//   CHECK-NOT: math.exp

// K is transposed in registers, for two vectors of keys; its products are added in order.
// CHECK-LABEL: func.func @tn_kernel_decode_alone
//       CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>)
//       CHECK: vector.shuffle {{.*}} [0, 8, 1, 9, 4, 12, 5, 13]
//       CHECK: math.fma
//       CHECK: math.exp

// CHECK-LABEL: func.func @tn_kernel_causal
//       CHECK: %[[FEW:.*]] = arith.cmpi slt, %{{.*}}, %c3_i64
//       CHECK: scf.if %[[FEW]]
//       CHECK: arith.minsi
//       CHECK: arith.cmpi sgt, {{.*}} : vector<8xi64>
