// RUN: tenon-opt %s --tenon-convert-graph-to-kernel | FileCheck %s
// RUN: tenon compile %s -o %t.tenon

// A contraction reads its columns through a view. That the view is a result as well, and so a buffer, is no concern of its: read from
// there the columns would not be neighbours.
#rows = affine_map<(m, n, k) -> (m, k)>
#columns = affine_map<(m, n, k) -> (k, n)>
#result = affine_map<(m, n, k) -> (m, n)>
// CHECK-LABEL: kernel.func @contract(
// CHECK-SAME:    %[[X:.*]]: tensor<2xf32>, %{{.*}}: tensor<2x1xf32>)
// CHECK:         %[[VIEW:.*]] = graph.broadcast %[[X]]
// CHECK:         graph.contract %[[VIEW]]
func.func @main(%x: tensor<2xf32> {graph.name = "x"}, %w: tensor<2x1xf32> {graph.name = "w"})
    -> (tensor<2x1xf32> {graph.name = "y"}, tensor<2x2xf32> {graph.name = "z"}) {
  %n = graph.map ins(%x : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xf32> {
  ^bb0(%e: f32):
    %s = arith.negf %e : f32
    graph.yield %s : f32
  }
  %z = graph.broadcast %n dims [0] : tensor<2xf32> -> tensor<2x2xf32>
  %y = graph.contract %z, %w maps [#rows, #columns, #result] : tensor<2x2xf32>, tensor<2x1xf32> -> tensor<2x1xf32>
  return %y, %z : tensor<2x1xf32>, tensor<2x2xf32>
}
