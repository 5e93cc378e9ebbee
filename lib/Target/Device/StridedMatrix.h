// Matrices that lie in memory as they are: what units that copy and multiply by themselves are told of an operand.
#ifndef TENON_LIB_TARGET_DEVICE_STRIDEDMATRIX_H
#define TENON_LIB_TARGET_DEVICE_STRIDEDMATRIX_H

#include "Emitter.h"

namespace tenon::device {

/// Matrices in an argument of the kernel: element (line, k) of one is at offset + line * lines.stride + k * depth.stride.
struct StridedMatrix {
  struct Extent {
    mlir::AffineExpr size, stride; ///< elements
  };
  mlir::BlockArgument argument;
  int64_t offset;
  llvm::SmallVector<Extent> batch; ///< as few as say it, the outermost first
  Extent lines, depth;

  /// Of an operand that is read at map(iteration); `sizes` are those of the iteration's dimensions. nullopt when it is
  /// computed, or lies in another way.
  static std::optional<StridedMatrix> find(Emitter &e, mlir::Value operand, mlir::AffineMap map, llvm::ArrayRef<mlir::AffineExpr> sizes,
                                           llvm::ArrayRef<unsigned> batch, llvm::ArrayRef<unsigned> lines,
                                           llvm::ArrayRef<unsigned> depth);

  /// Whether the depth, or the lines, are neighbours.
  bool isAlongDepth() const { return isOne(depth.stride); }
  bool isAlongLines() const { return isOne(lines.stride); }
  /// Whether rows begin at multiples of so many elements.
  bool isAligned(int64_t elements) const;

private:
  static bool isOne(mlir::AffineExpr stride) { return graph::asConstant(stride) == 1; }
};

} // namespace tenon::device
#endif
