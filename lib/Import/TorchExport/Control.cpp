// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populateControl(ConverterTable &) {}
} // namespace tenon::torch_export
