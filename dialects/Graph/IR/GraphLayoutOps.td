// Ops that move elements without changing them.
#ifndef TENON_GRAPH_LAYOUT_OPS_TD
#define TENON_GRAPH_LAYOUT_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

def Graph_PermuteOp : Graph_PureOp<"permute", [DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "Reorders the dimensions of a tensor.";
  let description = [{
    Result dimension `i` is input dimension `order[i]`.
    ```mlir
    %1 = graph.permute %0 order [1, 0] : tensor<2x3xf32>
    ```
    Constraints:
    * (C1) `order` is a permutation of `0 .. rank(input)-1`.
  }];
  let arguments = (ins AnyRankedTensor:$input, DenseI64ArrayAttr:$order);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `order` $order attr-dict `:` type($input)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_ReshapeOp : Graph_PureOp<"reshape"> {
  let summary = "Gives the elements, in row-major order, another shape.";
  let description = [{
    ```mlir
    %1 = graph.reshape %0 : tensor<2x6xf32> -> tensor<3x4xf32>
    ```
    Constraints:
    * (C1) both shapes hold the same number of elements, as expressions; same element type.
  }];
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_BroadcastOp : Graph_PureOp<"broadcast"> {
  let summary = "Repeats a tensor along new or unit dimensions.";
  let description = [{
    Input dimension `i` becomes result dimension `dims[i]`; where its size is 1 and the result's is not, it repeats.
    ```mlir
    %1 = graph.broadcast %0 dims [1] : tensor<3xf32> -> tensor<2x3xf32>
    ```
    Constraints:
    * (C1) `dims` names distinct result dimensions in rising order, one for each input dimension.
    * (C2) sizes agree, or the input's is 1.
  }];
  let arguments = (ins AnyRankedTensor:$input, DenseI64ArrayAttr:$dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `dims` $dims attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_SliceOp : Graph_PureOp<"slice"> {
  let summary = "Takes a regular part of a tensor.";
  let description = [{
    `result[i] = input[offsets + i * strides]`; the result's type gives the sizes.
    ```mlir
    %1 = graph.slice %0 offsets #graph.dims<[0, 1]> strides [1, 2] : tensor<4x8xf32> -> tensor<4x3xf32>
    ```
    Constraints:
    * (C1) one offset and one stride for each dimension, strides positive.
    * (C2) where all is static, the slice lies inside the input.
  }];
  let arguments = (ins AnyRankedTensor:$input, Graph_DimsAttr:$offsets, DenseI64ArrayAttr:$strides);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `offsets` $offsets `strides` $strides attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_InsertSliceOp : Graph_PureOp<"insert_slice", [AllTypesMatch<["dest", "result"]>]> {
  let summary = "A tensor with a regular part replaced.";
  let description = [{
    The inverse of `graph.slice`: `result` is `dest` but for `result[offsets + i * strides] = source[i]`.
    ```mlir
    %2 = graph.insert_slice %0 into %1 offsets #graph.dims<[0, 1]> strides [1, 2] : tensor<4x3xf32> into tensor<4x8xf32>
    ```
    Constraints:
    * (C1) as for `graph.slice`, of `dest` giving `source`.
  }];
  let arguments = (ins AnyRankedTensor:$source, AnyRankedTensor:$dest, Graph_DimsAttr:$offsets, DenseI64ArrayAttr:$strides);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$source `into` $dest `offsets` $offsets `strides` $strides attr-dict `:` type($source) `into` type($dest)";
  let hasVerifier = 1;
}

def Graph_PadOp : Graph_PureOp<"pad"> {
  let summary = "Surrounds a tensor with a constant.";
  let description = [{
    `low` and `high` elements of `value` before and after, in each dimension.
    ```mlir
    %1 = graph.pad %0 low #graph.dims<[1, 0]> high #graph.dims<[1, 0]> value 0.0 : f32 : tensor<2x3xf32> -> tensor<4x3xf32>
    ```
    Constraints:
    * (C1) one `low` and `high` for each dimension, not negative where static; result sizes are low + size + high.
    * (C2) `value` has the element type.
  }];
  let arguments = (ins AnyRankedTensor:$input, Graph_DimsAttr:$low, Graph_DimsAttr:$high, TypedAttrInterface:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `low` $low `high` $high `value` $value attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_ConcatOp : Graph_PureOp<"concat"> {
  let summary = "Joins tensors along one dimension.";
  let description = [{
    ```mlir
    %2 = graph.concat %0, %1 dim 0 : tensor<2x3xf32>, tensor<4x3xf32> -> tensor<6x3xf32>
    ```
    Constraints:
    * (C1) inputs agree with the result except in `dim`, where their sizes add up to the result's.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs, I64Attr:$dim);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$inputs `dim` $dim attr-dict `:` type($inputs) `->` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_ReverseOp : Graph_PureOp<"reverse", [AllTypesMatch<["input", "result"]>]> {
  let summary = "Reverses the order along some dimensions.";
  let description = [{
    ```mlir
    %1 = graph.reverse %0 dims [0] : tensor<2x3xf32>
    ```
    Constraints:
    * (C1) `dims` are distinct dimensions of the input.
  }];
  let arguments = (ins AnyRankedTensor:$input, DenseI64ArrayAttr:$dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `dims` $dims attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def Graph_AssertDimOp : Graph_PureOp<"assert_dim"> {
  let summary = "The same tensor, with sizes claimed to equal other expressions.";
  let description = [{
    Checked at run time, before anything is computed from the result.
    ```mlir
    %1 = graph.assert_dim %0 : tensor<?xf32, #graph.dims<[s0]>> -> tensor<?xf32, #graph.dims<[s1 * 2]>>
    ```
    Constraints:
    * (C1) same rank and element type.
  }];
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

#endif
