// Interpolation and sampling of images: gathers at computed positions, weighed by position.
#include "Pooling.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

namespace {
enum class Filter { Nearest, NearestExact, Linear, Cubic };

/// How one dimension of an input becomes one of the result.
struct Axis {
  int64_t dim = 0;
  AffineExpr in, out;
  double scale = 0; ///< given by the user as result / input; 0: from the sizes
  bool alignsCorners = false;
};
} // namespace

/// Input positions for each result position, as floats.
static Value sourcePosition(Op &op, Scalars &s, Value i, const Axis &axis, Filter filter) {
  Value in = op.sizeValue(s, axis.in), out = op.sizeValue(s, axis.out), one = s.number(1), half = s.number(0.5);
  bool isNearest = filter == Filter::Nearest || filter == Filter::NearestExact;
  if (axis.alignsCorners && !isNearest) {
    Value step = s.div(s.sub(in, one), s.max(s.sub(out, one), one));
    return s.mul(i, step);
  }
  Value step = axis.scale > 0 ? s.number(1 / axis.scale) : s.div(in, out);
  if (filter == Filter::Nearest)
    return s.mul(i, step);
  Value centre = s.mul(s.add(i, half), step);
  if (filter == Filter::NearestExact)
    return centre;
  Value position = s.sub(centre, half);
  return filter == Filter::Linear ? s.max(position, s.number(0)) : position;
}

/// floor(position) + tap, kept inside the input: a tensor of i64 along the result's dimension.
static Tensor tapPositions(Op &op, const Axis &axis, Filter filter, int64_t tap) {
  return op.generate(
      ScalarType::Long, ScalarType::Float, {axis.out},
      [&](Scalars &s, ValueRange) -> Value {
        Scalars ints(s.b, s.loc, ScalarType::Long);
        Value position = sourcePosition(op, s, op.index(s, 0), axis, filter);
        Value at = s.convert(s.make<math::FloorOp>(position), ScalarType::Float, ScalarType::Long);
        at = ints.add(at, ints.integer(tap));
        Value last = ints.sub(op.sizeValue(ints, axis.in), ints.integer(1));
        return ints.max(ints.min(at, last), ints.integer(0));
      },
      ScalarType::Long);
}

/// What torch takes for `a` of cubic convolution.
static constexpr double kCubicFactor = -0.75;

/// Resamples one dimension.
static Tensor resample(Op &op, Tensor x, const Axis &axis, Filter filter) {
  if (filter == Filter::Nearest || filter == Filter::NearestExact)
    return gatherAlong(op, x, axis.dim, tapPositions(op, axis, filter, 0));
  SmallVector<int64_t> taps = filter == Filter::Linear ? SmallVector<int64_t>{0, 1} : SmallVector<int64_t>{-1, 0, 1, 2};
  SmallVector<Operand> operands;
  for (int64_t tap : taps)
    operands.push_back(gatherAlong(op, x, axis.dim, tapPositions(op, axis, filter, tap)));
  return op.map(x.dtype, x.dtype, operands, [&](Scalars &s, ValueRange v) {
    Scalars floats(s.b, s.loc, s.isFloat() ? s.type : ScalarType::Float);
    Value position = sourcePosition(op, floats, op.index(floats, axis.dim), axis, filter);
    Value t = floats.sub(position, floats.make<math::FloorOp>(position));
    SmallVector<Value> weights =
        filter == Filter::Linear ? SmallVector<Value>{floats.sub(floats.number(1), t), t} : cubicWeights(floats, t, kCubicFactor);
    Value sum;
    for (auto [value, weight] : llvm::zip(v, weights)) {
      Value term = floats.mul(value, weight);
      sum = sum ? floats.add(sum, term) : term;
    }
    return sum;
  });
}

/// Antialiased: a matrix [out, in] of normalized weights, as the window grows with the scale.
static Tensor smoothMatrix(Op &op, ScalarType type, const Axis &axis, Filter filter) {
  bool isCubic = filter == Filter::Cubic;
  Tensor raw = op.generate(type, type, {axis.out, axis.in}, [&](Scalars &s, ValueRange) -> Value {
    Value in = op.sizeValue(s, axis.in), out = op.sizeValue(s, axis.out), one = s.number(1), half = s.number(0.5),
          zero = s.number(0);
    Value scale = axis.alignsCorners ? s.div(s.sub(in, one), s.max(s.sub(out, one), one))
                  : axis.scale > 0   ? s.number(1 / axis.scale)
                                     : s.div(in, out);
    Value wide = s.max(scale, one);
    Value support = s.mul(s.number(isCubic ? 2 : 1), wide);
    Value centre = s.mul(scale, s.add(op.index(s, 0), half)), j = op.index(s, 1);
    Value first = s.max(s.make<math::TruncOp>(s.add(s.sub(centre, support), half)), zero);
    Value end = s.min(s.make<math::TruncOp>(s.add(s.add(centre, support), half)), in);
    Value distance = s.abs(s.div(s.add(s.sub(j, centre), half), wide));
    Value weight = s.max(s.sub(one, distance), zero);
    if (isCubic) {
      constexpr double a = -0.5;
      Value x1 = distance, x2 = s.mul(x1, x1);
      Value near = s.add(s.mul(s.sub(s.mul(s.number(a + 2), x1), s.number(a + 3)), x2), one);
      Value far =
          s.mul(s.sub(s.mul(s.add(s.mul(s.sub(x1, s.number(5)), x1), s.number(8)), x1), s.number(4)), s.number(a));
      weight = s.select(s.compare(Compare::Lt, distance, one), near,
                        s.select(s.compare(Compare::Lt, distance, s.number(2)), far, zero));
    }
    Value isInside = s.both(s.compare(Compare::Ge, j, first), s.compare(Compare::Lt, j, end));
    return s.select(isInside, weight, zero);
  });
  Tensor total = op.reduce(graph::ReduceKind::Sum, raw, {1});
  return op.map(type, type, {raw, Operand(total, {0})}, [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
}

/// What the operators of a family say about their scales.
static SmallVector<double> readScales(Op &op, int64_t spatial) {
  SmallVector<double> scales(spatial, 0);
  static constexpr StringLiteral names[] = {"scales_d", "scales_h", "scales_w"};
  if (op.has("scale_factors")) {
    auto given = op.node.arg("scale_factors").as<std::vector<double>>();
    if (given && given->size() == static_cast<size_t>(spatial))
      scales.assign(given->begin(), given->end());
    return scales;
  }
  for (int64_t i = 0; i < spatial; ++i)
    if (StringRef name = names[3 - spatial + i]; op.has(name))
      scales[i] = op.number(name);
  if (op.has("scales"))
    scales[0] = op.number("scales");
  return scales;
}

static Convert upsample(Filter filter, int64_t spatial, bool isSmooth) {
  return [=](Op &op) -> LogicalResult {
    Tensor x = op.tensor(op.has("input") ? "input" : "self");
    if (!x || x.rank() != spatial + 2)
      return op.isBad() ? failure() : op.error("has an input of rank " + Twine(x.rank()));
    std::optional<Dims> dims = op.resultDims();
    if (!dims || llvm::is_contained(*dims, AffineExpr()))
      return op.unsupported("to a size that is known only when the model runs");
    SmallVector<double> scales = readScales(op, spatial);
    bool aligns = op.flag("align_corners", false);
    ScalarType type = x.dtype, work = isFloating(type) ? computeType(type) : type;
    bool isNearest = filter == Filter::Nearest || filter == Filter::NearestExact;
    Tensor y = isNearest ? x : op.convert(x, isFloating(work) ? work : ScalarType::Float);
    for (int64_t i = spatial - 1; i >= 0 && y; --i) {
      Axis axis{i + 2, y.dim(i + 2), (*dims)[i + 2], scales[i], aligns};
      if (axis.in == axis.out)
        continue;
      y = isSmooth ? multiplyAlong(op, y, axis.dim, smoothMatrix(op, y.dtype, axis, filter)) : resample(op, y, axis, filter);
    }
    if (y && !isNearest && isIntegral(type))
      y = op.map(type, y.dtype, {y}, [](Scalars &s, ValueRange v) {
        return s.min(s.max(s.make<math::RoundEvenOp>(v[0]), s.number(0)), s.number(255));
      });
    return op.finish(op.convert(y, type));
  };
}

/// The gradient goes back through the transposed matrix of each dimension, which is what resampling makes of the
/// identity.
static Convert upsampleBackward(Filter filter, int64_t spatial, bool isSmooth) {
  return [=](Op &op) -> LogicalResult {
    Tensor grad = op.tensor("grad_output");
    Dims dims = op.sizes("input_size");
    SmallVector<double> scales = readScales(op, spatial);
    bool aligns = op.flag("align_corners", false);
    if (op.isBad() || grad.rank() != spatial + 2 || dims.size() != static_cast<size_t>(spatial + 2))
      return op.isBad() ? failure() : op.error("has a gradient of rank " + Twine(grad.rank()));
    ScalarType type = grad.dtype, work = computeType(type);
    Tensor y = op.convert(grad, work);
    for (int64_t i = 0; i < spatial && y; ++i) {
      Axis axis{0, dims[i + 2], y.dim(i + 2), scales[i], aligns};
      if (axis.in == axis.out)
        continue;
      Tensor identity = op.generate(
          work, ScalarType::Long, {axis.in, axis.in},
          [&](Scalars &s, ValueRange) { return s.compare(Compare::Eq, op.index(s, 0), op.index(s, 1)); },
          ScalarType::Bool);
      Tensor matrix = isSmooth ? smoothMatrix(op, work, axis, filter) : resample(op, identity, axis, filter);
      y = multiplyAlong(op, y, i + 2, matrix, true);
    }
    return op.finish(op.convert(y, type));
  };
}

//===----------------------------------------------------------------------===//
// grid_sample
//===----------------------------------------------------------------------===//

namespace {
enum class Border { Zeros, Clamp, Reflect };
} // namespace

static Value reflect(Scalars &s, Value x, Value twiceLow, Value twiceHigh) {
  Value low = s.div(twiceLow, s.number(2)), span = s.div(s.sub(twiceHigh, twiceLow), s.number(2));
  Value distance = s.abs(s.sub(x, low));
  Value rest = s.fmod(distance, span), flips = s.make<math::FloorOp>(s.div(distance, span));
  Value isEven = s.compare(Compare::Eq, s.fmod(flips, s.number(2)), s.number(0));
  Value inside = s.select(isEven, s.add(rest, low), s.add(s.sub(span, rest), low));
  return s.select(s.compare(Compare::Eq, twiceLow, twiceHigh), s.number(0), inside);
}

/// A coordinate in -1 … 1 as a position in pixels.
static Value toPixels(Op &op, Scalars &s, Value x, AffineExpr size, Border border, bool aligns) {
  Value n = op.sizeValue(s, size), one = s.number(1), two = s.number(2);
  Value position =
      aligns ? s.mul(s.div(s.add(x, one), two), s.sub(n, one)) : s.div(s.sub(s.mul(s.add(x, one), n), one), two);
  Value last = s.sub(n, one);
  if (border == Border::Reflect)
    position = aligns ? reflect(s, position, s.number(0), s.mul(two, last))
                      : reflect(s, position, s.number(-1), s.sub(s.mul(two, n), one));
  if (border != Border::Zeros)
    position = s.min(s.max(position, s.number(0)), last);
  return position;
}

/// x at the points of a grid; images and volumes. Taps are combined with a weight for each dimension.
static LogicalResult convertGridSample(Op &op) {
  Tensor x = op.tensor("input"), grid = op.tensor("grid");
  int64_t mode = op.integer("interpolation_mode", 0), padding = op.integer("padding_mode", 0);
  bool aligns = op.flag("align_corners", false);
  constexpr int64_t kLinear = 0, kCubic = 2;
  if (op.isBad() || x.rank() < 4 || x.rank() > 5 || grid.rank() != x.rank())
    return op.isBad() ? failure() : op.error("needs images or volumes");
  int64_t spatial = x.rank() - 2;
  if (mode > kCubic || mode < 0 || padding > 2 || padding < 0 || (mode == kCubic && spatial != 2))
    return op.error("has a mode that is not known");
  Border border = static_cast<Border>(padding);
  ScalarType type = x.dtype, work = computeType(type);
  x = op.convert(x, work);
  SmallVector<int64_t> offsets = mode == kLinear ? SmallVector<int64_t>{0, 1}
                                 : mode == kCubic ? SmallVector<int64_t>{-1, 0, 1, 2}
                                                  : SmallVector<int64_t>{0};
  Dims size, dims{x.dim(0), x.dim(1)};
  SmallVector<int64_t> places{0};
  Tensors positions;
  SmallVector<Tensors> taps(spatial); // by dimension and offset: which element
  for (int64_t i = 0; i < spatial; ++i) {
    size.push_back(x.dim(i + 2));
    dims.push_back(grid.dim(i + 1));
    places.push_back(i + 2);
    // The last coordinate of the grid is of the first dimension. Cubic taps are put inside the border one by one.
    positions.push_back(op.map(
        work, work, {op.select(grid, spatial + 1, op.constant(spatial - 1 - i))}, [&](Scalars &s, ValueRange v) {
          Value p = toPixels(op, s, v[0], size[i], mode == kCubic ? Border::Zeros : border, aligns);
          return offsets.size() == 1 ? s.make<math::RoundEvenOp>(p) : p;
        }));
    if (!positions.back())
      return failure();
    for (int64_t offset : offsets)
      taps[i].push_back(op.map(
          ScalarType::Long, work, {positions.back()},
          [&](Scalars &s, ValueRange v) -> Value {
            Value at = s.add(s.make<math::FloorOp>(v[0]), s.number(static_cast<double>(offset)));
            Value n = op.sizeValue(s, size[i]), last = s.sub(n, s.number(1)), two = s.number(2);
            if (mode == kCubic && border == Border::Reflect)
              at = aligns ? reflect(s, at, s.number(0), s.mul(two, last))
                          : reflect(s, at, s.number(-1), s.sub(s.mul(two, n), s.number(1)));
            return s.convert(s.min(s.max(at, s.number(0)), last), s.type, ScalarType::Long);
          },
          ScalarType::Long));
  }
  // All combinations of taps; the number of one is its digits to the base of how many there are.
  int64_t count = offsets.size(), total = 1;
  for (int64_t i = 0; i < spatial; ++i)
    total *= count;
  auto digit = [&](int64_t combination, int64_t i) {
    for (int64_t k = spatial - 1; k > i; --k)
      combination /= count;
    return combination % count;
  };
  SmallVector<Operand> operands;
  for (const Tensor &position : positions)
    operands.push_back(Operand(position, places));
  SmallVector<int64_t> coords{0, 1};
  for (int64_t i = 0; i < spatial; ++i)
    coords.push_back(-i - 1);
  for (int64_t c = 0; c < total; ++c) {
    SmallVector<Operand> indices;
    for (int64_t i = 0; i < spatial; ++i)
      indices.push_back(Operand(taps[i][digit(c, i)], places));
    operands.push_back(op.gather(x, indices, coords, dims));
  }
  return op.finish(op.map(
      type, work, operands,
      [&](Scalars &s, ValueRange v) {
        SmallVector<SmallVector<Value>> weights(spatial);
        for (int64_t i = 0; i < spatial; ++i) {
          Value floor = s.make<math::FloorOp>(v[i]), t = s.sub(v[i], floor), one = s.number(1), zero = s.number(0);
          weights[i] = mode == kLinear ? SmallVector<Value>{s.sub(one, t), t}
                       : mode == kCubic ? cubicWeights(s, t, kCubicFactor)
                                        : SmallVector<Value>{one};
          for (auto [weight, offset] : llvm::zip(weights[i], offsets)) {
            if (border != Border::Zeros)
              continue;
            Value at = s.add(floor, s.number(static_cast<double>(offset)));
            Value isInside =
                s.both(s.compare(Compare::Ge, at, zero), s.compare(Compare::Lt, at, op.sizeValue(s, size[i])));
            weight = s.select(isInside, weight, zero);
          }
        }
        Value sum;
        for (int64_t c = 0; c < total; ++c) {
          Value term = v[spatial + c];
          for (int64_t i = 0; i < spatial; ++i)
            term = s.mul(term, weights[i][digit(c, i)]);
          sum = sum ? s.add(sum, term) : term;
        }
        return sum;
      },
      ScalarType::Unknown, dims));
}

/// Places in an image, -1 to 1, moved by a matrix of each sample: x first in the last dimension.
static LogicalResult convertAffineGrid(Op &op) {
  Tensor theta = op.tensor("theta");
  Dims size = op.sizes("size");
  bool alignsCorners = op.flag("align_corners", false);
  if (op.isBad() || size.size() < 4 || size.size() > 5)
    return op.isBad() ? failure() : op.error("needs an image or a volume");
  Dims dims(size);
  dims.erase(dims.begin() + 1);
  int64_t spatial = dims.size() - 1, last = dims.size();
  dims.push_back(op.constant(spatial));
  ScalarType work = computeType(theta.dtype);
  SmallVector<Operand> rows;
  for (int64_t i = 0; i <= spatial; ++i)
    rows.push_back(Operand(op.select(theta, 2, op.constant(i)), {0, last}));
  return op.finish(op.map(
      theta.dtype, work, rows,
      [&](Scalars &s, ValueRange v) {
        Value sum = v[spatial], one = s.number(1), two = s.number(2);
        for (int64_t i = 0; i < spatial; ++i) { // the last dimension is x
          int64_t d = spatial - i;
          Value at = op.index(s, d), n = op.sizeValue(s, dims[d]);
          Value place = alignsCorners
                            ? s.sub(s.div(s.mul(two, at), s.max(s.sub(n, one), one)), one)
                            : s.sub(s.div(s.add(s.mul(two, at), one), n), one);
          if (alignsCorners) // the middle of one element
            place = s.select(s.compare(Compare::Eq, n, one), s.number(0), place);
          sum = s.add(sum, s.mul(v[i], place));
        }
        return sum;
      },
      ScalarType::Unknown, dims));
}

void populateResampling(ConverterTable &t) {
  auto add = [&](StringRef name, Filter filter, int64_t spatial, bool isSmooth) {
    t[name] = upsample(filter, spatial, isSmooth);
    t[(name + "_backward").str()] = upsampleBackward(filter, spatial, isSmooth);
  };
  for (int64_t n = 1; n <= 3; ++n) {
    std::string d = std::to_string(n) + "d";
    add("aten.upsample_nearest" + d, Filter::Nearest, n, false);
    add("aten._upsample_nearest_exact" + d, Filter::NearestExact, n, false);
  }
  add("aten.upsample_linear1d", Filter::Linear, 1, false);
  add("aten.upsample_bilinear2d", Filter::Linear, 2, false);
  add("aten.upsample_trilinear3d", Filter::Linear, 3, false);
  add("aten.upsample_bicubic2d", Filter::Cubic, 2, false);
  add("aten._upsample_bilinear2d_aa", Filter::Linear, 2, true);
  add("aten._upsample_bicubic2d_aa", Filter::Cubic, 2, true);
  t["aten.affine_grid_generator"] = convertAffineGrid;
  t["aten.grid_sampler_2d"] = t["aten.grid_sampler_3d"] = t["aten.grid_sampler"] = convertGridSample;
}

} // namespace tenon::torch_export
