//===- LowerKernels.h - kernel bodies become machine code -----------------===//
#ifndef TENON_TARGET_CPU_LOWERKERNELS_H
#define TENON_TARGET_CPU_LOWERKERNELS_H

#include "dialects/Kernel/IR/KernelDialect.h"
#include "dialects/Target/IR/TargetDialect.h"

namespace tenon::cpu {

/// Writes the loops of every `kernel.func` of `module` as `func.func @tn_kernel_<name>` into `into` and sets the
/// kernels' `tiles`, `scratch` and `work`. Reports every kernel that cannot be lowered before it fails.
mlir::LogicalResult emitKernels(mlir::ModuleOp module, mlir::ModuleOp into, target::CPUAttr target);

/// Adds the passes that bring a module of such functions to the LLVM dialect.
void buildKernelToLLVMPipeline(mlir::OpPassManager &pm, bool hasFMA, bool hasF16C);

/// Registers `tenon-cpu-emit-kernels` and `tenon-cpu-kernels-to-llvm`.
void registerLowerKernelsPasses();

} // namespace tenon::cpu
#endif
