// Functions of one thread, as lib/Target/Device writes them, as SPIR-V modules for Vulkan; docs/devices.md.
#ifndef TENON_TARGET_SPIRV_SERIALIZE_H
#define TENON_TARGET_SPIRV_SERIALIZE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <string>

namespace tenon::spirv {

/// The `spirv.module` in a module of its own whose entry point has the function's name; the function, which
/// `device::prepareKernels` has seen, is left empty. It wants the capabilities Shader, Int64 and PhysicalStorageBufferAddresses, and those of the element types that it touches. Addresses are 64-bit
/// numbers; push constants are { u64 args, u64 groups, u64 report }. Reports what has no form in SPIR-V.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> convertKernel(mlir::func::FuncOp kernel);
/// The same as the bytes of a SPIR-V 1.3 module.
mlir::FailureOr<std::string> serializeKernel(mlir::func::FuncOp kernel);

/// Registers `tenon-spirv-convert-kernels`.
void registerSPIRVPasses();

} // namespace tenon::spirv
#endif
