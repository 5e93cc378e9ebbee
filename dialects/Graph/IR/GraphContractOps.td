// Products: contraction, convolution, attention.
#ifndef TENON_GRAPH_CONTRACT_OPS_TD
#define TENON_GRAPH_CONTRACT_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

def Graph_ContractOp : Graph_PureOp<"contract"> {
  let summary = "Sum of products of two tensors over shared dimensions: matmul, batched matmul, linear, einsum.";
  let description = [{
    Three indexing maps from one iteration space to `lhs`, `rhs` and the result; dimensions absent from the result are
    summed. Half floats accumulate in f32, i8 in i32; the result is rounded once.
    ```mlir
    // x @ w.T
    %2 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
       : tensor<2x8xf32>, tensor<4x8xf32> -> tensor<2x4xf32>
    ```
    Constraints:
    * (C1) three maps over one iteration space, projected permutations; each dimension occurs in at least two of them
      (free dimensions of one operand: in that operand and in the result).
    * (C2) sizes agree.
  }];
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs, AffineMapArrayAttr:$indexing_maps);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$lhs `,` $rhs `maps` $indexing_maps attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::AffineMap getMap(unsigned i) { return ::llvm::cast<::mlir::AffineMapAttr>(getIndexingMaps()[i]).getValue(); }
  }];
}

def Graph_ConvOp : Graph_PureOp<"conv"> {
  let summary = "Convolution over any number of spatial dimensions, channels last.";
  let description = [{
    `input` is [N, spatial…, C], `filter` [O, C / groups, window…], the result [N, spatial…, O]:
    `result[n, p, o] = sum over c, w of padded[n, p * strides + w * dilations, g(o) * C/groups + c] * filter[o, c, w]`.
    `padded` is the input with `input_dilation - 1` zeros between neighbours (more than 1 makes it a transposed
    convolution), then `low` zeros before and `high` after (negative ones crop).
    ```mlir
    %2 = graph.conv %x, %w strides [2, 2] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1
       : tensor<1x8x8x3xf32>, tensor<16x3x3x3xf32> -> tensor<1x4x4x16xf32>
    ```
    Constraints:
    * (C1) one stride, low, high, dilation and input_dilation for each spatial dimension; all but low and high positive.
    * (C2) channels and groups divide; sizes follow.
  }];
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$filter, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$low,
                       DenseI64ArrayAttr:$high, DenseI64ArrayAttr:$dilations, DenseI64ArrayAttr:$input_dilation, I64Attr:$groups);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `,` $filter `strides` $strides `low` $low `high` $high `dilations` $dilations `input_dilation` $input_dilation `groups` $groups attr-dict `:` type($input) `,` type($filter) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_AttentionOp : Graph_PureOp<"attention", [AttrSizedOperandSegments, IsolatedFromAbove]> {
  let summary = "Scaled dot-product attention with any mask, and with a region that changes scores.";
  let description = [{
    `query` is [B, H, S, D], `key` [B, G, T, D], `value` [B, G, T, E], the result [B, H, S, E]; head `h` reads key and
    value head `h / (H / G)`. `score = scale * q·k`, plus the mask when it is of floats; keys where a mask of i1 is false,
    and with `causal` keys `t > s`, weigh nothing. Weights are the softmax over T; a row with no key left gives zeros when
    `zero_masked_rows` is set, else NaN, as the plain formula does.
    The mask is read through `mask_map` from (b, h, s, t).

    A region takes all scores [B, H, S, T] before the mask, in the type in which they are summed, and the captured tensors; it yields the
    scores to use and, after them, an i1 tensor [B, H, S, T]: keys where it is false weigh nothing. Its ops are
    elementwise work and movement. No such tensor is ever made: kernels evaluate the region point by point, and skip
    blocks of keys for which interval arithmetic on the region shows that no row keeps one.
    ```mlir
    %3 = graph.attention %q, %k, %v scale 0.125 causal : tensor<1x2x8x64xf32>, tensor<1x2x8x64xf32>, tensor<1x2x8x64xf32> -> tensor<1x2x8x64xf32>
    %4 = graph.attention %q, %k, %v captures(%slopes : tensor<2xf32>) scale 0.125 : … -> tensor<1x2x8x64xf32> {
    ^bb0(%scores: tensor<1x2x8x8xf32>, %s: tensor<2xf32>):
      %new = graph.map …
      graph.yield %new, %keep : tensor<1x2x8x8xf32>, tensor<1x2x8x8xi1>
    }
    ```
    Constraints:
    * (C1) ranks are 4, sizes agree, H is a multiple of G.
    * (C2) the mask is i1 or of the query's element type and comes with `mask_map`.
    * (C3) a region takes the scores and the captures, and yields scores and perhaps an i1 tensor of their shape; without
      a region there are no captures.
    * (C4) a region holds only maps, gathers, constants, sizes and ops that move elements.
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$key, AnyRankedTensor:$value, Optional<AnyRankedTensor>:$mask,
                       Variadic<AnyRankedTensor>:$captures,
                       F64Attr:$scale, UnitAttr:$causal, UnitAttr:$zero_masked_rows, OptionalAttr<AffineMapAttr>:$mask_map);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region MaxSizedRegion<1>:$body);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`mask` $mask^)? (`captures` `(` $captures^ `:` type($captures) `)`)? `scale` $scale
    (`causal` $causal^)? attr-dict `:` type($query) `,` type($key) `,` type($value) (`mask` type($mask)^)? `->` type($result)
    ($body^)?
  }];
  let hasVerifier = 1;
  let builders = [
    /// Without a region.
    OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$query, "::mlir::Value":$key, "::mlir::Value":$value,
                   "::mlir::Value":$mask, "::mlir::FloatAttr":$scale, "::mlir::UnitAttr":$causal,
                   "::mlir::UnitAttr":$zero_masked_rows, "::mlir::AffineMapAttr":$mask_map)>
  ];
  let extraClassDeclaration = [{
    /// Type of the region's scores: [B, H, S, T] of the type in which products of the query's elements are summed.
    ::mlir::RankedTensorType getScoreType();
    bool hasBody() { return !getBody().empty(); }
    /// What the region yields as scores and as keep; null without a region, or when it yields none.
    ::mlir::Value getYieldedScore();
    ::mlir::Value getYieldedKeep();
  }];
}

#endif
