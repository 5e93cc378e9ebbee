// What pools and their derivatives share.
#ifndef TENON_IMPORT_TORCHEXPORT_POOLING_H
#define TENON_IMPORT_TORCHEXPORT_POOLING_H

#include "Converter.h"

namespace tenon::torch_export {

/// The numbers of a pool, one per spatial dimension.
struct PoolWindows {
  llvm::SmallVector<int64_t> size, strides, padding, dilations;
  graph::Dims results; ///< spatial sizes of the result
};

/// Of [N, spatial…, C]; positions outside the input are skipped.
Tensor reduceWindows(Op &op, graph::ReduceKind kind, Tensor x, const PoolWindows &w);
/// Elements under the window at the current position of a body over [N, results…, C]: what a mean divides by. `x` is the
/// pool's input, channels last.
mlir::Value countCovered(Op &op, Scalars &floats, Tensor x, const PoolWindows &w, bool countsPadding);
/// [out, in]: row i weighs floor(i * in / out) … ceil((i + 1) * in / out) equally.
Tensor averagingMatrix(Op &op, ScalarType type, mlir::AffineExpr in, mlir::AffineExpr out);
/// Products with a matrix along one dimension: `matrix` is [result, input], transposed [input, result].
Tensor applyMatrix(Op &op, Tensor x, int64_t dim, Tensor matrix);
Tensor applyTransposed(Op &op, Tensor x, int64_t dim, Tensor matrix);

} // namespace tenon::torch_export
#endif
