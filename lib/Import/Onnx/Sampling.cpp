// Reading between the elements of an image: GridSample, AffineGrid, RoiAlign, DeformConv.
#include "Sampling.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

Operand scalarInput(Op &op, unsigned i) {
  if (std::optional<double> number = op.number(i))
    return Number::of(*number);
  return op.reshape(op.tensor(i), {});
}

void claimSize(Op &op, Tensor value, AffineExpr size) {
  if (!value || !size || op.isBad())
    return;
  std::optional<int64_t> known = graph::asConstant(size);
  // The name is what the message of a call shows.
  std::string name = op.numOutputs() ? op.node.output(0) : op.node.op_type();
  Tensor number = op.reshape(op.convert(value, ScalarType::Long), {});
  if (known && *known >= 0)
    op.defineSize(number, *known, *known, size, name + ".declared");
  if (known)
    return;
  Tensor difference = op.unary(number, [&](Scalars &s, Value v) { return s.sub(v, op.sizeValue(s, size)); });
  op.defineSize(difference, 0, 0, op.constant(0), name + ".beyond_declared");
}

void claimShape(Op &op, Tensor shape, ArrayRef<AffineExpr> dims,
                llvm::function_ref<Value(Scalars &, Value, size_t)> read) {
  std::optional<int64_t> count = shape && shape.rank() == 1 ? graph::asConstant(shape.dim(0)) : std::nullopt;
  if (!count || *count > static_cast<int64_t>(dims.size()))
    return;
  for (int64_t k = 0; k < *count; ++k) {
    size_t dim = dims.size() - *count + k;
    Tensor number = op.select(op.convert(shape, ScalarType::Long), 0, op.constant(k));
    claimSize(op, read ? op.unary(number, [&](Scalars &s, Value v) { return read(s, v, dim); }) : number, dims[dim]);
  }
}

//===----------------------------------------------------------------------===//
// GridSample
//===----------------------------------------------------------------------===//

namespace {
enum class Border { Zeros, Clamp, Reflect };
enum class Taps { One, Two, Four };
} // namespace

/// `x` mirrored at both ends of the image until it lies inside; where pixel 0 begins depends on what a corner is.
static Value reflect(Scalars &s, Value x, Value size, bool aligns) {
  Value one = s.number(1), low = s.number(aligns ? 0 : -0.5), span = aligns ? s.sub(size, one) : size;
  Value distance = s.abs(s.sub(x, low));
  Value rest = s.fmod(distance, span), flips = s.make<math::FloorOp>(s.div(distance, span));
  Value isEven = s.compare(Compare::Eq, s.fmod(flips, s.number(2)), s.number(0));
  Value inside = s.select(isEven, s.add(rest, low), s.add(s.sub(span, rest), low));
  return s.select(s.compare(Compare::Gt, span, s.number(0)), inside, s.number(0));
}

static Value clamped(Scalars &s, Value x, Value size) {
  return s.min(s.max(x, s.number(0)), s.sub(size, s.number(1)));
}

static LogicalResult convertGridSample(Op &op) {
  Tensor x = op.tensor(0), grid = op.tensor(1);
  if (op.isBad())
    return failure();
  std::string mode = op.text("mode", StringRef(op.version >= 20 ? "linear" : "bilinear"));
  std::string padding = op.text("padding_mode", StringRef("zeros"));
  bool aligns = op.integer("align_corners", 0) != 0;
  auto taps = llvm::StringSwitch<std::optional<Taps>>(mode)
                  .Case("nearest", Taps::One)
                  .Cases({"linear", "bilinear"}, Taps::Two)
                  .Cases({"cubic", "bicubic"}, Taps::Four)
                  .Default(std::nullopt);
  auto border = llvm::StringSwitch<std::optional<Border>>(padding)
                    .Case("zeros", Border::Zeros)
                    .Case("border", Border::Clamp)
                    .Case("reflection", Border::Reflect)
                    .Default(std::nullopt);
  if (!taps || !border)
    return op.error("has mode '" + mode + "' and padding_mode '" + padding + "', of which one is unknown");
  int64_t spatial = x.rank() - 2;
  if (spatial < 1 || grid.rank() != x.rank() || graph::asConstant(grid.dim(grid.rank() - 1)) != spatial)
    return op.error("has a grid that does not fit an input of rank " + Twine(x.rank()));
  if (spatial > 3 || (*taps == Taps::Four && spatial > 2))
    return op.unsupported("with " + mode + " interpolation of " + Twine(spatial) + " dimensions");
  ScalarType type = x.dtype;
  ScalarType work = x.dtype == ScalarType::Double || grid.dtype == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  x = op.convert(x, work);
  Dims dims{x.dim(0), x.dim(1)};
  SmallVector<int64_t> along{0};
  for (int64_t d = 0; d < spatial; ++d) {
    dims.push_back(grid.dim(d + 1));
    along.push_back(d + 2);
  }
  int64_t first = *taps == Taps::Four ? -1 : 0, count = *taps == Taps::One ? 1 : *taps == Taps::Two ? 2 : 4;
  // The last dimension of the grid counts the image's dimensions from the innermost one.
  SmallVector<Tensor> positions;
  SmallVector<SmallVector<Tensor>> indices(spatial);
  for (int64_t d = 0; d < spatial; ++d) {
    AffineExpr size = x.dim(d + 2);
    positions.push_back(
        op.map(work, work, {op.select(grid, spatial + 1, op.constant(spatial - 1 - d))}, [&](Scalars &s, ValueRange v) {
          Value n = op.sizeValue(s, size), one = s.number(1), two = s.number(2), shifted = s.add(v[0], one);
          Value p = aligns ? s.mul(s.div(shifted, two), s.sub(n, one)) : s.div(s.sub(s.mul(shifted, n), one), two);
          if (*taps == Taps::One)
            p = s.make<math::RoundEvenOp>(p);
          if (*border == Border::Clamp)
            p = clamped(s, p, n);
          return *border == Border::Reflect ? reflect(s, p, n, aligns) : p;
        }));
    for (int64_t k = 0; k < count; ++k)
      indices[d].push_back(op.map(
          ScalarType::Long, work, {positions[d]},
          [&](Scalars &s, ValueRange v) -> Value {
            Value n = op.sizeValue(s, size);
            // A whole position may come out of the reflection with half a pixel less.
            Value base = *taps == Taps::One ? s.make<math::RoundEvenOp>(v[0]) : s.make<math::FloorOp>(v[0]);
            Value at = s.add(base, s.number(static_cast<double>(first + k)));
            if (*border == Border::Reflect)
              at = s.make<math::TruncOp>(reflect(s, at, n, aligns));
            return s.convert(clamped(s, at, n), s.type, ScalarType::Long);
          },
          ScalarType::Long));
  }
  SmallVector<Operand> operands;
  for (Tensor position : positions)
    operands.push_back(Operand(position, along));
  int64_t total = 1;
  for (int64_t d = 0; d < spatial; ++d)
    total *= count;
  auto tapOf = [&](int64_t i, int64_t d) {
    for (int64_t k = spatial - 1; k > d; --k)
      i /= count;
    return i % count;
  };
  for (int64_t i = 0; i < total; ++i) {
    SmallVector<Operand> at;
    SmallVector<int64_t> coords{0, 1};
    for (int64_t d = 0; d < spatial; ++d) {
      at.push_back(Operand(indices[d][tapOf(i, d)], along));
      coords.push_back(-d - 1);
    }
    operands.push_back(op.gather(x, at, coords, dims));
  }
  return op.finish(op.map(
      type, work, operands,
      [&](Scalars &s, ValueRange v) {
        Value one = s.number(1), zero = s.number(0), sum;
        SmallVector<SmallVector<Value>> weights(spatial);
        for (int64_t d = 0; d < spatial; ++d) {
          Value base = *taps == Taps::One ? s.make<math::RoundEvenOp>(v[d]) : s.make<math::FloorOp>(v[d]);
          Value t = s.sub(v[d], base);
          weights[d] = *taps == Taps::One   ? SmallVector<Value>{one}
                       : *taps == Taps::Two ? SmallVector<Value>{s.sub(one, t), t}
                                            : cubicWeights(s, t, -0.75);
          for (int64_t k = 0; *border == Border::Zeros && k < count; ++k) {
            Value at = s.add(base, s.number(static_cast<double>(first + k)));
            Value isInside =
                s.both(s.compare(Compare::Ge, at, zero), s.compare(Compare::Lt, at, op.sizeValue(s, x.dim(d + 2))));
            weights[d][k] = s.select(isInside, weights[d][k], zero);
          }
        }
        for (int64_t i = 0; i < total; ++i) {
          Value weight = weights[0][tapOf(i, 0)];
          for (int64_t d = 1; d < spatial; ++d)
            weight = s.mul(weight, weights[d][tapOf(i, d)]);
          Value term = s.mul(v[spatial + i], weight);
          sum = sum ? s.add(sum, term) : term;
        }
        return sum;
      },
      ScalarType::Unknown, dims));
}

static LogicalResult convertAffineGrid(Op &op) {
  Tensor theta = op.tensor(0);
  bool aligns = op.integer("align_corners", 0) != 0;
  if (!theta)
    return failure();
  if (theta.rank() != 3)
    return op.error("has a matrix of rank " + Twine(theta.rank()));
  std::optional<int64_t> spatial = graph::asConstant(theta.dim(1));
  if (!spatial || *spatial < 1 || graph::asConstant(theta.dim(2)) != *spatial + 1)
    return op.error("has matrices that are not n by n + 1");
  Dims dims{theta.dim(0)};
  if (std::optional<Dims> sizes = op.sizes(1)) {
    if (static_cast<int64_t>(sizes->size()) != *spatial + 2)
      return op.error("has a size of " + Twine(sizes->size()) + " numbers");
    dims.append(sizes->begin() + 2, sizes->end());
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the size");
    if (!declared || static_cast<int64_t>(declared->size()) != *spatial + 2)
      return op.isBad() ? failure() : op.error("is declared with another rank than its size has numbers");
    dims.append(declared->begin() + 1, declared->end() - 1);
    Tensor size = op.tensor(1);
    for (int64_t d = 0; d < *spatial; ++d)
      claimSize(op, op.select(size, 0, op.constant(d + 2)), dims[d + 1]);
  }
  dims.push_back(op.constant(*spatial));
  SmallVector<Operand> columns;
  for (int64_t k = 0; k <= *spatial; ++k)
    columns.push_back(Operand(op.select(theta, 2, op.constant(k)), {0, *spatial + 1}));
  ScalarType type = theta.dtype;
  return op.finish(op.map(
      type, type, columns,
      [&](Scalars &s, ValueRange v) {
        Value sum = v[*spatial], one = s.number(1), two = s.number(2);
        for (int64_t k = 0; k < *spatial; ++k) {
          int64_t d = *spatial - k; // column 0 goes with the innermost dimension
          Value i = op.index(s, d), n = op.sizeValue(s, dims[d]);
          Value at = aligns ? s.sub(s.div(s.mul(two, i), s.sub(n, one)), one)
                            : s.sub(s.div(s.add(s.mul(two, i), one), n), one);
          sum = s.add(sum, s.mul(v[k], at));
        }
        return sum;
      },
      ScalarType::Unknown, dims));
}

//===----------------------------------------------------------------------===//
// RoiAlign
//===----------------------------------------------------------------------===//

/// Sample positions of every region along one dimension: [R, bins, samples].
static Tensor regionSamples(Op &op, Tensor rois, ScalarType work, int64_t begin, int64_t bins, int64_t samples, double scale,
                            bool isHalfPixel) {
  auto column = [&](int64_t i) { return Operand(op.select(rois, 1, op.constant(i)), {0}); };
  return op.map(
      work, work, {column(begin), column(begin + 2)},
      [&](Scalars &s, ValueRange v) {
        Value offset = s.number(isHalfPixel ? 0.5 : 0);
        Value low = s.sub(s.mul(v[0], s.number(scale)), offset), high = s.sub(s.mul(v[1], s.number(scale)), offset);
        Value length = s.sub(high, low);
        if (!isHalfPixel)
          length = s.max(length, s.number(1));
        Value bin = s.div(length, s.integer(bins));
        Value within = s.div(s.mul(s.add(op.index(s, 2), s.number(0.5)), bin), s.integer(samples));
        return s.add(s.add(low, s.mul(op.index(s, 1), bin)), within);
      },
      ScalarType::Unknown, Dims{rois.dim(0), op.constant(bins), op.constant(samples)});
}

/// The element before a sample, the distance behind it, and whether the sample is in the image.
static Value lowerTap(Scalars &s, Value position, Value size) {
  Value last = s.sub(size, s.number(1));
  return s.min(s.make<math::FloorOp>(s.max(position, s.number(0))), last);
}

static LogicalResult convertRoiAlign(Op &op) {
  Tensor x = op.tensor(0), rois = op.tensor(1), batch = op.tensor(2);
  if (op.isBad())
    return failure();
  int64_t height = op.integer("output_height", 1), width = op.integer("output_width", 1);
  int64_t samples = op.integer("sampling_ratio", 0);
  double scale = op.real("spatial_scale", 1.0);
  bool isHalfPixel = op.version >= 16 && op.text("coordinate_transformation_mode", StringRef("half_pixel")) == "half_pixel";
  std::string mode = op.text("mode", StringRef("avg"));
  if (x.rank() != 4 || rois.rank() != 2 || batch.rank() != 1 || graph::asConstant(rois.dim(1)) != 4)
    return op.error("has inputs of ranks " + Twine(x.rank()) + ", " + Twine(rois.rank()) + " and " + Twine(batch.rank()));
  if (mode != "avg" && mode != "max")
    return op.error("has mode '" + mode + "', which is unknown");
  if (height < 1 || width < 1 || samples < 0)
    return op.error("has sizes that are not positive");
  if (samples == 0)
    return op.unsupported("with sampling_ratio 0, where each region decides how many samples are taken",
                          "export it with a sampling_ratio");
  ScalarType type = x.dtype, work = computeType(type);
  Tensor ys = regionSamples(op, rois, work, 1, height, samples, scale, isHalfPixel);
  Tensor xs = regionSamples(op, rois, work, 0, width, samples, scale, isHalfPixel);
  auto tap = [&](Tensor positions, AffineExpr size, int64_t k) {
    return op.map(
        ScalarType::Long, work, {positions},
        [&](Scalars &s, ValueRange v) -> Value {
          Value n = op.sizeValue(s, size), at = lowerTap(s, v[0], n);
          at = s.min(s.add(at, s.integer(k)), s.sub(n, s.number(1)));
          return s.convert(at, s.type, ScalarType::Long);
        },
        ScalarType::Long);
  };
  x = op.convert(x, work);
  // [R, C, bins y, samples y, bins x, samples x]
  Dims dims{rois.dim(0),      x.dim(1),           op.constant(height), op.constant(samples),
            op.constant(width), op.constant(samples)};
  Tensor images = op.wrapIndices(batch, x.dim(0));
  SmallVector<Operand> operands{Operand(ys, {0, 2, 3}), Operand(xs, {0, 4, 5})};
  for (int64_t k = 0; k < 4; ++k)
    operands.push_back(op.gather(x,
                                 {Operand(images, {0}), Operand(tap(ys, x.dim(2), k / 2), {0, 2, 3}),
                                  Operand(tap(xs, x.dim(3), k % 2), {0, 4, 5})},
                                 {-1, 1, -2, -3}, dims));
  Tensor values = op.map(
      work, work, operands,
      [&](Scalars &s, ValueRange v) {
        Value zero = s.number(0), one = s.number(1), isInside = s.boolean(true);
        SmallVector<Value> behind;
        for (int64_t d = 0; d < 2; ++d) {
          Value n = op.sizeValue(s, x.dim(d + 2)), last = s.sub(n, one), low = lowerTap(s, v[d], n);
          isInside = s.both(isInside, s.both(s.compare(Compare::Ge, v[d], s.number(-1)), s.compare(Compare::Le, v[d], n)));
          Value t = s.sub(s.max(v[d], zero), low);
          behind.push_back(s.select(s.compare(Compare::Ge, low, last), zero, t));
        }
        Value result;
        for (int64_t k = 0; k < 4; ++k) {
          Value wy = k / 2 ? behind[0] : s.sub(one, behind[0]), wx = k % 2 ? behind[1] : s.sub(one, behind[1]);
          Value term = s.mul(s.select(isInside, s.mul(wy, wx), zero), v[2 + k]);
          result = !result ? term : mode == "avg" ? s.add(result, term) : s.max(result, term);
        }
        return result;
      },
      ScalarType::Unknown, dims);
  Tensor y = op.reduce(mode == "avg" ? ReduceKind::Sum : ReduceKind::Max, values, {3, 5});
  if (mode == "avg")
    y = op.scale(y, 1.0 / static_cast<double>(samples * samples));
  return op.finish(op.convert(y, type));
}

//===----------------------------------------------------------------------===//
// DeformConv
//===----------------------------------------------------------------------===//

/// Each tap of the window reads at its place plus an offset that is data; then the taps are multiplied as usual.
static LogicalResult convertDeformConv(Op &op) {
  Tensor x = op.tensor(0), filter = op.tensor(1), offset = op.tensor(2), bias = op.optionalTensor(3),
         mask = op.optionalTensor(4);
  if (op.isBad())
    return failure();
  if (x.rank() != 4 || filter.rank() != 4 || offset.rank() != 4)
    return op.unsupported("on tensors of another rank than 4");
  int64_t groups = op.integer("group", 1), offsetGroups = op.integer("offset_group", 1);
  SmallVector<int64_t> strides = op.integersOf("strides", 2, 1), dilations = op.integersOf("dilations", 2, 1),
                       pads = op.integersOf("pads", 4, 0);
  std::optional<int64_t> channels = graph::asConstant(x.dim(1)), own = graph::asConstant(filter.dim(1)),
                         results = graph::asConstant(filter.dim(0)), kh = graph::asConstant(filter.dim(2)),
                         kw = graph::asConstant(filter.dim(3));
  if (op.isBad() || !channels || !own || !results || !kh || !kw)
    return op.isBad() ? failure() : op.unsupported("with a symbolic window or number of channels");
  if (groups < 1 || offsetGroups < 1 || *channels != *own * groups || *results % groups != 0 || *channels % offsetGroups != 0)
    return op.error("has channels that do not fit its groups");
  int64_t taps = *kh * *kw;
  ScalarType type = x.dtype, work = computeType(type);
  AffineExpr n = x.dim(0), rows = offset.dim(2), columns = offset.dim(3), og = op.constant(offsetGroups);
  x = op.reshape(op.convert(x, work), {n, og, op.constant(*channels / offsetGroups), x.dim(2), x.dim(3)});
  offset = op.reshape(op.convert(offset, work), {n, og, op.constant(taps), op.constant(2), rows, columns});
  if (!x || !offset)
    return failure();
  SmallVector<Tensor> positions;
  for (int64_t d = 0; d < 2; ++d)
    positions.push_back(op.unary(op.select(offset, 3, op.constant(d)), [&](Scalars &s, Value v) {
      Scalars ints(s.b, s.loc, ScalarType::Long);
      Value tap = op.index(ints, 2);
      tap = d == 0 ? ints.truncDiv(tap, ints.integer(*kw)) : ints.fmod(tap, ints.integer(*kw));
      Value at = ints.sub(ints.add(ints.mul(op.index(ints, 3 + d), ints.integer(strides[d])),
                                   ints.mul(tap, ints.integer(dilations[d]))),
                          ints.integer(pads[d]));
      return s.add(v, s.convert(at, ScalarType::Long, s.type));
    }));
  Dims dims{n, og, x.dim(2), op.constant(taps), rows, columns};
  SmallVector<int64_t> along{0, 1, 3, 4, 5};
  auto tap = [&](int64_t d, int64_t k) {
    return Operand(op.map(
                       ScalarType::Long, work, {positions[d]},
                       [&](Scalars &s, ValueRange v) -> Value {
                         Value at = s.add(s.make<math::FloorOp>(v[0]), s.integer(k));
                         return s.convert(clamped(s, at, op.sizeValue(s, x.dim(3 + d))), s.type, ScalarType::Long);
                       },
                       ScalarType::Long),
                   along);
  };
  SmallVector<Operand> operands{Operand(positions[0], along), Operand(positions[1], along)};
  for (int64_t k = 0; k < 4; ++k)
    operands.push_back(op.gather(x, {tap(0, k / 2), tap(1, k % 2)}, {0, 1, 2, -1, -2}, dims));
  if (mask)
    operands.push_back(Operand(op.reshape(op.convert(mask, work), {n, og, op.constant(taps), rows, columns}), along));
  Tensor read = op.map(
      work, work, operands,
      [&](Scalars &s, ValueRange v) {
        Value zero = s.number(0), one = s.number(1), sum;
        for (int64_t k = 0; k < 4; ++k) {
          Value weight = one;
          for (int64_t d = 0; d < 2; ++d) {
            Value base = s.make<math::FloorOp>(v[d]), t = s.sub(v[d], base);
            bool isUpper = d == 0 ? k / 2 : k % 2;
            Value at = isUpper ? s.add(base, one) : base;
            Value isInside =
                s.both(s.compare(Compare::Ge, at, zero), s.compare(Compare::Lt, at, op.sizeValue(s, x.dim(3 + d))));
            weight = s.mul(weight, s.select(isInside, isUpper ? t : s.sub(one, t), zero));
          }
          Value term = s.mul(v[2 + k], weight);
          sum = sum ? s.add(sum, term) : term;
        }
        return v.size() > 6 ? s.mul(sum, v[6]) : sum;
      },
      ScalarType::Unknown, dims);
  AffineExpr g = op.constant(groups), k = op.constant(taps);
  read = op.reshape(read, {n, g, op.constant(*own), k, rows, columns});
  filter = op.reshape(op.convert(filter, work), {g, op.constant(*results / groups), op.constant(*own), k});
  Tensor y = op.reshape(op.contract(read, "ngckyx", filter, "gock", "ngoyx"), {n, op.constant(*results), rows, columns});
  if (bias && y)
    y = op.map(work, work, {y, Operand(bias, {1})}, [](Scalars &s, ValueRange v) { return s.add(v[0], v[1]); });
  return op.finish(op.convert(y, type));
}

void populateSampling(ConverterTable &t) {
  t["GridSample"] = convertGridSample;
  t["AffineGrid"] = convertAffineGrid;
  t["RoiAlign"] = convertRoiAlign;
  t["DeformConv"] = convertDeformConv;
}

} // namespace tenon::onnx_import
