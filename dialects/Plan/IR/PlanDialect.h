//===- PlanDialect.h - the plan dialect -----------------------------------===//
// Memory and order. See docs/dialects/plan.md.
#ifndef TENON_DIALECTS_PLAN_IR_PLANDIALECT_H
#define TENON_DIALECTS_PLAN_IR_PLANDIALECT_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "tenon/Support/Pch.h"

#include "dialects/Plan/IR/PlanDialect.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Plan/IR/PlanTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Plan/IR/PlanAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/Plan/IR/PlanOps.h.inc"

namespace tenon::plan {

/// Alignment of the arena, of every buffer in it and of every constant; TN_BUFFER_ALIGN.
constexpr int64_t kBufferAlign = 64;
/// Arithmetic operations from which a call is worth the runtime's threads: about 10 us of one core.
constexpr int64_t kParallelWork = 32768;

/// The normal form of `value` as an attribute.
ExprAttr makeExpr(mlir::AffineExpr value);
ExprAttr makeExpr(mlir::MLIRContext *context, int64_t value);
/// Bytes of a C-contiguous tensor; i1 and types below a byte take one byte per element.
mlir::AffineExpr byteSize(mlir::Type tensor);
int64_t elementBytes(mlir::Type elementType);
/// `expr` rounded up to the buffer alignment.
mlir::AffineExpr alignUp(mlir::AffineExpr expr);
/// Inclusive ranges of the function's symbols.
llvm::SmallVector<std::pair<int64_t, int64_t>> symbolRanges(FuncOp func);
/// The largest value that `expr` can have while data-dependent symbols are at most what they are in the result: there
/// they stand for their bounds.
mlir::AffineExpr boundAbove(mlir::AffineExpr expr, mlir::ArrayAttr symbols);
/// Bytes that a buffer-valued op stands for; of a choice, those of its first side.
mlir::AffineExpr bufferBytes(mlir::Value buffer);

} // namespace tenon::plan
#endif
