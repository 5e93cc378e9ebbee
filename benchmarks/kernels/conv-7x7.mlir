// Kernel 'conv', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module attributes {tenon.kernel = "conv"} {
  graph.weight @conv1.weight : tensor<64x3x7x7xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @bn1.running_mean : tensor<64xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  graph.weight @bn1.bias : tensor<64xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x224x224x3xf32>) -> tensor<1x112x112x64xf32> {
    %0 = graph.use_weight @conv1.weight : tensor<64x3x7x7xf32>
    %1 = graph.use_weight @bn1.running_mean : tensor<64xf32>
    %2 = graph.constant dense<[1.17873216, 1.04387379, 1.00487339, 0.965366661, 1.26943743, 1.24495375, 0.886654376, 1.06433344, 0.89649266, 0.986040353, 0.926807403, 0.949177503, 0.919869542, 0.895191848, 1.36468196, 0.893824696, 1.24183035, 1.26718843, 0.985129773, 1.04552734, 0.879200458, 1.18641222, 1.34168482, 0.856267809, 1.03926241, 0.88345617, 0.928175747, 1.26483786, 0.9532637, 0.944865465, 1.22606599, 1.14499104, 0.92430365, 0.958014726, 1.12699854, 1.08551335, 0.828187167, 1.04972816, 0.883226156, 0.906654596, 1.21553576, 1.31899583, 0.822007596, 0.9871912, 0.862986862, 0.951895058, 0.92814815, 0.853271723, 0.823633432, 1.22332096, 0.970131278, 0.85338068, 0.856791555, 0.873494267, 1.251810e+00, 1.25004113, 1.19726205, 0.969994485, 0.816948056, 1.20897496, 0.888599157, 1.17584753, 1.37373245, 1.05777752]> : tensor<64xf32>
    %3 = graph.use_weight @bn1.bias : tensor<64xf32>
    %4 = graph.conv %arg0, %0 strides [2, 2] low [3, 3] high [3, 3] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x224x224x3xf32>, tensor<64x3x7x7xf32> -> tensor<1x112x112x64xf32>
    %5 = graph.map ins(%4, %1, %2, %3 : tensor<1x112x112x64xf32>, tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) maps [#map, #map1, #map1, #map1] -> tensor<1x112x112x64xf32> {
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32, %arg4: f32):
      %7 = arith.subf %arg1, %arg2 : f32
      %8 = arith.mulf %7, %arg3 : f32
      %9 = arith.addf %8, %arg4 : f32
      graph.yield %9 : f32
    }
    %6 = graph.map ins(%5 : tensor<1x112x112x64xf32>) maps [#map] -> tensor<1x112x112x64xf32> {
    ^bb0(%arg1: f32):
      %cst = arith.constant 0.000000e+00 : f32
      %7 = arith.maximumf %arg1, %cst : f32
      graph.yield %7 : f32
    }
    return %6 : tensor<1x112x112x64xf32>
  }
}
