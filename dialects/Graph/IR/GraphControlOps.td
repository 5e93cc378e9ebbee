// Control flow with regions of graph ops. Regions are isolated: what they use of outside comes in as `captures`.
#ifndef TENON_GRAPH_CONTROL_OPS_TD
#define TENON_GRAPH_CONTROL_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

def Graph_ScanOp : Graph_PureOp<"scan", [AttrSizedOperandSegments, IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "A loop over the first dimension that carries values and stacks results: recurrent networks.";
  let description = [{
    The body takes the carried values, then one slice of each `xs` (first dimension taken off), then the captures; it
    yields the next carried values, then one slice for each stacked result. Results: final carried values, then the stacks.
    With `reverse` the slices are taken, and stacked, from last to first.
    ```mlir
    %h, %ys = graph.scan carry(%h0 : tensor<4xf32>) xs(%x : tensor<8x4xf32>) captures() -> (tensor<4xf32>, tensor<8x4xf32>) {
    ^bb0(%c: tensor<4xf32>, %xt: tensor<4xf32>):
      …
      graph.yield %n, %n : tensor<4xf32>, tensor<4xf32>
    }
    ```
    Constraints:
    * (C1) block arguments are the carried types, the slices' types and the captures' types.
    * (C2) yielded types are the carried types and the results' slices; all xs and stacks agree in length.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$carry, Variadic<AnyRankedTensor>:$xs, Variadic<AnyRankedTensor>:$captures, UnitAttr:$reverse);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    (`reverse` $reverse^)? `carry` `(` ($carry^ `:` type($carry))? `)` `xs` `(` ($xs^ `:` type($xs))? `)`
    `captures` `(` ($captures^ `:` type($captures))? `)` attr-dict `->` `(` type($results) `)` $body
  }];
  let hasVerifier = 1;
}

#endif
