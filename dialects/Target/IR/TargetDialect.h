//===- TargetDialect.h - typed descriptions of machines -------------------===//
#ifndef TENON_DIALECTS_TARGET_IR_TARGETDIALECT_H
#define TENON_DIALECTS_TARGET_IR_TARGETDIALECT_H

#include "tenon/Support/Pch.h"

#include "dialects/Target/IR/TargetDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Target/IR/TargetAttrs.h.inc"

namespace tenon::target {
/// The target of a module: the attribute `target.cpu` on it, or null.
CPUAttr getTarget(mlir::ModuleOp module);
/// Looks `level` up: `host`, `x86-64-v2`, `x86-64-v3`, `x86-64-v4`. Null, and a list of the known ones in `error`,
/// when there is none.
CPUAttr lookupCPU(mlir::MLIRContext *context, llvm::StringRef level, std::string &error);
} // namespace tenon::target
#endif
