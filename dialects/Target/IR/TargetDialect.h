//===- TargetDialect.h - typed descriptions of machines -------------------===//
#ifndef TENON_DIALECTS_TARGET_IR_TARGETDIALECT_H
#define TENON_DIALECTS_TARGET_IR_TARGETDIALECT_H

#include "tenon/Support/Pch.h"

#include "dialects/Target/IR/TargetDialect.h.inc"
#include "dialects/Target/IR/TargetEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Target/IR/TargetAttrs.h.inc"

namespace tenon::target {
/// The target of a module: the attribute `target.cpu` on it, or null.
CPUAttr getTarget(mlir::ModuleOp module);
/// Looks `level` up: `host`, `x86-64-v2`, `x86-64-v3`, `x86-64-v4`. Null, and a list of the known ones in `error`,
/// when there is none.
CPUAttr lookupCPU(mlir::MLIRContext *context, llvm::StringRef level, std::string &error);

/// The device whose memory holds all buffers of a module: the attribute `target.gpu` on it, or null.
GPUAttr getDevice(mlir::ModuleOp module);
void setDevice(mlir::ModuleOp module, GPUAttr device);
/// Looks up `vulkan`, `cuda:sm_80`, `rocm:gfx942`, …. Null, and what is known in `error`, when there is none.
GPUAttr lookupGPU(mlir::MLIRContext *context, llvm::StringRef name, std::string &error);
/// Whether a machine that runs code for both should be given that for `a`: an architecture's own code before that of its
/// whole family, newer before older.
bool isNewer(GPUAttr a, GPUAttr b);
} // namespace tenon::target
#endif
