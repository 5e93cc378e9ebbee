// Kernel 'rows', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map3 = affine_map<(d0, d1, d2) -> (d2)>
module attributes {tenon.kernel = "rows"} {
  graph.weight @frozen : tensor<1x128x384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @frozen_0 : tensor<1x128x384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @bert.embeddings.LayerNorm.weight : tensor<384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @bert.embeddings.LayerNorm.bias : tensor<384xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x128x384xf32>) -> tensor<1x128x384xf32> {
    %0 = graph.use_weight @frozen : tensor<1x128x384xf32>
    %1 = graph.use_weight @frozen_0 : tensor<1x128x384xf32>
    %2 = graph.use_weight @bert.embeddings.LayerNorm.weight : tensor<384xf32>
    %3 = graph.use_weight @bert.embeddings.LayerNorm.bias : tensor<384xf32>
    %4 = graph.map ins(%arg0, %0 : tensor<1x128x384xf32>, tensor<1x128x384xf32>) maps [#map, #map] -> tensor<1x128x384xf32> {
    ^bb0(%arg1: f32, %arg2: f32):
      %13 = arith.addf %arg1, %arg2 : f32
      graph.yield %13 : f32
    }
    %5 = graph.map ins(%4, %1 : tensor<1x128x384xf32>, tensor<1x128x384xf32>) maps [#map, #map] -> tensor<1x128x384xf32> {
    ^bb0(%arg1: f32, %arg2: f32):
      %13 = arith.addf %arg1, %arg2 : f32
      graph.yield %13 : f32
    }
    %6 = graph.reduce sum %5 dims [2] : tensor<1x128x384xf32> -> tensor<1x128xf32>
    %7 = graph.map ins(%6 : tensor<1x128xf32>) maps [#map1] -> tensor<1x128xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 3.840000e+02 : f32
      %13 = arith.divf %arg1, %cst : f32
      graph.yield %13 : f32
    }
    %8 = graph.map ins(%5, %7 : tensor<1x128x384xf32>, tensor<1x128xf32>) maps [#map, #map2] -> tensor<1x128x384xf32> {
    ^bb0(%arg1: f32, %arg2: f32):
      %13 = arith.subf %arg1, %arg2 : f32
      %14 = arith.mulf %13, %13 : f32
      graph.yield %14 : f32
    }
    %9 = graph.reduce sum %8 dims [2] : tensor<1x128x384xf32> -> tensor<1x128xf32>
    %10 = graph.map ins(%9 : tensor<1x128xf32>) maps [#map1] -> tensor<1x128xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 3.840000e+02 : f32
      %13 = arith.divf %arg1, %cst : f32
      graph.yield %13 : f32
    }
    %11 = graph.map ins(%10 : tensor<1x128xf32>) maps [#map1] -> tensor<1x128xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 9.99999996E-13 : f32
      %13 = arith.addf %arg1, %cst : f32
      %14 = math.rsqrt %13 : f32
      graph.yield %14 : f32
    }
    %12 = graph.map ins(%5, %11, %7, %2, %3 : tensor<1x128x384xf32>, tensor<1x128xf32>, tensor<1x128xf32>, tensor<384xf32>, tensor<384xf32>) maps [#map, #map2, #map2, #map3, #map3] -> tensor<1x128x384xf32> {
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32, %arg4: f32, %arg5: f32):
      %13 = arith.subf %arg1, %arg3 : f32
      %14 = arith.mulf %13, %arg2 : f32
      %15 = arith.mulf %14, %arg4 : f32
      %16 = arith.addf %15, %arg5 : f32
      graph.yield %16 : f32
    }
    return %12 : tensor<1x128x384xf32>
  }
}
