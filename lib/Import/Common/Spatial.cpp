// Windows are over tensors with channels last, so permutes stand around them; a later pass moves and cancels those.
#include "Spatial.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::frontend {

Tensor toChannelsLast(GraphBuilder &op, Tensor x) {
  if (!x)
    return {};
  SmallVector<int64_t> order{0};
  for (int64_t d = 2; d < x.rank(); ++d)
    order.push_back(d);
  order.push_back(1);
  return op.permute(x, order);
}

Tensor toChannelsFirst(GraphBuilder &op, Tensor x) {
  if (!x)
    return {};
  SmallVector<int64_t> order{0, x.rank() - 1};
  for (int64_t d = 1; d + 1 < x.rank(); ++d)
    order.push_back(d);
  return op.permute(x, order);
}

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

Tensor convolve(GraphBuilder &op, Tensor x, Tensor filter, Tensor bias, const ConvGeometry &g) {
  if (!x || !filter)
    return {};
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

Tensor transposeFilter(GraphBuilder &op, Tensor filter, int64_t groups) {
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

//===----------------------------------------------------------------------===//
// Pools
//===----------------------------------------------------------------------===//

int64_t PoolWindows::taps() const {
  int64_t count = 1;
  for (int64_t s : size)
    count *= s;
  return count;
}

Tensor reduceWindows(GraphBuilder &op, graph::ReduceKind kind, Tensor x, const PoolWindows &w) {
  if (!x)
    return {};
  auto list = [&](ArrayRef<int64_t> values, int64_t outside) {
    SmallVector<int64_t> all{outside};
    all.append(values.begin(), values.end());
    all.push_back(outside);
    return op.b.getDenseI64ArrayAttr(all);
  };
  Dims dims{x.dim(0)};
  dims.append(w.results);
  dims.push_back(x.dim(x.rank() - 1));
  return {graph::ReduceWindowOp::create(op.b, op.loc, graph::makeTensorType(dims, x.type().getElementType()),
                                        graph::ReduceKindAttr::get(op.context(), kind), x.value, list(w.size, 1),
                                        list(w.strides, 1), list(w.low, 0), list(w.dilations, 1)),
          x.dtype};
}

/// The position within its window, along spatial dimension `i`, of a tap.
static Value tapAlong(Scalars &s, const PoolWindows &w, int64_t i, Value tap) {
  int64_t below = 1;
  for (int64_t size : ArrayRef(w.size).drop_front(i + 1))
    below *= size;
  return s.mul(s.fmod(s.truncDiv(tap, s.integer(below)), s.integer(w.size[i])), s.integer(w.dilations[i]));
}

Value tapPosition(GraphBuilder &op, Scalars &s, const PoolWindows &w, int64_t i, Value tap) {
  Value begin = s.sub(s.mul(op.index(s, i + 2), s.integer(w.strides[i])), s.integer(w.low[i]));
  Value at = s.add(begin, tapAlong(s, w, i, tap)), dilation = s.integer(w.dilations[i]);
  // Padding is as large as the least number: where a window holds nothing else, its first element inside is meant.
  return s.select(s.compare(Compare::Lt, at, s.integer(0)), s.remainder(at, dilation), at);
}

/// The windows are read out and searched.
Tensor largestTaps(GraphBuilder &op, Tensor x, const PoolWindows &w) {
  int64_t spatial = w.size.size(), taps = w.taps();
  Dims dims = x.dims(), low(x.rank(), op.constant(0)), high = low;
  for (int64_t i = 0; i < spatial; ++i) {
    low[i + 2] = op.constant(w.low[i]);
    // What the last window reads behind the input; with symbolic sizes it is less than this.
    AffineExpr need = (w.results[i] - 1) * w.strides[i] + w.reach(i) - dims[i + 2] - w.low[i];
    std::optional<int64_t> known = graph::asConstant(graph::normalize(need));
    high[i + 2] = op.constant(known ? std::max<int64_t>(*known, 0) : w.reach(i) + w.strides[i]);
  }
  double least = isFloating(x.dtype)   ? -std::numeric_limits<double>::infinity()
                 : isUnsigned(x.dtype) ? 0
                                       : -std::ldexp(1.0, 8 * bytesOf(x.dtype) - 1);
  Tensor padded = op.pad(x, low, high, least);
  Dims points(dims.begin(), dims.begin() + 2);
  points.append(w.results);
  points.push_back(op.constant(taps));
  SmallVector<Operand> indices;
  SmallVector<int64_t> coords{0, 1};
  for (int64_t i = 0; i < spatial; ++i) {
    Tensor position =
        op.generate(ScalarType::Long, ScalarType::Long, {w.results[i], op.constant(taps)}, [&](Scalars &s, ValueRange) {
          return s.add(s.mul(op.index(s, 0), s.integer(w.strides[i])), tapAlong(s, w, i, op.index(s, 1)));
        });
    indices.push_back(Operand(position, {i + 2, spatial + 2}));
    coords.push_back(-i - 1);
  }
  return op.argReduce(graph::ReduceKind::Max, op.gather(padded, indices, coords, points), spatial + 2);
}

//===----------------------------------------------------------------------===//
// Sampling
//===----------------------------------------------------------------------===//

SmallVector<Value> cubicWeights(Scalars &s, Value t, double a) {
  auto near = [&](Value x) { // |x| <= 1
    Value y = s.sub(s.mul(s.number(a + 2), x), s.number(a + 3));
    return s.add(s.mul(s.mul(y, x), x), s.number(1));
  };
  auto far = [&](Value x) { // 1 < |x| < 2
    Value y = s.sub(s.mul(s.number(a), x), s.number(5 * a));
    y = s.add(s.mul(y, x), s.number(8 * a));
    return s.sub(s.mul(y, x), s.number(4 * a));
  };
  Value one = s.number(1), rest = s.sub(one, t);
  return {far(s.add(t, one)), near(t), near(rest), far(s.add(rest, one))};
}

Tensor gatherAlong(GraphBuilder &op, Tensor x, int64_t dim, Tensor positions) {
  if (!x || !positions)
    return {};
  Dims dims = x.dims();
  dims[dim] = positions.dim(0);
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.gather(x, {Operand(positions, {dim})}, coords, dims);
}

Tensor multiplyAlong(GraphBuilder &op, Tensor x, int64_t dim, Tensor matrix, bool isTransposed) {
  if (!x || !matrix)
    return {};
  constexpr StringRef kNames = "abcdefghijklmnopqrstuvwxy";
  if (x.rank() > static_cast<int64_t>(kNames.size()))
    return op.unsupportedTensor("on tensors of rank " + Twine(x.rank()));
  std::string spec = kNames.take_front(x.rank()).str(), result = spec;
  result[dim] = 'z';
  std::string matrixSpec = isTransposed ? std::string{spec[dim], 'z'} : std::string{'z', spec[dim]};
  return op.contract(x, spec, matrix, matrixSpec, result);
}

} // namespace tenon::frontend
