// Functions of one thread, as lib/Target/Device writes them, as kernels of NVIDIA's and AMD's devices in LLVM's dialect;
// docs/devices.md.
#ifndef TENON_TARGET_LLVMGPU_LOWER_H
#define TENON_TARGET_LLVMGPU_LOWER_H

#include "dialects/Target/IR/TargetDialect.h"
#include "mlir/IR/BuiltinOps.h"

namespace tenon::llvmgpu {

/// Turns every function of `module` into a kernel of the same name whose parameters are { i64 groups, ptr report, slots }:
/// the slots themselves, or where they lie when there are more than TN_DEVICE_SLOTS. A grid has two dimensions, of which
/// the first has at most TN_DEVICE_GROUPS workgroups. Reports what has no form in LLVM's dialect.
mlir::LogicalResult lowerKernels(mlir::ModuleOp module, target::GPUAttr device);

/// Registers `tenon-gpu-lower-kernels`; it wants the module attribute `target.gpu`.
void registerLLVMGPUPasses();

} // namespace tenon::llvmgpu
#endif
