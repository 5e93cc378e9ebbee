// Orders of dimensions around operators that want channels last.
#ifndef TENON_IMPORT_TORCHEXPORT_CONVOLUTION_H
#define TENON_IMPORT_TORCHEXPORT_CONVOLUTION_H

#include "Converter.h"

namespace tenon::torch_export {

/// [N, C, spatial…] -> [N, spatial…, C]
Tensor toChannelsLast(Op &op, Tensor x);
/// [N, spatial…, C] -> [N, C, spatial…]
Tensor toChannelsFirst(Op &op, Tensor x);

/// The numbers of a convolution, one per spatial dimension.
struct ConvGeometry {
  llvm::SmallVector<int64_t> strides, low, high, dilations, inputDilation;
  int64_t groups = 1;
};

/// [N, C, spatial…] with a filter [O, C / groups, window…]; `bias` may be null.
Tensor convolve(Op &op, Tensor x, Tensor filter, Tensor bias, const ConvGeometry &g);
/// [C, O / groups, window] of a transposed convolution as [O, C / groups, window], window reversed.
Tensor transposeFilter(Op &op, Tensor filter, int64_t groups);

} // namespace tenon::torch_export
#endif
