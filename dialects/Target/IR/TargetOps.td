// The target dialect: typed descriptions of machines, as attributes. It has no ops.
#ifndef TENON_TARGET_OPS_TD
#define TENON_TARGET_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"

def Target_Dialect : Dialect {
  let name = "target";
  let cppNamespace = "::tenon::target";
  let summary = "What the machine can do.";
  let useDefaultAttributePrinterParser = 1;
}

def Target_CPUAttr : AttrDef<Target_Dialect, "CPU"> {
  let mnemonic = "cpu";
  let summary = "A CPU as code generation sees it.";
  let description = [{
    `name` is what the user asked for, `cpu` and `features` what LLVM is told; `vectorBits` is the width of registers to
    use, `vectorRegisters` their number. Cache sizes are those of the level's typical machine, in bytes: kernels are
    shaped by the target, not by the machine that compiles.
    ```mlir
    #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>
    ```
  }];
  let parameters = (ins StringRefParameter<"">:$name, StringRefParameter<"">:$triple, StringRefParameter<"">:$cpu,
                        StringRefParameter<"">:$features, "int64_t":$vectorBits, "int64_t":$vectorRegisters,
                        "bool":$hasFMA, "bool":$hasF16C, "int64_t":$l1Bytes, "int64_t":$l2Bytes);
  let assemblyFormat = "`<` struct(params) `>`";
}

#endif
