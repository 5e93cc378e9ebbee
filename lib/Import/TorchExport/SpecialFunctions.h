// Special functions of one float64 number that others are made of.
#ifndef TENON_IMPORT_TORCHEXPORT_SPECIALFUNCTIONS_H
#define TENON_IMPORT_TORCHEXPORT_SPECIALFUNCTIONS_H

#include "Converter.h"

namespace tenon::torch_export {

/// log |Gamma(x)|
mlir::Value logGamma(Scalars &s, mlir::Value x);
/// exp(x^2) erfc(x)
mlir::Value scaledErfc(Scalars &s, mlir::Value x);

} // namespace tenon::torch_export
#endif
