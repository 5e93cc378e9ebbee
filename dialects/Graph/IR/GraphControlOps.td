// Control flow with regions of graph ops. Regions are isolated: what they use of outside comes in as `captures`, the last
// arguments of every region.
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
  let hasCanonicalizer = 1;
}

// tensor<i1>, the one type there is for a decision.
def Graph_Predicate : Type<CPred<"$_self == ::mlir::RankedTensorType::get({}, ::mlir::IntegerType::get($_self.getContext(), 1))">,
                           "tensor<i1>", "::mlir::RankedTensorType">,
                      BuildableType<"::mlir::RankedTensorType::get({}, $_builder.getI1Type())">;

def Graph_CondOp : Graph_PureOp<"cond", [IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "One of two regions, as a predicate says.";
  let description = [{
    Both regions take the captures and yield the results. Only the chosen one is computed. A state that is updated in one
    region is passed through the other.
    ```mlir
    %r = graph.cond %p captures(%x : tensor<4xf32>) -> (tensor<4xf32>) then {
    ^bb0(%a: tensor<4xf32>):
      …
      graph.yield %b : tensor<4xf32>
    } else {
    ^bb0(%a: tensor<4xf32>):
      graph.yield %a : tensor<4xf32>
    }
    ```
    Constraints:
    * (C1) each region takes the captures' types.
    * (C2) each region yields the results' types.
  }];
  let arguments = (ins Graph_Predicate:$predicate, Variadic<AnyRankedTensor>:$captures);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$then_body, SizedRegion<1>:$else_body);
  let assemblyFormat = [{
    $predicate `captures` `(` ($captures^ `:` type($captures))? `)` attr-dict (`->` `(` type($results)^ `)`)?
    `then` $then_body `else` $else_body
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}

def Graph_WhileOp : Graph_PureOp<"while", [
    AttrSizedOperandSegments, IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">,
    RangedTypesMatchWith<"results have the types of the carried values", "carry", "results", "$_self">]> {
  let summary = "A loop that carries values for as long as a condition on them holds.";
  let description = [{
    Both regions take the carried values, then the captures. The first yields whether another step follows, the second the
    next carried values. The results are the last carried values; without any step they are the first.
    ```mlir
    %n = graph.while carry(%i : tensor<i64>) captures(%limit : tensor<i64>) {
    ^bb0(%c: tensor<i64>, %l: tensor<i64>):
      …
      graph.yield %goesOn : tensor<i1>
    } do {
    ^bb0(%c: tensor<i64>, %l: tensor<i64>):
      …
      graph.yield %next : tensor<i64>
    }
    ```
    Constraints:
    * (C1) each region takes the types of the carried values and of the captures.
    * (C2) the condition yields one `tensor<i1>`, the body the types of the carried values.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$carry, Variadic<AnyRankedTensor>:$captures);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$condition, SizedRegion<1>:$body);
  let assemblyFormat = [{
    `carry` `(` ($carry^ `:` type($carry))? `)` `captures` `(` ($captures^ `:` type($captures))? `)`
    attr-dict-with-keyword
    $condition `do` $body
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}

#endif
