// TODO
#include "Converter.h"

namespace tenon::torch_export {
void populateTraining(ConverterTable &) {}
} // namespace tenon::torch_export
