//===- MicroKernel.h - the register tile of every product -----------------===//
// Matmul, convolution and both products of attention are this tile with other addresses: `rows` scalars of A are
// broadcast against `vectors` vectors of B, for each k. Every accumulator adds its products in the order of k, so a
// result does not depend on the tile's shape or on its place in it.
#ifndef TENON_LIB_TARGET_CPU_KERNELS_MICROKERNEL_H
#define TENON_LIB_TARGET_CPU_KERNELS_MICROKERNEL_H

#include "Emitter.h"

namespace tenon::cpu {

struct MicroKernel {
  int64_t lanes;
  mlir::Type accumulator;                ///< element type of the sums
  mlir::Type elementA, elementB;
  mlir::Value strideA, strideB;          ///< elements from one k to the next
  llvm::SmallVector<mlir::Value> a;      ///< pointers, one per row, at k = 0
  llvm::SmallVector<mlir::Value> b;      ///< pointers, one per vector, at k = 0
  llvm::SmallVector<mlir::Value> masks;  ///< one per vector of B, or null

  mlir::Value ahead = {};                ///< fetched meanwhile, 4 elements of B for each k; or null

  /// Sums over k = 0 .. count - 1 added to `sums` (row-major: rows x vectors).
  llvm::SmallVector<mlir::Value> emit(Emitter &e, mlir::Value count, mlir::ValueRange sums) const;
};

/// Rows and vectors of the tile for a product of `m` rows (nullopt: unknown, many).
struct TileShape {
  int64_t rows, vectors;
  static TileShape choose(target::CPUAttr target, std::optional<int64_t> m);
};

} // namespace tenon::cpu
#endif
