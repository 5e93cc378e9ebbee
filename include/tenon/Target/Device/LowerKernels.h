// Kernel bodies as functions of one thread of a workgroup, for every kind of device; docs/devices.md.
#ifndef TENON_TARGET_DEVICE_LOWERKERNELS_H
#define TENON_TARGET_DEVICE_LOWERKERNELS_H

#include "dialects/Kernel/IR/KernelDialect.h"

namespace tenon::device {

/// Writes `func.func @tn_kernel_<name>` into `into` for every `kernel.func` of `module` that devices can run, sets its
/// `tiles`, `scratch` and `work`, and marks it `device`. The others go to `left`: they run on the CPU.
mlir::LogicalResult emitKernels(mlir::ModuleOp module, mlir::ModuleOp into,
                                llvm::SmallVectorImpl<kernel::FuncOp> &left);

/// Brings a module of such functions to operations that machines have: own math, conversions of half floats.
mlir::LogicalResult prepareKernels(mlir::ModuleOp module);

/// Registers `tenon-device-emit-kernels`.
void registerDevicePasses();

} // namespace tenon::device
#endif
