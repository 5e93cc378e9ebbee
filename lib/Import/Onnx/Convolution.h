// What converters of convolutions share with those of quantized ones.
#ifndef TENON_IMPORT_ONNX_CONVOLUTION_H
#define TENON_IMPORT_ONNX_CONVOLUTION_H

#include "../Common/Spatial.h"
#include "Op.h"

namespace tenon::onnx_import {

/// The convolution that the node's attributes describe; `bias` may be null.
Tensor convolution(Op &op, Tensor x, Tensor filter, Tensor bias);

/// Low and high padding from attributes `pads` and `auto_pad`, for windows over dimensions of `x` from 2 on.
struct Padding {
  llvm::SmallVector<int64_t> low, high;
};
std::optional<Padding> readPadding(Op &op, Tensor x, llvm::ArrayRef<int64_t> window, llvm::ArrayRef<int64_t> strides,
                                   llvm::ArrayRef<int64_t> dilations);

} // namespace tenon::onnx_import
#endif
