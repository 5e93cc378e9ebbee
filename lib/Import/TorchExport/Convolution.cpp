// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populateConvolution(ConverterTable &) {}
} // namespace tenon::torch_export
