// Products of two matrices whose elements are given by functions: what contractions and convolutions are on a device.
#ifndef TENON_LIB_TARGET_DEVICE_PRODUCT_H
#define TENON_LIB_TARGET_DEVICE_PRODUCT_H

#include "StridedMatrix.h"

namespace tenon::device {

/// `batches` products of [rows, depth] and [depth, columns]. A workgroup computes a tile of one product, with blocks of both
/// operands in shared memory. Each sum adds its products in the order of k, wherever the element lies in a tile.
struct Product {
  mlir::AffineExpr batches, rows, columns, depth;
  mlir::Type accumulator;
  mlir::Type operandA, operandB; ///< types of the elements
  /// `lanes` neighbours along the depth from `k` on, which is a multiple of `lanes` (1: a scalar), at places inside the
  /// matrices. Null after an error was reported.
  std::function<mlir::Value(mlir::Value batch, mlir::Value row, mlir::Value k, int64_t lanes)> a;
  std::function<mlir::Value(mlir::Value batch, mlir::Value k, mlir::Value column, int64_t lanes)> b;
  /// What `depth` is made of, the innermost last; more than one lane takes a part that they divide.
  graph::Dims depthParts;
  /// The operands where they lie in memory, if they do.
  std::optional<StridedMatrix> stridedA, stridedB;
  /// Stores sums of type `accumulator`, of `lanes` neighbouring columns from a multiple of `lanes` on (1: scalars); the place is
  /// inside when `isInside` holds.
  struct Sum {
    mlir::Value batch, row, column, value, isInside;
  };
  std::function<mlir::LogicalResult(llvm::ArrayRef<Sum>, int64_t lanes)> store;
  /// So many columns may be stored at once: their number is a multiple of it, and they are neighbours in all results.
  int64_t storeLanes = 1;

  /// Threads of a workgroup.
  int64_t threads(const Emitter &e) const;
  mlir::LogicalResult emit(Emitter &e) const;

  /// Sums in shared memory, rows `pitch` apart (a multiple of 4), and where they are in the product.
  struct Strip {
    mlir::Value memory;
    int64_t pitch, rows, columns;
    mlir::Value batch, row, column;
  };
  /// All threads store a strip together, neighbours what is side by side.
  mlir::LogicalResult storeStrip(Emitter &e, const Strip &strip) const;

private:
  bool isFlat() const;
  mlir::LogicalResult emitFlat(Emitter &e) const;
  /// Whether both operands are of one type that the device has a matrix unit for.
  bool hasMatrixUnit(const Emitter &e) const;
  mlir::LogicalResult emitMatrix(Emitter &e) const;
  int64_t matrixThreads(const Emitter &e) const;
  /// Whether four warps multiply what lies in shared memory, and copies bring it there.
  bool hasWarpgroups(const Emitter &e) const;
  mlir::LogicalResult emitWarpgroups(Emitter &e) const;
  int64_t warpgroupThreads(const Emitter &e) const;
};

} // namespace tenon::device
#endif
