// Operators over windows of spatial dimensions, and reading between the elements of an image, for importers of every
// format. Tensors are [N, C, spatial…] except where a function says otherwise.
#ifndef TENON_IMPORT_COMMON_SPATIAL_H
#define TENON_IMPORT_COMMON_SPATIAL_H

#include "GraphBuilder.h"

namespace tenon::frontend {

/// [N, C, spatial…] -> [N, spatial…, C]
Tensor toChannelsLast(GraphBuilder &op, Tensor x);
/// [N, spatial…, C] -> [N, C, spatial…]
Tensor toChannelsFirst(GraphBuilder &op, Tensor x);

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

/// The numbers of a convolution, one per spatial dimension.
struct ConvGeometry {
  llvm::SmallVector<int64_t> strides, low, high, dilations, inputDilation;
  int64_t groups = 1;
};

/// [N, C, spatial…] with a filter [O, C / groups, window…]; `bias` may be null.
Tensor convolve(GraphBuilder &op, Tensor x, Tensor filter, Tensor bias, const ConvGeometry &g);
/// [C, O / groups, window] of a transposed convolution as [O, C / groups, window], window reversed.
Tensor transposeFilter(GraphBuilder &op, Tensor filter, int64_t groups);

//===----------------------------------------------------------------------===//
// Pools
//===----------------------------------------------------------------------===//

/// The numbers of a pool, one per spatial dimension.
struct PoolWindows {
  llvm::SmallVector<int64_t> size, strides, low, dilations; ///< `low`: padding before the first element
  graph::Dims results;                                      ///< spatial sizes of the result

  int64_t taps() const;
  int64_t reach(size_t i) const { return (size[i] - 1) * dilations[i] + 1; }
};

/// Of [N, spatial…, C]; positions outside the input are skipped.
Tensor reduceWindows(GraphBuilder &op, graph::ReduceKind kind, Tensor x, const PoolWindows &w);

/// The flat number, row-major among its taps, of the largest element of each window.
Tensor largestTaps(GraphBuilder &op, Tensor x, const PoolWindows &w);
/// In a body over the results of windows: the position along spatial dimension `i` of the input that tap `tap` reads.
mlir::Value tapPosition(GraphBuilder &op, Scalars &s, const PoolWindows &w, int64_t i, mlir::Value tap);

//===----------------------------------------------------------------------===//
// Sampling
//===----------------------------------------------------------------------===//

/// Weights of the taps -1 … 2 of cubic convolution at a distance `t` behind tap 0. `a`: R. Keys, Cubic convolution
/// interpolation for digital image processing, 1981.
llvm::SmallVector<mlir::Value> cubicWeights(Scalars &s, mlir::Value t, double a);

/// `x` at positions (a vector of i64, inside the dimension) along `dim`.
Tensor gatherAlong(GraphBuilder &op, Tensor x, int64_t dim, Tensor positions);

/// `x` times `matrix` along `dim`: [new, old], transposed [old, new].
Tensor multiplyAlong(GraphBuilder &op, Tensor x, int64_t dim, Tensor matrix, bool isTransposed = false);

} // namespace tenon::frontend
#endif
