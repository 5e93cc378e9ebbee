// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populateResampling(ConverterTable &) {}
} // namespace tenon::torch_export
