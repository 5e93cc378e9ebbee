// RUN: tenon-opt %s --tenon-graph-decompose-contracts --split-input-file | FileCheck %s

// A matrix times a vector has no columns: product and sum.

// CHECK-LABEL: @matvec
func.func @matvec(%x: tensor<2x3xf32>, %v: tensor<3xf32>) -> tensor<2xf32> {
  // CHECK-NOT: graph.contract
  //     CHECK: graph.map
  //     CHECK:   arith.mulf
  //     CHECK: graph.reduce sum %{{.*}} dims [1] : tensor<2x3xf32> -> tensor<2xf32>
  %0 = graph.contract %x, %v maps [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (k)>, affine_map<(m, k) -> (m)>] : tensor<2x3xf32>, tensor<3xf32> -> tensor<2xf32>
  return %0 : tensor<2xf32>
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
