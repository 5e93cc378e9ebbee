//===- Shapes.h - what a kernel is, before code is made of it -------------===//
#ifndef TENON_LIB_TARGET_KERNELS_SHAPES_H
#define TENON_LIB_TARGET_KERNELS_SHAPES_H

#include "Emitter.h"

namespace tenon::kernels {

/// The op that a kernel is built around: the only one that is neither evaluated point by point nor a reduction.
struct KernelKind {
  mlir::Operation *root = nullptr;
  bool hasReduction = false;
  /// Reports two roots, or a root beside a reduction.
  static mlir::FailureOr<KernelKind> find(kernel::FuncOp kernel);
};

/// Reductions over the same dimensions of the same shape, with results of that shape or of what is kept. A row is one point of
/// the kept dimensions, its columns are the reduced ones.
struct RowsShape {
  llvm::SmallVector<graph::ReduceOp> reductions;
  graph::Dims full, rows, columns;
  llvm::SmallVector<int64_t> columnDims;
  /// The innermost dimension that is not 1 is a column's.
  bool isInnermost = true;
  /// Results and their numbers.
  llvm::SmallVector<std::pair<unsigned, mlir::Value>> fullResults, rowResults;

  static mlir::FailureOr<RowsShape> analyze(kernel::FuncOp kernel);
  bool isColumn(int64_t dim) const { return llvm::is_contained(columnDims, dim); }
};

} // namespace tenon::kernels
#endif
