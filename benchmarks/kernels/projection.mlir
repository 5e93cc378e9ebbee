// Kernel 'contract', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2) -> (d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map3 = affine_map<(d0, d1) -> (d0, d1)>
#map4 = affine_map<(d0, d1) -> (d1)>
module attributes {tenon.kernel = "contract"} {
  graph.weight @bert.encoder.layer.0.attention.self.query.weight : tensor<384x384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @bert.encoder.layer.0.attention.self.query.bias : tensor<384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x128x384xf32>) -> tensor<128x384xf32> {
    %0 = graph.use_weight @bert.encoder.layer.0.attention.self.query.weight : tensor<384x384xf32>
    %1 = graph.use_weight @bert.encoder.layer.0.attention.self.query.bias : tensor<384xf32>
    %2 = graph.reshape %arg0 : tensor<1x128x384xf32> -> tensor<128x384xf32>
    %3 = graph.contract %2, %0 maps [#map, #map1, #map2] : tensor<128x384xf32>, tensor<384x384xf32> -> tensor<128x384xf32>
    %4 = graph.map ins(%3, %1 : tensor<128x384xf32>, tensor<384xf32>) maps [#map3, #map4] -> tensor<128x384xf32> {
    ^bb0(%arg1: f32, %arg2: f32):
      %5 = arith.addf %arg1, %arg2 : f32
      graph.yield %5 : f32
    }
    return %4 : tensor<128x384xf32>
  }
}
