// Kernel 'attention', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE
#map = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
module attributes {tenon.kernel = "attention"} {
  func.func @main(%arg0: tensor<?x384xf32, #graph.dims<[s0 * s1, 384]>>, %arg1: tensor<?x384xf32, #graph.dims<[s0 * s1, 384]>>, %arg2: tensor<?x384xf32, #graph.dims<[s0 * s1, 384]>>, %arg3: tensor<?x1x?x?xf32, #graph.dims<[s0, 1, s1, s1]>>) -> tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>> attributes {graph.symbols = [#graph.symbol<"s23", 0, 64>, #graph.symbol<"s27", 1, 512>], tenon.sizes = array<i64: 8, 8>} {
    %0 = graph.reshape %arg0 : tensor<?x384xf32, #graph.dims<[s0 * s1, 384]>> -> tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
    %1 = graph.permute %0 order [0, 2, 1, 3] : tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
    %2 = graph.reshape %arg1 : tensor<?x384xf32, #graph.dims<[s0 * s1, 384]>> -> tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
    %3 = graph.permute %2 order [0, 2, 1, 3] : tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
    %4 = graph.reshape %arg2 : tensor<?x384xf32, #graph.dims<[s0 * s1, 384]>> -> tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
    %5 = graph.permute %4 order [0, 2, 1, 3] : tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
    %6 = graph.attention %1, %3, %5 mask %arg3 scale 0.17677669529663687 {mask_map = #map, zero_masked_rows} : tensor<?x12x?x32xf32, #graph.dims<[s0, 12, s1, 32]>>, tensor<?x12x?x32xf32, #graph.dims<[s0, 12, s1, 32]>>, tensor<?x12x?x32xf32, #graph.dims<[s0, 12, s1, 32]>> mask tensor<?x1x?x?xf32, #graph.dims<[s0, 1, s1, s1]>> -> tensor<?x12x?x32xf32, #graph.dims<[s0, 12, s1, 32]>>
    %7 = graph.permute %6 order [0, 2, 1, 3] : tensor<?x12x?x32xf32, #graph.dims<[s0, 12, s1, 32]>>
    return %7 : tensor<?x?x12x32xf32, #graph.dims<[s0, s1, 12, 32]>>
  }
}
