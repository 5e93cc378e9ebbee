// What pools and their derivatives share.
#ifndef TENON_IMPORT_TORCHEXPORT_POOLING_H
#define TENON_IMPORT_TORCHEXPORT_POOLING_H

#include "../Common/Spatial.h"
#include "Converter.h"

namespace tenon::torch_export {

/// Elements under the window at the current position of a body over [N, results…, C]: what a mean divides by. `x` is the
/// pool's input, channels last.
mlir::Value countCovered(Op &op, Scalars &floats, Tensor x, const PoolWindows &w, bool countsPadding);
/// [out, in]: row i weighs floor(i * in / out) … ceil((i + 1) * in / out) equally.
Tensor averagingMatrix(Op &op, ScalarType type, mlir::AffineExpr in, mlir::AffineExpr out);

} // namespace tenon::torch_export
#endif
