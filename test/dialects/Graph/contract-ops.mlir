// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

// CHECK-LABEL: @linear
func.func @linear(%x: tensor<?x8xf32, #graph.dims<[s0, 8]>>, %w: tensor<4x8xf32>) -> tensor<?x4xf32, #graph.dims<[s0, 4]>> {
  // CHECK: graph.contract %{{.*}}, %{{.*}} maps [#{{.*}}, #{{.*}}, #{{.*}}] : {{.*}} -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
     : tensor<?x8xf32, #graph.dims<[s0, 8]>>, tensor<4x8xf32> -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  return %0 : tensor<?x4xf32, #graph.dims<[s0, 4]>>
}

// CHECK-LABEL: @conv
func.func @conv(%x: tensor<1x8x?x3xf32, #graph.dims<[1, 8, s0, 3]>>, %w: tensor<16x3x3x3xf32>)
    -> tensor<1x4x?x16xf32, #graph.dims<[1, 4, (s0 - 1) floordiv 2 + 1, 16]>> {
  // CHECK: graph.conv %{{.*}}, %{{.*}} strides [2, 2] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1
  %0 = graph.conv %x, %w strides [2, 2] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1
     : tensor<1x8x?x3xf32, #graph.dims<[1, 8, s0, 3]>>, tensor<16x3x3x3xf32>
       -> tensor<1x4x?x16xf32, #graph.dims<[1, 4, (s0 - 1) floordiv 2 + 1, 16]>>
  return %0 : tensor<1x4x?x16xf32, #graph.dims<[1, 4, (s0 - 1) floordiv 2 + 1, 16]>>
}

!q = tensor<1x4x8x64xf32>
!k = tensor<1x2x9x64xf32>

// CHECK-LABEL: @attention
func.func @attention(%q: !q, %k: !k, %m: tensor<1x9xi1>) -> !q {
  // CHECK: graph.attention %{{.*}}, %{{.*}}, %{{.*}} scale 1.250000e-01 causal : tensor
  %0 = graph.attention %q, %k, %k scale 0.125 causal : !q, !k, !k -> !q
  // CHECK: graph.attention %{{.*}}, %{{.*}}, %{{.*}} mask %{{.*}} scale 1.250000e-01 {mask_map = #{{.*}}, zero_masked_rows} : {{.*}} mask tensor<1x9xi1> ->
  %1 = graph.attention %0, %k, %k mask %m scale 0.125 {mask_map = affine_map<(b, h, s, t) -> (0, t)>, zero_masked_rows}
     : !q, !k, !k mask tensor<1x9xi1> -> !q
  return %1 : !q
}
