// Convolutions: graph.conv is channels last, so permutes stand around it; a later pass moves and cancels them.
#include "Convolution.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

Tensor toChannelsLast(Op &op, Tensor x) {
  if (!x)
    return {};
  SmallVector<int64_t> order{0};
  for (int64_t d = 2; d < x.rank(); ++d)
    order.push_back(d);
  order.push_back(1);
  return op.permute(x, order);
}

Tensor toChannelsFirst(Op &op, Tensor x) {
  if (!x)
    return {};
  SmallVector<int64_t> order{0, x.rank() - 1};
  for (int64_t d = 1; d + 1 < x.rank(); ++d)
    order.push_back(d);
  return op.permute(x, order);
}

Tensor convolve(Op &op, Tensor x, Tensor filter, Tensor bias, const ConvGeometry &g) {
  int64_t spatial = x.rank() - 2;
  x = toChannelsLast(op, x);
  Dims in = x.dims(), window = filter.dims(), dims{in[0]};
  std::optional<int64_t> channels = graph::asConstant(in.back()), own = graph::asConstant(window[1]),
                         results = graph::asConstant(window[0]);
  if (!channels || !own || !results || g.groups < 1 || *channels != *own * g.groups || *results % g.groups != 0)
    return op.errorTensor("has an input and a filter whose channels do not fit " + Twine(g.groups) + " groups");
  for (int64_t i = 0; i < spatial; ++i) {
    AffineExpr padded = (in[i + 1] - 1) * g.inputDilation[i] + 1 + g.low[i] + g.high[i];
    dims.push_back((padded - (window[i + 2] - 1) * g.dilations[i] - 1).floorDiv(g.strides[i]) + 1);
  }
  dims.push_back(window[0]);
  auto type = graph::makeTensorType(dims, x.type().getElementType());
  auto list = [&](ArrayRef<int64_t> values) { return op.b.getDenseI64ArrayAttr(values); };
  Tensor y{graph::ConvOp::create(op.b, op.loc, type, x.value, filter.value, list(g.strides), list(g.low), list(g.high),
                                 list(g.dilations), list(g.inputDilation), op.b.getI64IntegerAttr(g.groups)),
           x.dtype};
  if (bias)
    y = op.map(y.dtype, y.dtype, {y, Operand(bias, {spatial + 1})},
               [](Scalars &s, ValueRange v) { return s.add(v[0], v[1]); });
  return toChannelsFirst(op, y);
}

Tensor transposeFilter(Op &op, Tensor filter, int64_t groups) {
  Dims dims = filter.dims(), split = dims, merged = dims;
  split[0] = dims[0].floorDiv(groups);
  split.insert(split.begin(), op.constant(groups));
  SmallVector<int64_t> order{0, 2, 1}, spatial;
  for (int64_t d = 2; d < filter.rank(); ++d) {
    order.push_back(d + 1);
    spatial.push_back(d);
  }
  merged[0] = dims[1] * groups;
  merged[1] = dims[0].floorDiv(groups);
  return op.reverse(op.reshape(op.permute(op.reshape(filter, split), order), merged), spatial);
}

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
