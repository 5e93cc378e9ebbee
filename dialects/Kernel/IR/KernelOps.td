// The kernel dialect: which ops run as one unit, and how its constants are laid out.
#ifndef TENON_KERNEL_OPS_TD
#define TENON_KERNEL_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Kernel_Dialect : Dialect {
  let name = "kernel";
  let cppNamespace = "::tenon::kernel";
  let summary = "The unit of work.";
  let description = [{
    A `kernel.func` is one unit of work: graph ops that run together, one grid of tiles, one piece of machine code.
    An entry (`func.func`) at this level holds only `kernel.call`, `graph.reshape` (another view of the same buffer),
    `graph.constant`, `graph.use_weight`, `graph.define_size`, control flow (`graph.scan`, `graph.cond`, `graph.while`) over such
    bodies, and `return`.

    Attributes of a `kernel.func`:
    * `kernel.layout` on an argument: the layout in which a constant is stored for this kernel.
    * `kernel.may_alias = i` on an argument: result `i` may share its buffer; every element is read before it is written.
    * `tiles`, `scratch`: the grid's size, and scratch bytes for each worker, as `#graph.dims` of one expression;
      set by scheduling, in the phase `lower`.
    * `work`: arithmetic operations of a call, `#graph.dims` of one expression; what decides serial or parallel.
    * `sites`: error sites of the kernel, strings with {0} and {1}; a call passes the index of its first.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::tenon::graph::GraphDialect"];
}

class Kernel_Op<string mnemonic, list<Trait> traits = []> : Op<Kernel_Dialect, mnemonic, traits>;

def Kernel_LayoutAttr : AttrDef<Kernel_Dialect, "Layout"> {
  let mnemonic = "layout";
  let summary = "How a constant is stored: transposed, in panels.";
  let description = [{
    The constant's dimensions are reordered to `order`: first `n` dimensions that are paneled together (their row-major
    index is N), then the rest (K). With `width` w > 0 it is stored as [groups][ceil(N / groups / w)][K][w], padded with
    zeros; with `width` 0 simply as reordered. `groups` splits N into that many equal parts, each paneled on its own.
    ```mlir
    #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>     // w[out, in] of a linear layer
    ```
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$order, "int64_t":$n, "int64_t":$groups, "int64_t":$width);
  let assemblyFormat = "`<` `order` `=` `[` $order `]` `,` `n` `=` $n `,` `groups` `=` $groups `,` `width` `=` $width `>`";
  let extraClassDeclaration = [{
    /// Bytes that a constant of this type takes in this layout.
    int64_t getBytes(::mlir::RankedTensorType type) const;
  }];
}

def Kernel_FuncOp : Kernel_Op<"func", [FunctionOpInterface, IsolatedFromAbove, Symbol]> {
  let summary = "One unit of work: graph ops that run as one kernel.";
  let description = [{
    ```mlir
    kernel.func @relu(%x: tensor<4xf32>) -> tensor<4xf32> { … kernel.return %r : tensor<4xf32> }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// Layout of a constant argument, or null for a plain one.
    LayoutAttr getLayout(unsigned argument) { return getArgAttrOfType<LayoutAttr>(argument, "kernel.layout"); }
    /// The one expression of a `#graph.dims` attribute, or null.
    ::mlir::AffineExpr getExpr(::llvm::StringRef attribute);
    void setExpr(::llvm::StringRef attribute, ::mlir::AffineExpr expr);
  }];
}

def Kernel_ReturnOp : Kernel_Op<"return", [Pure, Terminator, ReturnLike, HasParent<"FuncOp">]> {
  let summary = "Ends a kernel.";
  let description = [{
    ```mlir
    kernel.return %0 : tensor<4xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
}

def Kernel_CallOp : Kernel_Op<"call", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Runs a kernel.";
  let description = [{
    ```mlir
    %1 = kernel.call @relu(%0) : (tensor<4xf32>) -> tensor<4xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "$callee `(` $inputs `)` attr-dict `:` functional-type($inputs, $results)";
}

#endif
