// RUN: tenon verify %s

// Found by tenon-fuzz (seed 1833). A row of the result takes two registers of f64; all lanes of the second are padding, which
// LLVM finds out while it selects instructions, and then loads them all. See lib/Bundle/SplitMasks.h.

module {
  func.func @main(%x: tensor<2x4xf64> {graph.name = "x"}) -> (tensor<2x4x6xf64> {graph.name = "y"}) {
    %0 = graph.broadcast %x dims [0, 2] : tensor<2x4xf64> -> tensor<2x1x4xf64>
    %1 = graph.pad %0 low <[0, 2, 0]> high <[0, 1, 2]> value 5.000000e-01 : f64 : tensor<2x1x4xf64> -> tensor<2x4x6xf64>
    return %1 : tensor<2x4x6xf64>
  }
}
