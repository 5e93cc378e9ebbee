// Kernel 'conv_6', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module attributes {tenon.kernel = "conv_6"} {
  graph.weight @blocks.1.1.conv_dw.weight : tensor<72x1x3x3xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @blocks.1.1.bn2.running_mean : tensor<72xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @blocks.1.1.bn2.bias : tensor<72xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x56x56x72xf32>) -> tensor<1x56x56x72xf32> {
    %0 = graph.use_weight @blocks.1.1.conv_dw.weight : tensor<72x1x3x3xf32>
    %1 = graph.use_weight @blocks.1.1.bn2.running_mean : tensor<72xf32>
    %2 = graph.constant dense<[0.862392783, 1.07532287, 0.829290032, 1.23054767, 1.36615884, 1.26553571, 0.906621933, 1.02926826, 1.36487722, 0.956634104, 1.01632154, 0.920323193, 1.15804827, 1.24701679, 0.863610088, 1.14752448, 0.860112845, 0.843525111, 1.24001968, 1.13998342, 0.971194088, 1.37545335, 0.931063234, 1.12389421, 1.1334976, 1.27673566, 0.900236546, 1.21144378, 1.29060829, 1.07302427, 1.17715585, 1.39494157, 0.912294388, 1.11126399, 0.86058557, 0.860036135, 1.21167648, 1.18801737, 1.10261452, 0.879467189, 1.00871336, 1.10338211, 0.873787343, 0.823615074, 0.854464054, 1.27240753, 1.05634832, 1.05169749, 0.837205231, 1.16137373, 1.18391299, 0.996106445, 1.0636729, 0.916980266, 0.970925927, 1.19396412, 0.856365144, 0.873287737, 0.949370443, 1.35153913, 0.899853587, 0.866380274, 0.936910331, 1.11335492, 0.983638823, 1.11253345, 0.824579417, 0.821213484, 1.03046644, 1.22756112, 0.879042744, 0.892572165]> : tensor<72xf32>
    %3 = graph.use_weight @blocks.1.1.bn2.bias : tensor<72xf32>
    %4 = graph.conv %arg0, %0 strides [1, 1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 72 : tensor<1x56x56x72xf32>, tensor<72x1x3x3xf32> -> tensor<1x56x56x72xf32>
    %5 = graph.map ins(%4, %1, %2, %3 : tensor<1x56x56x72xf32>, tensor<72xf32>, tensor<72xf32>, tensor<72xf32>) maps [#map, #map1, #map1, #map1] -> tensor<1x56x56x72xf32> {
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32, %arg4: f32):
      %7 = arith.subf %arg1, %arg2 : f32
      %8 = arith.mulf %7, %arg3 : f32
      %9 = arith.addf %8, %arg4 : f32
      graph.yield %9 : f32
    }
    %6 = graph.map ins(%5 : tensor<1x56x56x72xf32>) maps [#map] -> tensor<1x56x56x72xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 0.000000e+00 : f32
      %7 = arith.maximumf %arg1, %cst : f32
      graph.yield %7 : f32
    }
    return %6 : tensor<1x56x56x72xf32>
  }
}
