// Passes on the graph dialect.
#ifndef TENON_GRAPH_TRANSFORMS_PASSES_TD
#define TENON_GRAPH_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def SinkPermutesPass : Pass<"tenon-graph-sink-permutes"> {
  let summary = "Moves permutes towards the results, where they meet and cancel.";
  let description = [{
    Why: importers surround every convolution with a change of layout, because `graph.conv` has channels last; most of
    those changes undo each other once nothing stands between them.

    Requires: any graph-level IR.
    Guarantees: a map, reduction, concatenation or padding does not have all its full-size inputs permuted in the same
    way; a contraction reads no permuted operand, and none that is repeated along a batch dimension; a permute that moves only sizes of 1 is a reshape.

    ```mlir
    %1 = graph.permute %0 order [1, 0] : tensor<2x3xf32>
    %2 = graph.reduce sum %1 dims [0] : tensor<3x2xf32> -> tensor<2xf32>
    // becomes
    %2 = graph.reduce sum %0 dims [1] : tensor<2x3xf32> -> tensor<2xf32>
    ```
  }];
  let dependentDialects = ["::tenon::graph::GraphDialect"];
}

def DecomposeContractsPass : Pass<"tenon-graph-decompose-contracts"> {
  let summary = "Turns contractions that no backend runs as such into a product and a sum.";
  let description = [{
    Why: kernels for contractions sum over one dimension and have one dimension of columns; an outer product or a sum
    over two dimensions is rare and is a map and a reduction as well.

    Requires: any graph-level IR.
    Guarantees: every `graph.contract` has one summed dimension, and the innermost dimension of its result is the only
    one that belongs to the operand that has it and to the result alone.

    ```mlir
    %2 = graph.contract %0, %1 maps [affine_map<(n, k, l) -> (k, l)>, affine_map<(n, k, l) -> (n, k, l)>, affine_map<(n, k, l) -> (n)>]
       : tensor<2x3xf32>, tensor<4x2x3xf32> -> tensor<4xf32>
    // becomes
    %p = graph.map ins(%0, %1 : tensor<2x3xf32>, tensor<4x2x3xf32>)
        maps [affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1, d2)>] -> tensor<4x2x3xf32> { … arith.mulf … }
    %2 = graph.reduce sum %p dims [1, 2] : tensor<4x2x3xf32> -> tensor<4xf32>
    ```
  }];
  let dependentDialects = ["::tenon::graph::GraphDialect"];
}

def SplitComplexPass : Pass<"tenon-graph-split-complex", "::mlir::ModuleOp"> {
  let summary = "Turns complex tensors into pairs of real ones.";
  let description = [{
    Why: kernels know real numbers; as pairs, complex ones take part in fusion, derivatives and layouts like others.

    Requires: any graph-level IR.
    Guarantees: no value is complex. Complex arguments and results of functions are real ones with a last dimension of
    2, marked `graph.complex`; so are weights and variables.

    ```mlir
    func.func @f(%x: tensor<4xcomplex<f32>>) -> tensor<4xf32> {
      %0 = graph.map ins(%x : tensor<4xcomplex<f32>>) … { … complex.abs … }
    // becomes
    func.func @f(%x: tensor<4x2xf32> {graph.complex}) -> tensor<4xf32> {
      %0 = graph.slice %x offsets <[0, 0]> …
      %1 = graph.slice %x offsets <[0, 1]> …
      %2 = graph.map ins(%0, %1 : tensor<4xf32>, tensor<4xf32>) …
    ```
  }];
  let dependentDialects = ["::tenon::graph::GraphDialect", "::mlir::complex::ComplexDialect"];
}

def SplitScansPass : Pass<"tenon-graph-split-scans"> {
  let summary = "Cuts long lines of running combinations into blocks.";
  let description = [{
    Why: along one line each element needs the one before it, so that a long line would be one thread's work. The blocks'
    totals are reductions, their running combination is short, and with it blocks are independent: about twice the arithmetic,
    for any number of threads. Where blocks lie depends on the line's length alone, so that a line's bits do not depend on
    how many others there are.

    A block's product of floats can overflow where the running one stays zero: totals of those are mantissas and exponents,
    which are combined apart. A symbolic line that may have more than 1024 * 1024 of them is left alone.

    Requires: any graph-level IR.
    Guarantees: a `graph.cumulate` along more than 1024 elements, or along a size that may be larger, has blocks; of the
    latter's totals nothing is known.

    ```mlir
    %1 = graph.cumulate sum %0 dim 0 : tensor<5000xf32>
    // becomes
    %whole = graph.slice %0 offsets #graph.dims<[0]> strides [1] : tensor<5000xf32> -> tensor<4096xf32>
    %blocks = graph.reshape %whole : tensor<4096xf32> -> tensor<4x1024xf32>
    %totals = graph.reduce sum %blocks dims [1] : tensor<4x1024xf32> -> tensor<4xf32>
    %carries = graph.cumulate sum %totals dim 0 : tensor<4xf32>
    %1 = graph.cumulate sum %0 dim 0 block 1024 carries %carries : tensor<5000xf32>, tensor<4xf32>
    ```
  }];
  let dependentDialects = ["::tenon::graph::GraphDialect"];
}

def RaiseAttentionPass : Pass<"tenon-graph-raise-attention"> {
  let summary = "Recognises attention that an exporter took apart.";
  let description = [{
    Why: `run_decompositions()`, eager implementations and other exporters write attention as two products around a
    softmax, which costs a buffer of all scores; and they compute masks from positions, which costs one of all keeps.

    Requires: graph-level IR in canonical form.
    Guarantees: such a pair of products is one `graph.attention`; what stood between them is its region. Constant factors
    of query, key and scores are its scale, repeated heads are read once, a choice between a score and -inf is the
    region's keep. A mask that is computed from positions and small tensors is computed in the region.

    ```mlir
    %s = graph.contract %q, %k …
    %p = … softmax of %s …
    %o = graph.contract %p, %v …
    // becomes
    %o = graph.attention %q, %k, %v scale 1.0 …
    ```
  }];
  let dependentDialects = ["::tenon::graph::GraphDialect"];
}

#endif
