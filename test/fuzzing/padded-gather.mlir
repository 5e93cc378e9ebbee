// RUN: tenon verify %s

// Found by tenon-fuzz (seed 7046). Rows of padding are outside for all lanes, columns for some: the index of such a row was read
// beyond its tensor, and reported as out of range.

module {
  func.func @main(%i: tensor<2xf32> {graph.name = "i"}, %d: tensor<2x2x2xf32> {graph.name = "d"}) -> (tensor<7x5xf32> {graph.name = "y"}) {
    %0 = graph.map ins(%i : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xi64> {
    ^bb0(%x: f32):
      %a = math.absf %x : f32
      %n = arith.fptosi %a : f32 to i64
      %two = arith.constant 2 : i64
      %r = arith.remsi %n, %two : i64
      graph.yield %r : i64
    }
    %1 = graph.gather %d at(%0, %0) maps [affine_map<(d0, d1) -> (d0)>, affine_map<(d0, d1) -> (d0)>] coords [-1, -2, 1] : tensor<2x2x2xf32> at(tensor<2xi64>, tensor<2xi64>) -> tensor<2x2xf32>
    %2 = graph.pad %1 low <[2, 0]> high <[3, 3]> value 5.000000e-01 : f32 : tensor<2x2xf32> -> tensor<7x5xf32>
    return %2 : tensor<7x5xf32>
  }
}
