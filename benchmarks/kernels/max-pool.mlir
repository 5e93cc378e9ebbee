// Kernel 'reduce_window', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
module attributes {tenon.kernel = "reduce_window"} {
  func.func @main(%arg0: tensor<1x112x112x64xf32>) -> tensor<1x56x56x64xf32> {
    %0 = graph.reduce_window max %arg0 window [1, 3, 3, 1] strides [1, 2, 2, 1] low [0, 1, 1, 0] dilations [1, 1, 1, 1] : tensor<1x112x112x64xf32> -> tensor<1x56x56x64xf32>
    return %0 : tensor<1x56x56x64xf32>
  }
}
