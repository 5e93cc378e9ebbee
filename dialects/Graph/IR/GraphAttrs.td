#ifndef TENON_GRAPH_ATTRS_TD
#define TENON_GRAPH_ATTRS_TD

include "dialects/Graph/IR/GraphDialect.td"

class Graph_Attr<string name, string attrMnemonic, list<Trait> traits = []> : AttrDef<Graph_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Graph_DimsAttr : Graph_Attr<"Dims", "dims", [
    DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "One size expression per dimension.";
  let description = [{
    `tensor<?x384xf32, #graph.dims<[s0, 384]>>`. Expressions are built from the function's symbols `s0`, `s1`, …,
    constants, `+ * floordiv ceildiv mod`, in the normal form of `AffineExpr`. Two sizes are the same when their
    expressions are identical.
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::AffineExpr">:$exprs);
  let hasCustomAssemblyFormat = 1;
}

def Graph_SymbolAttr : Graph_Attr<"Symbol", "symbol"> {
  let summary = "A symbolic size: its name and its inclusive range.";
  let description = [{
    Inputs show the value of a symbol, except of one with a `bound`: that one depends on data. A `graph.define_size` gives
    it a value of at most `bound`, one expression over earlier symbols.
    ```mlir
    #graph.symbol<"batch", 1, 64>                      // seen in an input
    #graph.symbol<"found", 0, 4096, bound <[s0 * 8]>>  // found by the call
    ```
  }];
  let parameters = (ins StringRefParameter<"name in the model">:$name, "int64_t":$min, "int64_t":$max,
                        OptionalParameter<"::tenon::graph::DimsAttr">:$bound);
  let builders = [AttrBuilder<(ins "::llvm::StringRef":$name, "int64_t":$min, "int64_t":$max), [{
    return $_get($_ctxt, name, min, max, DimsAttr());
  }]>];
  let assemblyFormat = "`<` $name `,` $min `,` $max (`,` `bound` $bound^)? `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Whether its value depends on data, so that a call finds it.
    bool isFound() const { return static_cast<bool>(getBound()); }
  }];
}

def Graph_WeightSourceAttr : Graph_Attr<"WeightSource", "source"> {
  let summary = "Where the bytes of a weight are.";
  let description = [{
    `kind` is `file` (bytes `offset .. offset + length` of the file `path`, or of the archive entry mapped there),
    `splat` (every element is `value`), `seed` (uniform in [-value, value], reproducible, for tests) or `owned`
    (bytes held by the WeightStore under the weight's own name).
  }];
  let parameters = (ins StringRefParameter<"">:$kind, StringRefParameter<"">:$path, "int64_t":$offset,
                        "int64_t":$length, "::mlir::FloatAttr":$value);
  let assemblyFormat = "`<` $kind `,` $path `,` $offset `,` $length `,` $value `>`";
  let genVerifyDecl = 1;
}

def Graph_ReduceKind : I32EnumAttr<"ReduceKind", "how elements combine", [
    I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Prod", 1, "prod">,
    I32EnumAttrCase<"Max", 2, "max">, I32EnumAttrCase<"Min", 3, "min">,
    I32EnumAttrCase<"Any", 4, "any">, I32EnumAttrCase<"All", 5, "all">,
    I32EnumAttrCase<"LogSumExp", 6, "logsumexp">]> {
  let cppNamespace = "::tenon::graph";
  let genSpecializedAttr = 0;
}

def Graph_ScatterKind : I32EnumAttr<"ScatterKind", "how an update meets what is there", [
    I32EnumAttrCase<"Set", 0, "set">, I32EnumAttrCase<"Sum", 1, "sum">, I32EnumAttrCase<"Prod", 2, "prod">,
    I32EnumAttrCase<"Max", 3, "max">, I32EnumAttrCase<"Min", 4, "min">]> {
  let cppNamespace = "::tenon::graph";
  let genSpecializedAttr = 0;
}

def Graph_ReduceKindAttr : EnumAttr<Graph_Dialect, Graph_ReduceKind, "reduce_kind">;
def Graph_ScatterKindAttr : EnumAttr<Graph_Dialect, Graph_ScatterKind, "scatter_kind">;

// tensor<i64>, for counts.
def Graph_Count : Type<CPred<"$_self == ::mlir::RankedTensorType::get({}, ::mlir::IntegerType::get($_self.getContext(), 64))">,
                       "tensor<i64>", "::mlir::RankedTensorType">,
                  BuildableType<"::mlir::RankedTensorType::get({}, $_builder.getI64Type())">;

#endif
