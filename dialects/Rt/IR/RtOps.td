// The rt dialect: calls into the runtime's binary interface, one op for each thing that abi.h offers.
#ifndef TENON_RT_OPS_TD
#define TENON_RT_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Dialect/LLVMIR/LLVMTypes.td"

def Rt_Dialect : Dialect {
  let name = "rt";
  let cppNamespace = "::tenon::rt";
  let summary = "Calls.";
  let description = [{
    An `rt.func` is a function of the image. Its arithmetic is arith, its control flow scf or cf, its addresses are
    `!llvm.ptr`. Ops that can fail return from the function at once with the status they got.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

class Rt_Op<string mnemonic, list<Trait> traits = []> : Op<Rt_Dialect, mnemonic, traits>;

def Rt_FuncOp : Rt_Op<"func", [Symbol, IsolatedFromAbove]> {
  let summary = "A function of the image.";
  let description = [{
    `run` takes the frame and returns a status; `arena_bytes` and `scratch_bytes` take the symbols and return bytes or -1.
    Attribute `symbols` is their number, `found_symbols` lists the data-dependent ones.
    ```mlir
    rt.func @main.run role "run" { … rt.return %status : i32 }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$role);
  let regions = (region AnyRegion:$body);
  let assemblyFormat = "$sym_name `role` $role attr-dict-with-keyword $body";
}

def Rt_ReturnOp : Rt_Op<"return", [Pure, Terminator]> {
  let summary = "Ends a function.";
  let description = [{
    ```mlir
    rt.return %0 : i64
    ```
  }];
  let arguments = (ins AnyInteger:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

def Rt_ImageOp : Rt_Op<"image"> {
  let summary = "The table that the image exports: the entries, three functions each.";
  let description = [{
    ```mlir
    rt.image [@main.run, @main.arena_bytes, @main.scratch_bytes]
    ```
  }];
  let arguments = (ins ArrayAttr:$functions);
  let assemblyFormat = "$functions attr-dict";
}

class Rt_AddressOp<string mnemonic> : Rt_Op<mnemonic, [Pure]> { let results = (outs LLVM_AnyPointer:$result); }
class Rt_PortOp<string mnemonic> : Rt_AddressOp<mnemonic> {
  let arguments = (ins I64Attr:$index);
  let assemblyFormat = "$index attr-dict `:` type($result)";
}

def Rt_InputOp : Rt_PortOp<"input"> {
  let summary = "Address of a caller's tensor.";
  let description = [{
    ```mlir
    %0 = rt.input 0 : !llvm.ptr
    ```
  }];
}
def Rt_OutputOp : Rt_PortOp<"output"> {
  let summary = "Address of a caller's result.";
  let description = [{
    ```mlir
    %0 = rt.output 0 : !llvm.ptr
    ```
  }];
}
def Rt_StateOp : Rt_PortOp<"state"> {
  let summary = "Address of a variable.";
  let description = [{
    ```mlir
    %0 = rt.state 0 : !llvm.ptr
    ```
  }];
}
def Rt_ArenaOp : Rt_AddressOp<"arena"> {
  let summary = "Address of the call's arena.";
  let description = [{
    ```mlir
    %0 = rt.arena : !llvm.ptr
    ```
  }];
  let assemblyFormat = "attr-dict `:` type($result)";
}
def Rt_ConstantsOp : Rt_AddressOp<"constants"> {
  let summary = "Address of the constants segment.";
  let description = [{
    ```mlir
    %0 = rt.constants : !llvm.ptr
    ```
  }];
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Rt_SymbolOp : Rt_Op<"symbol", [Pure]> {
  let summary = "Value of a symbol of the entry.";
  let description = [{
    Of a data-dependent one its bound, or with `found` what the call has found.
    ```mlir
    %0 = rt.symbol 0 : i64
    %1 = rt.symbol 1 found : i64
    ```
  }];
  let arguments = (ins I64Attr:$index, UnitAttr:$found);
  let results = (outs I64:$result);
  let assemblyFormat = "$index (`found` $found^)? attr-dict `:` type($result)";
}

def Rt_FoundOp : Rt_Op<"found"> {
  let summary = "Records the value of a data-dependent symbol; `tn_frame.found_symbols`.";
  let description = [{
    ```mlir
    rt.found 1 is %n
    ```
  }];
  let arguments = (ins I64Attr:$index, I64:$value);
  let assemblyFormat = "$index `is` $value attr-dict";
}

def Rt_LoadOp : Rt_Op<"load"> {
  let summary = "Reads one number.";
  let description = [{
    ```mlir
    %n = rt.load %0 : !llvm.ptr
    ```
  }];
  let arguments = (ins LLVM_AnyPointer:$source);
  let results = (outs I64:$result);
  let assemblyFormat = "$source attr-dict `:` type($source)";
}

def Rt_TestOp : Rt_Op<"test"> {
  let summary = "Whether a byte is not 0.";
  let description = [{
    ```mlir
    %p = rt.test %0 : !llvm.ptr
    ```
  }];
  let arguments = (ins LLVM_AnyPointer:$source);
  let results = (outs I1:$result);
  let assemblyFormat = "$source attr-dict `:` type($source)";
}

def Rt_OffsetOp : Rt_Op<"offset", [Pure, AllTypesMatch<["base", "result"]>]> {
  let summary = "An address some bytes further on.";
  let description = [{
    ```mlir
    %1 = rt.offset %0, %n : !llvm.ptr
    ```
  }];
  let arguments = (ins LLVM_AnyPointer:$base, I64:$bytes);
  let results = (outs LLVM_AnyPointer:$result);
  let assemblyFormat = "$base `,` $bytes attr-dict `:` type($base)";
  let builders = [OpBuilder<(ins "::mlir::Value":$base, "::mlir::Value":$bytes),
                            [{ build($_builder, $_state, base.getType(), base, bytes); }]>];
}

class Rt_KernelOp<string mnemonic> : Rt_Op<mnemonic> {
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<LLVM_AnyPointer>:$operands_, I32Attr:$site, I64:$tiles,
                       AnyType:$scratch);
  let assemblyFormat = "$kernel `(` $operands_ `)` `tiles` $tiles `scratch` $scratch `site` $site attr-dict `:` `(` type($operands_) `)` `,` type($scratch)";
}

def Rt_RunOp : Rt_KernelOp<"run"> {
  let summary = "Runs all tiles of a kernel on the calling thread.";
  let description = [{
    Operands are the kernel's inputs, then its outputs; `scratch` is the address of its scratch.
    ```mlir
    rt.run @k(%0, %1) tiles %n scratch %p site 0 : (!llvm.ptr, !llvm.ptr), !llvm.ptr
    ```
  }];
}

def Rt_ParallelOp : Rt_KernelOp<"parallel"> {
  let summary = "Runs a kernel on the session's threads and waits; `tn_rt_table.parallel`.";
  let description = [{
    `scratch` is the number of bytes that each worker needs.
    ```mlir
    rt.parallel @k(%0, %1) tiles %n scratch %bytes site 0 : (!llvm.ptr, !llvm.ptr), i64
    ```
  }];
}

def Rt_TogetherOp : Rt_Op<"together", [AttrSizedOperandSegments]> {
  let summary = "Runs several kernels on the session's threads at the same time, and waits.";
  let description = [{
    The grids stand one behind the other; `counts` says how many of the operands each kernel has. `scratch` is the number
    of bytes that each worker needs.
    ```mlir
    rt.together [@k, @l](%0, %1, %0, %2) counts [2, 2] sites [0, 3] tiles(%n, %m) scratch %bytes
        : (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr)
    ```
  }];
  let arguments = (ins FlatSymbolRefArrayAttr:$kernels, Variadic<LLVM_AnyPointer>:$operands_, DenseI64ArrayAttr:$counts,
                       DenseI32ArrayAttr:$sites, Variadic<I64>:$tiles, I64:$scratch);
  let assemblyFormat = [{
    $kernels `(` $operands_ `)` `counts` $counts `sites` $sites `tiles` `(` $tiles `)` `scratch` $scratch attr-dict
    `:` `(` type($operands_) `)`
  }];
}

def Rt_LaunchOp : Rt_Op<"launch"> {
  let summary = "Hands a kernel to the device's queue; `tn_rt_table.launch`.";
  let description = [{
    `kernel` is its number among the variant's device kernels, `tiles` the number of workgroups.
    ```mlir
    rt.launch 3 (%0, %1) tiles %n site 0 : (!llvm.ptr, !llvm.ptr)
    ```
  }];
  let arguments = (ins I32Attr:$kernel, Variadic<LLVM_AnyPointer>:$operands_, I32Attr:$site, I64:$tiles);
  let assemblyFormat = "$kernel `(` $operands_ `)` `tiles` $tiles `site` $site attr-dict `:` `(` type($operands_) `)`";
}

def Rt_VisitOp : Rt_Op<"visit", [AttrSizedOperandSegments]> {
  let summary = "Runs a kernel on the CPU when all is in a device's memory; `tn_rt_table.visit`.";
  let description = [{
    `bytes` are the sizes of the operands, of which the first `inputs` are only read. `scratch` is the number of bytes that
    each worker needs.
    ```mlir
    rt.visit @k(%0, %1) bytes(%n, %m) inputs 1 tiles %t scratch %s site 0 : (!llvm.ptr, !llvm.ptr)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<LLVM_AnyPointer>:$operands_, Variadic<I64>:$bytes, I32Attr:$inputs,
                       I64:$tiles, I64:$scratch, I32Attr:$site);
  let assemblyFormat = [{
    $kernel `(` $operands_ `)` `bytes` `(` $bytes `)` `inputs` $inputs `tiles` $tiles `scratch` $scratch `site` $site attr-dict
    `:` `(` type($operands_) `)`
  }];
}

def Rt_FailOp : Rt_Op<"fail"> {
  let summary = "Records a failure and returns from the function; `tn_rt_table.fail`.";
  let description = [{
    ```mlir
    rt.fail 3 (%a, %b)
    ```
  }];
  let arguments = (ins I32Attr:$site, I64:$a, I64:$b);
  let assemblyFormat = "$site `(` $a `,` $b `)` attr-dict";
}

def Rt_CopyOp : Rt_Op<"copy"> {
  let summary = "Copies bytes between places that do not overlap.";
  let description = [{
    ```mlir
    rt.copy %from to %to bytes %n : !llvm.ptr
    ```
  }];
  let arguments = (ins LLVM_AnyPointer:$source, LLVM_AnyPointer:$dest, I64:$bytes);
  let assemblyFormat = "$source `to` $dest `bytes` $bytes attr-dict `:` type($source) `,` type($dest)";
}

def Rt_StoreOp : Rt_Op<"store"> {
  let summary = "Writes one number.";
  let description = [{
    ```mlir
    rt.store %n to %0 : !llvm.ptr
    ```
  }];
  let arguments = (ins I64:$value, LLVM_AnyPointer:$dest);
  let assemblyFormat = "$value `to` $dest attr-dict `:` type($dest)";
}

def Rt_StatePhaseOp : Rt_Op<"state_phase"> {
  let summary = "Tells the runtime whether a failure from here on loses the variables; `tn_frame.state_phase`.";
  let description = [{
    ```mlir
    rt.state_phase 2
    ```
  }];
  let arguments = (ins I32Attr:$phase);
  let assemblyFormat = "$phase attr-dict";
}

#endif
