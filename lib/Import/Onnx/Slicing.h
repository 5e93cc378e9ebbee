// Parts of tensors whose places or sizes are known only when the model runs.
#ifndef TENON_IMPORT_ONNX_SLICING_H
#define TENON_IMPORT_ONNX_SLICING_H

#include "Sampling.h"

namespace tenon::onnx_import {

/// `x` read along `dim` at positions that a body computes from the position in the result (an i64); `operands` are
/// scalars that it needs.
Tensor readAt(Op &op, Tensor x, int64_t dim, mlir::AffineExpr size, llvm::ArrayRef<Operand> operands,
              llvm::function_ref<mlir::Value(Scalars &, mlir::Value, mlir::ValueRange)> body);

/// Sizes of the parts into which a dimension of size `total` is split, from a vector of integers: each becomes a size that
/// the call finds. That they add up to `total` is checked. None when something was reported.
std::optional<graph::Dims> foundParts(Op &op, Tensor parts, mlir::AffineExpr total);

} // namespace tenon::onnx_import
#endif
