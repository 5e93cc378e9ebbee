// Convolutions of PyTorch, transposed ones too.
#include "Converter.h"
#include "../Common/Spatial.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

static LogicalResult convertConvolution(Op &op, std::optional<bool> known) {
  Tensor x = op.tensor("input"), filter = op.tensor("weight"), bias = op.optionalTensor("bias");
  if (op.isBad())
    return failure();
  bool isTransposed = known ? *known : op.flag("transposed", false);
  int64_t spatial = filter.rank() - 2;
  if (spatial < 1 || (x.rank() != spatial + 2 && x.rank() != spatial + 1))
    return op.error("has an input and a filter whose ranks do not fit");
  bool isSingle = x.rank() == spatial + 1;
  if (isSingle)
    x = op.unsqueeze(x, 0);
  ConvGeometry g;
  g.groups = op.integer("groups", 1);
  g.strides = op.integersOf("stride", spatial, 1);
  g.dilations = op.integersOf("dilation", spatial, 1);
  g.inputDilation.assign(spatial, 1);
  SmallVector<int64_t> window, extra(spatial, 0), padding(spatial, 0);
  for (AffineExpr size : ArrayRef(filter.dims()).drop_front(2))
    window.push_back(graph::asConstant(size).value_or(0));
  if (op.isBad() || llvm::is_contained(window, 0) || g.groups < 1)
    return op.isBad() ? failure() : op.unsupported("with an empty or symbolic window, or no groups");
  if (op.node.arg("padding").kind() == Argument::Kind::String) {
    StringRef how = op.string("padding");
    for (int64_t i = 0; i < spatial; ++i) {
      int64_t total = how == "same" ? g.dilations[i] * (window[i] - 1) : 0;
      g.low.push_back(total / 2);
      g.high.push_back(total - total / 2);
    }
  } else {
    padding = op.integersOf("padding", spatial, 0);
    g.low = g.high = padding;
  }
  if (isTransposed) {
    extra = op.integersOf("output_padding", spatial, 0);
    filter = transposeFilter(op, filter, g.groups);
    for (int64_t i = 0; i < spatial; ++i) {
      int64_t reach = g.dilations[i] * (window[i] - 1);
      g.low[i] = reach - padding[i];
      g.high[i] = reach - padding[i] + extra[i];
    }
    std::swap(g.strides, g.inputDilation);
  }
  if (op.isBad() || !filter)
    return failure();
  Tensor y = convolve(op, x, filter, bias, g);
  return op.finish(isSingle ? op.squeeze(y, {0}) : y);
}

void populateConvolution(ConverterTable &t) {
  t["aten.convolution"] = t["aten._convolution"] = [](Op &op) { return convertConvolution(op, std::nullopt); };
  for (StringRef name :
       {"aten.conv1d", "aten.conv2d", "aten.conv3d", "aten._conv_depthwise2d", "aten.conv_depthwise3d"})
    t[name] = [](Op &op) { return convertConvolution(op, false); };
  for (StringRef name : {"aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"})
    t[name] = [](Op &op) { return convertConvolution(op, true); };
}

} // namespace tenon::torch_export
