// Convolutions: graph.conv is channels last, so permutes stand around it; a later pass moves and cancels them.
#include "Convolution.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

std::optional<Padding> readPadding(Op &op, Tensor x, ArrayRef<int64_t> window, ArrayRef<int64_t> strides,
                                   ArrayRef<int64_t> dilations) {
  size_t spatial = window.size();
  std::string how = op.text("auto_pad", StringRef("NOTSET"));
  Padding result{SmallVector<int64_t>(spatial, 0), SmallVector<int64_t>(spatial, 0)};
  if (how == "VALID")
    return result;
  if (how == "NOTSET" || how.empty()) {
    SmallVector<int64_t> pads = op.integersOf("pads", 2 * spatial, 0);
    if (op.isBad())
      return std::nullopt;
    result.low.assign(pads.begin(), pads.begin() + spatial);
    result.high.assign(pads.begin() + spatial, pads.end());
    return result;
  }
  if (how != "SAME_UPPER" && how != "SAME_LOWER")
    return (void)op.error("has auto_pad '" + how + "', which is unknown"), std::nullopt;
  for (size_t i = 0; i < spatial; ++i) {
    int64_t reach = (window[i] - 1) * dilations[i] + 1, total = reach - 1;
    if (strides[i] != 1) {
      std::optional<int64_t> size = graph::asConstant(x.dim(i + 2));
      if (!size)
        return (void)op.unsupported("with auto_pad and a stride over a symbolic size"), std::nullopt;
      int64_t count = (*size + strides[i] - 1) / strides[i];
      total = std::max<int64_t>((count - 1) * strides[i] + reach - *size, 0);
    }
    int64_t half = total / 2;
    result.low[i] = how == "SAME_UPPER" ? half : total - half;
    result.high[i] = total - result.low[i];
  }
  return result;
}

Tensor convolution(Op &op, Tensor x, Tensor filter, Tensor bias) {
  if (!x || !filter)
    return {};
  int64_t spatial = filter.rank() - 2, groups = op.integer("group", 1);
  if (spatial < 1 || x.rank() != filter.rank())
    return op.errorTensor("has an input and a filter of ranks " + Twine(x.rank()) + " and " + Twine(filter.rank()));
  SmallVector<int64_t> window;
  for (AffineExpr size : ArrayRef(filter.dims()).drop_front(2))
    window.push_back(graph::asConstant(size).value_or(0));
  SmallVector<int64_t> strides = op.integersOf("strides", spatial, 1), dilations = op.integersOf("dilations", spatial, 1);
  if (op.isBad())
    return {};
  auto isPositive = [](int64_t v) { return v > 0; };
  if (!llvm::all_of(window, isPositive) || !llvm::all_of(strides, isPositive) || !llvm::all_of(dilations, isPositive))
    return op.unsupportedTensor("with a window, stride or dilation that is symbolic or not positive");
  std::optional<Padding> padding = readPadding(op, x, window, strides, dilations);
  if (!padding)
    return {};
  std::optional<int64_t> channels = graph::asConstant(x.dim(1)), own = graph::asConstant(filter.dim(1)),
                         results = graph::asConstant(filter.dim(0));
  if (!channels || !own || !results || groups < 1 || *channels != *own * groups || *results % groups != 0)
    return op.errorTensor("has an input and a filter whose channels do not fit " + Twine(groups) + " groups");
  Tensor last = toChannelsLast(op, x), taps = filter;
  // graph.conv takes filters as [O, C, window…]; that is what ONNX has.
  Dims dims{x.dim(0)};
  for (int64_t i = 0; i < spatial; ++i)
    dims.push_back(graph::normalize((x.dim(i + 2) + padding->low[i] + padding->high[i] - (window[i] - 1) * dilations[i] - 1)
                                        .floorDiv(strides[i]) +
                                    1));
  dims.push_back(filter.dim(0));
  auto list = [&](ArrayRef<int64_t> values) { return op.b.getDenseI64ArrayAttr(values); };
  auto type = graph::makeTensorType(dims, x.type().getElementType());
  Tensor y{graph::ConvOp::create(op.b, op.loc, type, last.value, taps.value, list(strides), list(padding->low),
                                 list(padding->high), list(dilations), list(SmallVector<int64_t>(spatial, 1)),
                                 op.b.getI64IntegerAttr(groups)),
           x.dtype};
  if (bias)
    y = op.map(y.dtype, y.dtype, {y, Operand(bias, {spatial + 1})},
               [](Scalars &s, ValueRange v) { return s.add(v[0], v[1]); });
  return toChannelsFirst(op, y);
}

static LogicalResult convertConv(Op &op) {
  Tensor x = op.tensor(0), filter = op.tensor(1), bias = op.optionalTensor(2);
  return op.isBad() ? failure() : op.finish(convolution(op, x, filter, bias));
}

//===----------------------------------------------------------------------===//
// Pools
//===----------------------------------------------------------------------===//

static LogicalResult convertGlobalPool(Op &op, bool isMax) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (x.rank() < 3)
    return op.error("has an input of rank " + Twine(x.rank()));
  SmallVector<int64_t> dims = llvm::to_vector(llvm::seq<int64_t>(2, x.rank()));
  ScalarType type = x.dtype;
  if (isMax)
    return op.finish(op.reduceDims(graph::ReduceKind::Max, x, dims, true));
  return op.finish(op.convert(op.mean(op.convert(x, computeType(type)), dims, true), type));
}

/// Max and average pools without the second result.
static LogicalResult convertPool(Op &op, bool isMax) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t spatial = x.rank() - 2;
  if (spatial < 1)
    return op.error("has an input of rank " + Twine(x.rank()));
  SmallVector<int64_t> window = op.integersOf("kernel_shape", spatial, 0), strides = op.integersOf("strides", spatial, 1),
                       dilations = op.integersOf("dilations", spatial, 1);
  auto isPositive = [](int64_t v) { return v > 0; };
  if (op.isBad())
    return failure();
  if (!llvm::all_of(window, isPositive) || !llvm::all_of(strides, isPositive) || !llvm::all_of(dilations, isPositive))
    return op.error("has a window, stride or dilation that is not positive");
  if (op.integer("ceil_mode", 0) != 0)
    return op.unsupported("with ceil_mode");
  if (op.isUsed(1))
    return op.unsupported("with positions as the second result");
  std::optional<Padding> padding = readPadding(op, x, window, strides, dilations);
  if (!padding)
    return failure();
  bool countsPadding = op.integer("count_include_pad", 0) != 0;
  SmallVector<int64_t> w{1}, s{1}, low{0}, d{1};
  w.append(window), s.append(strides), low.append(padding->low), d.append(dilations);
  w.push_back(1), s.push_back(1), low.push_back(0), d.push_back(1);
  Dims dims{x.dim(0)};
  for (int64_t i = 0; i < spatial; ++i)
    dims.push_back(graph::normalize((x.dim(i + 2) + padding->low[i] + padding->high[i] - (window[i] - 1) * dilations[i] - 1)
                                        .floorDiv(strides[i]) +
                                    1));
  dims.push_back(x.dim(1));
  auto kind = isMax ? graph::ReduceKind::Max : graph::ReduceKind::Sum;
  auto pool = [&](Tensor t) -> Tensor {
    auto list = [&](ArrayRef<int64_t> values) { return op.b.getDenseI64ArrayAttr(values); };
    Dims sizes = dims;
    sizes.front() = t.dim(0), sizes.back() = t.dim(t.rank() - 1);
    return {graph::ReduceWindowOp::create(op.b, op.loc, graph::makeTensorType(sizes, t.type().getElementType()),
                                          graph::ReduceKindAttr::get(op.context(), kind), t.value, list(w), list(s),
                                          list(low), list(d)),
            t.dtype};
  };
  ScalarType type = x.dtype, work = computeType(type);
  if (isMax) {
    if (isUnsigned(type))
      return op.finish(op.convert(toChannelsFirst(op, pool(toChannelsLast(op, op.convert(x, ScalarType::Int)))), type));
    return op.finish(toChannelsFirst(op, pool(toChannelsLast(op, x))));
  }
  Tensor sum = pool(toChannelsLast(op, op.convert(x, work)));
  int64_t taps = 1;
  for (int64_t size : window)
    taps *= size;
  bool hasPadding = llvm::any_of(padding->low, [](int64_t p) { return p != 0; }) ||
                    llvm::any_of(padding->high, [](int64_t p) { return p != 0; });
  Tensor y;
  if (countsPadding || !hasPadding) {
    y = op.scale(sum, 1.0 / static_cast<double>(taps));
  } else {
    Dims ones{op.constant(1)};
    for (int64_t i = 0; i < spatial; ++i)
      ones.push_back(x.dim(i + 2));
    ones.push_back(op.constant(1));
    y = op.div(sum, pool(op.full(ones, work, 1)));
  }
  return op.finish(toChannelsFirst(op, op.convert(y, type)));
}

void populateConvolution(ConverterTable &t) {
  t["Conv"] = convertConv;
  t["GlobalAveragePool"] = [](Op &op) { return convertGlobalPool(op, false); };
  t["GlobalMaxPool"] = [](Op &op) { return convertGlobalPool(op, true); };
  t["MaxPool"] = [](Op &op) { return convertPool(op, true); };
  t["AveragePool"] = [](Op &op) { return convertPool(op, false); };
}

} // namespace tenon::onnx_import
