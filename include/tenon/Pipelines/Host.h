//===- Host.h - from ordered kernels to the host program ------------------===//
#ifndef TENON_PIPELINES_HOST_H
#define TENON_PIPELINES_HOST_H

#include "tenon/Bundle/Emit.h"
#include "tenon/Conversion/KernelToPlan.h"

namespace tenon {

/// The phase `plan`: entries of kernel calls become `plan.func`s with places, proven. Kernels must carry `tiles`,
/// `scratch` and `work` by now. Everything else in the module stays.
mlir::LogicalResult buildPlan(mlir::ModuleOp module, const WeightKeyFn &weightKey = {});

enum class HostOutput { Object, Assembly, LLVM };

/// The phase `host`: the machine code of the functions that drive the kernels, for the module's `target.cpu`. `module`
/// is not changed. The result is an object, or text. Errors are reported on the module.
mlir::FailureOr<std::string> compileHost(mlir::ModuleOp module, HostOutput output = HostOutput::Object);

} // namespace tenon
#endif
