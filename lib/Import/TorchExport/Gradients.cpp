// Derivatives of structured operators, as exporters of training graphs write them: convolutions, pools, norms, lookups.
#include "Pooling.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;
using tenon::graph::ScatterKind;

namespace tenon::torch_export {

static Tensor multiply(Op &op, ScalarType type, ArrayRef<Operand> operands) {
  return op.map(type, type, operands, [](Scalars &s, ValueRange v) {
    Value result = v[0];
    for (Value factor : v.drop_front())
      result = s.mul(result, factor);
    return result;
  });
}

/// Sum over `dims`, in the type that sums are computed in.
static Tensor sumOver(Op &op, Tensor x, ArrayRef<int64_t> dims) {
  return x && !dims.empty() ? op.reduce(ReduceKind::Sum, op.convert(x, computeType(x.dtype)), dims) : x;
}

/// All dimensions but that one.
static SmallVector<int64_t> allBut(int64_t rank, int64_t dim) {
  SmallVector<int64_t> dims;
  for (int64_t d = 0; d < rank; ++d)
    if (d != dim)
      dims.push_back(d);
  return dims;
}

/// The first elements of the spatial dimensions of [N, C, spatial…], as many as `spatial` says.
static Tensor cut(Op &op, Tensor x, ArrayRef<AffineExpr> spatial) {
  for (auto [i, want] : llvm::enumerate(spatial))
    if (int64_t dim = i + 2; x && x.dim(dim) != want)
      x = op.slice(x, dim, op.constant(0), want);
  return x;
}

//===----------------------------------------------------------------------===//
// Convolution
//===----------------------------------------------------------------------===//

/// d loss / d filter, [dense channels, windowed channels / groups, window…]: every window of `windowed` is laid out
/// beside the element of `dense` that it belongs to, so that the sum over batch and positions is one product.
static Tensor filterGradient(Op &op, Tensor windowed, Tensor dense, const ConvGeometry &g, ArrayRef<int64_t> padding,
                             ArrayRef<AffineExpr> window) {
  int64_t spatial = windowed.rank() - 2;
  std::optional<int64_t> channels = graph::asConstant(windowed.dim(1)), others = graph::asConstant(dense.dim(1));
  if (!channels || !others || *channels % g.groups != 0 || *others % g.groups != 0)
    return op.errorTensor("has channels that do not fit " + Twine(g.groups) + " groups");
  int64_t own = *channels / g.groups, results = *others / g.groups;
  Dims positions = dense.dims();
  positions.erase(positions.begin(), positions.begin() + 2);
  windowed = toChannelsLast(op, windowed);
  dense = toChannelsLast(op, dense);
  Dims low(spatial + 2, op.constant(0)), high = low;
  for (int64_t i = 0; i < spatial; ++i)
    low[i + 1] = high[i + 1] = op.constant(padding[i]);
  windowed = op.pad(windowed, low, high, 0);
  // [N, positions…, window…, C]
  Dims dims{windowed.dim(0)};
  dims.append(positions);
  dims.append(window.begin(), window.end());
  dims.push_back(windowed.dim(spatial + 1));
  SmallVector<Operand> indices;
  SmallVector<int64_t> coords{0};
  for (int64_t i = 0; i < spatial; ++i) {
    Tensor at = op.generate(ScalarType::Long, ScalarType::Long, {positions[i], window[i]}, [&](Scalars &s, ValueRange) {
      return s.add(s.mul(op.index(s, 0), s.integer(g.strides[i])), s.mul(op.index(s, 1), s.integer(g.dilations[i])));
    });
    indices.push_back(Operand(at, {i + 1, i + 1 + spatial}));
    coords.push_back(-i - 1);
  }
  coords.push_back(2 * spatial + 1);
  Tensor windows = op.gather(windowed, indices, coords, dims);
  AffineExpr count = dims[0], taps = op.constant(1);
  for (AffineExpr n : positions)
    count = graph::normalize(count * n);
  for (AffineExpr n : window)
    taps = graph::normalize(taps * n);
  // One product for each group: [p, g, tap * own] and [p, g, results].
  AffineExpr groups = op.constant(g.groups);
  windows = op.reshape(windows, {count, taps, groups, op.constant(own)});
  windows = op.permute(windows, {0, 2, 1, 3});
  windows = op.reshape(windows, {count, groups, graph::normalize(taps * own)});
  dense = op.reshape(dense, {count, groups, op.constant(results)});
  Tensor sums = op.contract(dense, "pgo", windows, "pgj", "goj");
  Dims split{op.constant(*others)};
  split.append(window.begin(), window.end());
  split.push_back(op.constant(own));
  SmallVector<int64_t> order{0, spatial + 1};
  for (int64_t i = 0; i < spatial; ++i)
    order.push_back(i + 1);
  return op.permute(op.reshape(sums, split), order);
}

static LogicalResult convertConvolutionBackward(Op &op) {
  Tensor grad = op.tensor("grad_output"), x = op.tensor("input"), filter = op.tensor("weight");
  if (op.isBad())
    return failure();
  int64_t spatial = filter.rank() - 2;
  bool isSingle = x.rank() == spatial + 1;
  if (isSingle) {
    x = op.unsqueeze(x, 0);
    grad = op.unsqueeze(grad, 0);
  }
  if (spatial < 1 || x.rank() != spatial + 2 || grad.rank() != spatial + 2)
    return op.error("has an input and a filter whose ranks do not fit");
  ConvGeometry g;
  g.groups = op.integer("groups", 1);
  g.strides = op.integersOf("stride", spatial, 1);
  g.dilations = op.integersOf("dilation", spatial, 1);
  g.inputDilation.assign(spatial, 1);
  SmallVector<int64_t> padding = op.integersOf("padding", spatial, 0);
  bool isTransposed = op.flag("transposed", false);
  Dims window = filter.dims();
  window.erase(window.begin(), window.begin() + 2);
  if (op.isBad() || g.groups < 1)
    return op.isBad() ? failure() : op.error("has no groups");
  Tensor gradInput, gradFilter, gradBias;
  if (op.isUsed(0)) {
    ConvGeometry back = g;
    Tensor flipped = filter;
    if (!isTransposed) {
      flipped = transposeFilter(op, filter, g.groups);
      for (int64_t i = 0; i < spatial; ++i) {
        std::optional<int64_t> size = graph::asConstant(window[i]);
        if (!size)
          return op.unsupported("with a symbolic window");
        back.low.push_back(g.dilations[i] * (*size - 1) - padding[i]);
      }
      std::swap(back.strides, back.inputDilation);
    } else {
      back.low = padding;
    }
    // Strides round down: the last elements of the input may lie behind the last whole stride and still be read.
    back.high = back.low;
    if (!isTransposed)
      for (int64_t i = 0; i < spatial; ++i) {
        AffineExpr reached =
            (grad.dim(i + 2) - 1) * g.strides[i] + 1 + g.dilations[i] * (window[i] - 1) - 2 * padding[i];
        std::optional<int64_t> rest = graph::asConstant(graph::normalize(x.dim(i + 2) - reached));
        back.high[i] += rest.value_or(g.strides[i] - 1);
      }
    gradInput = cut(op, convolve(op, grad, flipped, {}, back), ArrayRef(x.dims()).drop_front(2));
    if (isSingle)
      gradInput = gradInput ? op.squeeze(gradInput, {0}) : gradInput;
  }
  if (op.isUsed(1))
    gradFilter = isTransposed ? filterGradient(op, grad, x, g, padding, window)
                              : filterGradient(op, x, grad, g, padding, window);
  if (op.isUsed(2))
    gradBias = op.convert(sumOver(op, grad, allBut(grad.rank(), 1)), grad.dtype);
  return op.finish({gradInput, gradFilter, gradBias});
}

//===----------------------------------------------------------------------===//
// Pools
//===----------------------------------------------------------------------===//

static Tensor withBatch(Op &op, Tensor x, int64_t spatial) {
  return x && x.rank() == spatial + 1 ? op.unsqueeze(x, 0) : x;
}

/// Each element of a window gets an equal share. Shares stand `stride` apart among zeros; windows over them add up.
static Convert averagePoolBackward(int64_t spatial) {
  return [spatial](Op &op) {
    Tensor grad = withBatch(op, op.tensor("grad_output"), spatial), x = op.tensor("self");
    if (op.isBad())
      return failure();
    bool isSingle = x.rank() == spatial + 1;
    x = withBatch(op, x, spatial);
    PoolWindows w;
    w.size = op.integersOf("kernel_size", spatial, 1);
    w.strides = op.integers("stride", SmallVector<int64_t>()).empty() ? w.size : op.integersOf("stride", spatial, 1);
    w.low = op.integersOf("padding", spatial, 0);
    w.dilations.assign(spatial, 1);
    bool countsPadding = op.flag("count_include_pad", true);
    int64_t divisor = op.has("divisor_override") ? op.integer("divisor_override") : 0;
    if (op.isBad())
      return failure();
    ScalarType type = x.dtype, work = computeType(type);
    Tensor last = toChannelsLast(op, x);
    Tensor shares = op.map(work, work, {toChannelsLast(op, grad)}, [&](Scalars &s, ValueRange v) {
      return s.div(v[0], divisor ? s.integer(divisor) : countCovered(op, s, last, w, countsPadding));
    });
    PoolWindows back;
    for (int64_t i = 0; i < spatial && shares; ++i) {
      int64_t dim = i + 1;
      if (w.strides[i] != 1) {
        Dims spread = shares.dims();
        spread[dim] = graph::normalize((spread[dim] - 1) * w.strides[i] + 1);
        shares = op.insertSlice(shares, op.full(spread, work, 0), dim, op.constant(0), w.strides[i]);
      }
      back.size.push_back(w.size[i]);
      back.strides.push_back(1);
      back.low.push_back(w.size[i] - 1);
      back.dilations.push_back(1);
      back.results.push_back(graph::normalize(x.dim(i + 2) + w.low[i]));
    }
    if (!shares)
      return failure();
    Tensor sums = reduceWindows(op, ReduceKind::Sum, shares, back);
    for (int64_t i = 0; i < spatial && sums; ++i)
      sums = op.slice(sums, i + 1, op.constant(w.low[i]), x.dim(i + 2));
    Tensor result = op.convert(toChannelsFirst(op, sums), type);
    return op.finish(isSingle && result ? op.squeeze(result, {0}) : result);
  };
}

static Convert adaptiveAveragePoolBackward(int64_t spatial) {
  return [spatial](Op &op) {
    Tensor grad = op.tensor("grad_output"), x = op.tensor("self");
    if (op.isBad())
      return failure();
    ScalarType type = x.dtype;
    Tensor y = op.convert(grad, computeType(type));
    for (int64_t dim = x.rank() - spatial; dim < x.rank() && y; ++dim)
      y = multiplyAlong(op, y, dim, averagingMatrix(op, y.dtype, x.dim(dim), y.dim(dim)), true);
    return op.finish(op.convert(y, type));
  };
}

/// The gradient of a maximum goes where the maximum was.
static Convert maxPoolBackward(int64_t spatial) {
  return [spatial](Op &op) {
    Tensor grad = op.tensor("grad_output"), x = op.tensor("self"), at = op.tensor("indices");
    if (op.isBad() || x.rank() < spatial || grad.rank() != x.rank())
      return op.isBad() ? failure() : op.error("has an input of rank " + Twine(x.rank()));
    auto plane = [&](Tensor t) {
      AffineExpr outer = op.constant(1), inner = outer;
      for (int64_t d = 0; d < t.rank(); ++d)
        (d < t.rank() - spatial ? outer : inner) =
            graph::normalize((d < t.rank() - spatial ? outer : inner) * t.dim(d));
      return Dims{outer, inner};
    };
    ScalarType type = x.dtype, work = computeType(type);
    Tensor updates = op.convert(op.reshape(grad, plane(grad)), work);
    Tensor sums = op.scatter(ScatterKind::Sum, updates, op.full(plane(x), work, 0),
                             {Operand(op.reshape(at, plane(at)), {0, 1})}, {0, -1});
    return op.finish(op.convert(op.reshape(sums, x.dims()), type));
  };
}

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

/// d loss / d x of y = (x - mean) * rstd with statistics over `dims`, from g = d loss / d y:
/// rstd * (g - mean(g) - xhat * mean(g * xhat)). A null mean stands for one that was not subtracted.
static Tensor normGradient(Op &op, Tensor g, Tensor normal, Tensor rstd, bool isCentred, ArrayRef<int64_t> dims) {
  ScalarType work = normal.dtype;
  SmallVector<int64_t> kept = keptDims(normal.rank(), dims);
  Tensor meanProduct = meanOver(op, multiply(op, work, {g, normal}), dims);
  Tensor meanGrad = isCentred ? meanOver(op, g, dims) : Tensor();
  if (!meanProduct || (isCentred && !meanGrad))
    return {};
  SmallVector<Operand> operands{g, normal, Operand(rstd, kept), Operand(meanProduct, kept)};
  if (isCentred)
    operands.push_back(Operand(meanGrad, kept));
  return op.map(work, work, operands, [&](Scalars &s, ValueRange v) {
    Value rest = s.sub(isCentred ? s.sub(v[0], v[4]) : v[0], s.mul(v[1], v[3]));
    return s.mul(v[2], rest);
  });
}

static Tensor normalized(Op &op, Tensor x, Tensor mean, Tensor rstd, ArrayRef<int64_t> kept) {
  SmallVector<Operand> operands{x, Operand(rstd, kept)};
  if (mean)
    operands.push_back(Operand(mean, kept));
  return op.map(x.dtype, x.dtype, operands,
                [&](Scalars &s, ValueRange v) { return s.mul(mean ? s.sub(v[0], v[2]) : v[0], v[1]); });
}

/// layer_norm, and rms_norm where there is no mean.
static LogicalResult convertLayerNormBackward(Op &op) {
  Tensor grad = op.tensor("grad_out"), x = op.tensor("input"), mean = op.optionalTensor("mean"),
         rstd = op.tensor("rstd"), weight = op.optionalTensor("weight");
  int64_t count = op.sizes("normalized_shape").size();
  if (op.isBad() || count > x.rank())
    return op.isBad() ? failure() : op.error("normalizes more dimensions than the input has");
  ScalarType type = x.dtype, work = computeType(type);
  SmallVector<int64_t> outer = upTo(x.rank() - count), inner;
  for (int64_t d = x.rank() - count; d < x.rank(); ++d)
    inner.push_back(d);
  auto statistic = [&](Tensor t) { return t ? op.convert(op.squeeze(t, inner), work) : t; };
  bool isCentred = static_cast<bool>(mean);
  mean = statistic(mean);
  rstd = statistic(rstd);
  grad = op.convert(grad, work);
  Tensor normal = normalized(op, op.convert(x, work), mean, rstd, outer);
  Tensor g = weight ? multiply(op, work, {grad, Operand(weight, inner)}) : grad;
  Tensors results(op.node.resultNames().size());
  if (!normal || !g)
    return failure();
  if (op.isUsed(0))
    results[0] = op.convert(normGradient(op, g, normal, rstd, isCentred, inner), type);
  if (op.isUsed(1))
    results[1] = op.convert(sumOver(op, multiply(op, work, {grad, normal}), outer), weight ? weight.dtype : type);
  if (results.size() > 2 && op.isUsed(2))
    results[2] = op.convert(sumOver(op, grad, outer), weight ? weight.dtype : type);
  return op.finish(results);
}

static LogicalResult convertGroupNormBackward(Op &op) {
  Tensor grad = op.tensor("grad_out"), x = op.tensor("input"), mean = op.tensor("mean"), rstd = op.tensor("rstd"),
         weight = op.optionalTensor("weight");
  int64_t groups = op.integer("group");
  if (op.isBad() || x.rank() < 2 || groups < 1)
    return op.isBad() ? failure() : op.error("needs an input of rank 2 or more and a positive number of groups");
  ScalarType type = x.dtype, work = computeType(type);
  AffineExpr own = graph::normalize(x.dim(1).floorDiv(groups)), space = op.constant(1);
  for (int64_t d = 2; d < x.rank(); ++d)
    space = graph::normalize(space * x.dim(d));
  Dims split{x.dim(0), op.constant(groups), own, space};
  auto bySplit = [&](Tensor t) { return op.reshape(op.convert(t, work), split); };
  auto byGroup = [&](Tensor t) { return op.reshape(op.convert(t, work), {x.dim(0), op.constant(groups)}); };
  Tensor gy = bySplit(grad);
  mean = byGroup(mean);
  rstd = byGroup(rstd);
  Tensor normal = normalized(op, bySplit(x), mean, rstd, {0, 1});
  Tensor g = weight ? multiply(op, work, {gy, Operand(op.reshape(weight, {op.constant(groups), own}), {1, 2})}) : gy;
  if (!normal || !g)
    return failure();
  Tensor gradX, gradWeight, gradBias;
  if (op.isUsed(0))
    gradX = op.convert(op.reshape(normGradient(op, g, normal, rstd, true, {2, 3}), x.dims()), type);
  auto perChannel = [&](Tensor t) {
    return op.convert(op.reshape(sumOver(op, t, {0, 3}), {x.dim(1)}), weight ? weight.dtype : type);
  };
  if (op.isUsed(1))
    gradWeight = perChannel(multiply(op, work, {gy, normal}));
  if (op.isUsed(2))
    gradBias = perChannel(gy);
  return op.finish({gradX, gradWeight, gradBias});
}

static LogicalResult convertBatchNormBackward(Op &op) {
  Tensor grad = op.tensor(op.has("grad_out") ? "grad_out" : "grad_output"), x = op.tensor("input"),
         weight = op.optionalTensor("weight");
  bool trains = op.flag("train", true);
  double eps = op.number("eps", 1e-5);
  Tensor mean = op.optionalTensor(trains ? "save_mean" : "running_mean"),
         spread = op.optionalTensor(trains ? "save_invstd" : "running_var");
  if (op.isBad() || !mean || !spread)
    return op.isBad() ? failure() : op.unsupported("without the statistics it normalized by");
  ScalarType type = x.dtype, work = computeType(type);
  mean = op.convert(mean, work);
  Tensor rstd = op.convert(spread, work);
  if (!trains)
    rstd = op.map(work, work, {rstd},
                  [&](Scalars &s, ValueRange v) { return s.make<math::RsqrtOp>(s.add(v[0], s.number(eps))); });
  SmallVector<int64_t> dims = allBut(x.rank(), 1);
  grad = op.convert(grad, work);
  Tensor normal = normalized(op, op.convert(x, work), mean, rstd, {1});
  Tensor g = weight ? multiply(op, work, {grad, Operand(weight, {1})}) : grad;
  if (!normal || !g)
    return failure();
  Tensor gradX, gradWeight, gradBias;
  if (op.isUsed(0))
    gradX = op.convert(
        trains ? normGradient(op, g, normal, rstd, true, dims) : multiply(op, work, {g, Operand(rstd, {1})}), type);
  if (op.isUsed(1))
    gradWeight = op.convert(sumOver(op, multiply(op, work, {grad, normal}), dims), op.resultDtype(1));
  if (op.isUsed(2))
    gradBias = op.convert(sumOver(op, grad, dims), op.resultDtype(2));
  return op.finish({gradX, gradWeight, gradBias});
}

//===----------------------------------------------------------------------===//
// Softmax, lookups, views
//===----------------------------------------------------------------------===//

static Convert softmaxBackward(bool isLog) {
  return [isLog](Op &op) {
    Tensor grad = op.tensor("grad_output"), y = op.tensor("output");
    if (op.isBad())
      return failure();
    ScalarType type = op.resultDtype(), work = computeType(y.dtype);
    if (y.rank() == 0)
      return op.finish(op.full({}, type, 0));
    int64_t dim = op.dim("dim", y.rank());
    SmallVector<int64_t> kept = keptDims(y.rank(), dim);
    Tensor sum = sumOver(op, isLog ? op.convert(grad, work) : multiply(op, work, {grad, y}), {dim});
    return op.finish(op.map(type, work, {grad, y, Operand(sum, kept)}, [&](Scalars &s, ValueRange v) {
      return isLog ? s.sub(v[0], s.mul(s.make<math::ExpOp>(v[1]), v[2])) : s.mul(v[1], s.sub(v[0], v[2]));
    }));
  };
}

static LogicalResult convertEmbeddingBackward(Op &op) {
  Tensor grad = op.tensor("grad_output"), indices = op.tensor("indices");
  AffineExpr rows = op.size("num_weights");
  int64_t padding = op.integer("padding_idx", -1);
  bool scales = op.flag("scale_grad_by_freq", false);
  if (op.isBad())
    return failure();
  ScalarType type = grad.dtype, work = computeType(type);
  AffineExpr count = graph::numElements(indices.value.getType()), width = grad.dim(grad.rank() - 1);
  Tensor at = op.convert(op.reshape(indices, {count}), ScalarType::Long);
  Tensor updates = op.convert(op.reshape(grad, {count, width}), work);
  if (scales) {
    Tensor uses = op.scatter(ScatterKind::Sum, op.full({count}, work, 1), op.full({rows}, work, 0), {at}, {-1});
    Tensor own = op.gather(uses, {at}, {-1}, {count});
    updates =
        op.map(work, work, {updates, Operand(own, {0})}, [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
  }
  if (padding >= 0)
    updates = op.map(work, work, {updates, Operand::raw(op.broadcast(op.unsqueeze(at, 1), {count, width}))},
                     [&](Scalars &s, ValueRange v) {
                       Scalars ints(s.b, s.loc, ScalarType::Long);
                       return s.select(ints.compare(Compare::Eq, v[1], ints.integer(padding)), s.number(0), v[0]);
                     });
  Tensor sums = op.scatter(ScatterKind::Sum, updates, op.full({rows, width}, work, 0), {Operand(at, {0})}, {-1, 1});
  return op.finish(op.convert(sums, type));
}

/// index_select_backward: slices are added to where they came from.
static LogicalResult convertIndexSelectBackward(Op &op) {
  Tensor grad = op.tensor("grad"), index = op.tensor("index");
  Dims dims = op.sizes("self_sizes");
  if (op.isBad() || dims.empty())
    return op.isBad() ? failure() : op.finish(op.reshape(grad, {}));
  int64_t dim = op.dim("dim", dims.size());
  SmallVector<int64_t> coords = upTo(dims.size());
  coords[dim] = -1;
  return op.finish(op.scatter(ScatterKind::Sum, grad, op.full(dims, grad.dtype, 0), {Operand(index, {dim})}, coords));
}

/// select_backward and slice_backward: zeros with a part replaced.
static LogicalResult convertSliceBackward(Op &op) {
  Tensor grad = op.tensor("grad_output");
  Dims dims = op.sizes("input_sizes");
  if (op.isBad())
    return failure();
  int64_t dim = op.dim("dim", dims.size());
  bool isSelect = op.has("index");
  AffineExpr begin = op.size(isSelect ? "index" : "start", op.constant(0));
  int64_t step = isSelect ? 1 : op.integer("step", 1);
  if (op.isBad())
    return failure();
  if (std::optional<int64_t> known = graph::asConstant(begin); known && *known < 0)
    begin = graph::normalize(begin + dims[dim]);
  if (isSelect)
    grad = op.unsqueeze(grad, dim);
  if (graph::asConstant(graph::numElements(grad.value.getType())) == 0)
    return op.finish(op.full(dims, grad.dtype, 0));
  return op.finish(op.insertSlice(grad, op.full(dims, grad.dtype, 0), dim, begin, step));
}

/// The gradient of max(dim), median, …: each goes to the element that was chosen.
static LogicalResult convertSelectingBackward(Op &op) {
  Tensor grad = op.tensor("grad"), at = op.tensor("indices");
  Dims dims = op.sizes("sizes");
  bool keeps = op.flag("keepdim", false);
  if (op.isBad() || dims.empty())
    return op.isBad() ? failure() : op.finish(grad);
  int64_t dim = op.dim("dim", dims.size());
  if (!keeps) {
    grad = op.unsqueeze(grad, dim);
    at = op.unsqueeze(at, dim);
  }
  SmallVector<int64_t> coords = upTo(dims.size());
  coords[dim] = -1;
  return op.finish(op.scatter(ScatterKind::Sum, grad, op.full(dims, grad.dtype, 0), {at}, coords));
}

void populateGradients(ConverterTable &t) {
  t["aten.convolution_backward"] = convertConvolutionBackward;
  t["aten.native_layer_norm_backward"] = t["aten._fused_rms_norm_backward"] = convertLayerNormBackward;
  t["aten.native_group_norm_backward"] = convertGroupNormBackward;
  t["aten.native_batch_norm_backward"] = t["aten.batch_norm_backward"] = convertBatchNormBackward;
  t["aten._softmax_backward_data"] = softmaxBackward(false);
  t["aten._log_softmax_backward_data"] = softmaxBackward(true);
  t["aten.embedding_dense_backward"] = t["aten.embedding_backward"] = convertEmbeddingBackward;
  t["aten.index_select_backward"] = convertIndexSelectBackward;
  t["aten.select_backward"] = t["aten.slice_backward"] = convertSliceBackward;
  t["aten.value_selecting_reduction_backward"] = convertSelectingBackward;
  for (int64_t n = 2; n <= 3; ++n) {
    std::string d = std::to_string(n) + "d";
    t["aten.avg_pool" + d + "_backward"] = averagePoolBackward(n);
    t["aten._adaptive_avg_pool" + d + "_backward"] = adaptiveAveragePoolBackward(n);
    t["aten.max_pool" + d + "_with_indices_backward"] = t["aten.adaptive_max_pool" + d + "_backward"] =
        maxPoolBackward(n);
  }
}

} // namespace tenon::torch_export
