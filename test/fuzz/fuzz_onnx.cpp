// libFuzzer: any bytes as an ONNX model. Run it as: fuzz-onnx CORPUS -max_len=65536
#include "lib/Import/Onnx/ModelFile.h"

using namespace tenon::onnx_import;

/// Reads the last byte of a tensor, which is what a wrong bound would miss.
static unsigned touch(ModelFile &file, const onnx::TensorProto &tensor) {
  auto data = file.tensor(tensor);
  if (!data) {
    llvm::consumeError(data.takeError());
    return 0;
  }
  return data->bytes.empty() ? 0 : data->bytes.back();
}

/// Tensors of a graph and of the graphs inside its nodes.
static unsigned touch(ModelFile &file, const onnx::GraphProto &graph, unsigned depth = 0) {
  unsigned sum = 0;
  for (const onnx::TensorProto &tensor : graph.initializer())
    sum += touch(file, tensor);
  for (const onnx::NodeProto &node : graph.node())
    for (const onnx::AttributeProto &attribute : node.attribute()) {
      if (attribute.has_t())
        sum += touch(file, attribute.t());
      if (attribute.has_g() && depth < 16)
        sum += touch(file, attribute.g(), depth + 1);
    }
  return sum;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto file = ModelFile::read({data, size}, "fuzz.onnx");
  if (!file) {
    llvm::consumeError(file.takeError());
    return 0;
  }
  volatile unsigned sum = touch(**file, (*file)->model().graph());
  (void)sum;
  return 0;
}
