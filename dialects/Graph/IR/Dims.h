//===- Dims.h - sizes as expressions --------------------------------------===//
// Every size of a tensor is an AffineExpr over the function's symbols. These are the ways to read and make them.
#ifndef TENON_DIALECTS_GRAPH_IR_DIMS_H
#define TENON_DIALECTS_GRAPH_IR_DIMS_H

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/BuiltinTypes.h"

namespace tenon::graph {

using Dims = llvm::SmallVector<mlir::AffineExpr, 6>;

/// Size expressions of `type`, one per dimension.
Dims getDims(mlir::Type type);
/// Size expression of one dimension.
mlir::AffineExpr getDim(mlir::Type type, int64_t dim);
/// The tensor type with these sizes: plain when all are constants, else with a `#graph.dims` encoding.
mlir::RankedTensorType makeTensorType(llvm::ArrayRef<mlir::AffineExpr> dims, mlir::Type elementType);
mlir::RankedTensorType makeTensorType(llvm::ArrayRef<int64_t> dims, mlir::Type elementType);
/// The same sizes with another element type.
mlir::RankedTensorType withElementType(mlir::Type type, mlir::Type elementType);
/// Product of the sizes.
mlir::AffineExpr numElements(mlir::Type type);
mlir::AffineExpr product(llvm::ArrayRef<mlir::AffineExpr> dims, mlir::MLIRContext *context);
/// The sizes without those that are 1.
Dims squeezed(llvm::ArrayRef<mlir::AffineExpr> dims);
/// The value when `expr` is a constant.
std::optional<int64_t> asConstant(mlir::AffineExpr expr);
/// Brings an expression over symbols to its normal form (sums of products, constant last).
mlir::AffineExpr normalize(mlir::AffineExpr expr);
/// Inclusive range of `expr` for the symbols' ranges; nullopt when a bound overflows.
std::optional<std::pair<int64_t, int64_t>> rangeOf(mlir::AffineExpr expr, llvm::ArrayRef<std::pair<int64_t, int64_t>> symbols);
/// The value of `expr` for these symbol values; nullopt on overflow or division by zero.
std::optional<int64_t> evaluate(mlir::AffineExpr expr, llvm::ArrayRef<int64_t> symbols, llvm::ArrayRef<int64_t> dims = {});

} // namespace tenon::graph
#endif
