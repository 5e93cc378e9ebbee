// RUN: tenon-opt %s --tenon-graph-split-complex --split-input-file --verify-diagnostics | FileCheck %s

// A complex argument is a real one with the parts in its last dimension; so is a result.

// CHECK-LABEL: @sum
//  CHECK-SAME:   tensor<4x2xf32> {graph.complex}
//  CHECK-SAME:   -> (tensor<4x2xf32> {graph.complex})
func.func @sum(%x: tensor<4xcomplex<f32>>) -> tensor<4xcomplex<f32>> {
  //   CHECK-NOT: complex.
  //       CHECK: %[[MAP:.*]]:2 = graph.map
  //       CHECK: graph.concat
  %0 = graph.map ins(%x : tensor<4xcomplex<f32>>) maps [affine_map<(d0) -> (d0)>] -> tensor<4xcomplex<f32>> {
  ^bb0(%a: complex<f32>):
    %s = complex.add %a, %a : complex<f32>
    graph.yield %s : complex<f32>
  }
  return %0 : tensor<4xcomplex<f32>>
}

// -----

// Movement happens to both parts.

// CHECK-LABEL: @move
func.func @move(%x: tensor<4x3xcomplex<f32>>) -> tensor<3x4xcomplex<f32>> {
  // CHECK-COUNT-2: graph.permute {{.*}} order [1, 0] : tensor<4x3xf32>
  %0 = graph.permute %x order [1, 0] : tensor<4x3xcomplex<f32>>
  return %0 : tensor<3x4xcomplex<f32>>
}

// -----

// What has no complex numbers stays.

// CHECK-LABEL: @real
//       CHECK:   graph.permute %{{.*}} order [1, 0] : tensor<4x3xf32>
//   CHECK-NOT:   graph.slice
func.func @real(%x: tensor<4x3xf32>) -> tensor<3x4xf32> {
  %0 = graph.permute %x order [1, 0] : tensor<4x3xf32>
  return %0 : tensor<3x4xf32>
}

// -----

func.func @no_order(%x: tensor<4xcomplex<f32>>) -> tensor<complex<f32>> {
  // expected-error @+1 {{'graph.reduce' op compares complex numbers, which have no order}}
  %0 = graph.reduce max %x dims [0] : tensor<4xcomplex<f32>> -> tensor<complex<f32>>
  return %0 : tensor<complex<f32>>
}
