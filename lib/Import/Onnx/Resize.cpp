// Resize and Upsample: one dimension after the other, as gathers at computed positions that are weighed by the distance.
#include "Sampling.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

namespace {
enum class Mode { Nearest, Linear, Cubic };
enum class Transform { HalfPixel, HalfPixelSymmetric, PytorchHalfPixel, AlignCorners, Asymmetric, Crop };
enum class Policy { Stretch, NotLarger, NotSmaller };

struct Settings {
  Mode mode = Mode::Nearest;
  Transform transform = Transform::HalfPixel;
  Policy policy = Policy::Stretch;
  std::string nearest = "round_prefer_floor";
  double cubic = -0.75;
  bool excludesOutside = false, isSmooth = false;
  double outsideValue = 0;
};

/// How one dimension of the input becomes one of the result.
struct Axis {
  int64_t dim = 0;
  AffineExpr in, out;
  Operand scale;      ///< result / input; null: as the sizes say
  Operand begin, end; ///< of the region to read, as parts of the input (Transform::Crop)
  bool isScaled() const { return !scale.isNull(); }
};
} // namespace

/// Where each element of the result lies in the input: float64 along the result's dimension. Float32 would lose the
/// distance to the next element in large images.
static Tensor sourcePositions(Op &op, const Axis &axis, const Settings &settings) {
  SmallVector<Operand> operands;
  if (axis.isScaled())
    operands.push_back(axis.scale);
  if (settings.transform == Transform::Crop)
    operands.append({axis.begin, axis.end});
  Tensor at = op.map(
      ScalarType::Double, ScalarType::Double, operands,
      [&](Scalars &s, ValueRange v) -> Value {
        Value in = op.sizeValue(s, axis.in), out = op.sizeValue(s, axis.out), i = op.index(s, 0), one = s.number(1),
              half = s.number(0.5), zero = s.number(0);
        Value scale = axis.isScaled() ? v[0] : s.div(out, in);
        // The size before it is rounded down. A scale like 1/3 is not exact, so that its product is rounded to float32.
        Value width = out;
        if (axis.isScaled())
          width = s.convert(s.convert(s.mul(scale, in), ScalarType::Double, ScalarType::Float), ScalarType::Float,
                            ScalarType::Double);
        Value isOne = s.compare(Compare::Eq, width, one);
        Value centre = s.sub(s.div(s.add(i, half), scale), half), last = s.sub(in, one);
        Value span = s.select(isOne, one, s.sub(width, one));
        switch (settings.transform) {
        case Transform::HalfPixel:
          return centre;
        case Transform::PytorchHalfPixel:
          return s.select(isOne, s.number(-0.5), centre);
        case Transform::HalfPixelSymmetric: {
          Value offset = s.mul(s.div(in, s.number(2)), s.sub(one, s.div(out, width)));
          return s.add(offset, centre);
        }
        case Transform::AlignCorners:
          return s.select(isOne, zero, s.div(s.mul(i, last), span));
        case Transform::Asymmetric:
          return s.div(i, scale);
        case Transform::Crop: {
          Value begin = v[v.size() - 2], length = s.sub(v.back(), begin);
          Value inside = s.select(isOne, s.div(s.mul(length, last), s.number(2)), s.div(s.mul(s.mul(i, length), last), span));
          return s.add(inside, s.mul(begin, last));
        }
        }
        return centre;
      },
      ScalarType::Unknown, Dims{axis.out});
  return at;
}

/// A whole position, moved into the input.
static Value inside(Op &op, Scalars &s, Value position, AffineExpr size) {
  Value last = s.sub(op.sizeValue(s, size), s.number(1));
  return s.convert(s.min(s.max(position, s.number(0)), last), s.type, ScalarType::Long);
}

static Tensor nearest(Op &op, Tensor x, Tensor positions, const Axis &axis, const Settings &settings) {
  Tensor at = op.map(
      ScalarType::Long, ScalarType::Double, {positions},
      [&](Scalars &s, ValueRange v) -> Value {
        // What float32 calls a whole number is one: a scale of 1/3 in float32 is a little more than 1/3.
        Value p = s.convert(s.convert(v[0], ScalarType::Double, ScalarType::Float), ScalarType::Float, ScalarType::Double);
        Value half = s.number(0.5);
        if (settings.nearest == "floor")
          p = s.make<math::FloorOp>(p);
        else if (settings.nearest == "ceil")
          p = s.make<math::CeilOp>(p);
        else if (settings.nearest == "round_prefer_ceil")
          p = s.make<math::FloorOp>(s.add(p, half));
        else
          p = s.make<math::CeilOp>(s.sub(p, half));
        return inside(op, s, p, axis.in);
      },
      ScalarType::Long);
  return gatherAlong(op, x, axis.dim, at);
}

/// Sum over the neighbours of each position.
static Tensor interpolate(Op &op, Tensor x, Tensor positions, const Axis &axis, const Settings &settings) {
  bool isLinear = settings.mode == Mode::Linear;
  int64_t first = isLinear ? 0 : -1, count = isLinear ? 2 : 4;
  // Places and weights of all neighbours: a row for each.
  Dims dims{op.constant(count), axis.out};
  Operand along(positions, {1});
  Tensor at = op.map(
      ScalarType::Long, ScalarType::Double, {along},
      [&](Scalars &s, ValueRange v) {
        Value tap = s.add(s.make<math::FloorOp>(v[0]), s.add(op.index(s, 0), s.number(static_cast<double>(first))));
        return inside(op, s, tap, axis.in);
      },
      ScalarType::Long, dims);
  Tensor weight = op.map(
      x.dtype, ScalarType::Double, {along},
      [&](Scalars &s, ValueRange v) -> Value {
        Value base = s.make<math::FloorOp>(v[0]), t = s.sub(v[0], base), k = op.index(s, 0);
        SmallVector<Value> weights = isLinear ? SmallVector<Value>{s.sub(s.number(1), t), t}
                                              : cubicWeights(s, t, settings.cubic);
        Value sum = s.number(0);
        for (int64_t i = 0; settings.excludesOutside && i < count; ++i) {
          Value tap = s.add(base, s.number(static_cast<double>(first + i)));
          Value isInside = s.both(s.compare(Compare::Ge, tap, s.number(0)),
                                  s.compare(Compare::Lt, tap, op.sizeValue(s, axis.in)));
          weights[i] = s.select(isInside, weights[i], s.number(0));
          sum = s.add(sum, weights[i]);
        }
        Value own = weights[0];
        for (int64_t i = 1; i < count; ++i)
          own = s.select(s.compare(Compare::Eq, k, s.number(static_cast<double>(i))), weights[i], own);
        return settings.excludesOutside ? s.div(own, sum) : own;
      },
      ScalarType::Unknown, dims);
  SmallVector<Operand> operands;
  for (int64_t k = 0; k < count; ++k) {
    operands.push_back(gatherAlong(op, x, axis.dim, op.select(at, 0, op.constant(k))));
    operands.push_back(Operand(op.select(weight, 0, op.constant(k)), {axis.dim}));
  }
  return op.map(x.dtype, x.dtype, operands, [&](Scalars &s, ValueRange v) {
    Value sum;
    for (size_t i = 0; i < v.size(); i += 2) {
      Value term = s.mul(v[i], v[i + 1]);
      sum = sum ? s.add(sum, term) : term;
    }
    return sum;
  });
}

/// Antialiased: the window grows as the image shrinks. A matrix of weights over the input with its border repeated.
static Tensor smooth(Op &op, Tensor x, Tensor positions, const Axis &axis, const Settings &settings) {
  std::optional<int64_t> in = graph::asConstant(axis.in), out = graph::asConstant(axis.out);
  if (!in || !out || *in < 1 || *out < 1)
    return op.unsupportedTensor("with antialias over a symbolic size");
  double least = static_cast<double>(*out) / static_cast<double>(*in);
  double reach = (settings.mode == Mode::Linear ? 1 : 2) / std::min(least, 1.0);
  int64_t border = static_cast<int64_t>(std::ceil(reach)) + 1;
  AffineExpr width = op.constant(*in + 2 * border);
  SmallVector<Operand> operands{Operand(positions, {0})};
  if (axis.isScaled())
    operands.push_back(axis.scale);
  Tensor raw = op.map(
      ScalarType::Double, ScalarType::Double, operands,
      [&](Scalars &s, ValueRange v) -> Value {
        Value n = op.sizeValue(s, axis.in), one = s.number(1), zero = s.number(0);
        Value scale = s.min(axis.isScaled() ? v[1] : s.div(op.sizeValue(s, axis.out), n), one);
        Value j = s.sub(op.index(s, 1), s.number(static_cast<double>(border)));
        Value d = s.abs(s.mul(s.sub(j, v[0]), scale)), weight;
        if (settings.mode == Mode::Linear) {
          weight = s.max(s.sub(one, d), zero);
        } else {
          double a = settings.cubic;
          Value near = s.add(s.mul(s.mul(s.sub(s.mul(s.number(a + 2), d), s.number(a + 3)), d), d), one);
          Value far = s.sub(s.mul(s.add(s.mul(s.sub(s.mul(s.number(a), d), s.number(5 * a)), d), s.number(8 * a)), d),
                            s.number(4 * a));
          weight = s.select(s.compare(Compare::Le, d, one), near,
                            s.select(s.compare(Compare::Lt, d, s.number(2)), far, zero));
        }
        if (!settings.excludesOutside)
          return weight;
        Value isInside = s.both(s.compare(Compare::Ge, j, zero), s.compare(Compare::Lt, j, n));
        return s.select(isInside, weight, zero);
      },
      ScalarType::Unknown, Dims{axis.out, width});
  Tensor total = op.reduce(graph::ReduceKind::Sum, raw, {1});
  Tensor matrix = op.map(x.dtype, ScalarType::Double, {raw, Operand(total, {0})},
                         [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
  Tensor at = op.generate(ScalarType::Long, ScalarType::Long, {width}, [&](Scalars &s, ValueRange) {
    return s.min(s.max(s.sub(op.index(s, 0), s.integer(border)), s.integer(0)), s.integer(*in - 1));
  });
  return multiplyAlong(op, gatherAlong(op, x, axis.dim, at), axis.dim, matrix);
}

static Tensor resample(Op &op, Tensor x, const Axis &axis, const Settings &settings) {
  Tensor positions = sourcePositions(op, axis, settings);
  Tensor y = settings.mode == Mode::Nearest ? nearest(op, x, positions, axis, settings)
             : settings.isSmooth            ? smooth(op, x, positions, axis, settings)
                                            : interpolate(op, x, positions, axis, settings);
  if (settings.transform != Transform::Crop || !y)
    return y;
  Tensor isOutside = op.map(
      ScalarType::Bool, ScalarType::Double, {positions},
      [&](Scalars &s, ValueRange v) {
        Value last = s.sub(op.sizeValue(s, axis.in), s.number(1));
        return s.either(s.compare(Compare::Lt, v[0], s.number(0)), s.compare(Compare::Gt, v[0], last));
      },
      ScalarType::Bool);
  Operand condition(isOutside, {axis.dim});
  condition.isRaw = true;
  return op.map(y.dtype, y.dtype, {y, condition}, [&](Scalars &s, ValueRange v) {
    return s.select(v[1], s.number(settings.outsideValue), v[0]);
  });
}

//===----------------------------------------------------------------------===//
// Reading the node
//===----------------------------------------------------------------------===//

static std::optional<Settings> readSettings(Op &op, bool isUpsample) {
  Settings result;
  std::string mode = op.text("mode", StringRef("nearest"));
  if (mode == "nearest")
    result.mode = Mode::Nearest;
  else if (mode == "linear" || mode == "bilinear" || mode == "trilinear")
    result.mode = Mode::Linear;
  else if (mode == "cubic" || mode == "bicubic")
    result.mode = Mode::Cubic;
  else
    return (void)op.error("has mode '" + mode + "', which is unknown"), std::nullopt;
  if (isUpsample || op.version < 11) {
    result.transform = Transform::Asymmetric;
    result.nearest = "floor";
    return result;
  }
  std::string transform = op.text("coordinate_transformation_mode", StringRef("half_pixel"));
  auto known = llvm::StringSwitch<std::optional<Transform>>(transform)
                   .Case("half_pixel", Transform::HalfPixel)
                   .Case("half_pixel_symmetric", Transform::HalfPixelSymmetric)
                   .Case("pytorch_half_pixel", Transform::PytorchHalfPixel)
                   .Case("align_corners", Transform::AlignCorners)
                   .Case("asymmetric", Transform::Asymmetric)
                   .Case("tf_crop_and_resize", Transform::Crop)
                   .Default(std::nullopt);
  if (!known)
    return (void)op.unsupported("with coordinates '" + transform + "'"), std::nullopt;
  result.transform = *known;
  result.nearest = op.text("nearest_mode", StringRef("round_prefer_floor"));
  if (!llvm::is_contained({"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}, StringRef(result.nearest)))
    return (void)op.error("has nearest_mode '" + result.nearest + "', which is unknown"), std::nullopt;
  std::string policy = op.text("keep_aspect_ratio_policy", StringRef("stretch"));
  result.policy = policy == "not_larger" ? Policy::NotLarger : policy == "not_smaller" ? Policy::NotSmaller : Policy::Stretch;
  if (policy != "stretch" && result.policy == Policy::Stretch)
    return (void)op.error("has keep_aspect_ratio_policy '" + policy + "', which is unknown"), std::nullopt;
  result.cubic = op.real("cubic_coeff_a", -0.75);
  result.excludesOutside = op.integer("exclude_outside", 0) != 0;
  result.isSmooth = op.integer("antialias", 0) != 0;
  result.outsideValue = op.real("extrapolation_value", 0.0);
  return result;
}

/// floor(size * scale); null when a symbolic size makes that no expression.
static AffineExpr scaledSize(AffineExpr size, double scale) {
  if (std::optional<int64_t> known = graph::asConstant(size)) {
    float product = static_cast<float>(*known) * static_cast<float>(scale);
    return getAffineConstantExpr(static_cast<int64_t>(std::floor(product)), size.getContext());
  }
  double inverse = 1 / scale;
  if (scale == std::floor(scale))
    return graph::normalize(size * static_cast<int64_t>(scale));
  if (std::fabs(inverse - std::round(inverse)) < 1e-6 * inverse)
    return graph::normalize(size.floorDiv(static_cast<int64_t>(std::round(inverse))));
  return {};
}

static bool isGiven(Op &op, unsigned i) {
  if (!op.has(i))
    return false;
  if (KnownRef known = op.known(i))
    return known->size() != 0;
  Tensor tensor = op.tensor(i);
  return tensor && tensor.rank() == 1 && graph::asConstant(tensor.dim(0)) != 0;
}

static bool readScales(Op &op, std::optional<std::vector<double>> known, int64_t input, MutableArrayRef<Axis> axes) {
  if (known) {
    if (known->size() != axes.size())
      return (void)op.error("has " + Twine(known->size()) + " scales for " + Twine(axes.size()) + " dimensions"), false;
    std::optional<Dims> declared = op.declaredDims();
    for (auto [axis, scale] : llvm::zip(axes, *known)) {
      if (!(scale > 0))
        return (void)op.error("has a scale that is not positive"), false;
      axis.scale = Number::of(scale);
      axis.out = scaledSize(axis.in, scale);
      if (!axis.out && declared && static_cast<int64_t>(declared->size()) > axis.dim)
        axis.out = (*declared)[axis.dim];
      if (!axis.out)
        return (void)op.unsupported("with a fractional scale of a symbolic size"), false;
    }
    return true;
  }
  std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the scales");
  Tensor scales = declared ? op.tensor(input) : Tensor();
  if (!scales)
    return false;
  for (auto [k, axis] : llvm::enumerate(axes)) {
    Tensor scale = op.select(scales, 0, op.constant(k));
    axis.out = (*declared)[axis.dim];
    axis.scale = scale;
    claimSize(op, op.map(ScalarType::Long, ScalarType::Float, {scale}, [&](Scalars &s, ValueRange v) {
      return s.make<math::FloorOp>(s.mul(v[0], op.sizeValue(s, axis.in)));
    }), axis.out);
  }
  return true;
}

static bool readSizes(Op &op, unsigned input, Policy policy, MutableArrayRef<Axis> axes) {
  bool takesLess = policy == Policy::NotLarger;
  if (std::optional<Dims> sizes = op.sizes(input)) {
    if (sizes->size() != axes.size())
      return (void)op.error("has " + Twine(sizes->size()) + " sizes for " + Twine(axes.size()) + " dimensions"), false;
    std::optional<double> common;
    for (auto [axis, size] : llvm::zip(axes, *sizes)) {
      axis.out = size;
      if (policy == Policy::Stretch)
        continue;
      std::optional<int64_t> in = graph::asConstant(axis.in), out = graph::asConstant(size);
      if (!in || !out || *in < 1)
        return (void)op.unsupported("that keeps the ratio of symbolic sizes"), false;
      double scale = static_cast<double>(*out) / static_cast<double>(*in);
      common = !common ? scale : takesLess ? std::min(*common, scale) : std::max(*common, scale);
    }
    for (Axis &axis : axes)
      if (common) {
        axis.scale = Number::of(*common);
        axis.out = op.constant(static_cast<int64_t>(std::floor(*common * *graph::asConstant(axis.in) + 0.5)));
      }
    return true;
  }
  std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the sizes");
  Tensor sizes = declared ? op.tensor(input) : Tensor();
  if (!sizes)
    return false;
  SmallVector<Operand> each;
  for (size_t k = 0; k < axes.size(); ++k)
    each.push_back(op.select(sizes, 0, op.constant(k)));
  Tensor common;
  if (policy != Policy::Stretch)
    common = op.map(ScalarType::Double, ScalarType::Double, each, [&](Scalars &s, ValueRange v) {
      Value best;
      for (auto [axis, size] : llvm::zip(axes, v)) {
        Value scale = s.div(size, op.sizeValue(s, axis.in));
        best = !best ? scale : takesLess ? s.min(best, scale) : s.max(best, scale);
      }
      return best;
    });
  for (auto [k, axis] : llvm::enumerate(axes)) {
    axis.out = (*declared)[axis.dim];
    if (common)
      axis.scale = common;
    claimSize(op, !common ? each[k].tensor
                          : op.map(ScalarType::Long, ScalarType::Double, {common}, [&](Scalars &s, ValueRange v) {
                              return s.make<math::FloorOp>(s.add(s.mul(v[0], op.sizeValue(s, axis.in)), s.number(0.5)));
                            }),
              axis.out);
  }
  return !op.isBad();
}

static bool readRegion(Op &op, MutableArrayRef<Axis> axes) {
  if (!isGiven(op, 1))
    return (void)op.error("needs a region to crop"), false;
  std::optional<std::vector<double>> known = op.numbers(1);
  if (known && known->size() != 2 * axes.size())
    return (void)op.error("has " + Twine(known->size()) + " numbers as its region for " + Twine(axes.size()) + " dimensions"),
           false;
  for (auto [k, axis] : llvm::enumerate(axes)) {
    size_t end = axes.size() + k;
    if (known) {
      axis.begin = Number::of((*known)[k]);
      axis.end = Number::of((*known)[end]);
    } else {
      axis.begin = op.select(op.tensor(1), 0, op.constant(k));
      axis.end = op.select(op.tensor(1), 0, op.constant(end));
    }
  }
  return !op.isBad();
}

static LogicalResult convertResize(Op &op, bool isUpsample) {
  Tensor x = op.tensor(0);
  std::optional<Settings> settings = readSettings(op, isUpsample);
  if (!x || !settings)
    return failure();
  SmallVector<int64_t> dims = op.version >= 18 && op.hasAttribute("axes") ? op.integerList("axes") : upTo(x.rank());
  SmallVector<Axis, 4> axes;
  for (int64_t dim : dims) {
    dim = op.wrapDim(dim, x.rank());
    axes.push_back({.dim = dim, .in = x.dim(dim), .out = x.dim(dim), .scale = {}, .begin = {}, .end = {}});
  }
  unsigned scales = isUpsample || op.version < 11 ? 1 : 2;
  bool isRead = false;
  if (isUpsample && op.version < 9)
    isRead = readScales(op, op.realList("scales"), -1, axes);
  else if (isGiven(op, scales))
    isRead = readScales(op, op.numbers(scales), scales, axes);
  else if (isGiven(op, 3))
    isRead = readSizes(op, 3, settings->policy, axes);
  else if (!op.isBad())
    return op.error("has neither scales nor sizes");
  if (op.isBad() || !isRead || (settings->transform == Transform::Crop && !readRegion(op, axes)))
    return failure();
  ScalarType type = x.dtype, work = isFloating(type) ? computeType(type) : ScalarType::Float;
  Tensor y = settings->mode == Mode::Nearest ? x : op.convert(x, work);
  for (const Axis &axis : axes) {
    bool isSame = axis.in == axis.out && (!axis.isScaled() || (axis.scale.number && axis.scale.number->asDouble() == 1));
    if (!isSame || settings->transform == Transform::Crop)
      y = resample(op, y, axis, *settings);
  }
  return op.finish(op.convert(y, type));
}

void populateResize(ConverterTable &t) {
  t["Resize"] = [](Op &op) { return convertResize(op, false); };
  t["Upsample"] = [](Op &op) { return convertResize(op, true); };
}

} // namespace tenon::onnx_import
