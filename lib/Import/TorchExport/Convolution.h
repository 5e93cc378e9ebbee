// Orders of dimensions around operators that want channels last.
#ifndef TENON_IMPORT_TORCHEXPORT_CONVOLUTION_H
#define TENON_IMPORT_TORCHEXPORT_CONVOLUTION_H

#include "Converter.h"

namespace tenon::torch_export {

/// [N, C, spatial…] -> [N, spatial…, C]
Tensor toChannelsLast(Op &op, Tensor x);
/// [N, spatial…, C] -> [N, C, spatial…]
Tensor toChannelsFirst(Op &op, Tensor x);

} // namespace tenon::torch_export
#endif
