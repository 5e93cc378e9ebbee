// Kernel 'contract', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2) -> (d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map3 = affine_map<(d0, d1) -> (d0, d1)>
module attributes {tenon.kernel = "contract"} {
  graph.weight @lstm.weight_hh_l0 : tensor<1024x256xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x256xf32>, %arg1: tensor<1x1024xf32>) -> tensor<1x1024xf32> {
    %0 = graph.use_weight @lstm.weight_hh_l0 : tensor<1024x256xf32>
    %1 = graph.contract %arg0, %0 maps [#map, #map1, #map2] : tensor<1x256xf32>, tensor<1024x256xf32> -> tensor<1x1024xf32>
    %2 = graph.map ins(%arg1, %1 : tensor<1x1024xf32>, tensor<1x1024xf32>) maps [#map3, #map3] -> tensor<1x1024xf32> {
    ^bb0(%arg2: f32, %arg3: f32):
      %3 = arith.addf %arg2, %arg3 : f32
      graph.yield %3 : f32
    }
    return %2 : tensor<1x1024xf32>
  }
}
