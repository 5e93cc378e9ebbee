// Kernel 'contract_15', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2) -> (d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1)>
module attributes {tenon.kernel = "contract_15"} {
  graph.weight @head.weight : tensor<32000x1024xf32> from <"seed", "", 0, 0, 1.250000e-01 : f64>
  func.func @main(%arg0: tensor<1x1x1024xf32>) -> tensor<1x32000xf32> {
    %0 = graph.use_weight @head.weight : tensor<32000x1024xf32>
    %1 = graph.reshape %arg0 : tensor<1x1x1024xf32> -> tensor<1x1024xf32>
    %2 = graph.contract %1, %0 maps [#map, #map1, #map2] : tensor<1x1024xf32>, tensor<32000x1024xf32> -> tensor<1x32000xf32>
    return %2 : tensor<1x32000xf32>
  }
}
