// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

// CHECK-LABEL: @scan
func.func @scan(%h: tensor<4xf32>, %x: tensor<?x4xf32, #graph.dims<[s0, 4]>>, %b: tensor<4xf32>) {
  // CHECK: graph.scan reverse carry(%{{.*}} : tensor<4xf32>) xs(%{{.*}} : {{.*}}) captures(%{{.*}} : tensor<4xf32>) -> (tensor<4xf32>, tensor<?x4xf32, #graph.dims<[s0, 4]>>)
  %0, %1 = graph.scan reverse carry(%h : tensor<4xf32>) xs(%x : tensor<?x4xf32, #graph.dims<[s0, 4]>>) captures(%b : tensor<4xf32>)
      -> (tensor<4xf32>, tensor<?x4xf32, #graph.dims<[s0, 4]>>) {
  ^bb0(%c: tensor<4xf32>, %t: tensor<4xf32>, %k: tensor<4xf32>):
    graph.yield %t, %k : tensor<4xf32>, tensor<4xf32>
  }
  // CHECK: graph.scan carry() xs(%{{.*}} : {{.*}}) captures() -> (tensor<?x4xf32, #graph.dims<[s0, 4]>>)
  %2 = graph.scan carry() xs(%x : tensor<?x4xf32, #graph.dims<[s0, 4]>>) captures() -> (tensor<?x4xf32, #graph.dims<[s0, 4]>>) {
  ^bb0(%t: tensor<4xf32>):
    graph.yield %t : tensor<4xf32>
  }
  return
}
