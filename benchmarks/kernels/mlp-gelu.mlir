// Kernel 'contract_3', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2) -> (d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map3 = affine_map<(d0, d1) -> (d0, d1)>
#map4 = affine_map<(d0, d1) -> (d1)>
#map5 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module attributes {tenon.kernel = "contract_3"} {
  graph.weight @bert.encoder.layer.0.intermediate.dense.weight : tensor<1536x384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @bert.encoder.layer.0.intermediate.dense.bias : tensor<1536xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x128x384xf32>) -> tensor<1x128x1536xf32> {
    %0 = graph.use_weight @bert.encoder.layer.0.intermediate.dense.weight : tensor<1536x384xf32>
    %1 = graph.use_weight @bert.encoder.layer.0.intermediate.dense.bias : tensor<1536xf32>
    %2 = graph.reshape %arg0 : tensor<1x128x384xf32> -> tensor<128x384xf32>
    %3 = graph.contract %2, %0 maps [#map, #map1, #map2] : tensor<128x384xf32>, tensor<1536x384xf32> -> tensor<128x1536xf32>
    %4 = graph.map ins(%3, %1 : tensor<128x1536xf32>, tensor<1536xf32>) maps [#map3, #map4] -> tensor<128x1536xf32> {
    ^bb0(%arg1: f32, %arg2: f32):
      %7 = arith.addf %arg1, %arg2 : f32
      graph.yield %7 : f32
    }
    %5 = graph.reshape %4 : tensor<128x1536xf32> -> tensor<1x128x1536xf32>
    %6 = graph.map ins(%5 : tensor<1x128x1536xf32>) maps [#map5] -> tensor<1x128x1536xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 1.000000e+00 : f32
      %cst_0 = arith.constant 5.000000e-01 : f32
      %cst_1 = arith.constant 0.707106769 : f32
      %7 = arith.mulf %arg1, %cst_1 : f32
      %8 = math.erf %7 : f32
      %9 = arith.mulf %arg1, %cst_0 : f32
      %10 = arith.addf %8, %cst : f32
      %11 = arith.mulf %9, %10 : f32
      graph.yield %11 : f32
    }
    return %6 : tensor<1x128x1536xf32>
  }
}
