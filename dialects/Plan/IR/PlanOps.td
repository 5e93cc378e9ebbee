// The plan dialect: which bytes every value lives in, and in which order the work is done.
#ifndef TENON_PLAN_OPS_TD
#define TENON_PLAN_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Plan_Dialect : Dialect {
  let name = "plan";
  let cppNamespace = "::tenon::plan";
  let summary = "Memory and order.";
  let description = [{
    A `plan.func` is the order of work of one entry point. Its values are buffers: addresses of bytes without a type.
    Sizes, offsets and trip counts are expressions over the entry's symbols `s0`, `s1`, … and the counters of the
    enclosing loops, `d0` for the outermost. Each op stands for an event; a buffer lives from the first event that
    touches it to the last, and across the whole of every loop that it was made outside of.

    `plan.alloc` is memory of the call's arena. Its place is either `offset`, a constant, or `below`: the ids of
    the buffers under it, `offset = max over p in below of align64(offset(p) + bytes(p))`.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::tenon::graph::GraphDialect"];
}

class Plan_Op<string mnemonic, list<Trait> traits = []> : Op<Plan_Dialect, mnemonic, traits>;

def Plan_BufferType : TypeDef<Plan_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "The address of some bytes.";
}

def Plan_ExprAttr : AttrDef<Plan_Dialect, "Expr"> {
  let mnemonic = "expr";
  let summary = "An integer expression over symbols and loop counters, in normal form.";
  let parameters = (ins "::mlir::AffineExpr":$value);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    std::optional<int64_t> getConstant() const { return graph::asConstant(getValue()); }
  }];
}

def Plan_ExprArrayAttr : TypedArrayAttrBase<Plan_ExprAttr, "expressions">;

def Plan_SiteAttr : AttrDef<Plan_Dialect, "Site"> {
  let mnemonic = "site";
  let summary = "A failure that the program can find: status code, message with {0} and {1}, place in the model.";
  let parameters = (ins "int32_t":$code, StringRefParameter<"">:$message, StringRefParameter<"">:$place);
  let assemblyFormat = "`<` $code `,` $message `,` $place `>`";
}

//===----------------------------------------------------------------------===//
// Module level
//===----------------------------------------------------------------------===//

def Plan_ConstantOp : Plan_Op<"constant", [Symbol]> {
  let summary = "Bytes of the constants segment.";
  let description = [{
    The contents are a weight or a value, stored as tensor `type`, in `layout` when there is one.
    ```mlir
    plan.constant @c0 at 128 bytes 64 : tensor<4x4xf32> {weight = @w}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$offset, I64Attr:$bytes, TypeAttr:$type,
                       OptionalAttr<FlatSymbolRefAttr>:$weight, OptionalAttr<ElementsAttr>:$value,
                       OptionalAttr<AnyAttr>:$layout);
  let assemblyFormat = "$sym_name `at` $offset `bytes` $bytes `:` $type attr-dict";
  let hasVerifier = 1;
}

def Plan_VariableOp : Plan_Op<"variable", [Symbol]> {
  let summary = "Memory of the session; its index among the states is its position among the variables.";
  let description = [{
    ```mlir
    plan.variable @kv bytes 65536 : tensor<1x4x64x64xf32> init @c3
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$bytes, TypeAttr:$type, OptionalAttr<FlatSymbolRefAttr>:$init,
                       UnitAttr:$persistent);
  let assemblyFormat = "$sym_name `bytes` $bytes `:` $type (`init` $init^)? attr-dict";
}

def Plan_FuncOp : Plan_Op<"func", [Symbol, IsolatedFromAbove, NoTerminator, SingleBlock]> {
  let summary = "The work of one entry point, in order.";
  let description = [{
    `inputs` and `outputs` describe the caller's tensors, a dictionary each: `type` and the attributes that the
    entry's argument or result had. `states_read` and `states_written` name variables; `copied` says which of them are
    updated by a copy, and why.
    ```mlir
    plan.func @main attributes {outputs = [{type = tensor<4xf32>} ]} { … }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, DefaultValuedAttr<ArrayAttr, "{}">:$symbols,
                       DefaultValuedAttr<DictArrayAttr, "{}">:$inputs, DefaultValuedAttr<DictArrayAttr, "{}">:$outputs,
                       DefaultValuedAttr<ArrayAttr, "{}">:$states_read, DefaultValuedAttr<ArrayAttr, "{}">:$states_written,
                       OptionalAttr<StrArrayAttr>:$copied);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name attr-dict-with-keyword $body";
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

class Plan_BufferOp<string mnemonic, list<Trait> traits = []> : Plan_Op<mnemonic, !listconcat([Pure], traits)> {
  let results = (outs Plan_BufferType:$result);
}

def Plan_InputOp : Plan_BufferOp<"input"> {
  let summary = "A tensor the caller passes; it may not be written.";
  let description = [{
    ```mlir
    %0 = plan.input 0 bytes(s0 * 32)
    ```
  }];
  let arguments = (ins I64Attr:$index, Plan_ExprAttr:$bytes);
  let assemblyFormat = "$index `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_OutputOp : Plan_BufferOp<"output"> {
  let summary = "A tensor the caller wants filled; it may be read after it was written.";
  let description = [{
    ```mlir
    %0 = plan.output 0 bytes(s0 * 32)
    ```
  }];
  let arguments = (ins I64Attr:$index, Plan_ExprAttr:$bytes);
  let assemblyFormat = "$index `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_StateOp : Plan_BufferOp<"state"> {
  let summary = "The memory of a variable.";
  let description = [{
    ```mlir
    %0 = plan.state @kv bytes(65536)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$variable, Plan_ExprAttr:$bytes);
  let assemblyFormat = "$variable `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_WeightOp : Plan_BufferOp<"weight"> {
  let summary = "The place of a constant.";
  let description = [{
    ```mlir
    %0 = plan.weight @c0 bytes(64)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$constant, Plan_ExprAttr:$bytes);
  let assemblyFormat = "$constant `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_AllocOp : Plan_Op<"alloc"> {
  let summary = "Memory in the arena.";
  let description = [{
    ```mlir
    %0 = plan.alloc 3 bytes(s0 * 32) {below = array<i64: 0, 2>}
    ```
  }];
  let arguments = (ins I64Attr:$id, Plan_ExprAttr:$bytes, OptionalAttr<I64Attr>:$offset,
                       OptionalAttr<DenseI64ArrayAttr>:$below);
  let results = (outs Plan_BufferType:$result);
  let assemblyFormat = "$id `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_ViewOp : Plan_BufferOp<"view"> {
  let summary = "Part of a buffer.";
  let description = [{
    ```mlir
    %1 = plan.view %0 at(d0 * 32) bytes(32)
    ```
  }];
  let arguments = (ins Plan_BufferType:$buffer, Plan_ExprAttr:$offset, Plan_ExprAttr:$bytes);
  let assemblyFormat = "$buffer `at` `` `(` custom<Expr>($offset) `)` `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_ChooseOp : Plan_BufferOp<"choose"> {
  let summary = "One of two buffers: the first when the expression is 0.";
  let description = [{
    ```mlir
    %2 = plan.choose(d0) ? %0 : %1
    ```
  }];
  let arguments = (ins Plan_ExprAttr:$condition, Plan_BufferType:$zero, Plan_BufferType:$other);
  let assemblyFormat = "`(` custom<Expr>($condition) `)` `?` $zero `:` $other attr-dict";
}

//===----------------------------------------------------------------------===//
// Work
//===----------------------------------------------------------------------===//

def Plan_CallOp : Plan_Op<"call", [AttrSizedOperandSegments]> {
  let summary = "Runs a kernel.";
  let description = [{
    `alias` holds pairs (input, output) that may be the same bytes. `scratch` is the buffer for a run on the calling
    thread; without it the call always goes through the runtime. `site` is the index of the kernel's first error site.
    ```mlir
    plan.call @k ins(%0, %1) outs(%2) scratch(%3) tiles(s0 ceildiv 6) work(s0 * 512) scratch_bytes(256) {site = 0 : i32}
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<Plan_BufferType>:$inputs, Variadic<Plan_BufferType>:$outputs,
                       Optional<Plan_BufferType>:$scratch, Plan_ExprAttr:$tiles, OptionalAttr<Plan_ExprAttr>:$work,
                       Plan_ExprAttr:$scratchBytes, DefaultValuedAttr<I32Attr, "0">:$site,
                       OptionalAttr<DenseI64ArrayAttr>:$alias);
  let assemblyFormat = [{
    $callee `ins` `` `(` $inputs `)` `outs` `` `(` $outputs `)` (`scratch` `` `(` $scratch^ `)`)?
    `tiles` `` `(` custom<Expr>($tiles) `)` (`work` `` `(` custom<Expr>($work)^ `)`)?
    `scratch_bytes` `` `(` custom<Expr>($scratchBytes) `)` attr-dict
  }];
  let extraClassDeclaration = [{
    bool mayAlias(int64_t input, int64_t output) {
      std::optional<::llvm::ArrayRef<int64_t>> pairs = getAlias();
      for (size_t i = 0; pairs && i + 1 < pairs->size(); i += 2)
        if ((*pairs)[i] == input && (*pairs)[i + 1] == output)
          return true;
      return false;
    }
    /// Whether the calling thread may run it: it has scratch memory, or needs none.
    bool canRunHere() { return getScratch() || getScratchBytes().getConstant() == 0; }
  }];
  let hasVerifier = 1;
}

def Plan_TogetherOp : Plan_Op<"together", [NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "Calls that may run at the same time, in any order.";
  let description = [{
    Buffers that they touch live across all of it.
    ```mlir
    plan.together { plan.call @k … plan.call @l … }
    ```
    Constraints:
    * (C1) the body holds two calls or more, and nothing else.
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def Plan_CopyOp : Plan_Op<"copy"> {
  let summary = "Copies bytes between buffers that do not overlap.";
  let description = [{
    ```mlir
    plan.copy %0 to %1 bytes(s0 * 32)
    ```
  }];
  let arguments = (ins Plan_BufferType:$source, Plan_BufferType:$dest, Plan_ExprAttr:$bytes);
  let assemblyFormat = "$source `to` $dest `bytes` `` `(` custom<Expr>($bytes) `)` attr-dict";
}

def Plan_StoreSizesOp : Plan_Op<"store_sizes"> {
  let summary = "Writes the values of expressions as i64.";
  let description = [{
    ```mlir
    plan.store_sizes [#plan.expr<s0 + 1>] to %0
    ```
  }];
  let arguments = (ins Plan_ExprArrayAttr:$values, Plan_BufferType:$dest);
  let assemblyFormat = "$values `to` $dest attr-dict";
}

def Plan_CheckOp : Plan_Op<"check"> {
  let summary = "Fails the call unless two expressions are equal.";
  let description = [{
    ```mlir
    plan.check s0 equals s1 * 2 site 3
    ```
  }];
  let arguments = (ins Plan_ExprAttr:$lhs, Plan_ExprAttr:$rhs, I32Attr:$site);
  let assemblyFormat = "custom<Expr>($lhs) `equals` custom<Expr>($rhs) `site` $site attr-dict";
}

def Plan_LoopOp : Plan_Op<"loop", [NoTerminator, SingleBlock]> {
  let summary = "Runs its body `count` times; the body's counter is `d<n>`, n the number of loops around it.";
  let description = [{
    ```mlir
    plan.loop(s0) { … }
    ```
  }];
  let arguments = (ins Plan_ExprAttr:$count);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` custom<Expr>($count) `)` attr-dict-with-keyword $body";
}

def Plan_IfOp : Plan_Op<"if", [NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "Runs one of two regions, as a byte says: the first unless it is 0.";
  let description = [{
    ```mlir
    plan.if %0 then { … } else { … }
    ```
  }];
  let arguments = (ins Plan_BufferType:$predicate);
  let regions = (region SizedRegion<1>:$then_body, SizedRegion<1>:$else_body);
  let assemblyFormat = "$predicate attr-dict-with-keyword `then` $then_body `else` $else_body";
}

def Plan_WhileOp : Plan_Op<"while", [NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "Runs its body for as long as a byte is not 0.";
  let description = [{
    Before every step, and after the last, `condition` runs; it ends in a `plan.test`. `exit` runs once, at the end. The
    counter `d<n>`, n the number of loops around, is the number of steps done so far in all three regions.
    ```mlir
    plan.while { … plan.test %0 } do { … } exit { … }
    ```
    Constraints:
    * (C1) the last op of `condition` is a `plan.test`, and there is no other.
  }];
  let regions = (region SizedRegion<1>:$condition, SizedRegion<1>:$body, SizedRegion<1>:$exit);
  let assemblyFormat = "$condition `do` $body `exit` $exit attr-dict";
  let hasVerifier = 1;
}

def Plan_TestOp : Plan_Op<"test", [HasParent<"WhileOp">]> {
  let summary = "Ends the condition of a loop: another step follows unless the byte is 0.";
  let description = [{
    ```mlir
    plan.test %0
    ```
  }];
  let arguments = (ins Plan_BufferType:$predicate);
  let assemblyFormat = "$predicate attr-dict";
}

def Plan_DefineSizeOp : Plan_Op<"define_size"> {
  let summary = "Reads the value of a data-dependent symbol; fails the call when it is out of bounds.";
  let description = [{
    Expressions of the steps after this one use the value; places in the arena use the symbol's bound.
    ```mlir
    plan.define_size 1 from %0 min 0 max 4096 bound s0 * 4 site 2
    ```
  }];
  let arguments = (ins I64Attr:$symbol, Plan_BufferType:$source, I64Attr:$min, I64Attr:$max, Plan_ExprAttr:$bound,
                       I32Attr:$site);
  let assemblyFormat = "$symbol `from` $source `min` $min `max` $max `bound` custom<Expr>($bound) `site` $site attr-dict";
}

#endif
