// Reductions, scans and orders along dimensions.
#ifndef TENON_GRAPH_REDUCTION_OPS_TD
#define TENON_GRAPH_REDUCTION_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

def Graph_ReduceOp : Graph_PureOp<"reduce"> {
  let summary = "Combines all elements along some dimensions, which disappear.";
  let description = [{
    An empty reduction gives the kind's identity. max and min of floats propagate NaN.
    Integer max and min are signed; any and all take and give i1. logsumexp adds what its elements are logarithms of.
    ```mlir
    %1 = graph.reduce sum %0 dims [1] : tensor<2x3xf32> -> tensor<2xf32>
    ```
    Constraints:
    * (C1) `dims` are distinct dimensions of the input in rising order; the result keeps the others.
    * (C2) same element type; any and all on i1, logsumexp on floats.
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, AnyRankedTensor:$input, DenseI64ArrayAttr:$dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "custom<BareReduceKind>($kind) $input `dims` $dims attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ArgReduceOp : Graph_PureOp<"arg_reduce"> {
  let summary = "Position of the largest or smallest element along one dimension; the first one wins, a NaN before all.";
  let description = [{
    ```mlir
    %1 = graph.arg_reduce max %0 dim 1 : tensor<2x3xf32> -> tensor<2xi64>
    ```
    Constraints:
    * (C1) `kind` is max or min; the result is i64 and keeps the other dimensions.
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, AnyRankedTensor:$input, I64Attr:$dim);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "custom<BareReduceKind>($kind) $input `dim` $dim attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ReduceWindowOp : Graph_PureOp<"reduce_window"> {
  let summary = "Combines the elements of a sliding window: pooling.";
  let description = [{
    For each result point the window of `window[d]` positions, `dilations[d]` apart, that begins at
    `i[d] * strides[d] - low[d]`; positions outside the input are skipped (they are the identity of `kind`).
    ```mlir
    %1 = graph.reduce_window max %0 window [1, 3, 3, 1] strides [1, 2, 2, 1] low [0, 1, 1, 0] dilations [1, 1, 1, 1]
       : tensor<1x8x8x4xf32> -> tensor<1x4x4x4xf32>
    ```
    Constraints:
    * (C1) one window, stride, low and dilation for each dimension, positive (low: not negative).
    * (C2) same element type; kind is sum, prod, max or min.
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, AnyRankedTensor:$input,
                       DenseI64ArrayAttr:$window, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$dilations);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "custom<BareReduceKind>($kind) $input `window` $window `strides` $strides `low` $low `dilations` $dilations attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_CumulateOp : Graph_PureOp<"cumulate", [AllTypesMatch<["input", "result"]>]> {
  let summary = "Running combination along one dimension: cumsum, cumprod, cummax, cummin, logcumsumexp.";
  let description = [{
    `result[k] = input[0] ∘ … ∘ input[k]`.

    With blocks, a line falls into blocks of `block` elements, which are independent: `result[k] = carries[b - 1] ∘ input[first
    of block b] ∘ … ∘ input[k]` where `b = k floordiv block`; block 0 has no carry. `carries` has an entry for each whole block.
    ```mlir
    %1 = graph.cumulate sum %0 dim 1 : tensor<2x3xf32>
    %2 = graph.cumulate sum %0 dim 1 block 2 carries %c : tensor<2x3xf32>, tensor<2x1xf32>
    ```
    Constraints:
    * (C1) `dim` is a dimension of the input; the kind fits the element type as in `graph.reduce`.
    * (C2) `block` is positive; it and `carries` come together. `carries` has the input's sizes but for `dim`, where it has the
      number of whole blocks, and its element type, or f32 where that is f16 or bf16.
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, AnyRankedTensor:$input, I64Attr:$dim, OptionalAttr<I64Attr>:$block,
                       Optional<AnyRankedTensor>:$carries);
  let results = (outs AnyRankedTensor:$result);
  let builders = [OpBuilder<(ins "ReduceKind":$kind, "::mlir::Value":$input, "int64_t":$dim), [{
    build($_builder, $_state, input.getType(), ReduceKindAttr::get($_builder.getContext(), kind), input,
          $_builder.getI64IntegerAttr(dim), ::mlir::IntegerAttr(), ::mlir::Value());
  }]>];
  let assemblyFormat = "custom<BareReduceKind>($kind) $input `dim` $dim (`block` $block^ `carries` $carries)? attr-dict `:` type($input) (`,` type($carries)^)?";
  let hasVerifier = 1;
}

def Graph_SortOp : Graph_PureOp<"sort", [AllTypesMatch<["input", "values"]>]> {
  let summary = "Sorts along one dimension, keeping the order of equals; NaN counts as the largest.";
  let description = [{
    ```mlir
    %values, %indices = graph.sort %0 dim 1 descending : tensor<2x3xf32> -> tensor<2x3xi64>
    ```
    Constraints:
    * (C1) `dim` is a dimension of the input; indices are i64 of the input's shape.
  }];
  let arguments = (ins AnyRankedTensor:$input, I64Attr:$dim, UnitAttr:$descending);
  let results = (outs AnyRankedTensor:$values, AnyRankedTensor:$indices);
  let assemblyFormat = "$input `dim` $dim (`descending` $descending^)? attr-dict `:` type($input) `->` type($indices)";
  let hasVerifier = 1;
}

#endif
