// Kernel 'conv_12', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module attributes {tenon.kernel = "conv_12"} {
  graph.weight @blocks.2.0.conv_pwl.weight : tensor<40x72x1x1xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @blocks.2.0.bn3.running_mean : tensor<40xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @blocks.2.0.bn3.bias : tensor<40xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x28x28x72xf32>) -> tensor<1x28x28x40xf32> {
    %0 = graph.use_weight @blocks.2.0.conv_pwl.weight : tensor<40x72x1x1xf32>
    %1 = graph.use_weight @blocks.2.0.bn3.running_mean : tensor<40xf32>
    %2 = graph.constant dense<[0.910794615, 0.826680243, 1.03983748, 1.20263493, 1.39706767, 0.822233378, 0.9088099, 0.910407364, 0.959970057, 0.89410448, 0.921525895, 0.896528303, 0.872799098, 0.9663257, 0.836043536, 0.873397409, 1.0077368, 1.13468981, 0.983823478, 0.848367273, 0.871461987, 1.11985683, 1.05666435, 0.913430511, 0.917315185, 0.823071599, 8.970130e-01, 0.92875576, 0.946785748, 1.3734622, 1.10715353, 0.97454214, 1.23827374, 1.33401394, 0.864707232, 0.924475431, 1.29474699, 0.985479533, 0.878928959, 0.881117999]> : tensor<40xf32>
    %3 = graph.use_weight @blocks.2.0.bn3.bias : tensor<40xf32>
    %4 = graph.conv %arg0, %0 strides [1, 1] low [0, 0] high [0, 0] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x28x28x72xf32>, tensor<40x72x1x1xf32> -> tensor<1x28x28x40xf32>
    %5 = graph.map ins(%4, %1, %2, %3 : tensor<1x28x28x40xf32>, tensor<40xf32>, tensor<40xf32>, tensor<40xf32>) maps [#map, #map1, #map1, #map1] -> tensor<1x28x28x40xf32> {
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32, %arg4: f32):
      %6 = arith.subf %arg1, %arg2 : f32
      %7 = arith.mulf %6, %arg3 : f32
      %8 = arith.addf %7, %arg4 : f32
      graph.yield %8 : f32
    }
    return %5 : tensor<1x28x28x40xf32>
  }
}
