// Weights, variables, constants and sizes: where values come from.
#ifndef TENON_GRAPH_STRUCTURE_OPS_TD
#define TENON_GRAPH_STRUCTURE_OPS_TD
include "dialects/Graph/IR/GraphAttrs.td"

def Graph_WeightOp : Graph_Op<"weight", [Symbol]> {
  let summary = "Declares a tensor whose bytes lie beside the module.";
  let description = [{
    ```mlir
    graph.weight @fc.weight : tensor<10x784xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
    ```
    Constraints:
    * (C1) the type is static and without symbolic sizes.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, Graph_WeightSourceAttr:$source);
  let assemblyFormat = "$sym_name `:` $type `from` $source attr-dict";
  let hasVerifier = 1;
}

def Graph_UseWeightOp : Graph_PureOp<"use_weight", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The value of a weight.";
  let description = [{
    ```mlir
    %0 = graph.use_weight @fc.weight : tensor<10x784xf32>
    ```
    Constraints:
    * (C1) the symbol is a `graph.weight` of the result's type.
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyStaticShapeTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

def Graph_VariableOp : Graph_Op<"variable", [Symbol]> {
  let summary = "Declares a tensor that lives as long as a session: a KV cache, a running statistic, a parameter in training.";
  let description = [{
    A function takes its value as an argument and returns the new one, both marked `graph.state = @name`.
    `init` names a `graph.weight` with the initial value; without it the variable starts as zeros.
    ```mlir
    graph.variable @kv : tensor<1x4x256x64xf32>
    ```
    Constraints:
    * (C1) the type is static.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, OptionalAttr<FlatSymbolRefAttr>:$init, UnitAttr:$persistent);
  let assemblyFormat = "$sym_name `:` $type (`init` $init^)? attr-dict";
  let hasVerifier = 1;
}

def Graph_ConstantOp : Graph_PureOp<"constant", [ConstantLike, AllTypesMatch<["value", "result"]>]> {
  let summary = "A small constant tensor; more than 1 KiB of distinct data is a weight.";
  let description = [{
    ```mlir
    %0 = graph.constant dense<1.0> : tensor<4xf32>
    ```
    Constraints:
    * (C1) a value that is not a splat has at most 1 KiB of data.
  }];
  let arguments = (ins ElementsAttr:$value);
  let results = (outs AnyStaticShapeTensor:$result);
  let assemblyFormat = "$value attr-dict";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_SizeOp : Graph_PureOp<"size"> {
  let summary = "The value of size expressions, as an i64 tensor.";
  let description = [{
    One expression gives a tensor of rank 0, n expressions in brackets a tensor of n elements when `vector` is set.
    ```mlir
    %0 = graph.size <[s0 + 1]> : tensor<i64>
    ```
    Constraints:
    * (C1) the result is `tensor<i64>` for one expression, `tensor<nxi64>` for n.
  }];
  let arguments = (ins Graph_DimsAttr:$exprs);
  let results = (outs AnyStaticShapeTensor:$result);
  let assemblyFormat = "$exprs attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Graph_DefineSizeOp : Graph_Op<"define_size"> {
  let summary = "Gives a symbol whose value depends on data its value.";
  let description = [{
    Everything that uses the symbol, except the op that counted it, comes after. A value that is below the symbol's minimum,
    above its maximum or above its bound is an error at run time.
    ```mlir
    graph.define_size %n is <[s1]> : tensor<i64>
    ```
    Constraints:
    * (C1) the expression is one symbol.
    * (C2) the value is one i64.
    * (C3) the function declares the symbol with a bound, and nothing else gives it a value.
  }];
  let arguments = (ins AnyRankedTensor:$value, Graph_DimsAttr:$expr);
  let assemblyFormat = "$value `is` $expr attr-dict `:` type($value)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    unsigned getSymbol() { return ::llvm::cast<::mlir::AffineSymbolExpr>(getExpr().getExprs()[0]).getPosition(); }
  }];
}

def Graph_YieldOp : Graph_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "Ends a region of a graph op and hands out its results.";
  let description = [{
    ```mlir
    graph.yield %sum : f32
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
  let builders = [OpBuilder<(ins), [{ (void)$_state; }]>];
}

#endif
