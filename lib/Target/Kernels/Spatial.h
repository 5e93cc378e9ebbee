//===- Spatial.h - windows that slide over an image -----------------------===//
// Which elements of the input a tap of a window reads, and whether they are inside: shared by convolutions.
#ifndef TENON_LIB_TARGET_KERNELS_SPATIAL_H
#define TENON_LIB_TARGET_KERNELS_SPATIAL_H

#include "Emitter.h"

namespace tenon::kernels {

/// The spatial dimensions of a convolution.
struct Spatial {
  explicit Spatial(graph::ConvOp op);
  /// Reports windows whose size is not known.
  mlir::LogicalResult check(graph::ConvOp op) const;

  graph::Dims in, out;
  llvm::SmallVector<int64_t> window, strides, low, dilations, inputDilation;
  bool hasPadding = false; ///< some tap of some pixel may lie outside

  unsigned rank() const { return in.size(); }
  int64_t taps() const;
  /// One tap, which reads each pixel in its own place.
  bool isPointwise() const;
  /// No zeros between neighbours.
  bool hasPlainInput() const;

  /// The argument whose buffer holds `value` as it is, or null.
  static mlir::BlockArgument bufferOf(mlir::Value value);

  /// Position in the padded, dilated input of tap `tap` of pixel `pixel` along dimension `d`.
  mlir::Value padded(Emitter &e, unsigned d, mlir::Value pixel, mlir::Value tap) const;
  /// Whether such a position is an element of the input; null: always.
  mlir::Value isElement(Emitter &e, unsigned d, mlir::Value padded) const;

  /// For every tap of the result's pixel [n, p…]: its number, the flat position of what it reads (batch and spatial
  /// dimensions) and whether that is inside (null: always).
  using Tap = llvm::function_ref<void(mlir::Value tap, mlir::Value position, mlir::Value isInside)>;
  void forEachTap(Emitter &e, llvm::ArrayRef<mlir::Value> pixel, Tap body) const;

  /// The same for runs of taps along the last dimension, whose elements must be neighbours: `low` to `high` are the
  /// taps inside and `position` is that of `low`; `isInside` when all are.
  using Run = llvm::function_ref<void(mlir::Value tap, mlir::Value position, mlir::Value isInside, mlir::Value low,
                                      mlir::Value high)>;
  void forEachRun(Emitter &e, llvm::ArrayRef<mlir::Value> pixel, Run body) const;
};

} // namespace tenon::kernels
#endif
