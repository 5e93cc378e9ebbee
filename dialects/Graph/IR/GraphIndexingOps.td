// Reading and writing at positions that are data.
#ifndef TENON_GRAPH_INDEXING_OPS_TD
#define TENON_GRAPH_INDEXING_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

def Graph_GatherOp : Graph_PureOp<"gather"> {
  let summary = "Reads elements at positions held in index tensors.";
  let description = [{
    For every point `i` of the result: `result[i] = data[c0, c1, …]`, where coordinate `ck` is `i[coords[k]]` when
    `coords[k] >= 0`, else the element of index tensor `-coords[k] - 1` at its indexing map of `i`. Covers embedding,
    index_select, gather along a dimension and advanced indexing. An index is an i64 or i32 in `0 .. size-1`; one outside
    is an error at run time.
    ```mlir
    // rows of a table
    %2 = graph.gather %table at (%ids) maps [affine_map<(d0, d1, d2) -> (d0, d1)>] coords [-1, 2]
       : tensor<100x8xf32> at (tensor<2x4xi64>) -> tensor<2x4x8xf32>
    ```
    Constraints:
    * (C1) one coordinate for each dimension of `data`, naming a result dimension or an index tensor.
    * (C2) one indexing map for each index tensor, from the result's rank to the tensor's, each result a dimension or 0.
    * (C3) a dimension that a coordinate names is not longer than the data's.
  }];
  let arguments = (ins AnyRankedTensor:$data, Variadic<AnyRankedTensor>:$indices, AffineMapArrayAttr:$indexing_maps,
                       DenseI64ArrayAttr:$coords);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `at` `(` $indices `)` `maps` $indexing_maps `coords` $coords attr-dict `:` type($data) `at` `(` type($indices) `)` `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ScatterOp : Graph_PureOp<"scatter", [AllTypesMatch<["dest", "result"]>]> {
  let summary = "A tensor with updates written or added at positions held in index tensors.";
  let description = [{
    For every point `i` of `updates`, in row-major order: element `[c0, c1, …]` of the result is combined with
    `updates[i]`; coordinates as in `graph.gather`. With kind `set` the last update wins.
    ```mlir
    %3 = graph.scatter set %updates into %dest at (%pos) maps [affine_map<(d0, d1) -> (d0)>] coords [-1, 1]
       : tensor<1x8xf32> into tensor<100x8xf32> at (tensor<1xi64>)
    ```
    Constraints:
    * (C1) one coordinate for each dimension of `dest`, naming a dimension of `updates` or an index tensor.
    * (C2) one indexing map for each index tensor, from the rank of `updates` to the tensor's.
  }];
  let arguments = (ins AnyRankedTensor:$updates, AnyRankedTensor:$dest, Variadic<AnyRankedTensor>:$indices,
                       AffineMapArrayAttr:$indexing_maps, DenseI64ArrayAttr:$coords,
                       Graph_ScatterKindAttr:$kind);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "custom<BareScatterKind>($kind) $updates `into` $dest `at` `(` $indices `)` `maps` $indexing_maps `coords` $coords attr-dict `:` type($updates) `into` type($dest) `at` `(` type($indices) `)`";
  let hasVerifier = 1;
}

def Graph_NonzeroOp : Graph_PureOp<"nonzero"> {
  let summary = "Positions of the true elements, in row-major order: a number of rows that depends on data.";
  let description = [{
    `positions` has a row of coordinates for each element that is true, `count` their number. The number of rows is a symbol
    of the function that a `graph.define_size` of `count` gives its value; everything but this op that uses the symbol comes
    after that.
    ```mlir
    %positions, %count = graph.nonzero %mask : tensor<4x4xi1> -> tensor<?x2xi64, #graph.dims<[s0, 2]>>
    graph.define_size %count is <[s0]> : tensor<i64>
    ```
    Constraints:
    * (C1) the input is of i1, the positions are of i64.
    * (C2) the positions' sizes are a symbol and the input's rank.
  }];
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$positions, Graph_Count:$count);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($positions)";
  let hasVerifier = 1;
}

#endif
