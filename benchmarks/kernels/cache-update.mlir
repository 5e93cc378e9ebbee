// Kernel 'scatter', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d2)>
module attributes {tenon.kernel = "scatter"} {
  func.func @main(%arg0: tensor<1x4x1x64xf32>, %arg1: tensor<1x4x256x64xf32>, %arg2: tensor<1xi64>) -> tensor<1x4x256x64xf32> {
    %0 = graph.scatter set %arg0 into %arg1 at(%arg2) maps [#map] coords [0, 1, -1, 3] {site = 0 : i64} : tensor<1x4x1x64xf32> into tensor<1x4x256x64xf32> at(tensor<1xi64>)
    return %0 : tensor<1x4x256x64xf32>
  }
}
