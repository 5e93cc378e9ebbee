// Kernel 'attention', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
module attributes {tenon.kernel = "attention"} {
  func.func @main(%arg0: tensor<128x384xf32>, %arg1: tensor<128x384xf32>, %arg2: tensor<128x384xf32>, %arg3: tensor<1x1x128x128xf32>) -> tensor<1x128x12x32xf32> {
    %0 = graph.reshape %arg0 : tensor<128x384xf32> -> tensor<1x128x12x32xf32>
    %1 = graph.permute %0 order [0, 2, 1, 3] : tensor<1x128x12x32xf32>
    %2 = graph.reshape %arg1 : tensor<128x384xf32> -> tensor<1x128x12x32xf32>
    %3 = graph.permute %2 order [0, 2, 1, 3] : tensor<1x128x12x32xf32>
    %4 = graph.reshape %arg2 : tensor<128x384xf32> -> tensor<1x128x12x32xf32>
    %5 = graph.permute %4 order [0, 2, 1, 3] : tensor<1x128x12x32xf32>
    %6 = graph.attention %1, %3, %5 mask %arg3 scale 0.17677669529663687 {mask_map = #map, zero_masked_rows} : tensor<1x12x128x32xf32>, tensor<1x12x128x32xf32>, tensor<1x12x128x32xf32> mask tensor<1x1x128x128xf32> -> tensor<1x12x128x32xf32>
    %7 = graph.permute %6 order [0, 2, 1, 3] : tensor<1x12x128x32xf32>
    return %7 : tensor<1x128x12x32xf32>
  }
}
