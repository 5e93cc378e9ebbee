// Signal processing: discrete Fourier transforms as contractions with cosines and sines, windows, mel filters.
#include "Sampling.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

namespace {
/// Real and imaginary parts; a null imaginary part is zero.
struct Parts {
  Tensor re, im;
};
} // namespace

/// The last dimension holds the parts.
static Parts split(Op &op, Tensor x) {
  int64_t last = x.rank() - 1;
  bool isComplexNumber = graph::asConstant(x.dim(last)) == 2;
  return {op.select(x, last, op.constant(0)), isComplexNumber ? op.select(x, last, op.constant(1)) : Tensor()};
}

static Tensor join(Op &op, Parts x) {
  return op.concat({op.unsqueeze(x.re, x.re.rank()), op.unsqueeze(x.im, x.im.rank())}, x.re.rank());
}

/// cos or sin of 2 pi j k / n, j along dimension 0 and k along dimension 1. The product is taken modulo n first, so that the
/// angle is exact.
static Tensor waves(Op &op, ScalarType type, AffineExpr rows, AffineExpr columns, const Operand &n, bool isSine) {
  return op.map(
      type, ScalarType::Long, {n},
      [&](Scalars &s, ValueRange v) -> Value {
        Scalars reals(s.b, s.loc, ScalarType::Double);
        Value product = s.fmod(s.mul(op.index(s, 0), op.index(s, 1)), v[0]);
        auto real = [&](Value value) { return s.convert(value, ScalarType::Long, ScalarType::Double); };
        Value angle = reals.mul(reals.div(real(product), real(v[0])), reals.number(2 * M_PI));
        return isSine ? reals.make<math::SinOp>(angle) : reals.make<math::CosOp>(angle);
      },
      ScalarType::Double, Dims{rows, columns});
}

static Operand asOperand(AffineExpr size) {
  Number number = Number::of(graph::asConstant(size).value_or(0));
  if (!graph::asConstant(size))
    number.expr = size;
  return number;
}

/// Sum over j of x[j] * exp(-+ 2 pi i j k / n) along `dim`, for the first `count` k.
static Parts transform(Op &op, Parts x, int64_t dim, AffineExpr count, const Operand &n, bool isForward) {
  ScalarType type = x.re.dtype;
  Tensor cosine = waves(op, type, count, x.re.dim(dim), n, false), sine = waves(op, type, count, x.re.dim(dim), n, true);
  Tensor re = multiplyAlong(op, x.re, dim, cosine), im = multiplyAlong(op, x.re, dim, sine);
  if (x.im) {
    Tensor a = multiplyAlong(op, x.im, dim, sine), b = multiplyAlong(op, x.im, dim, cosine);
    re = isForward ? op.add(re, a) : op.sub(re, a);
    im = isForward ? op.sub(b, im) : op.add(b, im);
  } else if (isForward) {
    im = op.unary(im, [](Scalars &s, Value v) { return s.neg(v); });
  }
  return {re, im};
}

/// `n` real numbers from the first half of a spectrum whose other half is its conjugate.
static Tensor realInverse(Op &op, Parts x, int64_t dim, AffineExpr n) {
  ScalarType type = x.re.dtype;
  AffineExpr half = x.re.dim(dim);
  auto weighed = [&](bool isSine) {
    return op.unary(waves(op, type, n, half, asOperand(n), isSine), [&](Scalars &s, Value v) {
      Scalars ints(s.b, s.loc, ScalarType::Long);
      Value k = op.index(ints, 1), size = op.sizeValue(ints, n);
      Value isSingle = ints.either(ints.compare(Compare::Eq, k, ints.integer(0)),
                                   ints.compare(Compare::Eq, ints.mul(k, ints.integer(2)), size));
      return s.mul(v, s.select(isSingle, s.number(1), s.number(2)));
    });
  };
  Tensor y = multiplyAlong(op, x.re, dim, weighed(false));
  if (x.im)
    y = op.sub(y, multiplyAlong(op, x.im, dim, weighed(true)));
  return op.unary(y, [&](Scalars &s, Value v) { return s.div(v, op.sizeValue(s, n)); });
}

/// Cut or filled with zeros to `size` along `dim`.
static Tensor resized(Op &op, Tensor x, int64_t dim, AffineExpr size) {
  if (!x || x.dim(dim) == size)
    return x;
  if (op.isLessEqual(size, x.dim(dim)).value_or(false))
    return op.slice(x, dim, op.constant(0), size);
  if (!op.isLessEqual(x.dim(dim), size).value_or(false))
    return op.unsupportedTensor("of a length that may be more or less than there is");
  Dims low(x.rank(), op.constant(0)), high = low;
  high[dim] = graph::normalize(size - x.dim(dim));
  return op.pad(x, low, high, 0);
}

/// Along one known dimension; `length` may be null.
static Tensor fourier(Op &op, Tensor x, int64_t dim, AffineExpr length, bool isInverse, bool isOneSided) {
  ScalarType type = x.dtype;
  Tensor wide = op.convert(x, computeType(type));
  if (isInverse && isOneSided) {
    AffineExpr n = length ? length : graph::normalize((x.dim(dim) - 1) * 2);
    wide = resized(op, wide, dim, graph::normalize(n.floorDiv(2) + 1));
    return wide ? op.convert(op.unsqueeze(realInverse(op, split(op, wide), dim, n), x.rank() - 1), type) : Tensor();
  }
  AffineExpr n = length ? length : x.dim(dim);
  wide = resized(op, wide, dim, n);
  if (!wide)
    return {};
  AffineExpr count = isOneSided ? graph::normalize(n.floorDiv(2) + 1) : n;
  Parts y = transform(op, split(op, wide), dim, count, asOperand(n), !isInverse);
  if (!y.re || !y.im)
    return {};
  Tensor result = join(op, y);
  if (isInverse)
    result = op.unary(result, [&](Scalars &s, Value v) { return s.div(v, op.sizeValue(s, n)); });
  return op.convert(result, type);
}

static LogicalResult convertDft(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<int64_t> parts = x.rank() >= 2 ? graph::asConstant(x.dim(x.rank() - 1)) : std::nullopt;
  if (parts != 1 && parts != 2)
    return op.error("needs a last dimension of one part or two");
  bool isInverse = op.integer("inverse", 0) != 0, isOneSided = op.integer("onesided", 0) != 0;
  AffineExpr length;
  if (op.has(1)) {
    std::optional<Dims> known = op.sizes(1);
    if (!known || known->size() != 1)
      return op.unsupported("of a length that is known only when the model runs", "make it a constant");
    length = (*known)[0];
  }
  if (op.version < 20 || !op.has(2)) {
    int64_t dim = op.version < 20 ? op.dim("axis", x.rank(), 1) : op.wrapDim(-2, x.rank());
    return op.isBad() ? failure() : op.finish(fourier(op, x, dim, length, isInverse, isOneSided));
  }
  if (std::optional<double> axis = op.number(2))
    return op.finish(fourier(op, x, op.wrapDim(static_cast<int64_t>(*axis), x.rank()), length, isInverse, isOneSided));
  // Every dimension that gives the declared sizes is transformed; the input chooses.
  std::optional<Dims> want = op.declaredDimsOr(0, "an input with the axis");
  Tensor axis = op.tensor(2);
  if (!want || !axis)
    return failure();
  SmallVector<std::pair<int64_t, Tensor>> choices;
  for (int64_t d = 0; d + 1 < x.rank(); ++d) {
    if (isInverse && isOneSided && graph::asConstant(x.dim(d)) == 1 && !length)
      continue;
    Dims dims = x.dims();
    AffineExpr n = length ? length : isInverse && isOneSided ? graph::normalize((dims[d] - 1) * 2) : dims[d];
    dims[d] = isOneSided && !isInverse ? graph::normalize(n.floorDiv(2) + 1) : n;
    dims.back() = op.constant(isInverse && isOneSided ? 1 : 2);
    if (llvm::equal(dims, *want))
      choices.push_back({d, fourier(op, x, d, length, isInverse, isOneSided)});
  }
  if (choices.empty())
    return op.error("is declared with sizes that no axis gives");
  Tensor wrapped = op.unary(op.reshape(op.convert(axis, ScalarType::Long), {}), [&](Scalars &s, Value v) {
    return s.select(s.compare(Compare::Lt, v, s.integer(0)), s.add(v, s.integer(x.rank())), v);
  });
  return op.finish(op.choose(wrapped, choices));
}

static LogicalResult convertStft(Op &op) {
  Tensor x = op.tensor(0), window = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  if (x.rank() == 2)
    x = op.unsqueeze(x, 2);
  if (x.rank() != 3)
    return op.error("has a signal of rank " + Twine(x.rank()));
  bool isOneSided = op.integer("onesided", 1) != 0;
  std::optional<Dims> stepSize = op.sizes(1), lengthSize = op.has(3) ? op.sizes(3) : std::nullopt;
  AffineExpr step = stepSize && stepSize->size() == 1 ? (*stepSize)[0] : AffineExpr();
  AffineExpr length = window ? window.dim(0) : lengthSize && lengthSize->size() == 1 ? (*lengthSize)[0] : AffineExpr();
  if (!window && !op.has(3))
    return op.error("has neither a window nor a length of frames");
  AffineExpr frames, bins;
  Operand n = length ? asOperand(length) : Operand(op.reshape(op.convert(op.tensor(3), ScalarType::Long), {}));
  Operand hop = step ? asOperand(step) : Operand(op.reshape(op.convert(op.tensor(1), ScalarType::Long), {}));
  std::optional<int64_t> knownStep = step ? graph::asConstant(step) : std::nullopt;
  if (knownStep && *knownStep > 0 && length) {
    frames = graph::normalize((x.dim(1) - length).floorDiv(*knownStep) + 1);
    bins = isOneSided ? graph::normalize(length.floorDiv(2) + 1) : length;
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the step or the length of frames");
    if (!declared || declared->size() != 4)
      return op.isBad() ? failure() : op.error("is declared with another rank than 4");
    frames = (*declared)[1], bins = (*declared)[2];
    // What a run gives must lead to the sizes that the model declares.
    AffineExpr total = x.dim(1);
    claimSize(op, op.map(ScalarType::Long, ScalarType::Long, {n, hop}, [&](Scalars &s, ValueRange v) {
      return s.add(s.floorDiv(s.sub(op.sizeValue(s, total), v[0]), v[1]), s.integer(1));
    }), frames);
    claimSize(op, op.map(ScalarType::Long, ScalarType::Long, {n}, [&](Scalars &s, ValueRange v) {
      return isOneSided ? s.add(s.truncDiv(v[0], s.integer(2)), s.integer(1)) : v[0];
    }), bins);
  }
  // One element more than an even length has, when its parity is known only when the model runs.
  AffineExpr width = length ? length : graph::normalize(isOneSided ? bins * 2 - 1 : bins);
  ScalarType type = x.dtype, work = computeType(type);
  Parts signal = split(op, op.convert(x, work));
  Tensor at = op.map(
      ScalarType::Long, ScalarType::Long, {hop},
      [&](Scalars &s, ValueRange v) {
        Value place = s.add(s.mul(op.index(s, 0), v[0]), op.index(s, 1));
        return s.min(place, s.sub(op.sizeValue(s, x.dim(1)), s.integer(1)));
      },
      ScalarType::Unknown, Dims{frames, width});
  auto cut = [&](Tensor part) -> Tensor {
    if (!part)
      return {};
    SmallVector<Operand> operands{op.gather(part, {Operand(at, {1, 2})}, {0, -1}, {part.dim(0), frames, width})};
    if (window)
      operands.push_back(Operand(op.convert(window, work), {2}));
    Operand limit = n;
    limit.isRaw = static_cast<bool>(limit.tensor);
    if (n.tensor)
      operands.push_back(limit);
    return op.map(work, work, operands, [&](Scalars &s, ValueRange v) {
      Value value = window ? s.mul(v[0], v[1]) : v[0];
      if (!n.tensor)
        return value;
      Scalars ints(s.b, s.loc, ScalarType::Long);
      return s.select(ints.compare(Compare::Lt, op.index(ints, 2), v.back()), value, s.number(0));
    });
  };
  Parts cutParts{cut(signal.re), cut(signal.im)};
  if (!cutParts.re)
    return failure();
  Parts y = transform(op, cutParts, 2, bins, n, true);
  return y.re && y.im ? op.finish(op.convert(join(op, y), type)) : failure();
}

//===----------------------------------------------------------------------===//
// Windows and filters
//===----------------------------------------------------------------------===//

/// a - b cos(2 pi i / n) + c cos(4 pi i / n)
static Convert window(double a, double b, double c) {
  return [=](Op &op) -> LogicalResult {
    ScalarType type = op.dtype("output_datatype", ScalarType::Float);
    bool isPeriodic = op.integer("periodic", 1) != 0;
    AffineExpr size;
    if (std::optional<Dims> known = op.sizes(0); known && known->size() == 1) {
      size = (*known)[0];
    } else {
      std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the size");
      if (!declared || declared->size() != 1)
        return op.isBad() ? failure() : op.error("is declared with another rank than 1");
      size = (*declared)[0];
      claimSize(op, op.tensor(0), size);
    }
    return op.finish(op.generate(type, ScalarType::Double, {size}, [&](Scalars &s, ValueRange) {
      Value n = op.sizeValue(s, size), i = op.index(s, 0);
      if (!isPeriodic)
        n = s.sub(n, s.number(1));
      auto wave = [&](double turns, double factor) {
        Value angle = s.div(s.mul(i, s.number(2 * M_PI * turns)), n);
        return s.mul(s.make<math::CosOp>(angle), s.number(factor));
      };
      return s.add(s.sub(s.number(a), wave(1, b)), wave(2, c));
    }));
  };
}

static LogicalResult convertMelWeightMatrix(Op &op) {
  ScalarType type = op.dtype("output_datatype", ScalarType::Float);
  SmallVector<Operand> operands;
  for (unsigned i = 0; i < 5; ++i)
    operands.push_back(scalarInput(op, i));
  if (op.isBad())
    return failure();
  Dims dims;
  std::optional<Dims> bins = op.sizes(0), length = op.sizes(1);
  if (bins && length && bins->size() == 1 && length->size() == 1) {
    dims = {graph::normalize((*length)[0].floorDiv(2) + 1), (*bins)[0]};
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with a size");
    if (!declared || declared->size() != 2)
      return op.isBad() ? failure() : op.error("is declared with another rank than 2");
    dims = *declared;
    claimSize(op, op.map(ScalarType::Long, ScalarType::Long, {operands[1]}, [](Scalars &s, ValueRange v) {
      return s.add(s.truncDiv(v[0], s.integer(2)), s.integer(1));
    }), dims[0]);
    claimSize(op, op.map(ScalarType::Long, ScalarType::Long, {operands[0]}, [](Scalars &s, ValueRange v) { return v[0]; }),
              dims[1]);
  }
  return op.finish(op.map(
      type, ScalarType::Double, operands,
      [&](Scalars &s, ValueRange v) -> Value {
        Value one = s.number(1), zero = s.number(0), column = op.index(s, 1), j = op.index(s, 0);
        auto toMel = [&](Value hertz) {
          return s.mul(s.number(2595 / std::log(10.0)), s.make<math::Log1pOp>(s.div(hertz, s.number(700))));
        };
        Value low = toMel(v[3]), step = s.div(s.sub(toMel(v[4]), low), s.add(v[0], s.number(2)));
        auto bin = [&](double offset) {
          Value mel = s.add(s.mul(s.add(column, s.number(offset)), step), low);
          Value hertz = s.mul(s.number(700), s.make<math::ExpM1Op>(s.mul(mel, s.number(std::log(10.0) / 2595))));
          return s.make<math::FloorOp>(s.div(s.mul(s.add(v[1], one), hertz), v[2]));
        };
        Value left = bin(0), centre = bin(1), right = bin(2);
        Value rise = s.sub(centre, left), fall = s.sub(right, centre);
        Value isFlat = s.compare(Compare::Eq, rise, zero);
        Value up = s.select(isFlat, one, s.div(s.sub(j, left), s.select(isFlat, one, rise)));
        Value isUp = s.both(s.compare(Compare::Ge, j, left), s.compare(Compare::Le, j, centre));
        Value isDown = s.both(s.compare(Compare::Gt, fall, zero),
                              s.both(s.compare(Compare::Ge, j, centre), s.compare(Compare::Lt, j, right)));
        Value down = s.div(s.sub(right, j), s.max(fall, one));
        return s.select(isDown, down, s.select(isUp, up, zero));
      },
      ScalarType::Unknown, dims));
}

void populateSignal(ConverterTable &t) {
  t["DFT"] = convertDft;
  t["STFT"] = convertStft;
  t["HannWindow"] = window(0.5, 0.5, 0);
  t["HammingWindow"] = window(25.0 / 46, 21.0 / 46, 0);
  t["BlackmanWindow"] = window(0.42, 0.5, 0.08);
  t["MelWeightMatrix"] = convertMelWeightMatrix;
}

} // namespace tenon::onnx_import
