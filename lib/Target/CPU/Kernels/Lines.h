//===- Lines.h - work along one dimension ---------------------------------===//
#ifndef TENON_LIB_TARGET_CPU_KERNELS_LINES_H
#define TENON_LIB_TARGET_CPU_KERNELS_LINES_H

#include "Kernels.h"

namespace tenon::cpu {

/// A tensor seen as lines along one dimension. Unless that is the innermost one, neighbouring lines share a vector.
struct Lines {
  Lines(graph::Dims sizes, int64_t dim);

  graph::Dims kept;        ///< sizes of the other dimensions
  mlir::AffineExpr length; ///< of a line
  int64_t dim;
  int64_t last = -1; ///< innermost kept dimension that is not 1, or -1
  bool lanesAlongLine = true;

  /// Sets the kernel's schedule: one tile is a run of lines, or one vector of them.
  void schedule(Emitter &e, mlir::AffineExpr work, mlir::AffineExpr scratchBytes);
  /// Positions in the kept dimensions of every line, or vector of lines with its mask.
  void forEach(Emitter &e, mlir::Value tileBegin, mlir::Value tileEnd,
               llvm::function_ref<void(llvm::ArrayRef<mlir::Value> positions, mlir::Value mask)> body) const;
  /// Binds the kept dimensions, the last one along lanes if asked to.
  Point bind(Evaluator &ev, llvm::ArrayRef<mlir::Value> positions, bool alongLanes) const;
  /// Point of the whole tensor.
  Point at(const Point &kept, mlir::AffineExpr position) const;

private:
  int64_t linesPerTile = 1;
};

} // namespace tenon::cpu
#endif
