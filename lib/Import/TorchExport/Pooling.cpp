// Pooling: reduce_window on channels-last tensors; adaptive means as contractions with averaging matrices.
#include "Pooling.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

/// Reads kernel_size and its relatives; `x` is [N, C, spatial…].
static std::optional<PoolWindows> readWindows(Op &op, Tensor x) {
  int64_t spatial = x.rank() - 2;
  PoolWindows w;
  w.size = op.integersOf("kernel_size", spatial, 1);
  w.strides = op.has("stride") && !op.integers("stride", SmallVector<int64_t>()).empty()
                  ? op.integersOf("stride", spatial, 1)
                  : w.size;
  w.low = op.integersOf("padding", spatial, 0);
  w.dilations = op.integersOf("dilation", spatial, 1);
  bool isCeil = op.flag("ceil_mode", false);
  if (op.isBad())
    return std::nullopt;
  std::optional<Dims> recorded = op.resultDims();
  for (int64_t i = 0; i < spatial; ++i) {
    if (w.size[i] < 1 || w.strides[i] < 1 || w.dilations[i] < 1 || w.low[i] < 0) {
      (void)op.error("has a window, stride or dilation that is not positive, or a negative padding");
      return std::nullopt;
    }
    AffineExpr in = x.dim(i + 2), span = in + 2 * w.low[i] - w.dilations[i] * (w.size[i] - 1) - 1;
    AffineExpr out = graph::normalize((isCeil ? span.ceilDiv(w.strides[i]) : span.floorDiv(w.strides[i])) + 1);
    // The last window must begin inside the input or its left padding.
    std::optional<int64_t> n = graph::asConstant(in), count = graph::asConstant(out);
    if (isCeil && n && count && (*count - 1) * w.strides[i] >= *n + w.low[i])
      out = out - 1;
    if (isCeil && !n && recorded && recorded->size() >= static_cast<size_t>(spatial))
      if (AffineExpr known = (*recorded)[recorded->size() - spatial + i])
        out = known;
    w.results.push_back(graph::normalize(out));
  }
  return w;
}

/// The input as [N, C, spatial…]; `spatial` comes from the operator's name.
static Tensor withBatch(Op &op, Tensor x, int64_t spatial, bool &isSingle) {
  isSingle = x && x.rank() == spatial + 1;
  if (x && x.rank() != spatial + 2 && !isSingle)
    return op.errorTensor("has an input of rank " + Twine(x.rank()));
  return isSingle ? op.unsqueeze(x, 0) : x;
}

//===----------------------------------------------------------------------===//
// Maxima
//===----------------------------------------------------------------------===//

/// Where the maximum of each window lies in the plane, counted row-major.
static Tensor maxPositions(Op &op, Tensor x, const PoolWindows &w) {
  return op.map(ScalarType::Long, ScalarType::Long, {largestTaps(op, x, w)}, [&](Scalars &s, ValueRange v) {
    Value flat = s.integer(0);
    for (size_t i = 0; i < w.size.size(); ++i)
      flat = s.add(s.mul(flat, op.sizeValue(s, x.dim(i + 2))), tapPosition(op, s, w, i, v[0]));
    return flat;
  });
}

static Convert maxPool(int64_t spatial) {
  return [spatial](Op &op) {
    bool isSingle;
    Tensor x = withBatch(op, op.tensor("self"), spatial, isSingle);
    if (op.isBad())
      return failure();
    std::optional<PoolWindows> w = readWindows(op, x);
    if (!w)
      return failure();
    Tensor y = toChannelsFirst(op, reduceWindows(op, ReduceKind::Max, toChannelsLast(op, x), *w));
    auto finish = [&](Tensor t) { return isSingle && t ? op.squeeze(t, {0}) : t; };
    if (op.node.resultNames().size() == 1)
      return op.finish(finish(y));
    return op.finish({finish(y), op.isUsed(1) ? finish(maxPositions(op, x, *w)) : Tensor()});
  };
}

//===----------------------------------------------------------------------===//
// Means
//===----------------------------------------------------------------------===//

Value countCovered(Op &op, Scalars &floats, Tensor x, const PoolWindows &w, bool countsPadding) {
  Scalars s(floats.b, floats.loc, ScalarType::Long);
  Value count = s.integer(1);
  for (size_t i = 0; i < w.size.size(); ++i) {
    Value begin = s.sub(s.mul(op.index(s, i + 1), s.integer(w.strides[i])), s.integer(w.low[i]));
    Value size = op.sizeValue(s, x.dim(i + 1));
    Value end = s.min(s.add(begin, s.integer(w.size[i])), s.add(size, s.integer(w.low[i])));
    if (!countsPadding) {
      begin = s.max(begin, s.integer(0));
      end = s.min(end, size);
    }
    count = s.mul(count, s.sub(end, begin));
  }
  return s.convert(count, ScalarType::Long, floats.type);
}

static Convert averagePool(int64_t spatial) {
  return [spatial](Op &op) {
    bool isSingle;
    Tensor x = withBatch(op, op.tensor("self"), spatial, isSingle);
    if (op.isBad())
      return failure();
    std::optional<PoolWindows> w = readWindows(op, x);
    if (!w)
      return failure();
    bool countsPadding = op.flag("count_include_pad", true), isCeil = op.flag("ceil_mode", false);
    ScalarType type = x.dtype, work = computeType(type);
    Tensor last = toChannelsLast(op, op.convert(x, work));
    Tensor sum = reduceWindows(op, ReduceKind::Sum, last, *w);
    int64_t taps = w->taps();
    bool hasPadding = llvm::any_of(w->low, [](int64_t p) { return p != 0; });
    bool isUniform = !isCeil && (countsPadding || !hasPadding);
    if (op.has("divisor_override"))
      taps = op.integer("divisor_override");
    isUniform |= op.has("divisor_override");
    Tensor y = op.map(type, work, {sum}, [&](Scalars &s, ValueRange v) {
      return s.div(v[0], isUniform ? s.integer(taps) : countCovered(op, s, last, *w, countsPadding));
    });
    y = toChannelsFirst(op, y);
    return op.finish(isSingle ? op.squeeze(y, {0}) : y);
  };
}

//===----------------------------------------------------------------------===//
// Adaptive pools
//===----------------------------------------------------------------------===//

/// Spatial sizes of the result; where the argument has None the input's.
static std::optional<Dims> readOutputSize(Op &op, Tensor x, int64_t spatial) {
  Dims wanted = op.sizes("output_size");
  if (op.isBad())
    return std::nullopt;
  if (wanted.size() == 1)
    wanted.resize(spatial, wanted[0]);
  if (wanted.size() != static_cast<size_t>(spatial)) {
    (void)op.error("has " + Twine(wanted.size()) + " output sizes for " + Twine(spatial) + " dimensions");
    return std::nullopt;
  }
  return wanted;
}

Tensor averagingMatrix(Op &op, ScalarType type, AffineExpr in, AffineExpr out) {
  return op.generate(
      type, ScalarType::Long, {out, in},
      [&](Scalars &s, ValueRange) {
        Value i = op.index(s, 0), j = op.index(s, 1), n = op.sizeValue(s, in), m = op.sizeValue(s, out),
              one = s.integer(1);
        Value begin = s.truncDiv(s.mul(i, n), m);
        Value end = s.truncDiv(s.sub(s.add(s.mul(s.add(i, one), n), m), one), m);
        Value isInside = s.both(s.compare(Compare::Ge, j, begin), s.compare(Compare::Lt, j, end));
        Scalars f(s.b, s.loc, type);
        Value weight = f.div(f.number(1), s.convert(s.sub(end, begin), ScalarType::Long, type));
        return f.select(isInside, weight, f.number(0));
      },
      type);
}

static Convert adaptiveAveragePool(int64_t spatial) {
  return [spatial](Op &op) {
    bool isSingle;
    Tensor x = withBatch(op, op.tensor("self"), spatial, isSingle);
    std::optional<Dims> wanted = op.isBad() ? std::nullopt : readOutputSize(op, x, spatial);
    if (!wanted)
      return failure();
    ScalarType type = x.dtype, work = computeType(type);
    Tensor y = op.convert(x, work);
    SmallVector<int64_t> whole;
    for (int64_t i = 0; i < spatial; ++i)
      if (graph::asConstant((*wanted)[i]) == 1)
        whole.push_back(i + 2);
    if (!whole.empty())
      y = finishDims(op, meanOver(op, y, whole), whole, x.rank(), true);
    PoolWindows w;
    bool isRegular = true;
    for (int64_t i = 0; i < spatial; ++i) {
      std::optional<int64_t> in = graph::asConstant(y.dim(i + 2)), out = graph::asConstant((*wanted)[i]);
      isRegular &= in && out && *out > 0 && *in % *out == 0;
      int64_t size = isRegular ? std::max<int64_t>(*in / *out, 1) : 1;
      w.size.push_back(size);
      w.strides.push_back(size);
      w.low.push_back(0);
      w.dilations.push_back(1);
      w.results.push_back((*wanted)[i]);
    }
    int64_t taps = w.taps();
    if (isRegular && taps > 1) {
      Tensor sum = reduceWindows(op, ReduceKind::Sum, toChannelsLast(op, y), w);
      y = toChannelsFirst(
          op, op.map(work, work, {sum}, [&](Scalars &s, ValueRange v) { return s.div(v[0], s.integer(taps)); }));
    } else if (!isRegular) {
      for (int64_t i = 0; i < spatial; ++i)
        if (y && y.dim(i + 2) != (*wanted)[i])
          y = multiplyAlong(op, y, i + 2, averagingMatrix(op, y.dtype, y.dim(i + 2), (*wanted)[i]));
    }
    y = op.convert(y, type);
    return op.finish(isSingle ? op.squeeze(y, {0}) : y);
  };
}

/// Which elements one dimension's windows read: positions [out, taps]. A window has at most `taps` elements; its last one
/// is read again where it has fewer.
static Tensor windowPositions(Op &op, int64_t in, int64_t out, int64_t taps) {
  return op.generate(ScalarType::Long, ScalarType::Long, {op.constant(out), op.constant(taps)},
                     [&](Scalars &s, ValueRange) {
                       Value at = s.mul(op.index(s, 0), s.integer(in)), m = s.integer(out);
                       Value end = s.truncDiv(s.add(at, s.integer(in + out - 1)), m);
                       return s.min(s.add(s.truncDiv(at, m), op.index(s, 1)), s.sub(end, s.integer(1)));
                     });
}

/// One dimension after the other: each maximum with where it lies in the plane, counted row-major.
static Convert adaptiveMaxPool(int64_t spatial) {
  return [spatial](Op &op) {
    bool isSingle;
    Tensor x = withBatch(op, op.tensor("self"), spatial, isSingle);
    std::optional<Dims> wanted = op.isBad() ? std::nullopt : readOutputSize(op, x, spatial);
    if (!wanted)
      return failure();
    bool wantsPlaces = op.node.resultNames().size() > 1 && op.isUsed(1);
    Tensor places;
    if (wantsPlaces) {
      Dims plane(x.dims().begin() + 2, x.dims().end());
      places = op.generate(ScalarType::Long, ScalarType::Long, x.dims(), [&](Scalars &s, ValueRange) {
        Value flat = s.integer(0);
        for (int64_t i = 0; i < spatial; ++i)
          flat = s.add(s.mul(flat, op.sizeValue(s, plane[i])), op.index(s, i + 2));
        return flat;
      });
    }
    // The last dimension first: of equal maxima the first in row-major order wins.
    for (int64_t i = spatial - 1; i >= 0; --i) {
      int64_t dim = i + 2;
      std::optional<int64_t> in = graph::asConstant(x.dim(dim)), out = graph::asConstant((*wanted)[i]);
      if (!in || !out || *out < 1)
        return op.unsupported("of symbolic sizes");
      int64_t taps = (*in + *out - 1) / *out + (*in % *out != 0);
      Tensor position = windowPositions(op, *in, *out, taps);
      Dims points = x.dims(), rest;
      points[dim] = op.constant(*out);
      rest = points;
      points.insert(points.begin() + dim + 1, op.constant(taps));
      SmallVector<int64_t> coords, chosen;
      for (int64_t d = 0; d < x.rank(); ++d)
        coords.push_back(d == dim ? -1 : d < dim ? d : d + 1);
      for (int64_t d = 0; d <= x.rank(); ++d)
        chosen.push_back(d == dim + 1 ? -1 : d <= dim ? d : d - 1);
      auto read = [&](Tensor t) { return op.gather(t, {Operand(position, {dim, dim + 1})}, coords, points); };
      Tensor windows = read(x);
      if (wantsPlaces)
        places = op.gather(read(places), {op.argReduce(ReduceKind::Max, windows, dim + 1)}, chosen, rest);
      x = op.reduce(ReduceKind::Max, windows, {dim + 1});
      if (!x)
        return failure();
    }
    auto finish = [&](Tensor t) { return isSingle && t ? op.squeeze(t, {0}) : t; };
    if (op.node.resultNames().size() == 1)
      return op.finish(finish(x));
    return op.finish({finish(x), finish(places)});
  };
}

void populatePooling(ConverterTable &t) {
  for (int64_t n = 1; n <= 3; ++n) {
    std::string d = std::to_string(n) + "d";
    t["aten.max_pool" + d] = t["aten.max_pool" + d + "_with_indices"] = maxPool(n);
    t["aten.avg_pool" + d] = averagePool(n);
    t["aten.adaptive_avg_pool" + d] = t["aten._adaptive_avg_pool" + d] = adaptiveAveragePool(n);
    t["aten.adaptive_max_pool" + d] = adaptiveMaxPool(n);
  }
}

} // namespace tenon::torch_export
