// Operators that are known and not supported: why, and what to do instead.
#include "Op.h"

using namespace mlir;

namespace tenon::onnx_import {

void populateRefused(ConverterTable &t) {
  auto refuse = [&](StringRef name, StringRef reason, StringRef wayOut) {
    t[name] = [reason, wayOut](Op &op) { return op.unsupported(reason, wayOut); };
  };
  refuse("ImageDecoder", "which reads image files", "decode the image before and give the model its pixels");
}

} // namespace tenon::onnx_import
