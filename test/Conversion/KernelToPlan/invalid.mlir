// RUN: tenon-opt %s --tenon-convert-kernel-to-plan --split-input-file --verify-diagnostics

// Every op that may not be there is reported, not only the first.

func.func @outside(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  // expected-error @+1 {{'graph.permute' is outside of a kernel but must be inside one}}
  %0 = graph.permute %x order [1, 0] : tensor<2x3xf32>
  // expected-error @+1 {{'graph.reverse' is outside of a kernel but must be inside one}}
  %1 = graph.reverse %0 dims [0] : tensor<3x2xf32>
  return %1 : tensor<3x2xf32>
}

// -----

kernel.func private @k(tensor<4x8xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> tensor<4xf32>
func.func @not_constant(%x: tensor<4x8xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{operand 0 of kernel @k has a stored layout but is not a constant}}
  %0 = kernel.call @k(%x) : (tensor<4x8xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
