//===- KernelToPlan.h - kernels in order -> buffers and order -------------===//
#ifndef TENON_CONVERSION_KERNELTOPLAN_H
#define TENON_CONVERSION_KERNELTOPLAN_H

#include "tenon/Support/Pch.h"

namespace tenon {
#define GEN_PASS_DECL
#include "lib/Conversion/KernelToPlan/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "lib/Conversion/KernelToPlan/Passes.h.inc"

/// Two weights with equal keys hold the same bytes and are stored once. Default: where the bytes come from.
using WeightKeyFn = std::function<std::string(mlir::Operation *weight)>;

/// Turns every entry of `module` into a `plan.func` whose buffers have no places yet.
/// `weightKey` may be empty.
mlir::LogicalResult convertKernelToPlan(mlir::ModuleOp module, const WeightKeyFn &weightKey = {});
} // namespace tenon
#endif
