// Elementwise work: one op, with a scalar region.
#ifndef TENON_GRAPH_ELEMENTWISE_OPS_TD
#define TENON_GRAPH_ELEMENTWISE_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

// Isolated, so that folding leaves the region's constants in the region.
def Graph_MapOp : Graph_PureOp<"map", [IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "Applies a scalar function at every point of the result.";
  let description = [{
    `result[i] = region(input0[map0(i)], input1[map1(i)], …)`. An indexing map takes the result's dimensions to an
    input's; each of its results is one dimension or the constant 0, the latter only where the input's size is 1: that
    is how broadcasts and permutations are written. The region holds ops of arith, math and complex on scalars, and
    `graph.index`. Several results share one shape.

    ```mlir
    %2 = graph.map ins(%0, %1 : tensor<2x3xf32>, tensor<3xf32>)
        maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] -> tensor<2x3xf32> {
    ^bb0(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      graph.yield %s : f32
    }
    ```
    Constraints:
    * (C1) one indexing map for each input, from the result's rank to the input's, each result a dimension or 0.
    * (C2) the size that a map reads equals the result's size there; it is 1 where the map says 0.
    * (C3) block arguments and yielded values have the inputs' and results' element types; results share one shape.
    * (C4) the region holds only scalar ops of arith, math, complex and `graph.index`.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs, AffineMapArrayAttr:$indexing_maps);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "(`ins` `(` $inputs^ `:` type($inputs) `)`)? `maps` $indexing_maps attr-dict `->` type($results) $body";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    ::mlir::AffineMap getMap(unsigned input) {
      return ::llvm::cast<::mlir::AffineMapAttr>(getIndexingMaps()[input]).getValue();
    }
    ::mlir::Block *getBlock() { return &getBody().front(); }
    int64_t getRank() { return ::llvm::cast<::mlir::RankedTensorType>(getResult(0).getType()).getRank(); }
    /// Builds a map whose body is made by `body(builder, loc, scalars) -> yielded values`.
    static MapOp build(::mlir::OpBuilder &builder, ::mlir::Location loc, ::mlir::TypeRange results,
                       ::mlir::ValueRange inputs, ::llvm::ArrayRef<::mlir::AffineMap> maps,
                       ::llvm::function_ref<::llvm::SmallVector<::mlir::Value>(
                           ::mlir::OpBuilder &, ::mlir::Location, ::mlir::ValueRange)> body);
  }];
}

def Graph_IndexOp : Graph_Op<"index", [Pure]> {
  let summary = "Inside a region: the position along one dimension of the result.";
  let description = [{
    ```mlir
    %i = graph.index 1 : i64
    ```
  }];
  let arguments = (ins I64Attr:$dim);
  let results = (outs I64:$result);
  let assemblyFormat = "$dim attr-dict `:` type($result)";
}

def Graph_SizeValueOp : Graph_Op<"size_value", [Pure]> {
  let summary = "Inside a region: the value of a size expression.";
  let description = [{
    ```mlir
    %n = graph.size_value <[s0 * 2]> : i64
    ```
    Constraints:
    * (C1) there is one expression.
  }];
  let arguments = (ins Graph_DimsAttr:$expr);
  let results = (outs I64:$result);
  let assemblyFormat = "$expr attr-dict `:` type($result)";
  let hasVerifier = 1;
}

#endif
