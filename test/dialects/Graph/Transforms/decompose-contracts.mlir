// RUN: tenon-opt %s --tenon-graph-decompose-contracts --split-input-file | FileCheck %s

// A sum over two dimensions: product and sum.

// CHECK-LABEL: @twoSums
func.func @twoSums(%x: tensor<2x3x4xf32>, %v: tensor<5x3x4xf32>) -> tensor<2x5xf32> {
  // CHECK-NOT: graph.contract
  //     CHECK: graph.map
  //     CHECK:   arith.mulf
  //     CHECK: graph.reduce sum %{{.*}} dims [2, 3] : tensor<2x5x3x4xf32> -> tensor<2x5xf32>
  %0 = graph.contract %x, %v maps [affine_map<(m, n, k, l) -> (m, k, l)>, affine_map<(m, n, k, l) -> (n, k, l)>, affine_map<(m, n, k, l) -> (m, n)>] : tensor<2x3x4xf32>, tensor<5x3x4xf32> -> tensor<2x5xf32>
  return %0 : tensor<2x5xf32>
}

// -----

// Half floats are summed in f32 and rounded once.

// CHECK-LABEL: @half
func.func @half(%x: tensor<3xbf16>, %v: tensor<3xbf16>) -> tensor<bf16> {
  // CHECK: arith.extf
  // CHECK: graph.reduce sum %{{.*}} dims [0] : tensor<3xf32> -> tensor<f32>
  // CHECK: arith.truncf
  %0 = graph.contract %x, %v maps [affine_map<(k) -> (k)>, affine_map<(k) -> (k)>, affine_map<(k) -> ()>] : tensor<3xbf16>, tensor<3xbf16> -> tensor<bf16>
  return %0 : tensor<bf16>
}

// -----

// What kernels take stays.

// CHECK-LABEL: @matmul
func.func @matmul(%x: tensor<2x8xf32>, %w: tensor<4x8xf32>) -> tensor<2x4xf32> {
  // CHECK: graph.contract
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x8xf32>, tensor<4x8xf32> -> tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}
