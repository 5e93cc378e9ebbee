// Products of two matrices whose elements are given by functions: what contractions and convolutions are on a device.
#ifndef TENON_LIB_TARGET_DEVICE_PRODUCT_H
#define TENON_LIB_TARGET_DEVICE_PRODUCT_H

#include "Emitter.h"

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
  /// Stores a sum of type `accumulator`; the place is inside when `isInside` holds.
  struct Sum {
    mlir::Value batch, row, column, value, isInside;
  };
  std::function<mlir::LogicalResult(llvm::ArrayRef<Sum>)> store;

  /// Threads of a workgroup.
  int64_t threads(const Emitter &e) const;
  mlir::LogicalResult emit(Emitter &e) const;

private:
  bool isFlat() const;
  mlir::LogicalResult emitFlat(Emitter &e) const;
  /// Whether both operands are of one type that the device has a matrix unit for.
  bool hasMatrixUnit(const Emitter &e) const;
  mlir::LogicalResult emitMatrix(Emitter &e) const;
  int64_t matrixThreads(const Emitter &e) const;
};

} // namespace tenon::device
#endif
