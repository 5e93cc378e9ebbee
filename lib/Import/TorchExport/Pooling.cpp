// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populatePooling(ConverterTable &) {}
} // namespace tenon::torch_export
