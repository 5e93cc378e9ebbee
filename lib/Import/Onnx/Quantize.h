// What converters of quantized operators share.
#ifndef TENON_IMPORT_ONNX_QUANTIZE_H
#define TENON_IMPORT_ONNX_QUANTIZE_H

#include "Op.h"

namespace tenon::onnx_import {

/// round(x) + zero, cut to the range of `type`; all in float32. `zero` may be null.
Tensor quantizeScaled(Op &op, Tensor scaled, Operand zero, ScalarType type, bool saturates);
/// x - zero as 32-bit integers. A zero point of rank 1 lies along `dim`; a null one is 0.
Tensor centered(Op &op, Tensor x, Tensor zero, int64_t dim);
/// A scale: one number, or one for each slice along `dim`.
Operand along(Op &op, Tensor scale, int64_t dim);
/// Bytes, scale and zero point of a float tensor, from its range.
llvm::SmallVector<Tensor, 3> quantizeByRange(Op &op, Tensor x);

} // namespace tenon::onnx_import
#endif
