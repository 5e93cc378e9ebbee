// Kernel bodies as functions of one thread of a workgroup, for every kind of device; docs/devices.md.
#ifndef TENON_TARGET_DEVICE_LOWERKERNELS_H
#define TENON_TARGET_DEVICE_LOWERKERNELS_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "dialects/Kernel/IR/KernelDialect.h"
#include "dialects/Target/IR/TargetDialect.h"
#include "mlir/Pass/Pass.h"

namespace tenon::device {

/// Writes `func.func @tn_kernel_<name>` into `into` for every `kernel.func` of `module` that devices can run, sets its
/// `tiles`, `scratch` and `work`, and marks it `device`. The others go to `left`: they run on the CPU.
mlir::LogicalResult emitKernels(mlir::ModuleOp module, mlir::ModuleOp into,
                                llvm::SmallVectorImpl<kernel::FuncOp> &left);

/// Brings a module of such functions to operations that the device has (null: any): own math, conversions of half floats.
mlir::LogicalResult prepareKernels(mlir::ModuleOp module, target::GPUAttr device);

/// The layout in which the constant behind a kernel's argument is to be stored: that of the CPU, but along the depth where
/// the device multiplies matrices of its element type. Null: as it is.
kernel::LayoutAttr chooseLayout(mlir::BlockArgument argument, target::GPUAttr device);
/// The same for operand `operand` of a product.
kernel::LayoutAttr chooseContractLayout(graph::ContractOp op, unsigned operand, target::GPUAttr device);

/// How operand `operand` of a product is to lie: along the depth, or along the depth or its lines, where that matters.
enum class DepthOrder { Any, Along, Either };
DepthOrder chooseDepthOrder(graph::ContractOp op, unsigned operand, target::GPUAttr device);

/// Kernels of products with few tiles and much depth, all of it known: as a kernel of several products, and one that sums them up.
std::unique_ptr<mlir::Pass> createSplitDepthsPass();

/// Registers `tenon-device-emit-kernels` and `tenon-device-split-depths`.
void registerDevicePasses();

} // namespace tenon::device
#endif
