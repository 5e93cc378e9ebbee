// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populateRecurrent(ConverterTable &) {}
} // namespace tenon::torch_export
