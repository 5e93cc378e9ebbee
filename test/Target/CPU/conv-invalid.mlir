// RUN: tenon-opt %s --tenon-cpu-emit-kernels --split-input-file --verify-diagnostics

// The filter's layout is the one that kernel formation is told to give.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @layout(%x: tensor<1x8x8x16xf32>, %w: tensor<16x16x3x3xf32> {kernel.layout = #kernel.layout<order = [0, 1, 2, 3], n = 1, groups = 1, width = 16>}) -> tensor<1x6x6x16xf32> {
  // expected-error @+1 {{needs its filter as #kernel.layout<order = [0, 2, 3, 1], n = 1, groups = 1, width = 16> but has it as #kernel.layout<order = [0, 1, 2, 3], n = 1, groups = 1, width = 16>}}
  %0 = graph.conv %x, %w strides [1, 1] low [0, 0] high [0, 0] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x8x8x16xf32>, tensor<16x16x3x3xf32> -> tensor<1x6x6x16xf32>
  kernel.return %0 : tensor<1x6x6x16xf32>
}
}

// -----

// Pixels are found by their address: the input must be in memory.
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @computed(%x: tensor<1x8x8x16xf32>, %w: tensor<16x16x3x3xf32>) -> tensor<1x6x6x16xf32> {
  %p = graph.map ins(%x : tensor<1x8x8x16xf32>) maps [affine_map<(a, b, c, d) -> (a, b, c, d)>] -> tensor<1x8x8x16xf32> {
  ^bb0(%v: f32):
    %s = arith.addf %v, %v : f32
    graph.yield %s : f32
  }
  // expected-error @+1 {{has an input that is computed inside the kernel}}
  %0 = graph.conv %p, %w strides [1, 1] low [0, 0] high [0, 0] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x8x8x16xf32>, tensor<16x16x3x3xf32> -> tensor<1x6x6x16xf32>
  kernel.return %0 : tensor<1x6x6x16xf32>
}
}
