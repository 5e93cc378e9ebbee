// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

// CHECK-LABEL: @broadcast_add
func.func @broadcast_add(%a: tensor<2x3xf32>, %b: tensor<1x3xf32>) -> tensor<2x3xf32> {
  // CHECK: graph.map ins(%{{.*}}, %{{.*}} : tensor<2x3xf32>, tensor<1x3xf32>) maps [#{{.*}}, #{{.*}}] -> tensor<2x3xf32>
  %0 = graph.map ins(%a, %b : tensor<2x3xf32>, tensor<1x3xf32>)
      maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (0, d1)>] -> tensor<2x3xf32> {
  ^bb0(%x: f32, %y: f32):
    %s = arith.addf %x, %y : f32
    graph.yield %s : f32
  }
  return %0 : tensor<2x3xf32>
}

// No inputs, two results, positions and sizes.
// CHECK-LABEL: @positions
func.func @positions() -> (tensor<?x4xi64, #graph.dims<[s0, 4]>>, tensor<?x4xf32, #graph.dims<[s0, 4]>>)
    attributes {graph.symbols = [#graph.symbol<"n", 0, 9>]} {
  // CHECK: graph.map maps [] -> tensor<?x4xi64, {{.*}}>, tensor<?x4xf32, {{.*}}>
  %0, %1 = graph.map maps [] -> tensor<?x4xi64, #graph.dims<[s0, 4]>>, tensor<?x4xf32, #graph.dims<[s0, 4]>> {
    // CHECK: graph.index 1 : i64
    %i = graph.index 1 : i64
    // CHECK: graph.size_value <[s0 * 2]> : i64
    %n = graph.size_value <[s0 * 2]> : i64
    %s = arith.addi %i, %n : i64
    %f = arith.sitofp %s : i64 to f32
    graph.yield %s, %f : i64, f32
  }
  return %0, %1 : tensor<?x4xi64, #graph.dims<[s0, 4]>>, tensor<?x4xf32, #graph.dims<[s0, 4]>>
}
