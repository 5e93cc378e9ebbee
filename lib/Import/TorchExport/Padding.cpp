// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populatePadding(ConverterTable &) {}
} // namespace tenon::torch_export
