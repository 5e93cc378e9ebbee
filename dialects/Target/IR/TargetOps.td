// The target dialect: typed descriptions of machines, as attributes. It has no ops.
#ifndef TENON_TARGET_OPS_TD
#define TENON_TARGET_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

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

def Target_DeviceApi : I32EnumAttr<"DeviceApi", "what a device is reached by", [
    I32EnumAttrCase<"Vulkan", 0, "vulkan">, I32EnumAttrCase<"CUDA", 1, "cuda">, I32EnumAttrCase<"ROCm", 2, "rocm">]> {
  let cppNamespace = "::tenon::target";
}

def Target_MatrixUnit : I32EnumAttr<"MatrixUnit", "instructions for small products of matrices", [
    I32EnumAttrCase<"None", 0, "none">,
    I32EnumAttrCase<"Mma", 1, "mma">,      // mma.sync of sm_80
    I32EnumAttrCase<"Mfma", 2, "mfma">,    // CDNA 2 and later
    I32EnumAttrCase<"Wmma11", 3, "wmma11">, // RDNA 3: both halves of a wave hold the operands
    I32EnumAttrCase<"Wmma12", 4, "wmma12">, // RDNA 4
    I32EnumAttrCase<"Cooperative", 5, "cooperative">]> { // of Vulkan: which lane holds what is the driver's
  let cppNamespace = "::tenon::target";
}

def Target_GPUAttr : AttrDef<Target_Dialect, "GPU"> {
  let mnemonic = "gpu";
  let summary = "A device as code generation sees it.";
  let description = [{
    `name` is what the user asked for and the name of the variant, `arch` the processor as its compiler calls it (empty:
    any), `subgroup` the threads that run in step (0: not known), `sharedBytes` the memory of a workgroup, `hasBF16`
    whether bfloat16 is converted by instructions, `hasWarpgroups` whether four subgroups together multiply matrices that lie in
    shared memory, where tiles of tensors come by themselves (`wgmma` and the tensor memory accelerator), `usesTF32` whether
    products of f32 may be computed from operands of 10 bits of mantissa, which is up to the user (`cuda:sm_80+tf32`).
    ```mlir
    #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 49152, matrix = mma, hasBF16 = true>
    ```
  }];
  let parameters = (ins StringRefParameter<"">:$name, EnumParameter<Target_DeviceApi>:$api,
                        StringRefParameter<"">:$arch, "int64_t":$subgroup, "int64_t":$sharedBytes,
                        EnumParameter<Target_MatrixUnit>:$matrix, "bool":$hasBF16,
                        DefaultValuedParameter<"bool", "false">:$hasWarpgroups,
                        DefaultValuedParameter<"bool", "false">:$usesTF32);
  let assemblyFormat = "`<` struct(params) `>`";
}

#endif
