// Kernel 'conv_18', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module attributes {tenon.kernel = "conv_18"} {
  graph.weight @layer4.0.conv2.weight : tensor<512x512x3x3xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @layer4.0.bn2.running_mean : tensor<512xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @frozen_12 : tensor<512xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @layer4.0.bn2.bias : tensor<512xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x14x14x512xf32>) -> tensor<1x7x7x512xf32> {
    %0 = graph.use_weight @layer4.0.conv2.weight : tensor<512x512x3x3xf32>
    %1 = graph.use_weight @layer4.0.bn2.running_mean : tensor<512xf32>
    %2 = graph.use_weight @frozen_12 : tensor<512xf32>
    %3 = graph.use_weight @layer4.0.bn2.bias : tensor<512xf32>
    %4 = graph.conv %arg0, %0 strides [2, 2] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x14x14x512xf32>, tensor<512x512x3x3xf32> -> tensor<1x7x7x512xf32>
    %5 = graph.map ins(%4, %1, %2, %3 : tensor<1x7x7x512xf32>, tensor<512xf32>, tensor<512xf32>, tensor<512xf32>) maps [#map, #map1, #map1, #map1] -> tensor<1x7x7x512xf32> {
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32, %arg4: f32):
      %7 = arith.subf %arg1, %arg2 : f32
      %8 = arith.mulf %7, %arg3 : f32
      %9 = arith.addf %8, %arg4 : f32
      graph.yield %9 : f32
    }
    %6 = graph.map ins(%5 : tensor<1x7x7x512xf32>) maps [#map] -> tensor<1x7x7x512xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 0.000000e+00 : f32
      %7 = arith.maximumf %arg1, %cst : f32
      graph.yield %7 : f32
    }
    return %6 : tensor<1x7x7x512xf32>
  }
}
